//! Frames on disk. A frame is its length (4 bytes, little endian), the CRC-32 of its body
//! (4 bytes), and the body: one transaction as JSON. A torn last frame, the trace of a crash
//! while it was written and so never acknowledged, is cut; a damaged one before the last stops the
//! store.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::StoreError;

/// Largest body of one frame; more is damage.
const FRAME_MAX_BYTES: usize = 64 << 20;
const HEADER_BYTES: usize = 8;

/// One transaction.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Frame {
    pub(crate) revision: u64,
    /// Path, revision of the record, value; no value removes it.
    pub(crate) puts: Vec<(String, u64, Option<Value>)>,
}

pub(crate) struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Opens the journal in `dir` and gives its frames, oldest first.
    pub(crate) fn open(dir: &Path) -> Result<(Self, Vec<Frame>), StoreError> {
        fs::create_dir_all(dir)
            .map_err(StoreError::io(format!("{} can't be made", dir.display())))?;
        let path = dir.join("journal");
        let mut file = open(&path, false)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(StoreError::io("the journal can't be read"))?;
        let (frames, whole) = replay(&path, &bytes)?;
        if whole < bytes.len() {
            tracing::warn!(
                bytes = bytes.len() - whole,
                "the journal's torn last frame is cut"
            );
            file.set_len(whole as u64)
                .map_err(StoreError::io("the journal can't be cut"))?;
            file.sync_all()
                .map_err(StoreError::io("the journal can't be synced"))?;
        }
        Ok((Self { path, file }, frames))
    }

    /// Appends a frame; it is on disk when this returns.
    pub(crate) fn append(&mut self, frame: &Frame) -> Result<(), StoreError> {
        let bytes = encode(frame)?;
        self.file
            .write_all(&bytes)
            .map_err(StoreError::io("the journal can't be written"))?;
        self.file
            .sync_data()
            .map_err(StoreError::io("the journal can't be synced"))
    }

    /// Replaces all frames by one, at once.
    pub(crate) fn replace(&mut self, frame: &Frame) -> Result<(), StoreError> {
        let part = self.path.with_extension("part");
        let mut file = open(&part, true)?;
        let failed = || StoreError::io("the journal can't be compacted");
        file.write_all(&encode(frame)?).map_err(failed())?;
        file.sync_all().map_err(failed())?;
        fs::rename(&part, &self.path).map_err(failed())?;
        if let Some(dir) = self.path.parent() {
            File::open(dir)
                .and_then(|d| d.sync_all())
                .map_err(failed())?;
        }
        self.file = file;
        Ok(())
    }
}

fn open(path: &Path, fresh: bool) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options.read(true).create(true).mode(0o600);
    if fresh {
        let _ = fs::remove_file(path);
    }
    options
        .append(true)
        .open(path)
        .map_err(StoreError::io(format!(
            "{} can't be opened",
            path.display()
        )))
}

fn encode(frame: &Frame) -> Result<Vec<u8>, StoreError> {
    let body = serde_json::to_vec(frame).map_err(|e| StoreError::Damaged(e.to_string()))?;
    let length = u32::try_from(body.len())
        .ok()
        .filter(|n| *n as usize <= FRAME_MAX_BYTES);
    let length = length.ok_or_else(|| StoreError::TooLarge {
        path: "the transaction".to_owned(),
        bytes: body.len(),
        most: FRAME_MAX_BYTES,
    })?;
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend(crc32fast::hash(&body).to_le_bytes());
    bytes.extend(body);
    Ok(bytes)
}

/// The frames of a journal, and how many of its bytes they take.
fn replay(path: &Path, bytes: &[u8]) -> Result<(Vec<Frame>, usize), StoreError> {
    let mut frames = Vec::new();
    let mut at = 0;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let Some((frame, taken)) = decode(rest) else {
            // Damage that isn't at the end would lose acknowledged changes behind it.
            if intact_behind(rest) {
                return Err(StoreError::Damaged(format!(
                    "{} is damaged at byte {at}, before its end: restore it from a backup, or move it away \
                     to begin with an empty configuration",
                    path.display()
                )));
            }
            break;
        };
        frames.push(frame);
        at += taken;
    }
    Ok((frames, at))
}

fn decode(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    let body = rest.get(..length).filter(|_| length <= FRAME_MAX_BYTES)?;
    if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
        return None;
    }
    Some((serde_json::from_slice(body).ok()?, HEADER_BYTES + length))
}

/// Is there a whole frame somewhere behind the beginning of `bytes`?
fn intact_behind(bytes: &[u8]) -> bool {
    (1..bytes.len()).any(|at| bytes.get(at..).is_some_and(|rest| decode(rest).is_some()))
}
