//! Clients that do random things to a few records through random members.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cairn_store::{Change, Expect, Store, StoreError};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::json;

use crate::cluster::Cluster;
use crate::model::{Came, Did, Step};

/// What the clients of one round share.
pub(crate) struct Round {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) number: u64,
    pub(crate) keys: usize,
    /// Reads that decide wait for what is committed; without that they are wrong on purpose.
    pub(crate) syncs: bool,
    pub(crate) clock: AtomicU64,
    pub(crate) over: AtomicBool,
}

impl Round {
    pub(crate) fn path(&self, key: usize) -> String {
        format!("history/{}-{key}", self.number)
    }

    pub(crate) fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// A read that decides; none where it was refused.
    pub(crate) async fn read(&self, store: &Store, key: usize) -> Result<Option<Did>, StoreError> {
        if self.syncs && store.sync().await.is_err() {
            return Ok(None);
        }
        let found = store.get(&self.path(key))?;
        Ok(Some(Did::Read(found.map(|record| {
            (record.value.as_u64().unwrap_or(u64::MAX), record.revision)
        }))))
    }

    /// A change; none where it surely didn't happen.
    async fn change(
        &self,
        store: &Store,
        key: usize,
        expect: Expect,
        value: Option<u64>,
    ) -> Result<Option<Did>, StoreError> {
        let path = self.path(key);
        let change = match value {
            Some(value) => Change::put(path, json!(value)),
            None => Change::remove(path),
        };
        let came = match store.transact(&[change.expecting(expect)]).await {
            Ok(revision) => Came::Done(revision),
            Err(StoreError::Conflict { .. }) => Came::Conflict,
            Err(StoreError::NoQuorum { .. }) => return Ok(None),
            Err(StoreError::TimedOut(_) | StoreError::Stopped(_)) => Came::Unknown(None),
            Err(other) => return Err(other),
        };
        Ok(Some(Did::Change {
            expect,
            value,
            came,
        }))
    }
}

/// Works until the round is over. The seed decides what it does, not when.
pub(crate) async fn client(round: Arc<Round>, id: u64, seed: u64) -> Result<Vec<Step>, StoreError> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut steps = Vec::new();
    let mut known = vec![None; round.keys];
    let mut writes = 0;
    while !round.over.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(rng.random_range(1..15))).await;
        let Some(store) = round.cluster.stores().choose(&mut rng).cloned() else {
            continue;
        };
        let key = rng.random_range(0..round.keys);
        writes += 1;
        let value = Some(id << 32 | writes);
        let called = round.tick();
        let did = match rng.random_range(0..100) {
            0..45 => round.read(&store, key).await?,
            45..65 => round.change(&store, key, Expect::Any, value).await?,
            65..90 => {
                let expect = known[key].map_or(Expect::Absent, Expect::Revision);
                round.change(&store, key, expect, value).await?
            }
            _ => round.change(&store, key, Expect::Any, None).await?,
        };
        let Some(did) = did else { continue };
        if let Did::Read(seen) = did {
            known[key] = seen.map(|(_, revision)| revision);
        }
        steps.push(Step {
            key,
            called,
            returned: round.tick(),
            client: id,
            member: store.id(),
            did,
        });
    }
    Ok(steps)
}
