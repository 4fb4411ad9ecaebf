//! The configuration store of one node: paths and JSON values, numbered by revision.
//!
//! Every change is one frame of a journal that is on disk (`fdatasync`) before it is acknowledged;
//! the state itself is kept in memory and rebuilt from the journal at start. When several nodes form
//! a cluster, consensus takes the journal's place behind this same face.
//!
//! | module | what |
//! |---|---|
//! | [`Store`] | get, list, transact |
//! | `journal` | frames on disk: append, replay, compact |
//! | `path` | which paths are valid |

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod error;
mod journal;
mod path;
mod store;

pub use error::StoreError;
pub use store::{Change, Expect, Record, Store};
