//! `storage-zfs` on OpenZFS 2.3, in a virtual machine where the daemon runs, too. One machine and one daemon
//! serve all tests of a program, one after another: it has no accelerator, so each start takes long.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use anyhow::{Context as _, Result, anyhow};
use cairn_bed::{Bed, skip};
use serde_json::Value;

use crate::bench::Bench;
use crate::daemon::Daemon;
use crate::zfs::{Pool, Zfs};

/// The machine, for as long as the program runs; it goes with that, however it ends.
struct Machine {
    daemon: Daemon,
    _bed: Bed,
}

impl Machine {
    fn start() -> Result<Self> {
        let bed = Bed::up(1)?;
        let daemon = Daemon::start_far(&bed.node(1).place(), "storage_zfs.wasm")?;
        Ok(Self { daemon, _bed: bed })
    }

    /// Takes away what the test before has left.
    fn clean(&self) -> Result<()> {
        let place = self.daemon.place();
        // Down where the test before has failed.
        if self.daemon.cairn("plugin list")?.status != 0 {
            self.daemon.boot()?;
        }
        place.sh("! zpool list tank >/dev/null 2>&1 || zpool destroy -f tank")?;
        // A pool that is gone keeps no storage.
        let listed = self.daemon.ok("storage list")?;
        for storage in listed.as_array().into_iter().flatten() {
            let name = storage.get("name").and_then(Value::as_str);
            let name = name.context("a storage without a name")?;
            self.daemon.ok(&format!("storage remove {name}"))?;
        }
        Ok(())
    }
}

/// A daemon with a storage on an OpenZFS pool; none, and told, where that can't be.
///
/// # Panics
/// Where it can't be started.
#[must_use]
#[expect(clippy::unwrap_used, reason = "without it there is no test")]
pub fn openzfs() -> Option<Bench> {
    static MACHINE: OnceLock<Result<Machine, String>> = OnceLock::new();
    static TURN: Mutex<()> = Mutex::new(());
    if let Some(reason) = Bed::missing() {
        skip(&reason);
        return None;
    }
    let turn: MutexGuard<'static, ()> = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let machine = MACHINE
        .get_or_init(|| Machine::start().map_err(|e| format!("{e:#}")))
        .as_ref()
        .map_err(|e| anyhow!(e.clone()))
        .unwrap();
    machine.clean().unwrap();
    let pool = Pool {
        place: machine.daemon.place().clone(),
        create: "zpool create -f -o ashift=12 -O mountpoint=/tank tank virtio-data-a".to_owned(),
        import: "zpool import tank".to_owned(),
    };
    pool.create().unwrap();
    Some(Bench::on(Box::new(Zfs {
        daemon: &machine.daemon,
        pool,
        _keep: turn,
    })))
}
