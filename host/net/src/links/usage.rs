//! Whether a peer is being called. Links of one that isn't are probed less: in a cluster of many
//! nodes most pairs have nothing to say to each other.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::limits::{BUSY_FOR_MS, PROBE_EVERY_MS, PROBE_IDLE_EVERY_MS, ms};

/// When a peer was last called.
#[derive(Default)]
pub(super) struct Usage {
    last: Mutex<Option<Instant>>,
    woken: Notify,
}

impl Usage {
    /// It is called now: its links are probed at once, if that hasn't been done lately.
    pub(super) fn note(&self) {
        let before = self
            .last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(Instant::now());
        if !is_recent(before) {
            self.woken.notify_waiters();
        }
    }

    fn is_busy(&self) -> bool {
        is_recent(*self.last.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until the next probe is due, `spent` after the last one began.
    pub(super) async fn until_due(&self, spent: Duration) {
        let woken = self.woken.notified();
        if self.is_busy() {
            tokio::time::sleep(ms(PROBE_EVERY_MS).saturating_sub(spent)).await;
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(ms(PROBE_IDLE_EVERY_MS).saturating_sub(spent)) => {}
            () = woken => {}
        }
    }
}

fn is_recent(last: Option<Instant>) -> bool {
    last.is_some_and(|last| last.elapsed() < ms(BUSY_FOR_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_is_not_called_is_probed_seldom_until_it_is() {
        let usage = Usage::default();
        let begun = tokio::time::Instant::now();
        usage.until_due(Duration::ZERO).await;
        assert_eq!(begun.elapsed(), ms(PROBE_IDLE_EVERY_MS));
        let begun = tokio::time::Instant::now();
        let call = async {
            tokio::time::sleep(ms(10)).await;
            usage.note();
        };
        tokio::join!(usage.until_due(Duration::ZERO), call);
        assert_eq!(begun.elapsed(), ms(10), "a call has it probed at once");
        let begun = tokio::time::Instant::now();
        usage.until_due(ms(100)).await;
        assert_eq!(begun.elapsed(), ms(PROBE_EVERY_MS - 100));
    }
}
