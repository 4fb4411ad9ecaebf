//! A member that only votes: it keeps the log, sealed, and a sealed snapshot, and can read neither.
//!
//! It never asks for votes on its own, with one exception: where the nodes have lost their leader and a
//! node that asks for votes lacks entries that the witness has, that node can't win, and what was
//! acknowledged with the witness's help is here alone. Then the witness leads for a moment:
//!
//! ```text
//! following --a candidate with a shorter log, no leader heard--> asking --won--> handing over
//!     ^                                                                               |
//!     +------- a node leads <------ silent: no heartbeats <------ it has it all ------+
//! ```
//!
//! It can't make snapshots: the leader sends it one now and then, which it keeps in order to cut its log
//! and to hand it on.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use openraft::raft::VoteRequest;
use openraft::storage::{RaftStateMachine, Snapshot};
use openraft::{OptionalSend, RaftSnapshotBuilder, ServerState};
use serde::{Deserialize, Serialize};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use crate::StoreError;
use crate::change::Answer;
use crate::contact::{Contacts, Pong};
use crate::limits::{Timing, WITNESS_CACHE_BYTES, WITNESS_LOG_MAX_BYTES};
use crate::log::Log;
use crate::machine::{begin_receiving, blocking, current};
use crate::network::{Network, Rpc, Transport};
use crate::quorum::wall_ms;
use crate::reversion::Reversions;
use crate::serve::consensus;
use crate::snapshot::Snapshots;
use crate::store::raft_config;
use crate::types::{
    At, EntryOf, Membership, Meta, Payload, Raft, StorageError, Types, decode, encode,
};

/// How often an election is tried for one candidate: each try learns of a newer term.
const TRIES: usize = 6;
/// Between two looks at how handing over goes.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A cluster's log at a witness.
pub struct Witness {
    me: u64,
    raft: Raft,
    log: Log,
    snapshots: Snapshots,
    timing: Timing,
    incarnation: u64,
    heard_leader: Mutex<Option<Instant>>,
    electing: tokio::sync::Mutex<()>,
    keeping: tokio::sync::Mutex<()>,
    handover: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

/// How a cluster's log at a witness stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WitnessState {
    /// The last entry.
    pub last_entry: Option<u64>,
    /// The last entry that the snapshot holds.
    pub kept: Option<u64>,
    /// Bytes of the log on disk.
    pub log_bytes: u64,
    /// The leader, if one is known.
    pub leader: Option<u64>,
    /// Names of the members.
    pub members: Vec<String>,
}

impl Witness {
    /// Opens the log of one cluster in its folder.
    ///
    /// # Errors
    /// `Damaged` where it can't be read any more; `Io`.
    pub async fn open(
        dir: PathBuf,
        me: u64,
        transport: Arc<dyn Transport>,
        timing: Timing,
    ) -> Result<Arc<Self>, StoreError> {
        let (log, snapshots) = blocking(move || {
            Ok((
                Log::open(&dir.join("log"), WITNESS_CACHE_BYTES)?,
                Snapshots::open(&dir.join("snapshot"))?,
            ))
        })
        .await?;
        let machine = Null::open(snapshots.clone())?;
        let network = Network {
            transport,
            contacts: Arc::new(Contacts::default()),
            reversions: Arc::new(Reversions::default()),
            retry: Duration::from_millis(timing.heartbeat_ms),
        };
        let config = Arc::new(raft_config(timing, false)?);
        let raft = Raft::new(me, config, network, log.clone(), machine).await;
        let raft = raft.map_err(|e| StoreError::Stopped(e.to_string()))?;
        let witness = Arc::new(Self {
            me,
            raft,
            log,
            snapshots,
            timing,
            incarnation: rand::random(),
            heard_leader: Mutex::default(),
            electing: tokio::sync::Mutex::default(),
            keeping: tokio::sync::Mutex::default(),
            handover: Mutex::default(),
        });
        let handover = tokio::spawn(hand_over(Arc::downgrade(&witness)));
        *witness
            .handover
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(handover);
        Ok(witness)
    }

    /// Answers a message of the member `from`, which the transport made sure of.
    ///
    /// # Errors
    /// Where the message can't be read, or is none for a witness.
    pub async fn handle(
        self: &Arc<Self>,
        from: u64,
        rpc: Rpc,
        body: Bytes,
    ) -> Result<Bytes, StoreError> {
        match rpc {
            Rpc::Append if self.log.bytes() > WITNESS_LOG_MAX_BYTES => Err(StoreError::Full {
                bytes: self.log.bytes(),
            }),
            Rpc::Append => {
                let answer = consensus(&self.raft, rpc, &body).await?;
                if self.raft.metrics().borrow().current_leader == Some(from) {
                    *self
                        .heard_leader
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                }
                Ok(answer)
            }
            Rpc::Vote => {
                let request: VoteRequest<u64> = decode(&body)?;
                let answer = consensus(&self.raft, rpc, &body).await?;
                self.consider(&request);
                Ok(answer)
            }
            Rpc::Snapshot => consensus(&self.raft, rpc, &body).await,
            Rpc::Ping => encode(&self.pong()).map(Bytes::from),
            Rpc::Keep => self.keep(decode(&body)?).await,
            Rpc::Propose | Rpc::Renew | Rpc::ReadIndex => Err(StoreError::Member(
                "a witness takes no changes and answers no reads".to_owned(),
            )),
        }
    }

    fn pong(&self) -> Pong {
        Pong {
            leads: false,
            incarnation: self.incarnation,
            wall_ms: wall_ms(),
            revision: 0,
            kept: Some(self.kept().unwrap_or(0)),
        }
    }

    fn kept(&self) -> Option<u64> {
        self.raft.metrics().borrow().snapshot.map(|at| at.index)
    }

    /// Does it lead, for the moment of handing over?
    #[must_use]
    pub fn leads(&self) -> bool {
        let state = self.raft.metrics().borrow().state;
        state == ServerState::Leader || state == ServerState::Candidate
    }

    /// How it stands.
    #[must_use]
    pub fn state(&self) -> WitnessState {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        WitnessState {
            last_entry: metrics.last_log_index,
            kept: metrics.snapshot.map(|at| at.index),
            log_bytes: self.log.bytes(),
            leader: metrics.current_leader,
            members: metrics
                .membership_config
                .nodes()
                .map(|(_, member)| member.name.clone())
                .collect(),
        }
    }

    /// Members and their addresses, as the log last told.
    #[must_use]
    pub fn members(&self) -> crate::Membership {
        crate::members::of_metrics(&self.raft.metrics().borrow())
    }

    /// Asks for votes itself where a candidate lacks what it has, and no leader is there.
    fn consider(self: &Arc<Self>, request: &VoteRequest<u64>) {
        let heard = *self
            .heard_leader
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let lease = Duration::from_millis(self.timing.election_max_ms);
        let led = heard.is_some_and(|at| at.elapsed() <= lease);
        if led
            || request.last_log_id.map(|id| id.index) >= self.raft.metrics().borrow().last_log_index
        {
            return;
        }
        let witness = Arc::clone(self);
        let term = request.vote.leader_id.term;
        tokio::spawn(async move { witness.ask_for_votes(term).await });
    }

    async fn ask_for_votes(&self, beyond: u64) {
        let Ok(_one) = self.electing.try_lock() else {
            return;
        };
        for _ in 0..TRIES {
            let state = self.raft.metrics().borrow().state;
            if state == ServerState::Leader {
                return;
            }
            if let Err(e) = self.raft.trigger().elect().await {
                tracing::warn!("a witness can't ask for votes: {e}");
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        tracing::info!(
            beyond,
            "a witness with a longer log asked for votes and got none yet"
        );
    }

    async fn keep(&self, piece: Piece) -> Result<Bytes, StoreError> {
        let _one = self.keeping.lock().await;
        let path = self.snapshots.offered();
        let failed = |e| StoreError::io(format!("{}", path.display()))(e);
        let mut options = File::options();
        options.write(true).create(true).truncate(piece.offset == 0);
        let mut file = options.open(&path).await.map_err(failed)?;
        if file.metadata().await.map_err(failed)?.len() != piece.offset {
            return encode(&KeepReply::FromStart).map(Bytes::from);
        }
        use tokio::io::AsyncSeekExt;
        file.seek(std::io::SeekFrom::End(0)).await.map_err(failed)?;
        file.write_all(&piece.bytes).await.map_err(failed)?;
        file.flush().await.map_err(failed)?;
        drop(file);
        if piece.last {
            let (snapshots, applied) = (
                self.snapshots.clone(),
                self.raft.metrics().borrow().last_applied,
            );
            blocking(move || {
                let meta = snapshots.check(&snapshots.offered())?;
                if meta.last_log_id > applied {
                    return Err(StoreError::Member(
                        "the snapshot is ahead of this witness's log".to_owned(),
                    ));
                }
                snapshots.keep(&snapshots.offered())
            })
            .await?;
            let told = self.raft.trigger().snapshot().await;
            told.map_err(|e| StoreError::Stopped(e.to_string()))?;
        }
        encode(&KeepReply::Kept).map(Bytes::from)
    }

    /// Ends its part; what it acknowledged stays.
    pub async fn stop(&self) {
        if let Some(task) = self
            .handover
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            task.abort();
        }
        if let Err(e) = self.raft.shutdown().await {
            tracing::warn!("consensus ended with {e}");
        }
    }
}

/// A piece of a snapshot for a witness to keep.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Piece {
    pub(crate) offset: u64,
    #[serde(with = "serde_bytes")]
    pub(crate) bytes: Vec<u8>,
    pub(crate) last: bool,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KeepReply {
    Kept,
    /// The piece doesn't follow what is there.
    FromStart,
}

/// While it leads: waits until a node has everything, then falls silent, so that the node leads.
async fn hand_over(witness: Weak<Witness>) {
    while let Some(witness) = witness.upgrade() {
        let handed = {
            let metrics = witness.raft.metrics();
            let metrics = metrics.borrow();
            let leads = metrics.state == ServerState::Leader;
            leads.then(|| {
                let last = metrics.last_log_index;
                let voters: Vec<u64> = metrics.membership_config.voter_ids().collect();
                metrics.replication.iter().flatten().any(|(id, at)| {
                    *id != witness.me && voters.contains(id) && at.map(|at| at.index) >= last
                })
            })
        };
        // Heartbeats stop when a node has it all; they are on again before the next time.
        witness
            .raft
            .runtime_config()
            .heartbeat(handed != Some(true));
        drop(witness);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Applies nothing: it only counts.
struct Null {
    snapshots: Snapshots,
    applied: Option<At>,
    membership: Membership,
}

impl Null {
    fn open(snapshots: Snapshots) -> Result<Self, StoreError> {
        let meta = snapshots.meta()?.unwrap_or_default();
        Ok(Self {
            snapshots,
            applied: meta.last_log_id,
            membership: meta.last_membership,
        })
    }
}

impl RaftStateMachine<Types> for Null {
    type SnapshotBuilder = Kept;

    async fn applied_state(&mut self) -> Result<(Option<At>, Membership), StorageError> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Answer>, StorageError>
    where
        I: IntoIterator<Item = EntryOf> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut answers = Vec::new();
        for entry in entries {
            self.applied = Some(entry.log_id);
            if let Payload::Membership(members) = entry.payload {
                self.membership = Membership::new(Some(entry.log_id), members);
            }
            answers.push(Answer::Nothing);
        }
        Ok(answers)
    }

    async fn get_snapshot_builder(&mut self) -> Kept {
        Kept(self.snapshots.clone())
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<File>, StorageError> {
        begin_receiving(&self.snapshots)
            .await
            .map_err(StoreError::fatal)
    }

    async fn install_snapshot(&mut self, meta: &Meta, file: Box<File>) -> Result<(), StorageError> {
        drop(file);
        let snapshots = self.snapshots.clone();
        let kept = blocking(move || {
            let received = snapshots.receiving();
            let found = snapshots.check(&received)?;
            snapshots.keep(&received).map(|()| found)
        });
        kept.await.map_err(StoreError::fatal)?;
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, StorageError> {
        current(&self.snapshots).await.map_err(StoreError::fatal)
    }
}

/// "Builds" the snapshot that the leader sent last.
struct Kept(Snapshots);

impl RaftSnapshotBuilder<Types> for Kept {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, StorageError> {
        let snapshot = current(&self.0).await.map_err(StoreError::fatal)?;
        snapshot
            .ok_or_else(|| StoreError::Damaged("a witness has no snapshot yet".to_owned()).fatal())
    }
}
