//! What zfs-fuse and OpenZFS have in common beneath a daemon: pool `tank`, and a dataset of it a storage.

use anyhow::Result;
use cairn_bed::Place;

use crate::backend::{Backend, Moments};
use crate::daemon::Daemon;
use crate::pausing::Moment;

/// Room of a small part, in bytes: enough for datasets without content.
const SMALL_BYTES: u64 = 3 << 20;
/// More than a command's answer, less than what tests copy: a stream is cut off in its middle.
const CUT_AFTER_BYTES: u64 = 2 << 20;

/// A pool, and the daemon that uses it.
pub(crate) struct Zfs<D, K> {
    pub(crate) daemon: D,
    pub(crate) pool: Pool,
    /// What must live as long.
    pub(crate) _keep: K,
}

/// How pool `tank` is made and found again.
pub(crate) struct Pool {
    pub(crate) place: Place,
    pub(crate) create: String,
    pub(crate) import: String,
}

impl Pool {
    /// Makes an empty dataset for a storage.
    fn part(&self, storage: &str, options: &str) -> Result<()> {
        let path = format!("tank/{storage}");
        self.place
            .sh(&format!("zfs create {options} {path}"))
            .map(drop)
    }

    /// Makes the pool, with parts for two storages.
    pub(crate) fn create(&self) -> Result<()> {
        self.place.sh(&self.create)?;
        self.part("s", "")?;
        self.part("t", "")
    }
}

impl<D: std::ops::Deref<Target = Daemon>, K> Backend for Zfs<D, K> {
    fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    fn plugin(&self) -> &'static str {
        "storage_zfs.wasm"
    }

    fn add(&self, storage: &str) -> String {
        format!("zfs {storage} --pool tank/{storage}")
    }

    fn add_small(&self, storage: &str) -> Result<String> {
        self.pool
            .part(storage, &format!("-o quota={SMALL_BYTES}"))?;
        Ok(format!("{} --thin false", self.add(storage)))
    }

    fn left(&self, storage: &str) -> Result<String> {
        // Datasets that only hold others stay.
        let list = "zfs list -H -r -t filesystem,volume,snapshot -o name";
        self.pool.place.sh(&format!(
            "{list} tank/{storage} | grep -Ev '^tank/{storage}(/cairn-[a-z]*)?$' || :"
        ))
    }

    fn bad_options(&self) -> [&'static str; 3] {
        ["--pool /tank/s", "pool", "--pool tank/none"]
    }

    fn changes(&self) -> [&'static str; 2] {
        ["--thin false", "--pool tank/t"]
    }

    fn take_away(&self) -> Result<()> {
        self.pool.place.sh("zpool export tank").map(drop)
    }

    fn bring_back(&self) -> Result<()> {
        self.pool.place.sh(&self.pool.import).map(drop)
    }

    fn replace(&self) -> Result<()> {
        self.pool.place.sh("zpool destroy tank")?;
        self.pool.create()
    }

    fn moments(&self) -> Moments {
        Moments {
            program: "zfs",
            making: Moment::After("create"),
            copying: Moment::Amid("send", CUT_AFTER_BYTES),
        }
    }

    /// For all in the place, which nobody else uses.
    fn wrap(&self, program: &str, wrapper: &str) -> Result<String> {
        let bind = format!("mount --bind {wrapper} $(command -v {program})");
        self.pool.place.sh(&bind).map(|_| String::new())
    }

    fn unwrap(&self, program: &str) -> Result<()> {
        self.pool
            .place
            .sh(&format!("umount -l $(command -v {program})"))
            .map(drop)
    }
}
