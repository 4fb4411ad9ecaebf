//! Notices a member whose disk went back in time.
//!
//! A leader knows up to where each follower has acknowledged. A follower that later, under the same leader,
//! doesn't know an entry it acknowledged was rolled back or wiped: it forgot votes, too, and may help to
//! lose what was committed. It gets nothing more under this id; the cluster evicts it, and it joins anew
//! under another. (Under a new leader, a follower may rightly have given up what was never committed.)

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse};

use crate::types::{At, Types, VoteOf};

#[derive(Default)]
pub(crate) struct Reversions {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// By follower: the leader's vote, and up to where it acknowledged under it.
    acknowledged: BTreeMap<u64, (VoteOf, At)>,
    reverted: BTreeMap<u64, Reverted>,
}

/// It went back in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "member {member} doesn't know entry {misses} any more, and had acknowledged up to {had}: its disk was rolled \
     back or wiped; it is evicted and must join anew"
)]
pub(crate) struct Reverted {
    member: u64,
    had: u64,
    misses: u64,
}

impl Reversions {
    pub(crate) fn check(
        &self,
        member: u64,
        request: &AppendEntriesRequest<Types>,
        answer: &AppendEntriesResponse<u64>,
    ) -> Result<(), Reverted> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reverted) = inner.reverted.get(&member) {
            return Err(reverted.clone());
        }
        let last = request
            .entries
            .last()
            .map(|e| e.log_id)
            .or(request.prev_log_id);
        match answer {
            AppendEntriesResponse::Success => inner.acknowledge(member, request.vote, last),
            AppendEntriesResponse::PartialSuccess(last) => {
                inner.acknowledge(member, request.vote, *last)
            }
            AppendEntriesResponse::Conflict => {
                let had = inner.acknowledged.get(&member).copied();
                if let (Some((vote, had)), Some(misses)) = (had, request.prev_log_id)
                    && vote == request.vote
                    && misses <= had
                {
                    let reverted = Reverted {
                        member,
                        had: had.index,
                        misses: misses.index,
                    };
                    inner.reverted.insert(member, reverted.clone());
                    return Err(reverted);
                }
            }
            AppendEntriesResponse::HigherVote(_) => {}
        }
        Ok(())
    }

    /// Members that went back in time, with what is to be said of it.
    pub(crate) fn reverted(&self) -> BTreeMap<u64, String> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner
            .reverted
            .iter()
            .map(|(id, r)| (*id, r.to_string()))
            .collect()
    }
}

impl Inner {
    fn acknowledge(&mut self, member: u64, vote: VoteOf, last: Option<At>) {
        let Some(last) = last else { return };
        let had = self.acknowledged.entry(member).or_insert((vote, last));
        let before = (had.0 == vote).then_some(had.1);
        *had = (vote, before.map_or(last, |before| before.max(last)));
    }
}
