//! The agent on one node: carries out what was asked of plugins, storages and volumes, and records
//! it in the store.
//!
//! | module | what |
//! |---|---|
//! | [`Node`] | everything one daemon holds; opens the data folder |
//! | `plugins` | install, upgrade, grant, roll back, remove |
//! | `grants` | what a version is granted, at install and at an upgrade |
//! | `trust` | whose signatures are taken |
//! | `backends` | which backend stands behind a storage on each node |
//! | `storages` | add, set, remove, show |
//! | `mounted` | a storage in use: activated once, its status with its age |
//! | `volumes` | volumes, snapshots, clones: one call at a time a volume |
//! | `transfer` | copies between storages of this node |
//! | [`records`] | what the API shows of these |

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod backends;
mod cluster;
mod components;
pub mod config;
mod grants;
mod locks;
mod membership;
mod mounted;
mod node;
mod plugin_sync;
mod plugins;
pub mod records;
mod storages;
mod transfer;
mod trust;
mod volumes;
mod witness;

pub use cairn_net::ApiConnection;
pub use cluster::records as cluster_records;
pub use config::ConfigRecord;
pub use node::Node;
pub use witness::{ServedCluster, WitnessReport, WitnessService};
