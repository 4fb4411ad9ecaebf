//! Why an identity can't be made, saved or loaded.

use std::path::PathBuf;

/// Why an identity can't be made, saved or loaded. No variant carries a secret.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The system's generator failed.
    #[error("the system gives no random numbers, so no key can be made")]
    NoRandom,
    /// A file can't be read or written.
    #[error("can't {action} {}: {source}", path.display())]
    Io {
        /// What was tried: a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is there and unusable.
    #[error("{} is damaged ({why}): restore it from a backup, or join under a new id", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The file was written by a later version.
    #[error("{} is of format {found} and this version knows up to {known}: start a newer cairn", path.display())]
    NewerFormat {
        /// Which file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The last known here.
        known: u32,
    },
    /// A name doesn't fit into a certificate.
    #[error("the {what} '{name}' can't stand in a certificate: {why}")]
    Name {
        /// Which name.
        what: &'static str,
        /// As given.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A certificate, key or request can't be read, or they don't belong together.
    #[error("{0}")]
    Unfit(String),
}

impl IdentityError {
    pub(crate) fn unfit(what: &str, why: impl std::fmt::Display) -> Self {
        Self::Unfit(format!("{what}: {why}"))
    }
}
