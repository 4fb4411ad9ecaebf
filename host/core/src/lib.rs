//! The pure domain: what Cairn's nouns are and how decisions about them are made. No I/O, no clock,
//! no async runtime, no plugin engine.
//!
//! | module | what |
//! |---|---|
//! | [`cluster`] | who votes, and what would cost the quorum |
//! | [`error`] | the one error type of API and CLI: code, status, exit code, sentence |
//! | [`names`] | names that were checked once |
//! | [`plugin`] | what a plugin says of itself, what it asks for, what it was granted |
//! | [`grant`] | argument patterns of granted commands |
//! | [`schema`] | configuration schemas of plugins: validation, defaults, secrets |
//! | [`supervise`] | back-off and quarantine of a plugin that fails |
//! | [`fencing`] | devices that take power from nodes |
//! | [`storage`] | storages, volumes, snapshots |

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

pub mod cluster;
pub mod error;
pub mod fencing;
pub mod grant;
pub mod names;
pub mod plugin;
pub mod schema;
pub mod storage;
pub mod supervise;

pub use error::{Code, Error, QuorumGap};
