//! Changes of the store, and what comes of them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::StoreError;

/// A value with the revision that last changed it.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The value.
    pub value: Value,
    /// The store's revision when it was last changed.
    pub revision: u64,
}

/// What a change expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expect {
    /// Whatever is there.
    Any,
    /// Nothing.
    Absent,
    /// The record with this revision.
    Revision(u64),
}

/// One change of a transaction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Where: `storage/vmstore`.
    pub path: String,
    /// What must be there.
    pub expect: Expect,
    /// What is done.
    pub action: Action,
}

/// What a change does where it is as expected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// Sets a value; with a lease, the record goes when the lease ends.
    Put {
        /// The value.
        value: Value,
        /// The lease it hangs on.
        lease: Option<u64>,
    },
    /// Removes the record, if there is one.
    Remove,
    /// Changes nothing: the transaction only hangs on what is there.
    Check,
}

impl Change {
    /// Sets a value, whatever was there.
    pub fn put(path: impl Into<String>, value: Value) -> Self {
        Self::new(path, Action::Put { value, lease: None })
    }

    /// Removes a value; nothing there is fine.
    pub fn remove(path: impl Into<String>) -> Self {
        Self::new(path, Action::Remove)
    }

    /// Changes nothing; for [`Change::expecting`].
    pub fn check(path: impl Into<String>) -> Self {
        Self::new(path, Action::Check)
    }

    /// Sets a value that goes with its lease.
    pub fn hold(path: impl Into<String>, value: Value, lease: u64) -> Self {
        let lease = Some(lease);
        Self::new(path, Action::Put { value, lease })
    }

    /// Only if this is found.
    #[must_use]
    pub fn expecting(mut self, expect: Expect) -> Self {
        self.expect = expect;
        self
    }

    fn new(path: impl Into<String>, action: Action) -> Self {
        let path = path.into();
        Self {
            path,
            expect: Expect::Any,
            action,
        }
    }
}

/// What the log carries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Command {
    /// Chosen by who asks: sent again, it happens once.
    pub(crate) request: u128,
    pub(crate) task: Task,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Task {
    Transact(Vec<Change>),
    /// A lease of so many milliseconds.
    Grant {
        lease: u64,
        ttl_ms: u64,
    },
    /// Ends a lease, and what hangs on it.
    Revoke {
        lease: u64,
    },
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// It is done; the store has this revision.
    Done(u64),
    /// A record wasn't as expected: its path, what was expected, what is there (revisions; none for nothing).
    Conflict {
        path: String,
        expected: Option<u64>,
        found: Option<u64>,
    },
    /// The store is full.
    Full { bytes: u64 },
    /// There is no such lease.
    NoLease(u64),
    /// Not a command of ours: a membership change or the first entry of a leader.
    Nothing,
}

impl Answer {
    pub(crate) fn revision(self) -> Result<u64, StoreError> {
        match self {
            Self::Done(revision) => Ok(revision),
            Self::Conflict {
                path,
                expected,
                found,
            } => {
                let named =
                    |r: Option<u64>| r.map_or("nothing".to_owned(), |r| format!("revision {r}"));
                let (expected, found) = (named(expected), named(found));
                Err(StoreError::Conflict {
                    path,
                    expected,
                    found,
                })
            }
            Self::Full { bytes } => Err(StoreError::Full { bytes }),
            Self::NoLease(lease) => Err(StoreError::NoLease(lease)),
            Self::Nothing => Err(StoreError::Damaged("a command got no answer".to_owned())),
        }
    }
}

/// A lease: what hangs on it goes when it isn't renewed in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Its number.
    pub id: u64,
    /// How long it lasts without renewal.
    pub ttl: Duration,
}
