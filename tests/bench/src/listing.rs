//! `cairn volume list` over 1,000 volumes on ZFS, against the bare `zfs get` that it needs, in turns;
//! and how many commands the plugin ran for it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use cairn_bed::{Place, ZfsFuse, seconds};
use cairn_storage_tests::Daemon;
use serde_json::Value;

use crate::report::{Figure, Report, Times};
use crate::timing::{asking, timed};

const VOLUMES: usize = 1_000;
const PAIRS: usize = 15;
const POOL_BYTES: u64 = 2 << 30;
const MAKING_S: u64 = 600;
const MOST: f64 = 1.3;
/// What `storage-zfs` asks for, as it asks.
const BARE: &str = "zfs get -H -p -r -d 1 -o name,property,value,source \
type,used,creation,origin,readonly,volsize,refquota,compression,cairn:content,cairn:format,cairn:size,\
cairn:guest,cairn:epoch,cairn:notes,cairn:protected,cairn:template,cairn:receiving tank/vms";

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let what = format!("`volume list` of {VOLUMES} volumes on zfs-fuse");
    if let Some(reason) = ZfsFuse::missing() {
        report.skipped(&what, &reason);
        return Ok(());
    }
    let node = ZfsFuse::start()?;
    let place = node.place();
    node.create_pool("tank", POOL_BYTES)?;
    place.sh("zfs create tank/vms")?;
    let daemon = Daemon::start(&place)?;
    daemon.install("storage_zfs.wasm")?;
    daemon.ok("storage add zfs s --pool tank/vms")?;
    fill(&daemon, &place)?;
    let listed = daemon.ok("volume list s")?;
    let count = listed.as_array().map_or(0, Vec::len);
    ensure!(
        count == VOLUMES,
        "{count} volumes are listed, not {VOLUMES}"
    );

    let before = counts(&daemon)?;
    let (mut bare, mut whole, mut least) = (Times::new()?, Times::new()?, Times::new()?);
    for _ in 0..PAIRS {
        bare.add(timed(&place, BARE)?);
        whole.add(asking(&daemon, "volume list s")?);
        least.add(asking(&daemon, "plugin trust list")?);
    }
    let after = counts(&daemon)?;
    let (calls, commands) = (after.calls - before.calls, after.commands - before.commands);
    ensure!(
        calls == PAIRS as u64,
        "{calls} calls were counted, not {PAIRS}"
    );
    report.told("the bare `zfs get` of 1,000 volumes, median", bare.median());
    report.told(&format!("{what}, median"), whole.median());
    report.told("  of it, in the plugin's call", after.median);
    report.told("  of it, what any command of `cairn` takes", least.median());
    report.held(
        "  against the bare command",
        whole.median().over(bare.median()),
        Figure::Ratio(MOST),
    );
    report.held(
        "  commands of ZFS a list",
        Figure::Count(commands.div_ceil(calls)),
        Figure::Count(1),
    );
    Ok(())
}

/// One volume by the plugin, and the others with the same properties by the bare tools: through the
/// plugin they would take minutes, and be the same.
fn fill(daemon: &Daemon, place: &Place) -> Result<()> {
    daemon.ok("volume create s:v-0 --size 0 --format directory --content rootdir --guest 100")?;
    let last = VOLUMES - 1;
    let script = format!(
        "set -e
         own=$(zfs get -H -s local -o property,value all tank/vms/v-0 | awk -F'\\t' \
             '$1 ~ /^cairn:/ {{ printf \" -o %s=%s\", $1, $2 }}')
         for i in $(seq 1 {last}); do zfs create -o canmount=noauto $own tank/vms/v-$i; done"
    );
    place.sh_within(&script, seconds(MAKING_S)).map(drop)
}

/// What the daemon counts of `volumes.list`, since the plugin was loaded.
struct Counts {
    calls: u64,
    commands: u64,
    median: Figure,
}

fn counts(daemon: &Daemon) -> Result<Counts> {
    let shown = daemon.ok("plugin show storage-zfs")?;
    let function = shown.pointer("/statistics/functions/volumes.list");
    let count = |key| function.and_then(|f| f.get(key)).and_then(Value::as_u64);
    let median_us = count("p50_us").context("no times are kept")?;
    Ok(Counts {
        calls: count("calls").context("no calls are counted")?,
        commands: count("commands").context("no commands are counted")?,
        median: Figure::Time(Duration::from_micros(median_us)),
    })
}
