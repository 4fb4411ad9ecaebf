//! Memory of a daemon that has nothing to do, with both bundled plugins installed and loaded.

use anyhow::{Context as _, Result};
use cairn_bed::{Place, Running, seconds, wait_until};
use serde_json::Value;

use crate::report::{Figure, Report};

const MOST: u64 = 60 << 20;
const READY_S: u64 = 60;
const PLUGINS: [&str; 2] = ["storage_dir.wasm", "storage_zfs.wasm"];

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let data = tempfile::Builder::new().prefix("cairn-bench-").tempdir()?;
    let bench = Bench {
        cairn: std::env::var("CAIRN_BIN").context("CAIRN_BIN is not set: run this by ./x bench")?,
        data: data.path().display().to_string(),
        place: Place::local(),
    };
    let daemon = bench.start()?;
    report.told("idle daemon without plugins, RSS", resident(&daemon)?);
    for file in PLUGINS {
        bench.install(file)?;
    }
    report.held(
        "  just after it compiled and installed both plugins",
        resident(&daemon)?,
        Figure::Bytes(MOST),
    );
    drop(daemon);
    let daemon = bench.start()?;
    report.held(
        "idle daemon with both plugins loaded, RSS",
        resident(&daemon)?,
        Figure::Bytes(MOST),
    );
    report.told("  of it, not of files", anonymous(&daemon)?);
    Ok(())
}

struct Bench {
    cairn: String,
    data: String,
    place: Place,
}

impl Bench {
    fn start(&self) -> Result<Running> {
        let (cairn, data) = (&self.cairn, &self.data);
        let script = format!("exec {cairn} --data {data} serve --port 0 --node n1");
        let daemon = self.place.start(&script, format!("{data}.log"))?;
        wait_until("the daemon answers", seconds(READY_S), || {
            self.run("plugin list").ok()
        })?;
        Ok(daemon)
    }

    /// Installs a plugin by the command that its refusal prints: it grants all that is asked for.
    fn install(&self, file: &str) -> Result<()> {
        let file = cairn_storage_tests::plugins()?.join(file);
        let (cairn, data) = (&self.cairn, &self.data);
        let asking = format!(
            "{cairn} --data {data} plugin install {} --json </dev/null",
            file.display()
        );
        let refused = self.place.run(&asking, seconds(READY_S))?;
        let problem: Value = serde_json::from_slice(&refused.stdout)?;
        let granting = problem.get("command").and_then(Value::as_str);
        let granting = granting.with_context(|| format!("no command in {problem}"))?;
        self.place.sh(granting).map(drop)
    }

    fn run(&self, arguments: &str) -> Result<String> {
        let (cairn, data) = (&self.cairn, &self.data);
        self.place
            .sh(&format!("{cairn} --data {data} {arguments} </dev/null"))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(format!("{}.log", self.data));
    }
}

fn resident(daemon: &Running) -> Result<Figure> {
    status(daemon, "VmRSS:")
}

fn anonymous(daemon: &Running) -> Result<Figure> {
    status(daemon, "RssAnon:")
}

fn status(daemon: &Running, key: &str) -> Result<Figure> {
    let text = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid()))?;
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let words = line.with_context(|| format!("no {key}"))?;
    let kib: u64 = words.trim().trim_end_matches("kB").trim_end().parse()?;
    Ok(Figure::Bytes(kib << 10))
}
