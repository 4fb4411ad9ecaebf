//! Watches: who asks for changes below a path gets them in the order of their revisions.
//!
//! The newest changes are kept in memory, so that a watch resumes where it was; one that asks for older
//! ones, or reads too slowly, is told to read all and start anew.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc;

use crate::StoreError;
use crate::limits::{EVENTS_KEPT, EVENTS_KEPT_BYTES, WATCH_QUEUE};
use crate::state::Event;

/// Changes below one path, as they are committed. Ends with an error where the watcher was too slow.
pub struct Watch {
    events: mpsc::Receiver<Event>,
    behind: bool,
}

impl Watch {
    /// The next change; none once the watch has ended: read all, and watch anew.
    pub async fn next(&mut self) -> Option<Event> {
        let event = self.events.recv().await;
        self.behind |= event.is_none();
        event
    }

    /// Did it end because its reader was too slow, or because the store was replaced?
    #[must_use]
    pub fn ended(&self) -> bool {
        self.behind
    }
}

#[derive(Default)]
pub(crate) struct Hub {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Changes up to here aren't kept.
    since: u64,
    kept: VecDeque<(Event, usize)>,
    kept_bytes: usize,
    watchers: Vec<Watcher>,
}

struct Watcher {
    below: String,
    events: mpsc::Sender<Event>,
}

impl Watcher {
    fn wants(&self, path: &str) -> bool {
        match path.strip_prefix(self.below.as_str()) {
            Some(rest) => self.below.is_empty() || rest.is_empty() || rest.starts_with('/'),
            None => false,
        }
    }
}

impl Hub {
    /// Nothing up to this revision is known: watches end, and begin anew from here.
    pub(crate) fn start(&self, revision: u64) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        *inner = Inner {
            since: revision,
            ..Inner::default()
        };
    }

    pub(crate) fn publish(&self, events: Vec<Event>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            // A full queue ends the watch: nobody waits for a slow reader.
            inner
                .watchers
                .retain(|w| !w.wants(&event.path) || w.events.try_send(event.clone()).is_ok());
            inner.keep(event);
        }
    }

    /// Watches a record and what is below it, from after a revision on; everything for the empty path.
    pub(crate) fn watch(&self, below: &str, after: u64) -> Result<Watch, StoreError> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if after < inner.since {
            return Err(StoreError::Compacted {
                asked: after,
                oldest: inner.since,
            });
        }
        inner.watchers.retain(|w| !w.events.is_closed());
        let (tx, rx) = mpsc::channel(WATCH_QUEUE.max(inner.kept.len()));
        let watcher = Watcher {
            below: below.to_owned(),
            events: tx,
        };
        for (event, _) in &inner.kept {
            if event.revision > after && watcher.wants(&event.path) {
                let _ = watcher.events.try_send(event.clone());
            }
        }
        inner.watchers.push(watcher);
        Ok(Watch {
            events: rx,
            behind: false,
        })
    }
}

impl Inner {
    fn keep(&mut self, event: Event) {
        let value = event
            .value
            .as_ref()
            .map_or(0, |v| crate::state::value_bytes(v));
        let bytes = event.path.len() + usize::try_from(value).unwrap_or(usize::MAX);
        self.kept_bytes += bytes;
        self.kept.push_back((event, bytes));
        while self.kept.len() > EVENTS_KEPT || self.kept_bytes > EVENTS_KEPT_BYTES {
            let Some((gone, bytes)) = self.kept.pop_front() else {
                break;
            };
            self.kept_bytes -= bytes;
            self.since = gone.revision;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(revision: u64, path: &str) -> Event {
        Event {
            revision,
            path: path.to_owned(),
            value: None,
        }
    }

    async fn drain(watch: &mut Watch, count: usize) -> Vec<u64> {
        let mut seen = Vec::new();
        for _ in 0..count {
            seen.push(watch.next().await.unwrap().revision);
        }
        seen
    }

    #[tokio::test]
    async fn a_watch_resumes_after_a_revision_and_sees_only_its_tree() {
        let hub = Hub::default();
        hub.start(5);
        hub.publish(vec![event(6, "a/b"), event(7, "ab"), event(8, "a")]);
        let mut watch = hub.watch("a", 5).unwrap();
        hub.publish(vec![event(9, "a/c"), event(10, "b")]);
        assert_eq!(drain(&mut watch, 3).await, [6, 8, 9]);
        let mut all = hub.watch("", 9).unwrap();
        assert_eq!(drain(&mut all, 1).await, [10]);
        assert!(matches!(
            hub.watch("a", 4),
            Err(StoreError::Compacted {
                asked: 4,
                oldest: 5
            })
        ));
    }

    #[tokio::test]
    async fn a_slow_reader_is_ended_and_the_others_go_on() {
        let hub = Hub::default();
        let mut slow = hub.watch("", 0).unwrap();
        let mut other = hub.watch("z", 0).unwrap();
        for n in 1..=(EVENTS_KEPT as u64 + 500) {
            hub.publish(vec![event(n, "a")]);
        }
        hub.publish(vec![event(20_000, "z")]);
        assert_eq!(drain(&mut other, 1).await, [20_000]);
        let mut seen = 0;
        while slow.next().await.is_some() {
            seen += 1;
        }
        assert_eq!(seen, WATCH_QUEUE);
        assert!(slow.ended());
        assert!(matches!(
            hub.watch("", 1),
            Err(StoreError::Compacted { .. })
        ));
    }
}
