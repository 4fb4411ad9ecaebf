//! The test bed: places where a daemon and its tools can run for real, and be treated badly.
//!
//! A [`Place`] is this machine, a node of its own zfs-fuse daemon ([`ZfsFuse`]), or a virtual
//! machine with OpenZFS of a [`Bed`]. Tests run commands and daemons there the same way. Needs
//! root and a few programs: ask [`ZfsFuse::missing`] or [`Bed::missing`] first, and [`skip`]
//! with that reason. What a bed starts is gone whatever way the test ends, by SIGKILL too.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use cairn_bed::{Bed, seconds};
//! let bed = Bed::up(3)?;
//! bed.node(1).sh("zpool create tank mirror virtio-data-a virtio-data-b")?;
//! bed.cut(1, 2)?;
//! assert_ne!(bed.node(2).run("ping -c1 -W2 n1", seconds(10))?.status, 0);
//! bed.heal()?;
//! bed.node(3).power_cut()?;
//! bed.node(3).boot()?;
//! # Ok(())
//! # }
//! ```
//!
//! What it can show: functional truth, of the real kernel, the real ZFS, processes that really
//! die. What not: speed, as machines run 10 to 50 times slower than metal and share its cores, so
//! leases and heartbeats under test need seconds; and a missing flush, as a power cut loses the
//! machine's memory but nothing it has handed to its disks. A paused machine's clocks stand still.

mod agent;
mod bed;
mod cache;
mod cell;
mod forward;
mod host;
pub mod image;
mod lan;
mod limits;
mod machine;
mod monitor;
mod needs;
mod node;
mod place;
mod running;
mod template;
mod wait;
mod zfs_fuse;

pub use bed::Bed;
pub use lan::{LAN_LINKS, Lan};
pub use limits::{COMMAND_LIMIT_S, TIMED_OUT_STATUS};
pub use needs::{missing, not_root, skip};
pub use node::Node;
pub use place::{Output, Place};
pub use running::Running;
pub use rustix::process::Signal;
pub use wait::{Probe, seconds, wait_until};
pub use zfs_fuse::ZfsFuse;
