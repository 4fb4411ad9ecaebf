//! Storage plugins on real backends, through a real daemon: one suite that every backend passes.
//!
//! `suite!` makes a test of each function of [`mod@suite`], on the backend that it is given. A test asks the
//! storage's reported abilities what it can do, and checks the refusal where it can't. Needs `CAIRN_BIN`
//! (the `cairn` binary) and `CAIRN_PLUGINS` (the folder of built plugins), which `./x test` sets.

mod backend;
mod bench;
mod client;
mod daemon;
mod dir;
mod openzfs;
mod pausing;
pub mod suite;
mod zfs;
mod zfs_fuse;

pub use bench::Bench;
pub use client::Said;
pub use daemon::{Daemon, plugins};
pub use dir::dir;
pub use openzfs::openzfs;
pub use zfs_fuse::zfs_fuse;
