//! A node with a real zfs-fuse daemon: pool version 23, the old dialect of the ZFS tools.

use std::ffi::OsStr;
use std::fs::File;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

use crate::cell::{Cell, Spaces};
use crate::needs::{missing, no_device, not_root};
use crate::place::{Place, quoted};

/// Each daemon has its own socket in /run, and its own list of pools: with a shared list it would
/// import another's. Where its pools are mounted, in /run too, no one else sees them.
const SETUP: &str = r#"mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/zfs /run/pools "$dir"/{etc,lib,vdevs}
mount --bind "$dir/etc" /etc/zfs
mount --bind "$dir/lib" /var/lib/zfs
ulimit -s unlimited
zfs-fuse --no-daemon --no-kstat-mount </dev/null >"$dir/zfs-fuse.log" 2>&1 & daemon=$!
until zpool list >/dev/null 2>&1; do
  kill -0 $daemon || { cat "$dir/zfs-fuse.log"; exit 1; }
  sleep 0.05
done"#;

static STARTED: AtomicU32 = AtomicU32::new(0);

/// One zfs-fuse daemon in namespaces of its own. Its pools, and all that runs in its place, end
/// with it; it ends on drop, or with the test.
#[derive(Debug)]
pub struct ZfsFuse {
    cell: Cell,
    place: Place,
}

impl ZfsFuse {
    /// The reason to skip if this machine can't run one.
    #[must_use]
    pub fn missing() -> Option<String> {
        let programs = [
            "zfs-fuse", "zpool", "zfs", "unshare", "nsenter", "setpriv", "pkill",
        ];
        not_root()
            .or_else(|| missing(&programs))
            .or_else(|| no_device("/dev/fuse"))
    }

    /// Starts a daemon with no pools; within a second.
    pub fn start() -> Result<ZfsFuse> {
        let cell = Cell::start(Spaces::Mounts, SETUP).context("starting zfs-fuse")?;
        let number = STARTED.fetch_add(1, Ordering::Relaxed) + 1;
        let place = Place::new(Arc::new(cell.host(format!("zfs-fuse-{number}"))));
        Ok(ZfsFuse { cell, place })
    }

    /// Where the daemon's pools are, and `zfs` and `zpool` speak to it. It has its own mounts,
    /// /run and process numbers; network, /tmp and all other files are this machine's.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place.clone()
    }

    /// A command in its place, for who wants to show it, or to hold it as a child of this process. The child
    /// is then `nsenter`, which waits for the command.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let enter = self.cell.enter();
        let mut command = Command::new("nsenter");
        command.args(enter.iter().skip(1)).arg(program);
        command
    }

    /// Makes pool `name` on one file of `size_bytes` (64 MiB is the least), mounted at
    /// `/run/pools/NAME`.
    pub fn create_pool(&self, name: &str, size_bytes: u64) -> Result<()> {
        let path = self.cell.dir().join("vdevs").join(name);
        File::create_new(&path)?.set_len(size_bytes)?;
        let file = quoted(&path.display().to_string());
        let name = quoted(name);
        self.place
            .sh(&format!("zpool create -m /run/pools/{name} {name} {file}"))
            .map(drop)
    }
}
