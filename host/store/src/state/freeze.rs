//! The state as it was at one moment, read piece by piece while changes go on.
//!
//! While frozen, a change keeps the old value of each key that the reader hasn't passed yet. Cost: memory
//! for the old values of what changes while a snapshot is written.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, MutexGuard, PoisonError};

use super::State;
use crate::StoreError;

/// A key and its value.
pub(crate) type Pair = (Vec<u8>, Vec<u8>);

pub(super) struct Freeze {
    /// Whose it is.
    number: u64,
    /// The last key that was read.
    passed: Option<Vec<u8>>,
    /// Values as they were, of keys that changed and aren't passed; none: there was none.
    old: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Freeze {
    fn ahead(&self, key: &[u8]) -> bool {
        self.passed.as_deref().is_none_or(|passed| key > passed)
    }
}

/// Reads the state as it was when this was made. One at a time; it ends with this.
pub(crate) struct Frozen {
    state: Arc<State>,
    number: u64,
    /// Where the state stood.
    pub(crate) position: super::Position,
}

impl State {
    /// Freezes the state for a reader.
    pub(crate) fn freeze(self: &Arc<Self>) -> Frozen {
        let mut inner = self.lock();
        inner.freezes += 1;
        let number = inner.freezes;
        *self.frozen() = Some(Freeze {
            number,
            passed: None,
            old: BTreeMap::new(),
        });
        Frozen {
            state: Arc::clone(self),
            number,
            position: inner.position.clone(),
        }
    }

    /// Ends what is frozen: everything is about to be replaced.
    pub(super) fn thaw(&self) {
        *self.frozen() = None;
    }

    fn frozen(&self) -> MutexGuard<'_, Option<Freeze>> {
        self.frozen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the old values of keys that are about to change; the change must be made under the guard.
    pub(super) fn keep_old<'a>(
        &self,
        keys: impl Iterator<Item = &'a [u8]>,
    ) -> Result<MutexGuard<'_, Option<Freeze>>, StoreError> {
        let mut guard = self.frozen();
        if let Some(freeze) = guard.as_mut() {
            for key in keys {
                if freeze.ahead(key) && !freeze.old.contains_key(key) {
                    let value = self.db.get(key)?.map(|v| v.to_vec());
                    freeze.old.insert(key.to_vec(), value);
                }
            }
        }
        Ok(guard)
    }
}

impl Frozen {
    /// The next pairs, up to about so many bytes; empty at the end. None where the state was replaced
    /// meanwhile.
    pub(crate) fn next(&mut self, bytes: usize) -> Result<Option<Vec<Pair>>, StoreError> {
        let mut guard = self.state.frozen();
        let Some(freeze) = guard.as_mut().filter(|f| f.number == self.number) else {
            return Ok(None);
        };
        let (mut pairs, mut size) = (Vec::new(), 0);
        while size < bytes {
            let after = match &freeze.passed {
                Some(passed) => Bound::Excluded(passed.clone()),
                None => Bound::Unbounded,
            };
            let live = self
                .state
                .db
                .range::<Vec<u8>, _>((after.clone(), Bound::Unbounded))
                .next()
                .transpose()?;
            let live = live.map(|(k, v)| (k.to_vec(), v.to_vec()));
            let old = freeze
                .old
                .range((after, Bound::Unbounded))
                .next()
                .map(|(k, v)| (k.clone(), v.clone()));
            let (key, value) = match (live, old) {
                (None, None) => break,
                (Some((key, value)), None) => (key, Some(value)),
                (None, Some(old)) => old,
                (Some((key, value)), Some(old)) if key < old.0 => (key, Some(value)),
                (Some(_), Some(old)) => old,
            };
            freeze.old.remove(&key);
            freeze.passed = Some(key.clone());
            if let Some(value) = value {
                size += key.len() + value.len();
                pairs.push((key, value));
            }
        }
        Ok(Some(pairs))
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let mut guard = self.state.frozen();
        if guard.as_ref().is_some_and(|f| f.number == self.number) {
            *guard = None;
        }
    }
}
