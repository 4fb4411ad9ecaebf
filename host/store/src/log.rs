//! The log and the vote on disk: openraft's storage over `raft-log`.
//!
//! An append is acknowledged when `raft-log` has synced it (`fdatasync`, several appends at once). After
//! one failed sync consensus stops on this node, and nothing is acknowledged until the daemon starts
//! anew: whether the data reached the disk can't be known any more.
//! What is found at the start is synced before it is read.
//! Cost: one sync a batch; reads come from memory for the newest entries, else from the file.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{LogId, LogState, OptionalSend, RaftLogId, RaftLogReader};
use raft_log::api::raft_log_writer::RaftLogWriter;
use raft_log::{Config, RaftLog};
use tokio::sync::oneshot;

use crate::StoreError;
use crate::limits::LOG_FILE_BYTES;
use crate::types::{At, EntryOf, Payload, StorageError, Types, VoteOf, decode, encode};

/// The log; clones share it.
#[derive(Clone)]
pub(crate) struct Log {
    inner: Arc<Mutex<RaftLog<OnDisk>>>,
}

impl Log {
    /// Opens the log in `dir`. A torn last record is cut; damage before it is an error.
    pub(crate) fn open(dir: &Path, cache_bytes: usize) -> Result<Self, StoreError> {
        std::fs::create_dir_all(dir)
            .map_err(StoreError::io(format!("{} can't be made", dir.display())))?;
        settle(dir).map_err(StoreError::io(format!("{} can't be synced", dir.display())))?;
        let mut config = Config::new(dir.display());
        config.wal.chunk_max_size = Some(LOG_FILE_BYTES);
        config.wal.read_buffer_size = Some(1 << 20);
        config.wal.truncate_incomplete_record = Some(true);
        config.wal.flush_batch_wait = Some(Duration::ZERO);
        config.log_cache_capacity = Some(cache_bytes);
        let log = RaftLog::open(Arc::new(config)).map_err(|e| {
            StoreError::Damaged(format!(
                "the log in {} can't be read: {e}. What it acknowledged may be lost on this node; remove the node \
                 from the cluster and join it anew, or restore the folder",
                dir.display()
            ))
        })?;
        Ok(Self {
            inner: Arc::new(Mutex::new(log)),
        })
    }

    /// Bytes on disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.lock().on_disk_size()
    }

    /// The last entry that isn't kept any more.
    pub(crate) fn purged(&self) -> Option<At> {
        self.lock().log_state().purged().map(from_disk)
    }

    fn lock(&self) -> MutexGuard<'_, RaftLog<OnDisk>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something and waits until it is on disk.
    async fn synced(
        &self,
        act: impl FnOnce(&mut RaftLog<OnDisk>) -> io::Result<()>,
    ) -> io::Result<()> {
        let (tx, rx) = oneshot::channel();
        {
            let mut log = self.lock();
            act(&mut log)?;
            log.flush(true, Some(Flushed::Waiter(tx)))?;
        }
        rx.await
            .map_err(|_| io::Error::other("the log's writer has ended"))?
    }
}

/// Whatever is read from now on counts as on disk, so it must be: a process that was killed leaves writes
/// that nobody synced, and after a failed sync the page cache shows what the disk may not have. Syncs all,
/// and has it read from the disk.
fn settle(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_file() {
            let file = std::fs::File::open(path)?;
            file.sync_all()?;
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        }
    }
    std::fs::File::open(dir)?.sync_all()
}

/// What `raft-log` keeps.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct OnDisk;

/// Term, then the term's leader and the index.
type DiskId = (u64, (u64, u64));

impl raft_log::Types for OnDisk {
    type LogId = DiskId;
    type LogPayload = Vec<u8>;
    type Vote = DiskVote;
    type Callback = Flushed;
    type UserData = String;

    fn log_index(id: &Self::LogId) -> u64 {
        (id.1).1
    }

    fn payload_size(payload: &Self::LogPayload) -> u64 {
        payload.len() as u64
    }
}

/// Who waits for a sync.
enum Flushed {
    Entries(LogFlushed<Types>),
    Waiter(oneshot::Sender<io::Result<()>>),
}

impl raft_log::Callback for Flushed {
    fn send(self, result: io::Result<()>) {
        match self {
            Self::Entries(callback) => callback.log_io_completed(result),
            Self::Waiter(tx) => drop(tx.send(result)),
        }
    }
}

/// A vote as it is written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd)]
struct DiskVote(VoteOf);

impl codeq::Encode for DiskVote {
    fn encode<W: io::Write>(&self, w: W) -> io::Result<usize> {
        encode(&self.0).map_err(io::Error::other)?.encode(w)
    }
}

impl codeq::Decode for DiskVote {
    fn decode<R: io::Read>(r: R) -> io::Result<Self> {
        decode(&Vec::<u8>::decode(r)?)
            .map(Self)
            .map_err(io::Error::other)
    }
}

fn to_disk(id: &At) -> DiskId {
    (id.leader_id.term, (id.leader_id.node_id, id.index))
}

fn from_disk(id: &DiskId) -> At {
    let (term, (node, index)) = *id;
    LogId::new(openraft::CommittedLeaderId::new(term, node), index)
}

fn write_failed(e: io::Error) -> StorageError {
    StoreError::io("the log can't be written")(e).fatal()
}

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<EntryOf>, StorageError> {
        let from = match range.start_bound() {
            Bound::Included(i) => *i,
            Bound::Excluded(i) => i + 1,
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(i) => i + 1,
            Bound::Excluded(i) => *i,
            Bound::Unbounded => u64::MAX,
        };
        let log = self.lock();
        let entries = log.read(from, to).map(|read| {
            let (id, payload) = read.map_err(StoreError::io("the log can't be read"))?;
            let payload: Payload = decode(&payload)?;
            let log_id = from_disk(&id);
            Ok(EntryOf { log_id, payload })
        });
        let entries: Result<_, StoreError> = entries.collect();
        entries.map_err(StoreError::fatal)
    }
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError> {
        let log = self.lock();
        let state = log.log_state();
        let purged = state.purged().map(from_disk);
        let last = state.last().map(from_disk);
        Ok(LogState {
            last_purged_log_id: purged,
            last_log_id: last.max(purged),
        })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &VoteOf) -> Result<(), StorageError> {
        let vote = DiskVote(*vote);
        self.synced(|log| log.save_vote(vote).map(drop))
            .await
            .map_err(write_failed)
    }

    async fn read_vote(&mut self) -> Result<Option<VoteOf>, StorageError> {
        Ok(self.lock().log_state().vote().map(|v| v.0))
    }

    async fn save_committed(&mut self, committed: Option<At>) -> Result<(), StorageError> {
        let Some(committed) = committed else {
            return Ok(());
        };
        let mut log = self.lock();
        // Only a hint for the next start; it rides on the next sync.
        if log
            .log_state()
            .last()
            .is_some_and(|last| to_disk(&committed) <= *last)
        {
            log.commit(to_disk(&committed))
                .and_then(|_| log.flush(false, None))
                .map_err(write_failed)?;
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<At>, StorageError> {
        Ok(self.lock().log_state().committed().map(from_disk))
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: LogFlushed<Types>,
    ) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = EntryOf> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let encoded = entries
            .into_iter()
            .map(|e| Ok((to_disk(e.get_log_id()), encode(&e.payload)?)))
            .collect::<Result<Vec<_>, StoreError>>()
            .map_err(StoreError::fatal)?;
        let mut log = self.lock();
        log.append(encoded).map_err(write_failed)?;
        log.flush(true, Some(Flushed::Entries(callback)))
            .map_err(write_failed)
    }

    async fn truncate(&mut self, id: At) -> Result<(), StorageError> {
        self.synced(|log| log.truncate(id.index).map(drop))
            .await
            .map_err(write_failed)
    }

    async fn purge(&mut self, id: At) -> Result<(), StorageError> {
        self.synced(|log| log.purge(to_disk(&id)).map(drop))
            .await
            .map_err(write_failed)
    }
}
