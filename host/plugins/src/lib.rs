//! The plugin host: components of the contracts in `wit/`, run by wasmtime, each with nothing but
//! what it was granted.
//!
//! | module | what |
//! |---|---|
//! | `host` | [`PluginHost`]: inspect a component, load one to be called |
//! | `description` | what a component says of itself, checked and bounded |
//! | `check` | does a component fit the contracts, and if not, a sentence for its author |
//! | `engine`, `cache` | wasmtime's set-up, two lanes; compiled components on disk |
//! | `call`, `bound`, `failure` | [`Plugin`]: queue, deadline, memory cap, warm instances, supervision of calls |
//! | `state`, `lend` | what a running plugin can reach: grants, and the interfaces lent |
//! | `storage`, `fencing` | [`StorageCalls`], [`FencingCalls`]: these contracts with core's types |
//! | `threads` | threads of the fencing lane's own |
//! | `streams` | bytes of transfers between storages |
//! | `signature` | minisign signatures against a trust list |
//! | `limits` | all limits and deadlines |

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod bindings;
mod bound;
mod cache;
mod call;
mod check;
mod convert;
mod description;
mod engine;
mod exports;
mod failure;
mod fencing;
mod host;
mod lend;
pub mod limits;
mod signature;
mod state;
mod statistics;
mod storage;
mod streams;
mod text;
mod threads;
mod typed;

pub use call::Plugin;
pub use fencing::FencingCalls;
pub use host::{PluginHost, digest};
pub use signature::{TrustedKey, verify};
pub use state::Instance;
pub use storage::StorageCalls;
