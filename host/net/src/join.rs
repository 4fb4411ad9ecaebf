//! The join: a machine that holds a token asks a cluster to let it in, or a cluster asks a witness
//! to vote for it.
//!
//! ```text
//! client                                   server
//!   | -- TLS 1.3, ALPN cairn-join/1 -------> |   the server's certificate is what the token pins
//!   | -- role, verifier, proof, request ---> |   proof: signs role, TLS exporter and request
//!   | <------------- taken | refused ------- |   an answer, or a sentence
//! ```
//! The secret is never sent. The proof is bound to the connection (RFC 5705, RFC 9266), so it is
//! worth nothing on another one. What request and answer mean is for the callers.

use std::net::SocketAddr;

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::error::IdentityError;
use crate::names::Role;
use crate::token::{Proof, TokenError, TokenVerifier};
use crate::trust::Refusal;

mod client;
mod frame;
pub(crate) mod server;

pub use client::join;

const EXPORTER_LABEL: &[u8] = b"EXPORTER-cairn-join-1";

/// Somebody asks to be let in.
#[derive(Debug)]
pub struct JoinAttempt {
    /// From where.
    pub remote: SocketAddr,
    /// As what.
    pub role: Role,
    /// The token it says it holds, to be looked up among those stored. Not proved yet!
    pub verifier: TokenVerifier,
    /// What it asks.
    pub request: Bytes,
    channel: [u8; 32],
    proof: Proof,
}

impl JoinAttempt {
    /// Whether it holds the token that it names. Without this nothing it says counts.
    #[must_use]
    pub fn is_proved(&self) -> bool {
        self.verifier
            .accepts(self.role, &self.channel, &self.request, &self.proof)
    }

    /// Whether this stored token lets it in now.
    ///
    /// # Errors
    /// Says why not.
    pub fn check(&self, stored: Option<&StoredToken>, now_s: u64) -> Result<(), JoinRefusal> {
        // Proof first: who can't prove a token learns nothing of what is stored.
        let stored = stored.filter(|stored| stored.verifier == self.verifier && self.is_proved());
        let stored = stored.ok_or(JoinRefusal::UnknownToken)?;
        if let Some(by) = &stored.used_by {
            return Err(JoinRefusal::UsedToken { by: by.clone() });
        }
        if stored.role != self.role {
            let (found, wanted) = (stored.role, self.role);
            return Err(JoinRefusal::Token(TokenError::OtherRole { found, wanted }));
        }
        match now_s.checked_sub(stored.expires_s) {
            Some(since_s) if since_s > 0 => Err(TokenError::Expired { since_s }.into()),
            _ => Ok(()),
        }
    }
}

/// A token as the cluster keeps it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StoredToken {
    /// Knows the secret.
    pub verifier: TokenVerifier,
    /// What it is for.
    pub role: Role,
    /// Good until, in seconds since 1970.
    pub expires_s: u64,
    /// Who used it: a name.
    pub used_by: Option<String>,
}

/// Why somebody isn't let in. The other side is told the sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinRefusal {
    /// Not stored, or not proved.
    #[error(
        "no such token is known here: it was taken back, or is of another cluster of this name"
    )]
    UnknownToken,
    /// A token lets in one machine.
    #[error(
        "the token was used before, by {by}: each lets in one machine, have another one printed"
    )]
    UsedToken {
        /// Who used it.
        by: String,
    },
    /// As the token's own check says.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// What else the cluster has against it.
    #[error("{0}")]
    Other(String),
}

/// Decides on joins. Given by the node, or the witness.
pub trait JoinHandler: Send + Sync + 'static {
    /// Answers one attempt. It is dropped after [`crate::limits::JOIN_ANSWER_MS`].
    fn join(&self, attempt: JoinAttempt) -> BoxFuture<'_, Result<Bytes, JoinRefusal>>;
}

/// Why a join came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The token itself.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// No address of the token answers.
    #[error(
        "none of the token's addresses answers: {0}. Is the daemon there running, and the port open?"
    )]
    Unreachable(String),
    /// Somebody else is at the address.
    #[error("who answers at {address} isn't whom the token names: {refusal}")]
    NotTheCluster {
        /// Where.
        address: SocketAddr,
        /// What is wrong with it.
        refusal: Refusal,
    },
    /// The cluster says no.
    #[error("{address} refuses: {sentence}")]
    Refused {
        /// Who.
        address: SocketAddr,
        /// Why, in its words.
        sentence: String,
    },
    /// The connection broke after the request was sent.
    #[error(
        "{address} took the request and didn't answer ({why}): look there whether the join went through before trying again"
    )]
    Unanswered {
        /// Who.
        address: SocketAddr,
        /// What happened.
        why: String,
    },
    /// The request is too large, or the cryptography failed.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}
