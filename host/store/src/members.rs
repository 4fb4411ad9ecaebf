//! Who is a member, who votes, and how each fares.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Weak;
use std::time::Duration;

use openraft::{ChangeMembers, RaftMetrics};
use tokio::io::AsyncReadExt;

use crate::limits::{CHANGE_LIMIT, SNAPSHOT_CHUNK_BYTES, SNAPSHOT_CHUNK_MS, SNAPSHOT_LOG_BYTES};
use crate::network::Rpc;
use crate::types::{Member, decode, encode};
use crate::witness::{KeepReply, Piece};
use crate::{Store, StoreError};

/// Between two looks at the log's size.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Entries a learner may be behind and still be made a voter.
const VOTER_LAG_MAX: u64 = 100;

/// Members by id, and which of them vote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Membership {
    /// All members.
    pub members: BTreeMap<u64, Member>,
    /// Those that vote.
    pub voters: BTreeSet<u64>,
    /// A change of voters is under way.
    pub changing: bool,
}

/// How a member fares, as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberState {
    /// Since it was last heard from; none: not since this node's start.
    pub last_contact: Option<Duration>,
    /// Time of the last message and its answer.
    pub round_trip: Option<Duration>,
    /// Its wall clock less ours, in ms. Decides nothing.
    pub skew_ms: Option<i64>,
    /// Entries it is behind the leader; only the leader knows.
    pub lag: Option<u64>,
    /// The last revision it told.
    pub revision: Option<u64>,
    /// Why it is evicted: its disk went back in time.
    pub reverted: Option<String>,
}

impl Store {
    /// Who is a member, as known here.
    #[must_use]
    pub fn membership(&self) -> Membership {
        of_metrics(&self.raft.metrics().borrow())
    }

    /// How a member fares.
    #[must_use]
    pub fn member_state(&self, member: u64) -> MemberState {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let last = metrics.last_log_index.unwrap_or(0);
        let replication = metrics.replication.as_ref().and_then(|r| r.get(&member));
        let contact = self.network.contacts.of(member);
        MemberState {
            last_contact: contact.as_ref().map(|c| c.heard.elapsed()),
            round_trip: contact.as_ref().and_then(|c| c.round_trip),
            skew_ms: contact.as_ref().and_then(|c| c.skew_ms),
            lag: replication.map(|at| last.saturating_sub(at.map_or(0, |at| at.index))),
            revision: contact.and_then(|c| c.pong).map(|(_, pong)| pong.revision),
            reverted: self.network.reversions.reverted().remove(&member),
        }
    }

    /// Does this member lead, with a majority?
    #[must_use]
    pub fn leads(&self) -> bool {
        let quorum = self.quorum();
        quorum.quorate && quorum.leader == Some(self.me)
    }

    /// Adds a member that doesn't vote yet, or changes what is known of one. The leader does this.
    ///
    /// # Errors
    /// `Member` where this node doesn't lead; `TimedOut`.
    pub async fn set_member(&self, id: u64, member: Member) -> Result<(), StoreError> {
        self.change_members(
            ChangeMembers::SetNodes(BTreeMap::from([(id, member)])),
            true,
        )
        .await
    }

    /// Who votes from now on; others go on as members without a vote. The leader does this.
    ///
    /// # Errors
    /// `Member` where this node doesn't lead, or one of them is no member; `TimedOut`.
    pub async fn set_voters(&self, voters: BTreeSet<u64>) -> Result<(), StoreError> {
        self.change_members(ChangeMembers::ReplaceAllVoters(voters), true)
            .await
    }

    /// Removes a member, its vote too. The leader does this, also to itself.
    ///
    /// # Errors
    /// `Member` where this node doesn't lead, or it is the only voter; `TimedOut`.
    pub async fn remove_member(&self, id: u64) -> Result<(), StoreError> {
        let voters = self.membership().voters;
        if voters.contains(&id) {
            let rest: BTreeSet<u64> = voters.into_iter().filter(|v| *v != id).collect();
            if rest.is_empty() {
                return Err(StoreError::Member(
                    "the only voter can't be removed".to_owned(),
                ));
            }
            self.change_members(ChangeMembers::ReplaceAllVoters(rest), true)
                .await?;
        }
        self.change_members(ChangeMembers::RemoveNodes(BTreeSet::from([id])), true)
            .await
    }

    /// Has a member without a vote nearly all that the leader has, and answers it?
    #[must_use]
    pub fn caught_up(&self, member: u64) -> bool {
        let state = self.member_state(member);
        let here = self
            .network
            .contacts
            .here(member, Duration::from_millis(self.timing.gone_ms));
        here && state.lag.is_some_and(|lag| lag <= VOTER_LAG_MAX)
    }

    async fn change_members(
        &self,
        change: ChangeMembers<u64, Member>,
        retain: bool,
    ) -> Result<(), StoreError> {
        let _one = self.changing_members.lock().await;
        if !self.leads() {
            return Err(StoreError::Member(
                "members are changed by the leader, which this node isn't".to_owned(),
            ));
        }
        let changed =
            tokio::time::timeout(CHANGE_LIMIT, self.raft.change_membership(change, retain)).await;
        let changed = changed.map_err(|_| StoreError::TimedOut(CHANGE_LIMIT.as_secs()))?;
        changed
            .map(drop)
            .map_err(|e| StoreError::Member(format!("members can't be changed so: {e}")))
    }
}

pub(crate) fn of_metrics(metrics: &RaftMetrics<u64, Member>) -> Membership {
    let config = metrics.membership_config.membership();
    Membership {
        members: config
            .nodes()
            .map(|(id, member)| (*id, member.clone()))
            .collect(),
        voters: config.voter_ids().collect(),
        changing: config.get_joint_config().len() > 1,
    }
}

/// Bounds logs: makes a snapshot early where the log grows large before its entries are many, and sends
/// witnesses what they need to cut theirs.
pub(crate) async fn bound_logs(store: Weak<Store>) {
    let mut before = 0;
    while let Some(store) = store.upgrade() {
        let bytes = store.log.bytes();
        if bytes > SNAPSHOT_LOG_BYTES + before {
            if let Err(e) = store.raft.trigger().snapshot().await {
                tracing::warn!("no snapshot can be made: {e}");
            }
            before = bytes;
        }
        before = before.min(bytes);
        if store.leads()
            && let Err(e) = store.supply_witnesses().await
        {
            tracing::info!("a witness keeps its old snapshot: {e}");
        }
        drop(store);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

impl Store {
    async fn supply_witnesses(&self) -> Result<(), StoreError> {
        let newest = self
            .raft
            .metrics()
            .borrow()
            .snapshot
            .map_or(0, |at| at.index);
        for (id, member) in self.membership().members {
            let kept = self
                .network
                .contacts
                .of(id)
                .and_then(|c| c.pong)
                .and_then(|(_, pong)| pong.kept);
            if member.witness && kept.is_some_and(|kept| kept < newest) {
                self.send_snapshot(id).await?;
            }
        }
        Ok(())
    }

    async fn send_snapshot(&self, witness: u64) -> Result<(), StoreError> {
        let path = self.machine.snapshots.current();
        let failed = |e| StoreError::io(format!("{}", path.display()))(e);
        let mut file = tokio::fs::File::open(&path).await.map_err(failed)?;
        let length = file.metadata().await.map_err(failed)?.len();
        let mut offset = 0;
        while offset < length {
            let size = SNAPSHOT_CHUNK_BYTES.min(length - offset);
            let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
            file.read_exact(&mut bytes).await.map_err(failed)?;
            let piece = Piece {
                offset,
                bytes,
                last: offset + size == length,
            };
            let limit = Duration::from_millis(SNAPSHOT_CHUNK_MS);
            let body = encode(&piece)?.into();
            let reply = self
                .network
                .transport
                .call(witness, Rpc::Keep, body, limit)
                .await?;
            if decode::<KeepReply>(&reply)? == KeepReply::FromStart {
                return Err(StoreError::Member(
                    "it lost the beginning of the new one".to_owned(),
                ));
            }
            offset += size;
        }
        Ok(())
    }
}
