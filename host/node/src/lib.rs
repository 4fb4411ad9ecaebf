//! The agent on one node: carries out what was asked of plugins, storages and volumes, and records
//! it in the store.
//!
//! | module | what |
//! |---|---|
//! | [`Node`] | everything one daemon holds; opens the data folder |
//! | `plugins` | install, upgrade, grant, roll back, remove; the trust list |
//! | `storages` | add, set, remove, activate; status with its age |
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

mod components;
mod locks;
mod node;
mod plugins;
pub mod records;
mod storages;
mod transfer;
mod volumes;

pub use node::Node;
