//! Between machines: who they are, how they prove it, and how they talk. Mutual TLS 1.3 for all of it.
//!
//! | module | what |
//! |---|---|
//! | [`names`] | clusters, nodes, serials, fingerprints, the name in a certificate |
//! | [`authority`] | the cluster's certificate authority |
//! | [`identity`], [`witness`] | what a node, or a witness, is; kept in one file |
//! | [`seal`] | the cluster's key: what a witness keeps, it can't read |
//! | [`token`], [`mod@join`] | one printed string lets in one machine |
//! | [`trust`], [`presented`] | whom we believe and what we show; both change at run time |
//! | [`server`], [`tls`] | one port for peers, joins and the API |
//! | [`rpc`] | requests between nodes: handler's side |
//! | [`links`] | requests between nodes: caller's side, over several links a peer |
//! | [`limits`] | every bound and time limit |
//!
//! Not here: what is said. Paths and bodies are the callers'.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

pub mod authority;
pub mod certificate;
pub mod clock;
mod dial;
pub mod error;
mod files;
pub mod identity;
pub mod join;
mod keys;
pub mod limits;
pub mod links;
pub mod names;
pub mod presented;
pub mod rpc;
pub mod seal;
pub mod secret;
pub mod server;
mod text;
pub mod tls;
pub mod token;
pub mod trust;
mod verify;
pub mod witness;

pub use authority::{Authority, IssueRequest, NodeCsr, NodeKey};
pub use clock::Clock;
pub use error::IdentityError;
pub use identity::{ClusterSecrets, Identity};
pub use join::{JoinAttempt, JoinError, JoinHandler, JoinRefusal, StoredToken, join};
pub use links::{
    CallError, CallOptions, LinkState, Links, LinksOptions, PeerConfig, PeerTrust, Retry,
};
pub use names::{ClusterId, Fingerprint, NodeId, Role, Serial};
pub use presented::Presented;
pub use rpc::{ByteStream, Peer, PeerHandler, PeerRequest, PeerResponse};
pub use rustls::sign::CertifiedKey;
pub use seal::ClusterKey;
pub use server::{ApiConnection, ApiOptions, Server, ServerOptions};
pub use token::{JoinToken, TokenVerifier};
pub use trust::{Revoked, Trust};
pub use witness::WitnessIdentity;
