//! Get, list, transact.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::StoreError;
use crate::journal::{Frame, Journal};
use crate::path;

/// Largest value.
const VALUE_MAX_BYTES: usize = 1 << 20;
/// The journal is compacted at open when it has more frames than this.
const COMPACT_FRAMES: usize = 1_000;

/// A value with the revision that last changed it.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The value.
    pub value: Value,
    /// The store's revision when it was last changed.
    pub revision: u64,
}

/// What a change expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Whatever is there.
    Any,
    /// Nothing.
    Absent,
    /// The record with this revision.
    Revision(u64),
}

/// One change of a transaction.
#[derive(Debug, Clone)]
pub struct Change {
    /// Where: `storage/vmstore`.
    pub path: String,
    /// What must be there.
    pub expect: Expect,
    /// The new value; absent to remove it.
    pub put: Option<Value>,
}

impl Change {
    /// Sets a value, whatever was there.
    pub fn put(path: impl Into<String>, value: Value) -> Self {
        Self {
            path: path.into(),
            expect: Expect::Any,
            put: Some(value),
        }
    }

    /// Removes a value; nothing there is fine.
    pub fn remove(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            expect: Expect::Any,
            put: None,
        }
    }

    /// Only if this is found.
    #[must_use]
    pub fn expecting(mut self, expect: Expect) -> Self {
        self.expect = expect;
        self
    }
}

/// The store of one node. Calls may block for one `fdatasync`.
pub struct Store {
    inner: Mutex<Inner>,
}

struct Inner {
    journal: Journal,
    records: BTreeMap<String, Record>,
    revision: u64,
    poisoned: Option<String>,
}

impl Store {
    /// Opens the store in `dir`, making it if needed.
    ///
    /// # Errors
    /// `Damaged` where acknowledged changes can't be read any more; `Io`.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let (journal, frames) = Journal::open(dir)?;
        let count = frames.len();
        let mut inner = Inner {
            journal,
            records: BTreeMap::new(),
            revision: 0,
            poisoned: None,
        };
        for frame in frames {
            inner.apply(frame);
        }
        if count > COMPACT_FRAMES {
            inner.compact()?;
        }
        Ok(Self {
            inner: Mutex::new(inner),
        })
    }

    /// The number of the last change.
    pub fn revision(&self) -> u64 {
        self.lock().revision
    }

    /// The record at a path.
    ///
    /// # Errors
    /// `Path`.
    pub fn get(&self, at: &str) -> Result<Option<Record>, StoreError> {
        path::check(at)?;
        Ok(self.lock().records.get(at).cloned())
    }

    /// The records below a path (`storage` lists `storage/…`), sorted.
    ///
    /// # Errors
    /// `Path`.
    pub fn list(&self, below: &str) -> Result<Vec<(String, Record)>, StoreError> {
        path::check(below)?;
        let prefix = format!("{below}/");
        let inner = self.lock();
        let found = inner
            .records
            .range(prefix.clone()..)
            .take_while(|(p, _)| p.starts_with(&prefix));
        Ok(found.map(|(p, r)| (p.clone(), r.clone())).collect())
    }

    /// Makes all changes or none; they are on disk when this returns the new revision.
    ///
    /// # Errors
    /// `Conflict` where a record isn't as expected; `Path`, `TooLarge`; `Io`, after which the store
    /// takes no more changes (`Poisoned`).
    pub fn transact(&self, changes: &[Change]) -> Result<u64, StoreError> {
        let mut inner = self.lock();
        if let Some(why) = &inner.poisoned {
            return Err(StoreError::Poisoned(why.clone()));
        }
        let revision = inner.revision + 1;
        let mut puts = Vec::new();
        for change in changes {
            inner.check(change)?;
            puts.push((change.path.clone(), revision, change.put.clone()));
        }
        let frame = Frame { revision, puts };
        if let Err(e) = inner.journal.append(&frame) {
            // Whether it is on disk can't be known any more; only a new start can tell.
            inner.poisoned = Some(e.to_string());
            return Err(e);
        }
        inner.apply(frame);
        Ok(revision)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn apply(&mut self, frame: Frame) {
        self.revision = frame.revision;
        for (path, revision, value) in frame.puts {
            match value {
                Some(value) => self.records.insert(path, Record { value, revision }),
                None => self.records.remove(&path),
            };
        }
    }

    fn check(&self, change: &Change) -> Result<(), StoreError> {
        path::check(&change.path)?;
        if let Some(value) = &change.put {
            let bytes = value.to_string().len();
            if bytes > VALUE_MAX_BYTES {
                let path = change.path.clone();
                return Err(StoreError::TooLarge {
                    path,
                    bytes,
                    most: VALUE_MAX_BYTES,
                });
            }
        }
        let found = self.records.get(&change.path).map(|r| r.revision);
        let fits = match change.expect {
            Expect::Any => true,
            Expect::Absent => found.is_none(),
            Expect::Revision(revision) => found == Some(revision),
        };
        if fits {
            return Ok(());
        }
        let named = |r: Option<u64>| r.map_or("nothing".to_owned(), |r| format!("revision {r}"));
        let expected = match change.expect {
            Expect::Revision(revision) => Some(revision),
            Expect::Any | Expect::Absent => None,
        };
        Err(StoreError::Conflict {
            path: change.path.clone(),
            expected: named(expected),
            found: named(found),
        })
    }

    fn compact(&mut self) -> Result<(), StoreError> {
        let puts = self
            .records
            .iter()
            .map(|(path, record)| (path.clone(), record.revision, Some(record.value.clone())))
            .collect();
        self.journal.replace(&Frame {
            revision: self.revision,
            puts,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    fn put(store: &Store, path: &str, value: Value) -> u64 {
        store.transact(&[Change::put(path, value)]).unwrap()
    }

    #[test]
    fn what_was_acknowledged_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        put(&store, "storage/a", json!({"x": 1}));
        put(&store, "storage/b", json!(2));
        store.transact(&[Change::remove("storage/a")]).unwrap();
        drop(store);
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.revision(), 3);
        let listed = store.list("storage").unwrap();
        assert_eq!(
            listed,
            [(
                "storage/b".to_owned(),
                Record {
                    value: json!(2),
                    revision: 2
                }
            )]
        );
    }

    #[test]
    fn a_transaction_is_all_or_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let first = put(&store, "a", json!(1));
        let changes = [
            Change::put("b", json!(1)),
            Change::put("a", json!(2)).expecting(Expect::Revision(first + 1)),
        ];
        assert!(matches!(
            store.transact(&changes),
            Err(StoreError::Conflict { .. })
        ));
        assert!(store.get("b").unwrap().is_none());
        assert!(
            store
                .transact(&[Change::put("a", json!(2)).expecting(Expect::Absent)])
                .is_err()
        );
    }

    #[test]
    fn a_torn_last_frame_is_cut_at_any_byte() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        put(&store, "a", json!("first"));
        let journal = dir.path().join("journal");
        let whole = fs::metadata(&journal).unwrap().len();
        put(&store, "a", json!("second"));
        drop(store);
        let bytes = fs::read(&journal).unwrap();
        for end in usize::try_from(whole).unwrap()..bytes.len() {
            fs::write(&journal, &bytes[..end]).unwrap();
            let store = Store::open(dir.path()).unwrap();
            assert_eq!(
                store.get("a").unwrap().unwrap().value,
                json!("first"),
                "cut at {end}"
            );
            put(&store, "b", json!(end));
        }
    }

    #[test]
    fn a_damaged_middle_stops_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        put(&store, "a", json!("first"));
        put(&store, "a", json!("second"));
        drop(store);
        let journal = dir.path().join("journal");
        let mut bytes = fs::read(&journal).unwrap();
        bytes[12] ^= 1;
        fs::write(&journal, &bytes).unwrap();
        assert!(matches!(
            Store::open(dir.path()),
            Err(StoreError::Damaged(_))
        ));
    }

    #[test]
    fn a_long_journal_is_compacted() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let changes: Vec<Change> = (0..=COMPACT_FRAMES)
            .map(|i| Change::put("a", json!(i)))
            .collect();
        for change in &changes {
            store.transact(std::slice::from_ref(change)).unwrap();
        }
        drop(store);
        let before = fs::metadata(dir.path().join("journal")).unwrap().len();
        let store = Store::open(dir.path()).unwrap();
        assert!(fs::metadata(dir.path().join("journal")).unwrap().len() < before / 100);
        put(&store, "b", json!(1));
        drop(store);
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(
            store.get("a").unwrap().unwrap().revision,
            COMPACT_FRAMES as u64 + 1
        );
        assert!(store.get("b").unwrap().is_some());
    }

    #[test]
    fn bad_paths_and_large_values_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        for path in ["", "/a", "a/", "a//b", "a/../b", "a b", "ä"] {
            assert!(
                matches!(store.get(path), Err(StoreError::Path(_))),
                "{path}"
            );
        }
        let large = json!("x".repeat(VALUE_MAX_BYTES));
        assert!(matches!(
            store.transact(&[Change::put("a", large)]),
            Err(StoreError::TooLarge { .. })
        ));
    }
}
