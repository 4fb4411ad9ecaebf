//! How the store fails.

use cairn_core::{Code, Error, QuorumGap};

use crate::limits::STORE_MAX_BYTES;

/// Why the store refused or failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// A path breaks the rules for paths.
    #[error(
        "`{0}` is no valid path: 1 to 512 bytes, segments of letters, digits and `._:@-`, joined by `/`"
    )]
    Path(String),
    /// A value or transaction is too large.
    #[error("{what} has {size} {unit}; at most {most} are taken")]
    TooLarge {
        /// What.
        what: String,
        /// Its size.
        size: usize,
        /// Of what.
        unit: &'static str,
        /// The limit.
        most: usize,
    },
    /// One transaction changes one record twice.
    #[error("a transaction changes `{0}` twice; each record can be changed once")]
    Twice(String),
    /// A record isn't as the change expected it.
    #[error(
        "`{path}` has changed since it was read: expected {expected}, found {found}; read it again"
    )]
    Conflict {
        /// Where.
        path: String,
        /// What the change expected.
        expected: String,
        /// What is there.
        found: String,
    },
    /// There is no room left in the store.
    #[error("the store is full: {bytes} of {STORE_MAX_BYTES} bytes; remove what isn't needed")]
    Full {
        /// What it holds.
        bytes: u64,
    },
    /// A lease ended or never was.
    #[error("there is no lease {0}: it ended, or never was")]
    NoLease(u64),
    /// Too few votes.
    #[error("no quorum: {votes} of {expected} votes are here and {needed} are needed; missing: {}", .missing.join(", "))]
    NoQuorum {
        /// Votes within reach.
        votes: usize,
        /// Votes of all voters.
        expected: usize,
        /// The least number for a change.
        needed: usize,
        /// Names of the voters that aren't reached.
        missing: Vec<String>,
    },
    /// The answer didn't come in time.
    #[error("no answer within {0} s; the change may have happened: read before you try again")]
    TimedOut(u64),
    /// A watch asks for changes that aren't kept any more.
    #[error(
        "changes after revision {asked} aren't kept any more (the oldest kept follow {oldest}); read all, then watch from there"
    )]
    Compacted {
        /// What was asked for.
        asked: u64,
        /// From where on a watch can start.
        oldest: u64,
    },
    /// A member that can't be changed so.
    #[error("{0}")]
    Member(String),
    /// What is on disk can't be trusted.
    #[error("{0}")]
    Damaged(String),
    /// Consensus has stopped on this node.
    #[error(
        "the store takes no more changes since it failed ({0}); mend the cause, then start the daemon again"
    )]
    Stopped(String),
    /// The disk.
    #[error("{what}: {why}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        why: String,
        /// There is no room left on the disk.
        full: bool,
    },
}

impl StoreError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |e| {
            let full = e.kind() == std::io::ErrorKind::StorageFull;
            Self::Io {
                what,
                why: e.to_string(),
                full,
            }
        }
    }

    pub(crate) fn unsealed() -> Self {
        Self::Stopped("nothing can be sealed: the system has no random numbers".to_owned())
    }

    /// For openraft, which stops this node's consensus when it gets one.
    pub(crate) fn fatal(self) -> openraft::StorageError<u64> {
        openraft::StorageError::IO {
            source: openraft::StorageIOError::write(openraft::AnyError::new(&self)),
        }
    }
}

impl From<sled::Error> for StoreError {
    fn from(error: sled::Error) -> Self {
        let full =
            matches!(&error, sled::Error::Io(e) if e.kind() == std::io::ErrorKind::StorageFull);
        Self::Io {
            what: "the state".to_owned(),
            why: error.to_string(),
            full,
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::Path(_)
            | StoreError::TooLarge { .. }
            | StoreError::Twice(_)
            | StoreError::Compacted { .. } => Code::Invalid,
            StoreError::Conflict { .. } => Code::Revision,
            StoreError::NoLease(_) => Code::NotFound,
            StoreError::NoQuorum { .. } => Code::NoQuorum,
            StoreError::TimedOut(_) => Code::TimedOut,
            StoreError::Member(_) => Code::Blocked,
            StoreError::Damaged(_) => Code::Corrupt,
            StoreError::Stopped(_) => Code::Unavailable,
            StoreError::Full { .. } | StoreError::Io { full: true, .. } => Code::NoSpace,
            StoreError::Io { .. } => Code::Internal,
        };
        let mut shown = Error::new(code, error.to_string());
        if let StoreError::NoQuorum {
            votes,
            expected,
            needed,
            missing,
        } = error
        {
            shown.by.clone_from(&missing);
            shown.quorum = Some(Box::new(QuorumGap {
                votes,
                expected,
                needed,
                missing,
            }));
        }
        shown
    }
}
