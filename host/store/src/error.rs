//! How the store fails.

use cairn_core::{Code, Error};

/// Why the store refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A path breaks the rules for paths.
    #[error(
        "`{0}` is no valid path: 1 to 512 bytes, segments of letters, digits and `._:@-`, joined by `/`"
    )]
    Path(String),
    /// A value is too large.
    #[error("the value at `{path}` has {bytes} bytes; at most {most} are taken")]
    TooLarge {
        /// Where.
        path: String,
        /// Its size.
        bytes: usize,
        /// The limit.
        most: usize,
    },
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
    /// The journal can't be trusted.
    #[error("{0}")]
    Damaged(String),
    /// A write didn't reach the disk; nothing more is taken until the daemon starts anew.
    #[error(
        "the store takes no more changes since a write failed ({0}); mend the disk, then start the daemon again"
    )]
    Poisoned(String),
    /// The disk.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl StoreError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::Path(_) | StoreError::TooLarge { .. } => Code::Invalid,
            StoreError::Conflict { .. } => Code::Revision,
            StoreError::Damaged(_) => Code::Corrupt,
            StoreError::Poisoned(_) => Code::Unavailable,
            StoreError::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Code::NoSpace
            }
            StoreError::Io { .. } => Code::Internal,
        };
        Error::new(code, error.to_string())
    }
}
