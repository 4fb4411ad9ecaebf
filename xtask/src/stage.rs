//! What the demo's storages are on: ZFS where this machine can have it, a directory where it can't.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use cairn_bed::{ZfsFuse, missing, not_root};

use crate::narrate::say;

/// Size of the file that a pool is on; only what is written takes space.
const POOL_BYTES: u64 = 512 << 20;
const ZFS_GRANTS: &[&str] = &[
    "command:zfs",
    "command:zpool",
    "command:install",
    "command:truncate",
    "command:udevadm",
    "command:fuser",
];
const DIRECTORY_GRANTS: &[&str] = &["command:qemu-img", "files:{config.path}"];

/// A backend of the demo's own; it goes with this.
pub(crate) enum Stage {
    /// A pool of this machine's OpenZFS, on a file.
    OpenZfs(Pool),
    /// A pool of a zfs-fuse daemon that nobody else sees.
    ZfsFuse(ZfsFuse),
    Directory(PathBuf),
}

impl Stage {
    /// The best that this machine can have; says which, and why not a better one.
    pub(crate) fn open(folder: &Path) -> Result<Stage> {
        let pool = match Pool::create(folder) {
            Ok(pool) => {
                say("The storages are on a pool of this machine's OpenZFS.");
                return Ok(Stage::OpenZfs(pool));
            }
            Err(error) => error,
        };
        match zfs_fuse() {
            Ok(node) => {
                say(&format!(
                    "The storages are on a pool of zfs-fuse, in mounts of its own (this machine has no OpenZFS: \
                     {pool:#})."
                ));
                Ok(Stage::ZfsFuse(node))
            }
            Err(error) => {
                say(&format!(
                    "The storages are directories: this machine has neither OpenZFS ({pool:#}) nor zfs-fuse ({error:#})."
                ));
                Ok(Stage::Directory(folder.to_owned()))
            }
        }
    }

    /// A command where the storages can be seen.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        match self {
            Stage::ZfsFuse(node) => node.command(program),
            Stage::OpenZfs(_) | Stage::Directory(_) => Command::new(program),
        }
    }

    /// The file of the plugin that serves it.
    pub(crate) fn component(&self) -> &'static str {
        match self {
            Stage::Directory(_) => "storage_dir.wasm",
            Stage::OpenZfs(_) | Stage::ZfsFuse(_) => "storage_zfs.wasm",
        }
    }

    /// The plugin's name.
    pub(crate) fn plugin(&self) -> &'static str {
        match self {
            Stage::Directory(_) => "storage-dir",
            Stage::OpenZfs(_) | Stage::ZfsFuse(_) => "storage-zfs",
        }
    }

    /// All that the plugin asks for.
    pub(crate) fn grants(&self) -> &'static [&'static str] {
        match self {
            Stage::Directory(_) => DIRECTORY_GRANTS,
            Stage::OpenZfs(_) | Stage::ZfsFuse(_) => ZFS_GRANTS,
        }
    }

    /// Makes a part for a storage: its type, and the option that says where it is.
    pub(crate) fn part(&self, storage: &str) -> Result<[String; 3]> {
        let dataset = match self {
            Stage::Directory(folder) => {
                let path = folder.join(storage);
                let shown = path.display().to_string();
                std::fs::create_dir(&path).with_context(|| format!("can't make {shown}"))?;
                return Ok(["dir".to_owned(), "--path".to_owned(), shown]);
            }
            Stage::OpenZfs(pool) => format!("{}/{storage}", pool.name),
            Stage::ZfsFuse(_) => format!("tank/{storage}"),
        };
        done(self.command("zfs").args(["create", &dataset]))?;
        Ok(["zfs".to_owned(), "--pool".to_owned(), dataset])
    }
}

fn zfs_fuse() -> Result<ZfsFuse> {
    if let Some(reason) = ZfsFuse::missing() {
        bail!(reason);
    }
    let node = ZfsFuse::start()?;
    node.create_pool("tank", POOL_BYTES)?;
    Ok(node)
}

/// A pool of this machine's OpenZFS.
pub(crate) struct Pool {
    name: String,
}

impl Pool {
    fn create(folder: &Path) -> Result<Pool> {
        if let Some(reason) = not_root().or_else(|| missing(&["zfs", "zpool"])) {
            bail!(reason);
        }
        // zfs-fuse's tools don't know this word.
        done(Command::new("zfs").arg("version"))?;
        let disk = folder.join("disk");
        std::fs::File::create_new(&disk)?.set_len(POOL_BYTES)?;
        let name = format!("cairn-demo-{}", std::process::id());
        let mounts = format!("mountpoint={}", folder.join("pool").display());
        let mut create = Command::new("zpool");
        create.args(["create", "-o", "cachefile=none", "-O", &mounts, &name]);
        done(create.arg(&disk))?;
        Ok(Pool { name })
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Err(error) = done(Command::new("zpool").args(["destroy", "-f", &self.name])) {
            eprintln!("the demo's pool {} stays: {error:#}", self.name);
        }
    }
}

/// Runs a command; fails with what it complained of.
fn done(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let first = said.lines().next().unwrap_or("it said nothing");
    bail!("{}: {first}", crate::shell::line(command))
}
