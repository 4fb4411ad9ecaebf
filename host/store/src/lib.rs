//! The configuration store: paths and JSON values, numbered by revision, the same on every node.
//!
//! A change becomes a command, sealed, in the log of openraft; when a majority has it on disk it is
//! committed, applied to the state, and told to watchers.
//!
//! | module | what |
//! |---|---|
//! | [`Store`] | open, change, read, watch, leases, members, quorum |
//! | [`Witness`] | a member that keeps the log, votes, and can read nothing |
//! | `change` | changes and what comes of them |
//! | [`go_on_alone`] | an operator's override of a lost majority |
//! | `log` | the log and the vote on disk |
//! | `state` | the materialised state in sled, rebuildable |
//! | `machine`, `snapshot` | what openraft applies to, and its snapshots |
//! | `network`, `contact`, `reversion` | messages to members, when they were heard, who went back in time |
//! | `watch` | who is told of changes |
//! | `limits` | every limit and time |

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod change;
mod contact;
mod error;
mod force;
mod lease;
pub mod limits;
mod log;
mod machine;
mod members;
mod network;
mod path;
mod quorum;
mod reversion;
mod serve;
mod snapshot;
mod state;
mod store;
mod types;
mod watch;
mod witness;

pub use change::{Action, Change, Expect, Lease, Record};
pub use error::StoreError;
pub use force::go_on_alone;
pub use limits::Timing;
pub use members::{MemberState, Membership};
pub use network::{CallError, Rpc, Transport};
pub use quorum::Quorum;
pub use state::Event;
pub use store::{Options, Store};
pub use types::Member;
pub use watch::Watch;
pub use witness::{Witness, WitnessState};

/// Seals what leaves the nodes: a witness keeps it and can't read it.
pub trait Cipher: Send + Sync + 'static {
    /// Seals bytes for a use; another use can't open them. None where it can't be done now.
    fn seal(&self, usage: &[u8], plain: &[u8]) -> Option<Vec<u8>>;
    /// The bytes, if they were sealed with this key for this use.
    fn open(&self, usage: &[u8], sealed: &[u8]) -> Option<Vec<u8>>;
}
