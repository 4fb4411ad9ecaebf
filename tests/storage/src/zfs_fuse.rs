//! `storage-zfs` on a zfs-fuse daemon of its own. Needs root, /dev/fuse and zfs-fuse.

use cairn_bed::{ZfsFuse, missing, skip};

use crate::bench::Bench;
use crate::daemon::Daemon;
use crate::zfs::{Pool, Zfs};

const POOL_BYTES: u64 = 256 << 20;

/// A daemon with a storage on a zfs-fuse pool; none, and told, where that can't be.
///
/// # Panics
/// Where it can't be started.
#[must_use]
#[expect(clippy::unwrap_used, reason = "without it there is no test")]
pub fn zfs_fuse() -> Option<Bench> {
    let reason = ZfsFuse::missing().or_else(|| missing(&["qemu-io", "python3"]));
    if let Some(reason) = reason {
        skip(&reason);
        return None;
    }
    let node = ZfsFuse::start().unwrap();
    let place = node.place();
    let daemon = Box::new(Daemon::start(&place).unwrap());
    let disk = format!("{}/disk", daemon.data().display());
    let pool = Pool {
        create: format!(
            "truncate -s {POOL_BYTES} {disk} && zpool create -f -m /run/pools/tank tank {disk}"
        ),
        import: format!("zpool import -d {} tank", daemon.data().display()),
        place,
    };
    pool.create().unwrap();
    Some(Bench::on(Box::new(Zfs {
        daemon,
        pool,
        _keep: node,
    })))
}
