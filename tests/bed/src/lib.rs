//! The test bed: places where a daemon and its tools can run for real, and be treated badly.
//!
//! A [`Place`] is this machine, or a node of its own zfs-fuse daemon ([`ZfsFuse`]). Tests run
//! commands and daemons there the same way. Needs root and a few programs: ask
//! [`ZfsFuse::missing`] first, and [`skip`] with that reason. What a bed starts is gone whatever
//! way the test ends, by SIGKILL too.

mod cell;
mod host;
mod limits;
mod needs;
mod place;
mod running;
mod wait;
mod zfs_fuse;

pub use limits::{COMMAND_LIMIT_S, TIMED_OUT_STATUS};
pub use needs::{missing, not_root, skip};
pub use place::{Output, Place};
pub use running::Running;
pub use rustix::process::Signal;
pub use wait::{Probe, seconds, wait_until};
pub use zfs_fuse::ZfsFuse;
