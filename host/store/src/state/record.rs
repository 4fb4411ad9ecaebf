//! How a record, its pieces and a lease lie in sled.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sled::IVec;

use crate::StoreError;
use crate::change::{Lease, Record};
use crate::limits::PIECE_BYTES;
use crate::types::{decode, encode};

/// A record without the pieces of a large value.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) revision: u64,
    /// Bytes of the value as JSON.
    pub(super) bytes: u64,
    /// Of the whole value.
    pub(super) crc: u32,
    /// How many pieces follow; 0: the value stands in `inline`.
    pub(super) pieces: u32,
    pub(super) lease: Option<u64>,
    #[serde(with = "serde_bytes")]
    pub(super) inline: Vec<u8>,
}

/// A change of one key: the new value, or none to remove it.
pub(super) type Write = (Vec<u8>, Option<Vec<u8>>);

pub(super) fn head_key(path: &str) -> Vec<u8> {
    [b"r", path.as_bytes()].concat()
}

fn piece_key(path: &str, number: u32) -> Vec<u8> {
    [b"p", path.as_bytes(), &[0], &number.to_be_bytes()].concat()
}

pub(super) fn lease_key(lease: u64) -> Vec<u8> {
    [&b"l"[..], &lease.to_be_bytes()].concat()
}

pub(super) fn holds_prefix(lease: u64) -> Vec<u8> {
    [&b"h"[..], &lease.to_be_bytes()].concat()
}

pub(super) fn holds_key(lease: u64, path: &str) -> Vec<u8> {
    [&holds_prefix(lease)[..], path.as_bytes()].concat()
}

pub(super) fn path_of(key: &[u8]) -> Result<&str, StoreError> {
    let path = key.get(1..).unwrap_or_default();
    std::str::from_utf8(path)
        .map_err(|_| StoreError::Damaged("a record's path isn't text".to_owned()))
}

/// The writes that set a record.
pub(super) fn put(
    path: &str,
    value: &Value,
    revision: u64,
    lease: Option<u64>,
) -> Result<Vec<Write>, StoreError> {
    let json = serde_json::to_vec(value).map_err(|e| StoreError::Damaged(e.to_string()))?;
    let crc = crc32fast::hash(&json);
    let bytes = json.len() as u64;
    let mut writes = Vec::new();
    let (inline, pieces) = if json.len() <= PIECE_BYTES {
        (json, 0)
    } else {
        let mut count = 0;
        for piece in json.chunks(PIECE_BYTES) {
            writes.push((piece_key(path, count), Some(piece.to_vec())));
            count += 1;
        }
        (Vec::new(), count)
    };
    let head = Head {
        revision,
        bytes,
        crc,
        pieces,
        lease,
        inline,
    };
    writes.push((head_key(path), Some(encode(&head)?)));
    if let Some(lease) = lease {
        writes.push((holds_key(lease, path), Some(Vec::new())));
    }
    Ok(writes)
}

/// The writes that remove a record.
pub(super) fn remove(path: &str, head: &Head) -> Vec<Write> {
    let mut writes: Vec<Write> = (0..head.pieces)
        .map(|n| (piece_key(path, n), None))
        .collect();
    writes.push((head_key(path), None));
    if let Some(lease) = head.lease {
        writes.push((holds_key(lease, path), None));
    }
    writes
}

pub(super) fn head(db: &sled::Db, path: &str) -> Result<Option<Head>, StoreError> {
    db.get(head_key(path))?
        .map(|head| decode(&head))
        .transpose()
}

pub(super) fn read(db: &sled::Db, path: &str) -> Result<Option<Record>, StoreError> {
    // A change between the reads of head and pieces fails the checksum: read again.
    for _ in 0..100 {
        let Some(head) = db.get(head_key(path))? else {
            return Ok(None);
        };
        if let Ok(record) = whole(db, path, &head) {
            return Ok(Some(record));
        }
    }
    let Some(head) = db.get(head_key(path))? else {
        return Ok(None);
    };
    whole(db, path, &head).map(Some)
}

/// The record of a head, with its pieces, checked.
pub(super) fn whole(db: &sled::Db, path: &str, head: &[u8]) -> Result<Record, StoreError> {
    let mut head: Head = decode(head)?;
    let mut json = std::mem::take(&mut head.inline);
    for number in 0..head.pieces {
        let piece = db.get(piece_key(path, number))?;
        json.extend_from_slice(piece.as_deref().unwrap_or_default());
    }
    if crc32fast::hash(&json) != head.crc {
        return Err(StoreError::Damaged(format!(
            "the record `{path}` fails its checksum"
        )));
    }
    let value = serde_json::from_slice(&json)
        .map_err(|e| StoreError::Damaged(format!("the record `{path}` isn't JSON: {e}")))?;
    Ok(Record {
        value,
        revision: head.revision,
    })
}

pub(super) fn lease((key, value): &(IVec, IVec)) -> Result<Lease, StoreError> {
    let number = |bytes: &[u8]| {
        let bytes = bytes
            .try_into()
            .map_err(|_| StoreError::Damaged("a lease isn't a number".to_owned()))?;
        Ok::<_, StoreError>(u64::from_be_bytes(bytes))
    };
    Ok(Lease {
        id: number(key.get(1..).unwrap_or_default())?,
        ttl: Duration::from_millis(number(value)?),
    })
}
