//! The store's face.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use openraft::SnapshotPolicy;
use tokio::task::JoinSet;

use crate::change::{Action, Answer, Change, Command, Record, Task};
use crate::contact::Contacts;
use crate::limits::{
    APPEND_MAX_ENTRIES, CHANGE_LIMIT, CHANGES_MAX, ELECTION_WAIT, FLUSH_LIMIT, FORWARD_LIMIT,
    LOG_CACHE_BYTES, LOG_KEEP_ENTRIES, QUORUM_WAIT, RETRY_PAUSE, SNAPSHOT_CHUNK_BYTES,
    SNAPSHOT_CHUNK_MS, SNAPSHOT_ENTRIES, TRANSACTION_MAX_BYTES, Timing, VALUE_MAX_BYTES,
};
use crate::log::Log;
use crate::machine::Machine;
use crate::network::{CallError, Network, Rpc, Transport};
use crate::reversion::Reversions;
use crate::serve::ProposeReply;
use crate::state::value_bytes;
use crate::types::{Member, Raft, Sealed, decode, encode};
use crate::watch::Watch;
use crate::{Cipher, StoreError, lease, members, path, quorum};

/// What a store is opened with.
pub struct Options {
    /// Its folder; one process at a time.
    pub dir: PathBuf,
    /// This member's id, never used by another member, also not in the past.
    pub me: u64,
    /// The cluster's key.
    pub cipher: Arc<dyn Cipher>,
    /// The way to the other members.
    pub transport: Arc<dyn Transport>,
    /// Heartbeats and elections.
    pub timing: Timing,
}

/// The store of one node, a member of the cluster's consensus. It works until it is dropped or
/// [`Store::stop`]ped.
pub struct Store {
    pub(crate) me: u64,
    pub(crate) raft: Raft,
    pub(crate) machine: Machine,
    pub(crate) log: Log,
    pub(crate) network: Network,
    pub(crate) timing: Timing,
    /// Chosen anew at each start.
    pub(crate) incarnation: u64,
    pub(crate) leases: lease::Deadlines,
    /// When a leader with a majority was last in reach.
    pub(crate) last_quorate: Mutex<Option<Instant>>,
    pub(crate) changing_members: tokio::sync::Mutex<()>,
    cipher: Arc<dyn Cipher>,
    damage: Option<String>,
    tasks: Mutex<JoinSet<()>>,
}

impl Store {
    /// Opens the store. A new one waits until it is [founded](Store::found) or joined by a leader.
    ///
    /// # Errors
    /// `Damaged` where acknowledged changes can't be read any more; `Io`.
    pub async fn open(options: Options) -> Result<Arc<Self>, StoreError> {
        let Options {
            dir,
            me,
            cipher,
            transport,
            timing,
        } = options;
        let (opened, key) = (dir.clone(), Arc::clone(&cipher));
        let (log, (machine, damage)) = crate::machine::blocking(move || {
            Ok((
                Log::open(&opened.join("log"), LOG_CACHE_BYTES)?,
                Machine::open(&opened, key)?,
            ))
        })
        .await?;
        check_joined(&log, &machine)?;
        let network = Network {
            transport,
            contacts: Arc::new(Contacts::default()),
            reversions: Arc::new(Reversions::default()),
            retry: Duration::from_millis(timing.heartbeat_ms),
        };
        let config = Arc::new(raft_config(timing, true)?);
        let raft = Raft::new(me, config, network.clone(), log.clone(), machine.clone()).await;
        let raft = raft.map_err(|e| StoreError::Stopped(e.to_string()))?;
        let store = Arc::new(Self {
            me,
            raft,
            machine,
            log,
            network,
            timing,
            incarnation: rand::random(),
            leases: lease::Deadlines::default(),
            last_quorate: Mutex::default(),
            changing_members: tokio::sync::Mutex::default(),
            cipher,
            damage,
            tasks: Mutex::default(),
        });
        store.start_tasks();
        Ok(store)
    }

    fn start_tasks(self: &Arc<Self>) {
        let mut tasks = self
            .tasks
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        tasks.spawn(quorum::ping_members(Arc::downgrade(self)));
        tasks.spawn(lease::end_overdue(Arc::downgrade(self)));
        tasks.spawn(members::bound_logs(Arc::downgrade(self)));
    }

    /// Makes a cluster of this one member. Done once; again it changes nothing.
    ///
    /// # Errors
    /// `Stopped` where consensus has failed.
    pub async fn found(&self, member: Member) -> Result<(), StoreError> {
        let initialized = self.raft.is_initialized().await;
        if initialized.map_err(|e| StoreError::Stopped(e.to_string()))? {
            return Ok(());
        }
        let members = std::collections::BTreeMap::from([(self.me, member)]);
        self.raft
            .initialize(members)
            .await
            .map_err(|e| StoreError::Stopped(e.to_string()))
    }

    /// What was wrong with the state at the start, if it was rebuilt.
    #[must_use]
    pub fn rebuilt(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// Why consensus has stopped on this node, if it has.
    #[must_use]
    pub fn stopped(&self) -> Option<String> {
        self.raft
            .metrics()
            .borrow()
            .running_state
            .as_ref()
            .err()
            .map(ToString::to_string)
    }

    /// This member's id.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.me
    }

    /// The number of the last change that is known here.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.machine.state.revision()
    }

    /// Bytes of all values.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.machine.state.bytes()
    }

    /// The record at a path, as it is known here; [`Store::sync`] first where a decision hangs on it.
    ///
    /// # Errors
    /// `Path`; `Damaged`.
    pub fn get(&self, at: &str) -> Result<Option<Record>, StoreError> {
        self.machine.state.get(at)
    }

    /// The records below a path (`storage` lists `storage/…`; the empty path all), sorted, as they are
    /// known here.
    ///
    /// # Errors
    /// `Path`; `Damaged`.
    pub fn list(&self, below: &str) -> Result<Vec<(String, Record)>, StoreError> {
        self.machine.state.list(below)
    }

    /// Changes below a path (the record itself too) after a revision.
    ///
    /// # Errors
    /// `Compacted` where these changes aren't kept any more; `Path`.
    pub fn watch(&self, below: &str, after: u64) -> Result<Watch, StoreError> {
        if !below.is_empty() {
            path::check(below)?;
        }
        self.machine.hub.watch(below, after)
    }

    /// Makes all changes or none; a majority has them on disk when this returns the new revision.
    ///
    /// # Errors
    /// `Conflict` where a record isn't as expected; `Path`, `TooLarge`, `Twice`, `Full`, `NoLease`;
    /// `NoQuorum`: nothing has happened; `TimedOut`: it may have.
    pub async fn transact(&self, changes: &[Change]) -> Result<u64, StoreError> {
        check_changes(changes)?;
        self.commit(Task::Transact(changes.to_vec())).await
    }

    /// Waits until everything that was committed anywhere before this call is known here.
    ///
    /// # Errors
    /// `NoQuorum`; `TimedOut`.
    pub async fn sync(&self) -> Result<(), StoreError> {
        let started = Instant::now();
        loop {
            let leader = self.leader_or_refusal(started).await?;
            let index = match leader {
                None => self.read_index().await,
                Some(leader) => {
                    let limit = FORWARD_LIMIT;
                    let answer = self
                        .network
                        .transport
                        .call(leader, Rpc::ReadIndex, bytes::Bytes::new(), limit)
                        .await;
                    answer
                        .ok()
                        .and_then(|answer| decode::<Option<u64>>(&answer).ok())
                        .flatten()
                }
            };
            if let Some(index) = index {
                let left = CHANGE_LIMIT.saturating_sub(started.elapsed());
                let waited = self
                    .raft
                    .wait(Some(left))
                    .applied_index_at_least(Some(index), "a read waits")
                    .await;
                waited.map_err(|_| StoreError::TimedOut(CHANGE_LIMIT.as_secs()))?;
                return Ok(());
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// Up to where the log must be applied for a read that decides; only the leader knows.
    pub(crate) async fn read_index(&self) -> Option<u64> {
        let limit = Duration::from_millis(2 * self.timing.heartbeat_ms);
        let asked = tokio::time::timeout(limit, self.raft.get_read_log_id()).await;
        asked
            .ok()?
            .ok()
            .map(|(read, _)| read.map_or(0, |id| id.index))
    }

    /// Gets a task committed, whoever leads.
    pub(crate) async fn commit(&self, task: Task) -> Result<u64, StoreError> {
        let command = Command {
            request: rand::random(),
            task,
        };
        let sealed = Sealed::seal(&command, &*self.cipher)?;
        let started = Instant::now();
        let mut proposed = false;
        loop {
            let leader = match self.leader_or_refusal(started).await {
                // What was handed to a leader may be committed yet.
                Err(StoreError::NoQuorum { .. }) if proposed => {
                    Err(StoreError::TimedOut(started.elapsed().as_secs()))
                }
                other => other,
            }?;
            let tried = match leader {
                None => self.propose(sealed.clone()).await,
                Some(leader) => self.forward(leader, &sealed).await,
            };
            match tried {
                Tried::Answered(answer) => return answer.revision(),
                Tried::Stopped(why) => return Err(StoreError::Stopped(why)),
                Tried::NotTaken => {}
                Tried::Unknown => proposed = true,
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// Who leads: none for this member. Waits a little for a quorum, and refuses without one.
    async fn leader_or_refusal(&self, started: Instant) -> Result<Option<u64>, StoreError> {
        loop {
            if let Err(e) = &self.raft.metrics().borrow().running_state {
                return Err(StoreError::Stopped(e.to_string()));
            }
            let quorum = self.quorum();
            if quorum.quorate
                && let Some(leader) = quorum.leader
            {
                if started.elapsed() > CHANGE_LIMIT {
                    return Err(StoreError::TimedOut(CHANGE_LIMIT.as_secs()));
                }
                return Ok((leader != self.me).then_some(leader));
            }
            let electing = quorum.votes >= quorum.needed;
            if started.elapsed() > if electing { ELECTION_WAIT } else { QUORUM_WAIT } {
                return Err(quorum.refusal());
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// Proposes as the leader.
    pub(crate) async fn propose(&self, sealed: Sealed) -> Tried {
        use openraft::error::RaftError;
        let limit = FORWARD_LIMIT;
        match tokio::time::timeout(limit, self.raft.client_write(sealed)).await {
            Err(_) => Tried::Unknown,
            Ok(Ok(response)) => Tried::Answered(response.data),
            Ok(Err(RaftError::Fatal(fatal))) => Tried::Stopped(fatal.to_string()),
            // Also said of an entry that a new leader may have kept.
            Ok(Err(RaftError::APIError(_))) => Tried::Unknown,
        }
    }

    async fn forward(&self, leader: u64, sealed: &Sealed) -> Tried {
        let Ok(body) = encode(sealed) else {
            return Tried::NotTaken;
        };
        match self
            .network
            .transport
            .call(
                leader,
                Rpc::Propose,
                body.into(),
                FORWARD_LIMIT + RETRY_PAUSE,
            )
            .await
        {
            Ok(answer) => match decode(&answer) {
                Ok(ProposeReply::Answer(answer)) => Tried::Answered(answer),
                Ok(ProposeReply::NotTaken) => Tried::NotTaken,
                Ok(ProposeReply::Unknown) | Err(_) => Tried::Unknown,
            },
            Err(CallError::Unreachable(_) | CallError::Refused(_)) => Tried::NotTaken,
            Err(CallError::NoAnswer(_)) => Tried::Unknown,
        }
    }

    /// Ends this member's part; what was acknowledged stays.
    pub async fn stop(&self) {
        self.tasks
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .abort_all();
        if let Err(e) = self.raft.shutdown().await {
            tracing::warn!("consensus ended with {e}");
        }
        self.flush_state().await;
    }
}

impl Store {
    /// Spares the next start some work. On a thread of its own, and not for ever: sled doesn't come back from
    /// a flush after the disk was full, and a runtime would wait for it at its end.
    async fn flush_state(&self) {
        let (tx, rx) = tokio::sync::oneshot::channel();
        let state = Arc::clone(&self.machine.state);
        std::thread::spawn(move || drop(tx.send(state.flush())));
        match tokio::time::timeout(FLUSH_LIMIT, rx).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(e))) => {
                tracing::warn!("the state wasn't flushed, and will be caught up from the log: {e}");
            }
            Ok(Err(_)) | Err(_) => {
                tracing::warn!("the state can't be flushed, and will be caught up from the log");
            }
        }
    }
}

/// What came of a try to have a command committed.
pub(crate) enum Tried {
    Answered(Answer),
    /// It surely stands in no log.
    NotTaken,
    /// It may be committed yet.
    Unknown,
    /// Consensus has stopped on this node.
    Stopped(String),
}

pub(crate) fn raft_config(timing: Timing, elects: bool) -> Result<openraft::Config, StoreError> {
    openraft::Config {
        cluster_name: "cairn".to_owned(),
        heartbeat_interval: timing.heartbeat_ms,
        election_timeout_min: timing.election_min_ms,
        election_timeout_max: timing.election_max_ms,
        install_snapshot_timeout: SNAPSHOT_CHUNK_MS,
        max_payload_entries: APPEND_MAX_ENTRIES,
        snapshot_policy: if elects {
            SnapshotPolicy::LogsSinceLast(SNAPSHOT_ENTRIES)
        } else {
            SnapshotPolicy::Never
        },
        snapshot_max_chunk_size: SNAPSHOT_CHUNK_BYTES,
        max_in_snapshot_log_to_keep: LOG_KEEP_ENTRIES,
        enable_elect: elects,
        ..openraft::Config::default()
    }
    .validate()
    .map_err(|e| StoreError::Stopped(e.to_string()))
}

/// Does the log go on where the state ends?
fn check_joined(log: &Log, machine: &Machine) -> Result<(), StoreError> {
    let applied = machine.state.position().applied;
    match log.purged() {
        Some(purged) if applied.is_none_or(|at| at.index < purged.index) => {
            Err(StoreError::Damaged(format!(
                "the log begins after entry {}, and the state ends at {}: the snapshot between them is gone. Remove \
             this node from the cluster and join it anew, or restore its data folder",
                purged.index,
                applied.map_or(0, |at| at.index)
            )))
        }
        _ => Ok(()),
    }
}

fn check_changes(changes: &[Change]) -> Result<(), StoreError> {
    let large = |what: &str, size, unit, most| StoreError::TooLarge {
        what: what.to_owned(),
        size,
        unit,
        most,
    };
    if changes.len() > CHANGES_MAX {
        return Err(large(
            "the transaction",
            changes.len(),
            "changes",
            CHANGES_MAX,
        ));
    }
    let mut total = 0;
    let mut paths = std::collections::BTreeSet::new();
    for change in changes {
        path::check(&change.path)?;
        if !paths.insert(change.path.as_str()) {
            return Err(StoreError::Twice(change.path.clone()));
        }
        let bytes = match &change.action {
            Action::Put { value, .. } => usize::try_from(value_bytes(value)).unwrap_or(usize::MAX),
            Action::Remove | Action::Check => 0,
        };
        if bytes > VALUE_MAX_BYTES {
            return Err(large(
                &format!("the value at `{}`", change.path),
                bytes,
                "bytes",
                VALUE_MAX_BYTES,
            ));
        }
        total += bytes + change.path.len();
    }
    if total > TRANSACTION_MAX_BYTES {
        return Err(large(
            "the transaction",
            total,
            "bytes",
            TRANSACTION_MAX_BYTES,
        ));
    }
    Ok(())
}
