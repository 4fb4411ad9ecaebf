//! Every limit and time of the store, with units in the names.

use std::time::Duration;

/// Largest value.
pub const VALUE_MAX_BYTES: usize = 1 << 20;
/// Most changes of one transaction.
pub const CHANGES_MAX: usize = 1_024;
/// Largest transaction, paths and values together.
pub const TRANSACTION_MAX_BYTES: usize = 4 << 20;
/// The store takes no more than this; removing still works.
pub const STORE_MAX_BYTES: u64 = 1 << 30;
/// Values are kept in pieces of this size: sled is slow with larger ones.
pub(crate) const PIECE_BYTES: usize = 60 << 10;

/// Answers kept so that a change that is sent twice happens once.
pub(crate) const ANSWERS_KEPT: usize = 4_096;
/// Changes kept in memory for watches that resume.
pub(crate) const EVENTS_KEPT: usize = 10_000;
/// Bytes of those changes.
pub(crate) const EVENTS_KEPT_BYTES: usize = 16 << 20;
/// Events that wait for a watcher that reads slowly; then the watch ends and says so.
pub(crate) const WATCH_QUEUE: usize = 1_024;

/// Entries between two snapshots.
pub(crate) const SNAPSHOT_ENTRIES: u64 = 5_000;
/// Log on disk after which a snapshot is made earlier.
pub(crate) const SNAPSHOT_LOG_BYTES: u64 = 128 << 20;
/// Entries kept behind a snapshot, for followers that are a little late.
pub(crate) const LOG_KEEP_ENTRIES: u64 = 1_000;
/// Bytes of a snapshot's frames before they are sealed.
pub(crate) const SNAPSHOT_FRAME_BYTES: usize = 256 << 10;
/// Largest frame a snapshot may have; more is damage.
pub(crate) const SNAPSHOT_FRAME_MAX_BYTES: usize = 8 << 20;
/// Bytes of one message that carries a piece of a snapshot.
pub(crate) const SNAPSHOT_CHUNK_BYTES: u64 = 1 << 20;
/// Time for one such message.
pub(crate) const SNAPSHOT_CHUNK_MS: u64 = 10_000;

/// Bytes of entries in one message to a follower (one entry may be larger).
pub(crate) const APPEND_MAX_BYTES: usize = 1 << 20;
/// Entries in one message to a follower.
pub(crate) const APPEND_MAX_ENTRIES: u64 = 512;
/// A cluster's log at a witness; more is refused until the leader has sent a snapshot.
pub(crate) const WITNESS_LOG_MAX_BYTES: u64 = 1 << 30;
/// Size of one file of the log.
pub(crate) const LOG_FILE_BYTES: usize = 32 << 20;
/// Entries of the log kept in memory.
pub(crate) const LOG_CACHE_BYTES: usize = 8 << 20;
/// The same, for each cluster of a witness.
pub(crate) const WITNESS_CACHE_BYTES: usize = 64 << 10;
/// Memory that sled may use for its cache.
pub(crate) const STATE_CACHE_BYTES: u64 = 8 << 20;

/// The longest wait of a change for its commit, through elections.
pub(crate) const CHANGE_LIMIT: Duration = Duration::from_secs(8);
/// How long a change waits for a quorum that isn't there before it is refused.
pub(crate) const QUORUM_WAIT: Duration = Duration::from_millis(2_500);
/// The same where a majority is here and elects: candidates may have to try again.
pub(crate) const ELECTION_WAIT: Duration = Duration::from_secs(5);
/// How long one try to hand a change to the leader may take.
pub(crate) const FORWARD_LIMIT: Duration = Duration::from_secs(4);
/// How long a store that stops waits for the flush of its state.
pub(crate) const FLUSH_LIMIT: Duration = Duration::from_secs(5);
/// Between two tries.
pub(crate) const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// The times of elections and of contact between members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Between two heartbeats of the leader; also the time of one message.
    pub heartbeat_ms: u64,
    /// Shortest time without a leader before an election.
    pub election_min_ms: u64,
    /// Longest such time.
    pub election_max_ms: u64,
    /// Between two questions to the other voters how they are.
    pub ping_ms: u64,
    /// A member not heard from for so long counts as gone.
    pub gone_ms: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat_ms: 200,
            election_min_ms: 700,
            election_max_ms: 1_200,
            ping_ms: 300,
            gone_ms: 1_500,
        }
    }
}
