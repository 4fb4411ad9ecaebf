//! Why a call to a peer failed.

use bytes::Bytes;

/// Why a call to a peer failed. [`Self::is_surely_undone`] says whether it may have had effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No link lives; it wasn't sent.
    #[error("no link to it works: {why}")]
    Unreachable {
        /// What each link says.
        why: String,
    },
    /// One side doesn't believe the other's certificate; it wasn't sent.
    #[error("{why}")]
    Refused {
        /// Which side, and why.
        why: String,
    },
    /// Its time was over. It may have been carried out.
    #[error("no answer within {after_ms} ms; it may have been carried out")]
    TimedOut {
        /// The limit.
        after_ms: u64,
    },
    /// The link failed after it was sent. It may have been carried out.
    #[error("the link failed before the answer ({why}); it may have been carried out")]
    Lost {
        /// What happened.
        why: String,
    },
    /// The request is beyond the bounds, or the answer was.
    #[error("{0}")]
    Unfit(String),
    /// The peer answered with another status than 200.
    #[error("it answers {status}: {}", crate::text::sentence(body))]
    Remote {
        /// An HTTP status.
        status: u16,
        /// What it says.
        body: Bytes,
    },
}

impl CallError {
    /// Whether the peer surely hasn't begun with it.
    #[must_use]
    pub fn is_surely_undone(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Refused { .. })
    }
}
