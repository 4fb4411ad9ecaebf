//! One lock a volume: calls on one volume are made one after another, those on others go on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// Locks by name; one that nobody holds or waits for is forgotten.
#[derive(Default)]
pub(crate) struct Locks {
    named: Mutex<HashMap<String, Arc<AsyncMutex<()>>>>,
}

impl Locks {
    /// Waits until the name is free, and keeps it until the guard is dropped.
    pub(crate) async fn lock(&self, name: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
            named.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(named.entry(name.to_owned()).or_default())
        };
        lock.lock_owned().await
    }

    /// Locks several names, in order, so that two callers never wait for each other.
    pub(crate) async fn lock_all(&self, mut names: Vec<String>) -> Vec<OwnedMutexGuard<()>> {
        names.sort();
        names.dedup();
        let mut guards = Vec::new();
        for name in names {
            guards.push(self.lock(&name).await);
        }
        guards
    }
}
