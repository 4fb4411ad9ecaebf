//! Snapshots: files that hold the whole state at one position of the log.
//!
//! A file is a row of frames: length and CRC-32 (little-endian, 4 bytes each), then the bytes. The first
//! frame is openraft's meta in the clear; the others hold keys and values, sealed, so that a witness can
//! keep and hand on what it can't read; an empty frame ends the file.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::limits::{SNAPSHOT_FRAME_BYTES, SNAPSHOT_FRAME_MAX_BYTES};
use crate::state::{Frozen, Pair};
use crate::types::{Meta, decode, encode};
use crate::{Cipher, StoreError};

const PAIRS: &[u8] = b"cairn snapshot";

/// The folder of snapshots: one that is whole, one that is being written, one that is being received.
#[derive(Debug, Clone)]
pub(crate) struct Snapshots {
    dir: PathBuf,
}

impl Snapshots {
    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(dir)
            .map_err(StoreError::io(format!("{} can't be made", dir.display())))?;
        Ok(Self {
            dir: dir.to_owned(),
        })
    }

    pub(crate) fn current(&self) -> PathBuf {
        self.dir.join("current")
    }

    pub(crate) fn receiving(&self) -> PathBuf {
        self.dir.join("receiving")
    }

    /// One that a leader sends to a witness.
    pub(crate) fn offered(&self) -> PathBuf {
        self.dir.join("offered")
    }

    /// The meta of the whole one.
    pub(crate) fn meta(&self) -> Result<Option<Meta>, StoreError> {
        match File::open(self.current()) {
            Ok(file) => Reader::new(file).meta().map(Some),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(failed(&self.current())(e)),
        }
    }

    /// Writes the frozen state; the file is whole and on disk when this returns. False where the state was
    /// replaced meanwhile: by a snapshot, which is the current one then.
    pub(crate) fn write(
        &self,
        mut frozen: Frozen,
        meta: &Meta,
        cipher: &Arc<dyn Cipher>,
    ) -> Result<bool, StoreError> {
        let part = self.dir.join("writing");
        let file = File::create(&part).map_err(failed(&part))?;
        let mut out = BufWriter::new(file);
        frame(&mut out, &encode(meta)?).map_err(failed(&part))?;
        loop {
            let Some(pairs) = frozen.next(SNAPSHOT_FRAME_BYTES)? else {
                return Ok(false);
            };
            if pairs.is_empty() {
                break;
            }
            let sealed = cipher
                .seal(PAIRS, &encode(&pairs)?)
                .ok_or_else(StoreError::unsealed)?;
            frame(&mut out, &sealed).map_err(failed(&part))?;
        }
        frame(&mut out, &[]).map_err(failed(&part))?;
        drop(
            out.into_inner()
                .map_err(|e| failed(&part)(e.into_error()))?,
        );
        self.keep(&part).map(|()| true)
    }

    /// Makes a file that is whole the current one.
    pub(crate) fn keep(&self, part: &Path) -> Result<(), StoreError> {
        let kept = File::open(part)
            .and_then(|file| file.sync_all())
            .and_then(|()| fs::rename(part, self.current()))
            .and_then(|()| File::open(&self.dir)?.sync_all());
        kept.map_err(failed(part))
    }

    /// Is the file whole, frame by frame? Gives its meta. Needs no key.
    pub(crate) fn check(&self, path: &Path) -> Result<Meta, StoreError> {
        let mut reader = Reader::new(File::open(path).map_err(failed(path))?);
        let meta = reader.meta()?;
        while !reader.frame()?.is_empty() {}
        Ok(meta)
    }

    /// The pairs of the current one, frame by frame.
    pub(crate) fn pairs(
        &self,
        cipher: Arc<dyn Cipher>,
    ) -> Result<impl Iterator<Item = Result<Vec<Pair>, StoreError>> + use<>, StoreError> {
        let path = self.current();
        let mut reader = Reader::new(File::open(&path).map_err(failed(&path))?);
        reader.meta()?;
        Ok(std::iter::from_fn(move || match reader.frame() {
            Ok(frame) if frame.is_empty() => None,
            Ok(frame) => Some(open(&frame, &*cipher)),
            Err(e) => Some(Err(e)),
        }))
    }
}

fn open(frame: &[u8], cipher: &dyn Cipher) -> Result<Vec<Pair>, StoreError> {
    let plain = cipher.open(PAIRS, frame).ok_or_else(|| {
        StoreError::Damaged("a snapshot isn't sealed with this cluster's key".to_owned())
    })?;
    decode(&plain)
}

fn frame(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(&crc32fast::hash(bytes).to_le_bytes())?;
    out.write_all(bytes)
}

struct Reader {
    file: BufReader<File>,
}

impl Reader {
    fn new(file: File) -> Self {
        Self {
            file: BufReader::new(file),
        }
    }

    fn meta(&mut self) -> Result<Meta, StoreError> {
        decode(&self.frame()?)
    }

    fn frame(&mut self) -> Result<Vec<u8>, StoreError> {
        let damaged = |what: &str| StoreError::Damaged(format!("a snapshot is damaged: {what}"));
        let (mut length, mut crc) = ([0; 4], [0; 4]);
        let read = self
            .file
            .read_exact(&mut length)
            .and_then(|()| self.file.read_exact(&mut crc));
        read.map_err(|e| damaged(&format!("it ends early ({e})")))?;
        let length = u32::from_le_bytes(length) as usize;
        if length > SNAPSHOT_FRAME_MAX_BYTES {
            return Err(damaged("a frame is longer than any is written"));
        }
        let mut bytes = vec![0; length];
        self.file
            .read_exact(&mut bytes)
            .map_err(|e| damaged(&format!("it ends early ({e})")))?;
        if crc32fast::hash(&bytes) == u32::from_le_bytes(crc) {
            Ok(bytes)
        } else {
            Err(damaged("a frame fails its checksum"))
        }
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> StoreError + use<> {
    StoreError::io(format!("the snapshot {}", path.display()))
}
