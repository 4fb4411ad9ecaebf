//! What is recorded of the cluster, and what the API shows of it.

use std::net::SocketAddr;

use cairn_net::{StoredToken, TokenVerifier};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The cluster, recorded under `cluster`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Its name.
    pub name: String,
    /// Raised by each `force-quorum`: what an older one decided is void.
    #[serde(default)]
    pub epoch: u64,
}

/// A node, recorded under `nodes/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Its id, never given twice.
    pub id: u64,
    /// When it came, in seconds since 1970.
    pub joined_s: u64,
}

/// A witness, recorded under `witnesses/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WitnessRecord {
    /// Its id as a member.
    pub id: u64,
    /// SHA-256 of its certificate.
    pub fingerprint: String,
    /// Where it is.
    pub addresses: Vec<SocketAddr>,
    /// How often it was evicted and added again, because its disk went back in time.
    #[serde(default)]
    pub readded: u32,
    /// When its certificate was made, in seconds since 1970.
    #[serde(default)]
    pub certified_s: u64,
}

/// Ids of nodes that left, recorded under `revoked/ID`: their certificates are worth nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokedRecord {
    /// Its name.
    pub name: String,
    /// When, in seconds since 1970.
    pub since_s: u64,
}

/// A join token, recorded under `tokens/VERIFIER`. The secret isn't in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord(pub StoredToken);

pub(crate) fn token_path(verifier: &TokenVerifier) -> String {
    let name = serde_json::to_value(verifier).ok();
    format!(
        "tokens/{}",
        name.as_ref()
            .and_then(serde_json::Value::as_str)
            .unwrap_or("none")
    )
}

/// A token as it is printed, once.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PrintedToken {
    /// What to give to `cairn cluster join`.
    pub token: String,
    /// Good until, in seconds since 1970.
    pub expires_s: u64,
}

/// The cluster, as one node sees it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ClusterStatus {
    /// Its name; none until `cairn cluster create`.
    pub name: Option<String>,
    /// Its id.
    pub id: String,
    /// SHA-256 of its authority's certificate.
    pub authority: String,
    /// The store's revision as known here.
    pub config_version: u64,
    /// Raised by each `force-quorum`.
    pub epoch: u64,
    /// The node that answers.
    pub node: String,
    /// A leader with a majority is in reach: changes are taken.
    pub quorate: bool,
    /// The leader's name.
    pub leader: Option<String>,
    /// The votes.
    pub votes: Votes,
    /// The nodes, by name.
    pub nodes: Vec<MemberStatus>,
    /// The witnesses, by name.
    pub witnesses: Vec<MemberStatus>,
    /// What an administrator should know.
    pub alarms: Vec<String>,
    /// Bytes that the store holds.
    pub store_bytes: u64,
}

/// Votes, in the words of corosync-quorumtool.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Votes {
    /// Votes of all voters.
    pub expected: usize,
    /// Votes within reach.
    pub total: usize,
    /// The least number for a change.
    pub quorum: usize,
    /// Names of the voters out of reach.
    pub missing: Vec<String>,
}

/// A node or a witness, as one node sees it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MemberStatus {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: u64,
    /// It is the node that answers.
    pub local: bool,
    /// Its votes: 1 or 0.
    pub votes: u32,
    /// It was heard from lately.
    pub online: bool,
    /// Since it was last heard from, in ms; none: not since this node's start.
    pub last_contact_ms: Option<u64>,
    /// Its wall clock less this node's, in ms. Shown, and decides nothing.
    pub clock_skew_ms: Option<i64>,
    /// Where it is reached.
    pub addresses: Vec<String>,
    /// The links from this node to it.
    pub links: Vec<LinkStatus>,
}

/// One link.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LinkStatus {
    /// The other end.
    pub address: String,
    /// `up`, `suspect`, `down` or `new`.
    pub state: String,
    /// Time of a probe there and back, in microseconds.
    pub latency_us: Option<u64>,
    /// Since the other end last answered over it, in ms.
    pub last_contact_ms: Option<u64>,
    /// Why it is down.
    pub why: Option<String>,
}
