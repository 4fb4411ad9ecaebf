//! Leases: what hangs on one goes when it isn't renewed in time.
//!
//! Grants and ends stand in the log; renewals only in the leader's memory, on its monotonic clock. A new
//! leader gives each lease its whole time again: a lease may last longer than asked, never shorter.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use openraft::ServerState;

use crate::change::{Lease, Task};
use crate::limits::FORWARD_LIMIT;
use crate::network::Rpc;
use crate::types::{decode, encode};
use crate::{Store, StoreError};

/// Shortest time of a lease.
const TTL_MIN: Duration = Duration::from_secs(1);
/// Longest time of a lease.
const TTL_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Between two looks for overdue leases.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// When the leader ends each lease.
#[derive(Default)]
pub(crate) struct Deadlines {
    inner: Mutex<BTreeMap<u64, Deadline>>,
}

#[derive(Clone, Copy)]
enum Deadline {
    At(Instant),
    /// It was overdue, and its end is on the way: too late to renew it.
    Passed,
}

impl Deadlines {
    /// False where it is too late.
    fn renew(&self, lease: &Lease) -> bool {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let deadline = inner
            .entry(lease.id)
            .or_insert(Deadline::At(Instant::now()));
        match deadline {
            Deadline::At(at) => {
                *at = Instant::now() + lease.ttl;
                true
            }
            Deadline::Passed => false,
        }
    }

    /// Those that are overdue. A lease not known yet gets its whole time.
    fn overdue(&self, leases: &[Lease]) -> Vec<u64> {
        let now = Instant::now();
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.retain(|id, _| leases.iter().any(|l| l.id == *id));
        let mut over = Vec::new();
        for lease in leases {
            let deadline = inner
                .entry(lease.id)
                .or_insert(Deadline::At(now + lease.ttl));
            if matches!(deadline, Deadline::At(at) if *at > now) {
                continue;
            }
            *deadline = Deadline::Passed;
            over.push(lease.id);
        }
        over
    }

    fn forget(&self) {
        self.inner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

impl Store {
    /// A new lease, of 1 s to 24 h.
    ///
    /// # Errors
    /// `NoQuorum`; `TimedOut`.
    pub async fn grant(&self, ttl: Duration) -> Result<Lease, StoreError> {
        let ttl = ttl.clamp(TTL_MIN, TTL_MAX);
        let lease = Lease {
            id: rand::random::<u64>() >> 11,
            ttl,
        };
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        self.commit(Task::Grant {
            lease: lease.id,
            ttl_ms,
        })
        .await?;
        Ok(lease)
    }

    /// Gives a lease its whole time again.
    ///
    /// # Errors
    /// `NoLease` where it has ended; `NoQuorum`.
    pub async fn renew(&self, lease: u64) -> Result<(), StoreError> {
        let quorum = self.quorum();
        let renewed = match quorum.leader {
            Some(leader) if leader == self.me => self.renew_here(lease)?,
            Some(leader) if quorum.quorate => {
                let body = encode(&lease)?.into();
                let answer = self
                    .network
                    .transport
                    .call(leader, Rpc::Renew, body, FORWARD_LIMIT)
                    .await;
                decode(&answer?)?
            }
            _ => return Err(quorum.refusal()),
        };
        if renewed {
            Ok(())
        } else {
            Err(StoreError::NoLease(lease))
        }
    }

    /// Ends a lease, and what hangs on it.
    ///
    /// # Errors
    /// `NoQuorum`; `TimedOut`.
    pub async fn revoke(&self, lease: u64) -> Result<(), StoreError> {
        self.commit(Task::Revoke { lease }).await.map(drop)
    }

    /// As the leader; false where there is no such lease.
    pub(crate) fn renew_here(&self, lease: u64) -> Result<bool, StoreError> {
        let quorum = self.quorum();
        if !quorum.quorate || quorum.leader != Some(self.me) {
            return Err(quorum.refusal());
        }
        let leases = self.machine.state.leases()?;
        let found = leases.iter().find(|l| l.id == lease);
        Ok(found.is_some_and(|lease| self.leases.renew(lease)))
    }
}

/// Ends overdue leases while this member leads.
pub(crate) async fn end_overdue(store: Weak<Store>) {
    while let Some(store) = store.upgrade() {
        if let Err(e) = look(&store).await {
            tracing::debug!("overdue leases wait: {e}");
        }
        drop(store);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn look(store: &Arc<Store>) -> Result<(), StoreError> {
    let leads = store.raft.metrics().borrow().state == ServerState::Leader;
    if !leads || !store.quorum().quorate {
        // Who leads next begins anew.
        store.leases.forget();
        return Ok(());
    }
    for lease in store.leases.overdue(&store.machine.state.leases()?) {
        tracing::info!(lease, "a lease ends");
        store.revoke(lease).await?;
    }
    Ok(())
}
