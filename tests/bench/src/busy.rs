//! How late the API answers while plugins compute without end: storages share the daemon's threads.

use anyhow::{Context as _, Result};
use cairn_bed::{Place, Running, seconds, wait_until};
use cairn_storage_tests::Daemon;
use serde_json::Value;

use crate::report::{Report, Times};
use crate::timing::asking;

/// Storages, and calls of each that never end. They run until their limit of 60 s.
const STORAGES: u64 = 8;
const CALLS: u64 = 7;
const COMMANDS: usize = 30;
const BUSY_S: u64 = 30;

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let daemon = Daemon::start(&Place::local())?;
    daemon.install("test/hostile_plugins.wasm")?;
    for storage in 1..=STORAGES {
        daemon.ok(&format!(
            "storage add hostile l{storage} --path /tmp --mode loop"
        ))?;
    }
    let median = |what: &str, report: &mut Report| -> Result<()> {
        let mut times = Times::new()?;
        for _ in 0..COMMANDS {
            times.add(asking(&daemon, "plugin trust list")?);
        }
        report.told(what, times.median());
        report.told("  99th percentile", times.quantile(0.99));
        Ok(())
    };
    median("any command of `cairn`, idle daemon, median", report)?;
    let _calls = occupy(&daemon)?;
    let busy = format!(
        "  beside {} calls that compute without end",
        STORAGES * CALLS
    );
    median(&busy, report)
}

fn occupy(daemon: &Daemon) -> Result<Running> {
    let cairn =
        std::env::var("CAIRN_BIN").context("CAIRN_BIN is not set: run this by ./x bench")?;
    let data = daemon.data();
    let script = format!(
        "for s in $(seq 1 {STORAGES}); do for c in $(seq 1 {CALLS}); do
           {cairn} --data {} volume create l$s:v$c --size 1 &
         done; done; wait",
        data.display()
    );
    let calls = daemon.place().start(&script, data.join("calls.log"))?;
    wait_until("all of them run", seconds(BUSY_S), || {
        let shown = daemon.ok("plugin show storage-hostile").ok()?;
        let running = shown
            .pointer("/statistics/in_flight")
            .and_then(Value::as_u64);
        (running == Some(STORAGES * CALLS)).then_some(())
    })?;
    Ok(calls)
}
