//! Wall times of commands in a place.

use std::time::Duration;

use anyhow::{Context as _, Result};
use cairn_bed::{Place, seconds};
use cairn_storage_tests::Daemon;

const COMMAND_S: u64 = 120;

/// The wall time of a command in a place, less what it takes to get there.
pub(crate) fn timed(place: &Place, command: &str) -> Result<Duration> {
    let script = format!(
        "b=$EPOCHREALTIME; {command} >/dev/null </dev/null || exit 1; echo $b $EPOCHREALTIME"
    );
    let said = place.sh_within(&script, seconds(COMMAND_S))?;
    let (began, ended) = said.trim().split_once(' ').context("no times")?;
    let seconds = ended.parse::<f64>()? - began.parse::<f64>()?;
    Ok(Duration::from_secs_f64(seconds.max(0.0)))
}

/// What a command of `cairn` takes.
pub(crate) fn asking(daemon: &Daemon, command: &str) -> Result<Duration> {
    let cairn =
        std::env::var("CAIRN_BIN").context("CAIRN_BIN is not set: run this by ./x bench")?;
    let data = daemon.data().display();
    timed(daemon.place(), &format!("{cairn} --data {data} {command}"))
}
