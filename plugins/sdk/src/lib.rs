//! The authors' kit: write a plugin as Rust traits, export it with one macro.
//!
//! ```text
//! use cairn_sdk::{export, plugin::*, storage::*};
//! struct MyStorage;
//! impl Identity for MyStorage { /* … */ }
//! impl Backend for MyStorage { /* … */ }
//! impl Volumes for MyStorage { /* … */ }
//! export!(MyStorage: identity, backend, volumes);
//! ```
//!
//! An optional ability is exported by naming its interface in [`export!`]; what isn't named isn't in
//! the component. Built for `wasm32-unknown-unknown` and made a component by `cairn-componentize`,
//! a plugin imports nothing but the `cairn:host` interfaces that it uses.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod command;
mod error;
mod export;
mod files;
mod surroundings;

/// What wit-bindgen makes of the contracts in `wit/`.
#[allow(
    missing_docs,
    unsafe_code,
    clippy::all,
    clippy::pedantic,
    unreachable_pub
)]
pub mod bindings {
    wit_bindgen::generate!({
        inline: r#"
            package cairn:sdk;
            world everything {
                include cairn:storage/everything@1.0.0;
                include cairn:fencing/everything@1.0.0;
                include cairn:policy/everything@1.0.0;
            }
        "#,
        path: [
            "../../wit/plugin/v1", "../../wit/host/v1", "../../wit/storage/v1",
            "../../wit/fencing/v1", "../../wit/policy/v1",
        ],
        world: "cairn:sdk/everything",
        pub_export_macro: true,
        generate_all,
        additional_derives: [PartialEq],
    });
}

/// What every plugin says of itself, and the errors it answers with.
pub mod plugin {
    pub use crate::bindings::cairn::plugin::types::{Cause, Error, FieldProblem, TimestampMs};
    pub use crate::bindings::exports::cairn::plugin::configuration::{
        Finding, Guest as Configuration, Severity,
    };
    pub use crate::bindings::exports::cairn::plugin::health::{Fact, Guest as Health, Level};
    pub use crate::bindings::exports::cairn::plugin::identity::{
        Asks, CommandAsk, Description, FileAccess, FileAsk, Guest as Identity, HttpAsk, Kind,
        RunWish, SecretAsk,
    };
}

/// The storage contract: a trait an interface, and its nouns.
pub mod storage {
    pub use crate::bindings::cairn::storage::streams::{ByteRange, Process, StreamEnd};
    pub use crate::bindings::cairn::storage::types::{
        Content, Format, Hints, Snapshot, SnapshotRef, Volume, VolumeSpec,
    };
    pub use crate::bindings::exports::cairn::storage::backend::{
        CapabilityReport, Concurrency, GroupSnapshot, Guest as Backend, Reach, State, StatusReport,
    };
    pub use crate::bindings::exports::cairn::storage::byte_streams::Guest as ByteStreams;
    pub use crate::bindings::exports::cairn::storage::changed_blocks::{
        Extent, Extents, Guest as ChangedBlocks,
    };
    pub use crate::bindings::exports::cairn::storage::clones::Guest as Clones;
    pub use crate::bindings::exports::cairn::storage::encryption::{
        Guest as Encryption, KeyStatus,
    };
    pub use crate::bindings::exports::cairn::storage::flattening::Guest as Flattening;
    pub use crate::bindings::exports::cairn::storage::holds::Guest as Holds;
    pub use crate::bindings::exports::cairn::storage::origins::Guest as Origins;
    pub use crate::bindings::exports::cairn::storage::quota::{Guest as Quota, UsageReport};
    pub use crate::bindings::exports::cairn::storage::resize::Guest as Resize;
    pub use crate::bindings::exports::cairn::storage::scrub::Guest as Scrub;
    pub use crate::bindings::exports::cairn::storage::shrinking::Guest as Shrinking;
    pub use crate::bindings::exports::cairn::storage::snapshots::Guest as Snapshots;
    pub use crate::bindings::exports::cairn::storage::templates::Guest as Templates;
    pub use crate::bindings::exports::cairn::storage::transfer::{
        FormatReport, Guest as Transfer, Partial, ReceivePlan, ReceiveRequest, SendPlan,
        SendRequest,
    };
    pub use crate::bindings::exports::cairn::storage::trim::Guest as Trim;
    pub use crate::bindings::exports::cairn::storage::volumes::{
        AttachRequest, Attachment, Changes, DetachRequest, Guest as Volumes, Holder, Page,
        PageRequest, Purpose,
    };
}

/// The fencing contract.
pub mod fencing {
    pub use crate::bindings::exports::cairn::fencing::device::{
        Guest as Device, Manner, Power, Target, TraitReport,
    };
}

/// The policy contract.
pub mod policy {
    pub use crate::bindings::cairn::policy::types::GuestFacts;
    pub use crate::bindings::exports::cairn::policy::{admission, approval, placement};
}

/// What the host lends.
pub mod host {
    pub use crate::bindings::cairn::host::{clock, http, log, notices, random, scratch, secrets};
    pub use crate::command::{Command, Output};
    pub use crate::files::{Directory, Entry, FileError, FileKind, Metadata, SpaceReport};
    pub use crate::surroundings::{config, instance, node};
}
