//! Does this node reach a majority of votes now? And who is missing?

use std::sync::Weak;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cairn_core::cluster::majority;
use openraft::ServerState;
use serde::Serialize;

use crate::contact::{Ping, Pong};
use crate::network::Rpc;
use crate::types::{Member, decode, encode};
use crate::{Store, StoreError};

/// Votes, as this node sees them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quorum {
    /// A leader that has a majority is in reach.
    pub quorate: bool,
    /// The leader's id, if one is known.
    pub leader: Option<u64>,
    /// Votes within reach, this node's own included.
    pub votes: usize,
    /// Votes of all voters.
    pub expected: usize,
    /// The least number for a change: half, rounded down, and one.
    pub needed: usize,
    /// Names of the voters out of reach.
    pub missing: Vec<String>,
}

impl Quorum {
    pub(crate) fn refusal(self) -> StoreError {
        let Self {
            votes,
            expected,
            needed,
            missing,
            ..
        } = self;
        StoreError::NoQuorum {
            votes,
            expected,
            needed,
            missing,
        }
    }
}

impl Store {
    /// Votes as this node sees them now. Costs nothing: it asks nobody.
    #[must_use]
    pub fn quorum(&self) -> Quorum {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let gone = Duration::from_millis(self.timing.gone_ms);
        let membership = metrics.membership_config.membership();
        let voters: Vec<u64> = membership.voter_ids().collect();
        let name = |id: &u64| {
            membership
                .get_node(id)
                .map_or_else(|| id.to_string(), |m| m.name.clone())
        };
        let here = |id: &u64| *id == self.me || self.network.contacts.here(*id, gone);
        let missing: Vec<String> = voters.iter().filter(|id| !here(id)).map(name).collect();
        let leader = metrics.current_leader;
        let quorate = match leader {
            None => false,
            Some(leader) if leader == self.me => {
                metrics.state == ServerState::Leader && self.leads_within(&metrics, gone)
            }
            Some(leader) => self.network.contacts.leads(leader, gone),
        };
        Quorum {
            quorate,
            leader,
            votes: voters.len() - missing.len(),
            expected: voters.len(),
            needed: majority(voters.len()),
            missing,
        }
    }

    /// How long ago this member was last known to be with a leader that has a majority: what it reads is at
    /// least as new. None: not since its start.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        let quorum = self.quorum();
        if quorum.quorate {
            return Some(Duration::ZERO);
        }
        let last = *self
            .last_quorate
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        last.map(|at| at.elapsed())
    }

    /// Why nothing can be changed now.
    #[must_use]
    pub fn refusal(&self) -> StoreError {
        self.quorum().refusal()
    }

    fn leads_within(&self, metrics: &openraft::RaftMetrics<u64, Member>, within: Duration) -> bool {
        let alone = metrics
            .membership_config
            .voter_ids()
            .all(|id| id == self.me);
        alone
            || metrics.millis_since_quorum_ack.is_some_and(|ms| {
                // The metrics are as old as the last event; heartbeats make one several times a second.
                Duration::from_millis(ms) <= within && self.majority_here(metrics, within)
            })
    }

    fn majority_here(
        &self,
        metrics: &openraft::RaftMetrics<u64, Member>,
        within: Duration,
    ) -> bool {
        let here = |id: &u64| *id == self.me || self.network.contacts.here(*id, within);
        let configs = metrics.membership_config.membership().get_joint_config();
        configs
            .iter()
            .all(|voters| voters.iter().filter(|id| here(id)).count() >= majority(voters.len()))
    }

    pub(crate) fn pong(&self) -> Pong {
        let quorum = self.quorum();
        Pong {
            leads: quorum.quorate && quorum.leader == Some(self.me),
            incarnation: self.incarnation,
            wall_ms: wall_ms(),
            revision: self.revision(),
            kept: None,
        }
    }

    async fn ping(&self, member: u64) {
        let limit = Duration::from_millis(self.timing.gone_ms);
        let Ok(body) = encode(&Ping {
            incarnation: self.incarnation,
        }) else {
            return;
        };
        let started = Instant::now();
        let answer = self
            .network
            .transport
            .call(member, Rpc::Ping, body.into(), limit)
            .await;
        if let Ok(pong) = answer
            .map_err(StoreError::from)
            .and_then(|answer| decode::<Pong>(&answer))
        {
            self.network
                .contacts
                .answered(member, started.elapsed(), pong, wall_ms());
        }
    }
}

/// Asks the other voters how they are, for as long as the store is there.
pub(crate) async fn ping_members(store: Weak<Store>) {
    let mut asked = std::collections::BTreeMap::new();
    while let Some(store) = store.upgrade() {
        let every = Duration::from_millis(store.timing.ping_ms);
        let voters: Vec<u64> = store
            .raft
            .metrics()
            .borrow()
            .membership_config
            .voter_ids()
            .collect();
        for member in voters.into_iter().filter(|id| *id != store.me) {
            // One question a member at a time: one that hangs must not gather more.
            let busy = asked
                .get(&member)
                .is_some_and(|task: &tokio::task::JoinHandle<()>| !task.is_finished());
            if !busy {
                let store = std::sync::Arc::clone(&store);
                asked.insert(
                    member,
                    tokio::spawn(async move { store.ping(member).await }),
                );
            }
        }
        if store.quorum().quorate {
            *store
                .last_quorate
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Instant::now());
        }
        drop(store);
        tokio::time::sleep(every).await;
    }
}

pub(crate) fn wall_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
