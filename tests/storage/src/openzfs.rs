//! `storage-zfs` on OpenZFS 2.3, in a virtual machine where the daemon runs, too. One machine and one daemon
//! serve all tests of a program, one after another: it has no accelerator, so each start takes long.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use anyhow::{Context as _, Result, anyhow};
use cairn_bed::{Bed, COMMAND_LIMIT_S, seconds, skip};
use serde_json::Value;

use crate::bench::Bench;
use crate::daemon::Daemon;
use crate::zfs::{Pool, Zfs};

/// Removes all that is in the parts for `s` and `t`, and a small one; fails where they aren't there.
const EMPTY: &str = "set -e
zfs list tank/s tank/t >/dev/null
for it in $(zfs list -H -o name -d 1 tank/s tank/t | grep '/.*/'); do zfs destroy -R $it; done
! zfs list tank/small >/dev/null 2>&1 || zfs destroy -R tank/small";

/// The machine, for as long as the program runs; it goes with that, however it ends.
struct Machine {
    daemon: Daemon,
    _bed: Bed,
}

impl Machine {
    fn start() -> Result<Self> {
        let bed = Bed::up(1)?;
        let daemon = Daemon::start_far(&bed, 1)?;
        Ok(Self { daemon, _bed: bed })
    }

    /// Takes away what the test before has left: its volumes, or where that isn't enough all there is.
    fn clean(&self, pool: &Pool) -> Result<()> {
        // Down where the test before has failed.
        if self.daemon.cairn("plugin list")?.status != 0 {
            self.daemon.boot()?;
        }
        let emptied = pool.place.run(EMPTY, seconds(COMMAND_LIMIT_S))?.status == 0;
        let whole = emptied && self.daemon.cairn("volume list s")?.status == 0;
        if !whole {
            pool.place
                .sh("! zpool list tank >/dev/null 2>&1 || zpool destroy -f tank")?;
        }
        let listed = self.daemon.ok("storage list")?;
        for storage in listed.as_array().into_iter().flatten() {
            let name = storage.get("name").and_then(Value::as_str);
            let name = name.context("a storage without a name")?;
            if !whole || !["s", "t"].contains(&name) {
                self.daemon.ok(&format!("storage remove {name}"))?;
            }
        }
        if whole { Ok(()) } else { pool.create() }
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
    let pool = Pool {
        place: machine.daemon.place().clone(),
        create: "zpool create -f -o ashift=12 -O mountpoint=/tank tank virtio-data-a".to_owned(),
        import: "zpool import tank".to_owned(),
    };
    machine.clean(&pool).unwrap();
    Some(Bench::on(Box::new(Zfs {
        daemon: &machine.daemon,
        pool,
        _keep: turn,
    })))
}
