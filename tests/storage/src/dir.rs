//! `storage-dir` on this machine's file system. Needs qemu-img, and root for small file systems and mounts.

use std::path::PathBuf;

use anyhow::Result;
use cairn_bed::{Place, missing, not_root, skip};
use tempfile::TempDir;

use crate::backend::{Backend, Moments};
use crate::bench::Bench;
use crate::daemon::Daemon;
use crate::pausing::Moment;

/// A daemon with a storage on a directory; none, and told, where that can't be.
///
/// # Panics
/// Where it can't be started.
#[must_use]
#[expect(clippy::unwrap_used, reason = "without it there is no test")]
pub fn dir() -> Option<Bench> {
    let reason = not_root().or_else(|| missing(&["qemu-img", "qemu-io", "unshare"]));
    if let Some(reason) = reason {
        skip(&reason);
        return None;
    }
    let folder = tempfile::Builder::new()
        .prefix("cairn-store-")
        .tempdir()
        .unwrap();
    let daemon = Daemon::start(&Place::local()).unwrap();
    Some(Bench::on(Box::new(Dir { daemon, folder })))
}

struct Dir {
    daemon: Daemon,
    /// Holds a folder for each storage.
    folder: TempDir,
}

impl Dir {
    fn path(&self, storage: &str) -> PathBuf {
        self.folder.path().join(storage)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        self.daemon.kill();
        let small = self.path("small");
        if small.exists() {
            let _ = Place::local().sh(&format!("umount {}", small.display()));
        }
    }
}

impl Backend for Dir {
    fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    fn plugin(&self) -> &'static str {
        "storage_dir.wasm"
    }

    fn add(&self, storage: &str) -> String {
        let path = self.path(storage);
        let _ = std::fs::create_dir(&path);
        format!("dir {storage} --path {}", path.display())
    }

    fn add_small(&self, storage: &str) -> Result<String> {
        let add = self.add(storage);
        let path = self.path(storage);
        let path = path.display();
        Place::local().sh(&format!("mount -t tmpfs -o size=2M tmpfs {path}"))?;
        Ok(format!("{add} --preallocation falloc"))
    }

    fn left(&self, storage: &str) -> Result<String> {
        let path = self.path(storage);
        let path = path.display();
        Place::local().sh(&format!("find {path}/volumes {path}/transfer -mindepth 1"))
    }

    fn bad_options(&self) -> [&'static str; 3] {
        ["--path relative", "path", "--path /no/such/directory"]
    }

    fn changes(&self) -> [&'static str; 2] {
        ["--format raw", "--path /elsewhere"]
    }

    fn take_away(&self) -> Result<()> {
        Ok(std::fs::rename(self.path("s"), self.path("away"))?)
    }

    fn bring_back(&self) -> Result<()> {
        Ok(std::fs::rename(self.path("away"), self.path("s"))?)
    }

    fn replace(&self) -> Result<()> {
        Ok(std::fs::write(
            self.path("s").join(".cairn-storage"),
            "another",
        )?)
    }

    fn moments(&self) -> Moments {
        Moments {
            program: "qemu-img",
            making: Moment::After("create"),
            copying: Moment::After("convert"),
        }
    }

    /// In mounts of its own: this machine's `qemu-img` stays what it is for all others.
    fn wrap(&self, program: &str, wrapper: &str) -> Result<String> {
        Ok(format!(
            "unshare -m --propagation private bash -c \
             'mount --bind {wrapper} $(command -v {program}) && exec \"$@\"' wrapped"
        ))
    }

    fn unwrap(&self, _program: &str) -> Result<()> {
        Ok(())
    }
}
