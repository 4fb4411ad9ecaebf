//! `storage-zfs`: volumes as datasets and zvols of a ZFS pool.
//!
//! ```text
//! POOL/NAME                     a volume; everything recorded of it is in its `cairn:` properties
//! POOL/NAME/disk.raw            the disk of a raw volume where the tools have no zvols
//! POOL/NAME@SNAPSHOT            a snapshot
//! POOL/cairn-incoming/NAME      what is known of a volume being received; `data` in it is the volume to be
//! POOL/cairn-removed/NAME       what keeps the snapshots of a volume while it is removed
//! POOL/cairn-views/NAME:SNAP    a clone through which a snapshot is read while it is attached
//! ```
//!
//! Two dialects are told apart at run time: OpenZFS 2, and zfs-fuse 0.7 (pool version 23), which takes one
//! snapshot or property a command and has neither zvols nor resumable streams. A dataset is a volume if its
//! own `cairn:content` is set, so setting that is the commit of a creation and unsetting it the first step of
//! a removal.
//!
//! | modules | what |
//! |---|---|
//! | `dataset`, `words`, `record`, `loaded`, `attached`, `forms`, `refusal`, `plan`, `ticket` | pure: text in, values out |
//! | `zfs`, `place` | runs the tools |
//! | the others | one interface of the contract each |

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod arrived;
mod attach;
mod attached;
mod backend;
mod clones;
mod create;
mod dataset;
mod forms;
mod identity;
mod loaded;
mod place;
mod plan;
mod promote;
mod receive;
mod record;
mod refusal;
mod remove;
mod resize;
mod send;
mod snapshots;
mod ticket;
mod volumes;
mod words;
mod zfs;

use cairn_sdk::export;

/// The plugin. It keeps nothing between calls.
#[derive(Debug)]
pub struct StorageZfs;

export!(StorageZfs: identity, configuration, health, backend, volumes, resize, quota, snapshots, holds,
    clones, templates, origins, transfer);
