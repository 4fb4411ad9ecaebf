//! A plugin tied to an instance's configuration: who may run, who waits, and instances of the component
//! that are kept warm. What a running call sees of it is its [`Binding`]. An instance holds the binding
//! and never this, so that what is kept warm goes with the storage; and it serves no other storage, whose
//! secrets it may still have in its memory.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cairn_core::{Code, Error};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::call::Live;
use crate::limits::{QUEUE_MAX, RUNNING_MAX, WARM_MAX};
use crate::state::Binding;

/// A binding with its calls.
pub(crate) struct Bound {
    pub(crate) binding: Arc<Binding>,
    /// Places for calls that run at once: a backend that hangs takes only its own.
    running: Semaphore,
    queued: AtomicU64,
    warm: Mutex<Vec<Live>>,
}

impl Deref for Bound {
    type Target = Binding;

    fn deref(&self) -> &Binding {
        &self.binding
    }
}

impl Bound {
    pub(crate) fn new(binding: Binding) -> Self {
        Self {
            binding: Arc::new(binding),
            running: Semaphore::new(RUNNING_MAX),
            queued: AtomicU64::new(0),
            warm: Mutex::default(),
        }
    }

    /// A place in the queue.
    ///
    /// # Errors
    /// `overloaded` where it is full.
    pub(crate) fn queue(&self) -> Result<Counted<'_>, Error> {
        let queued = Counted::among(&self.queued);
        if self.queued.load(Ordering::Acquire) > QUEUE_MAX as u64 {
            return Err(Error::new(
                Code::Overloaded,
                format!(
                    "{} has {QUEUE_MAX} calls waiting already; try again when some are done",
                    self.instance.name
                ),
            ));
        }
        Ok(queued)
    }

    /// Waits until the call may run, at most this long.
    ///
    /// # Errors
    /// `overloaded` where others run all the time.
    pub(crate) async fn turn(
        &self,
        function: &str,
        limit: Duration,
    ) -> Result<SemaphorePermit<'_>, Error> {
        match tokio::time::timeout(limit, self.running.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Error::new(
                Code::Overloaded,
                format!(
                    "{function} found no free place in time: {RUNNING_MAX} calls of plugin {} for {} \
                     run already; does its backend answer?",
                    self.plugin, self.instance.name
                ),
            )),
        }
    }

    /// An instance that was kept.
    pub(crate) fn take(&self) -> Option<Live> {
        self.warm().pop()
    }

    /// Keeps an instance for the next call, if there is room.
    pub(crate) fn keep(&self, live: Live) {
        let mut warm = self.warm();
        if warm.len() < WARM_MAX {
            warm.push(live);
        }
    }

    /// Ends an instance that is kept; `false` if there is none.
    pub(crate) fn give_up(&self) -> bool {
        let ended = self.take();
        ended.is_some()
    }

    fn warm(&self) -> MutexGuard<'_, Vec<Live>> {
        self.warm.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of those that are counted, while it lives.
pub(crate) struct Counted<'a>(&'a AtomicU64);

impl<'a> Counted<'a> {
    pub(crate) fn among(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
