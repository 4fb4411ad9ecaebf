//! A storage in use: activated once, its backend known again by its identity, its last status kept with
//! its age for when it can't be asked.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cairn_core::Error;
use cairn_core::names::StorageName;
use cairn_core::storage::{Capabilities, StorageState, StorageStatus};
use cairn_plugins::StorageCalls;

use crate::Node;
use crate::records::StorageRecord;

/// A status younger than this is not asked for again.
const STATUS_FRESH: Duration = Duration::from_millis(500);
/// After a failed activation, the next one is not tried sooner.
const ACTIVATE_AGAIN: Duration = Duration::from_secs(2);

/// A storage in use, with what is remembered of it.
pub(crate) struct Mounted {
    pub(crate) record: StorageRecord,
    pub(crate) revision: u64,
    pub(crate) calls: StorageCalls,
    active: tokio::sync::Mutex<Activation>,
    capabilities: Mutex<Option<Capabilities>>,
    status: Mutex<Option<(StorageStatus, Instant)>>,
}

enum Activation {
    Never,
    Active,
    Failed(Error, Instant),
}

impl Mounted {
    /// A storage that is activated when it is first used.
    pub(crate) fn new(record: StorageRecord, revision: u64, calls: StorageCalls) -> Self {
        Self {
            record,
            revision,
            calls,
            active: tokio::sync::Mutex::new(Activation::Never),
            capabilities: Mutex::default(),
            status: Mutex::default(),
        }
    }

    /// Makes it usable, unless it is or has just failed to become so.
    pub(crate) async fn activate(&self, node: &Node, name: &StorageName) -> Result<(), Error> {
        let mut active = self.active.lock().await;
        match &*active {
            Activation::Active => return Ok(()),
            Activation::Failed(e, at) if at.elapsed() < ACTIVATE_AGAIN => return Err(e.clone()),
            Activation::Failed(..) | Activation::Never => {}
        }
        let outcome = node.activate(name, &self.calls).await;
        *active = match &outcome {
            Ok(()) => Activation::Active,
            Err(e) => Activation::Failed(e.clone(), Instant::now()),
        };
        outcome
    }

    /// What it can hold, if it was asked before.
    pub(crate) fn known_capabilities(&self) -> Option<Capabilities> {
        let known = self.capabilities.lock();
        known.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it can hold.
    pub(crate) async fn capabilities(&self) -> Result<Capabilities, Error> {
        if let Some(known) = self.known_capabilities() {
            return Ok(known);
        }
        let capabilities = self.calls.capabilities().await?;
        *self
            .capabilities
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(capabilities.clone());
        Ok(capabilities)
    }

    /// The status now, or the last one with its age and the cause.
    pub(crate) async fn status(&self) -> StorageStatus {
        let last = self
            .status
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some((status, at)) = last.as_ref().filter(|(_, at)| at.elapsed() < STATUS_FRESH) {
            return aged(status.clone(), *at);
        }
        match self.calls.status().await {
            Ok(status) => {
                let mut kept = self.status.lock().unwrap_or_else(PoisonError::into_inner);
                *kept = Some((status.clone(), Instant::now()));
                status
            }
            Err(e) => {
                let mut status =
                    last.map_or_else(|| unavailable(&e), |(status, at)| aged(status, at));
                status.state = StorageState::Unavailable(e.message);
                status
            }
        }
    }
}

fn aged(mut status: StorageStatus, at: Instant) -> StorageStatus {
    status.age_ms = u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
    status
}

/// A status of a storage that can't be asked.
pub(crate) fn unavailable(error: &Error) -> StorageStatus {
    StorageStatus {
        total_bytes: 0,
        used_bytes: 0,
        available_bytes: 0,
        state: StorageState::Unavailable(error.message.clone()),
        age_ms: 0,
    }
}
