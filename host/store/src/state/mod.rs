//! The materialised state, in sled.
//!
//! It rests on nothing of its own: what is acknowledged is on disk in the log, and a state that can't be
//! opened or fails its checks is set aside and rebuilt from the newest snapshot and the log.
//!
//! | key | value |
//! |---|---|
//! | `r` path | a record's [`record::Head`], with small values in it |
//! | `p` path 0 number | a piece of a large value |
//! | `l` lease | its time to live in ms |
//! | `h` lease path | a record hangs on the lease |
//! | `a` log index | a request and its answer, so that a change sent twice happens once |
//! | `m` name | the position in the log, the membership, the revision |

mod apply;
mod freeze;
mod record;
mod verify;

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::change::{Answer, Lease, Record};
use crate::limits::STATE_CACHE_BYTES;
use crate::types::{At, Membership, decode, encode};
use crate::{StoreError, path};

pub use apply::Event;
pub(crate) use apply::value_bytes;
pub(crate) use freeze::{Frozen, Pair};

/// Position, membership and revision are one value: they change together.
const POSITION: &[u8] = b"mposition";
/// Stands while a snapshot is loaded.
const LOADING: &[u8] = b"mloading";

/// How long a lock that is held is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(10);
/// Between two tries.
const LOCK_RETRY: Duration = Duration::from_millis(20);

/// Where the state stands.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Position {
    pub(crate) applied: Option<At>,
    pub(crate) membership: Membership,
    pub(crate) revision: u64,
    /// How many records there are, and the bytes of their values: what is lost in silence shows here.
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

/// The state. Calls are synchronous and short.
pub(crate) struct State {
    db: sled::Db,
    inner: Mutex<Inner>,
    frozen: Mutex<Option<freeze::Freeze>>,
}

#[derive(Default)]
struct Inner {
    position: Position,
    /// How often it was frozen.
    freezes: u64,
    answers: HashMap<u128, Answer>,
    /// In the order of the log.
    answered: VecDeque<(u64, u128)>,
}

impl State {
    /// Opens the state in `dir` and checks every record; makes it if there is none. What fails is
    /// renamed to `NAME.damaged-N`, and an empty state opened instead: the second answer says why.
    pub(crate) fn open(dir: &Path) -> Result<(Self, Option<String>), StoreError> {
        match verify::open_checked(dir) {
            Ok(state) => Ok((state, None)),
            Err(why) => {
                let aside = set_aside(dir)?;
                tracing::error!(%why, aside = %aside.display(), "the state is damaged; it is set aside and rebuilt");
                let state = verify::open_checked(dir).map_err(StoreError::Damaged)?;
                Ok((state, Some(why)))
            }
        }
    }

    /// sled lets go of its lock a little after it was closed: a lock that is held isn't damage.
    fn raw(dir: &Path) -> Result<sled::Db, sled::Error> {
        let started = Instant::now();
        loop {
            match Self::open_once(dir) {
                Err(sled::Error::Io(e)) if is_locked(&e) && started.elapsed() < LOCK_WAIT => {
                    std::thread::sleep(LOCK_RETRY);
                }
                other => return other,
            }
        }
    }

    fn open_once(dir: &Path) -> Result<sled::Db, sled::Error> {
        sled::Config::new()
            .path(dir)
            .cache_capacity(STATE_CACHE_BYTES)
            .flush_every_ms(Some(1_000))
            .open()
    }

    pub(crate) fn position(&self) -> Position {
        self.lock().position.clone()
    }

    pub(crate) fn revision(&self) -> u64 {
        self.lock().position.revision
    }

    /// Bytes of all values.
    pub(crate) fn bytes(&self) -> u64 {
        self.lock().position.bytes
    }

    pub(crate) fn get(&self, at: &str) -> Result<Option<Record>, StoreError> {
        path::check(at)?;
        record::read(&self.db, at)
    }

    /// The records below a path, sorted; all for the empty path.
    pub(crate) fn list(&self, below: &str) -> Result<Vec<(String, Record)>, StoreError> {
        let mut prefix = vec![b'r'];
        if !below.is_empty() {
            path::check(below)?;
            prefix.extend(below.as_bytes());
            prefix.push(b'/');
        }
        let mut found = Vec::new();
        for pair in self.db.scan_prefix(&prefix) {
            let (key, head) = pair?;
            let at = record::path_of(&key)?;
            found.push((at.to_owned(), record::whole(&self.db, at, &head)?));
        }
        Ok(found)
    }

    /// All leases.
    pub(crate) fn leases(&self) -> Result<Vec<Lease>, StoreError> {
        self.db
            .scan_prefix(b"l")
            .map(|pair| record::lease(&pair?))
            .collect()
    }

    pub(crate) fn flush(&self) -> Result<(), StoreError> {
        self.db.flush().map(drop).map_err(StoreError::from)
    }

    /// Replaces everything by what a snapshot holds.
    pub(crate) fn load(
        &self,
        pairs: impl Iterator<Item = Result<Vec<Pair>, StoreError>>,
    ) -> Result<(), StoreError> {
        self.thaw();
        self.db.clear()?;
        self.db.insert(LOADING, &[])?;
        for batch in pairs {
            let mut changes = sled::Batch::default();
            for (key, value) in batch? {
                changes.insert(key, value);
            }
            self.db.apply_batch(changes)?;
        }
        self.db.remove(LOADING)?;
        let read = verify::read_all(&self.db).map_err(StoreError::Damaged)?;
        let mut inner = self.lock();
        *inner = Inner {
            freezes: inner.freezes,
            ..read
        };
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_locked(error: &std::io::Error) -> bool {
    error.to_string().contains("could not acquire lock")
}

fn set_aside(dir: &Path) -> Result<PathBuf, StoreError> {
    let name = dir
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    let free = (1..1_000)
        .map(|n| dir.with_file_name(format!("{name}.damaged-{n}")))
        .find(|p| !p.exists());
    let aside = free.unwrap_or_else(|| dir.with_file_name(format!("{name}.damaged")));
    std::fs::rename(dir, &aside).map_err(StoreError::io(format!(
        "the damaged state {} can't be set aside",
        dir.display()
    )))?;
    Ok(aside)
}

fn position_bytes(position: &Position) -> Result<Vec<u8>, StoreError> {
    encode(position)
}

fn position_of(bytes: &[u8]) -> Result<Position, StoreError> {
    decode(bytes)
}

#[cfg(test)]
mod tests;
