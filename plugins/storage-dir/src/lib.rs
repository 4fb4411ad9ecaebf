//! `storage-dir`: volumes as qcow2 and raw files, or file trees, in one directory.
//!
//! ```text
//! PATH/.cairn-storage               what makes this directory this storage
//! PATH/volumes/NAME/meta.json       the volume; written last, so a half-made volume isn't one
//! PATH/volumes/NAME/N.qcow2, N.raw  layers; each stands on the one before it
//! PATH/volumes/NAME/tree/           the files of a volume of format `directory`
//! PATH/transfer/                    what is being sent or received
//! ```
//!
//! A snapshot freezes the newest layer and puts an empty qcow2 layer on it; so a raw volume goes on as
//! qcow2 after its first snapshot. A linked clone is a layer on a snapshot's layer of another volume.
//! Removing a snapshot merges its layer into the one above it. Every step leaves the chain whole,
//! whenever it is cut off; layers that no `meta.json` names are swept by the next change.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod backend;
mod clones;
mod header;
mod identity;
mod image;
mod meta;
mod place;
mod resize;
mod snapshots;
mod transfer;
mod volumes;

use cairn_sdk::export;

/// The plugin. It keeps nothing between calls.
#[derive(Debug)]
pub struct StorageDir;

export!(StorageDir: identity, configuration, health, backend, volumes, resize, snapshots, holds,
    clones, templates, flattening, transfer);
