//! `./x demo`: Cairn doing its job on this machine, told as it goes.
//!
//! A scene holds what the chapters share, in a folder of its own. Everything in it is cleaned up
//! when it is dropped, also after a failed step.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::narrate::{Running, chapter, refused, say, step};
use crate::stage::Stage;
use crate::workspace::Workspace;
use crate::{build, setup};

/// One part of the story.
type Chapter = (&'static str, fn(&mut Scene) -> Result<()>);

/// The story, in order.
const STORY: &[Chapter] = &[
    ("A daemon, and nothing else", begin),
    ("A plugin does nothing that it wasn't granted", install),
    ("Two storages on a real backend", storage),
    (
        "A volume that is written, snapshotted, cloned and rolled back",
        volume,
    ),
    ("A copy of what changed, and no more", transfer),
    ("The daemon ends and comes back", come_back),
];

/// What the chapters share.
struct Scene {
    /// The daemon and command line.
    cairn: PathBuf,
    /// Components of the bundled plugins.
    plugins: PathBuf,
    /// For the daemon's data, pools and logs.
    folder: TempDir,
    /// The daemon, while it runs; it ends before what its storages are on.
    daemon: Option<Running>,
    /// What its storages are on.
    stage: Stage,
}

impl Scene {
    fn open(workspace: &Workspace) -> Result<Scene> {
        let folder = TempDir::with_prefix("cairn-demo-").context("can't make a folder")?;
        Ok(Scene {
            cairn: workspace.daemon("debug"),
            plugins: workspace.plugins(),
            stage: Stage::open(folder.path())?,
            folder,
            daemon: None,
        })
    }

    /// Starts the daemon and waits until its socket answers.
    fn serve(&mut self) -> Result<()> {
        let serve = ["serve", "--port", "0", "--node", "n1"];
        let mut command = self.with_data(self.stage.command(&self.cairn), &serve);
        let log = self.folder.path().join("log");
        let mut daemon = Running::start("Start the daemon", &mut command, &log)?;
        daemon.wait_until(&mut || {
            let answered = self.cairn(&["plugin", "list"]).output();
            answered.is_ok_and(|output| output.status.success())
        })?;
        println!(
            "    {}",
            daemon
                .said()
                .lines()
                .find(|l| l.starts_with("cairn:"))
                .unwrap_or_default()
        );
        self.daemon = Some(daemon);
        Ok(())
    }

    /// Opens a volume as a guest would, and runs one command of `qemu-io` on it.
    fn as_guest(&self, what: &str, volume: &str, io: &str) -> Result<String> {
        let output = self
            .cairn(&["--json", "volume", "attach", volume])
            .output()?;
        let attached: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let path = attached
            .pointer("/attachment/path")
            .and_then(serde_json::Value::as_str)
            .context("nothing to open")?;
        let format = if path.ends_with(".qcow2") {
            "qcow2"
        } else {
            "raw"
        };
        let mut command = self.stage.command("qemu-io");
        command.args(["-f", format, "-c", io, path]);
        let said = step(what, &mut command)?;
        if said.contains("verification failed") {
            bail!("{what}: {volume} holds something else");
        }
        let detached = self.cairn(&["volume", "detach", volume]).output()?;
        if detached.status.success() {
            Ok(said)
        } else {
            bail!("{volume} can't be detached")
        }
    }

    /// `cairn` that speaks to this scene's daemon.
    fn cairn(&self, arguments: &[&str]) -> Command {
        self.with_data(Command::new(&self.cairn), arguments)
    }

    fn with_data(&self, mut command: Command, arguments: &[&str]) -> Command {
        command
            .env("CAIRN_DATA", self.folder.path().join("data"))
            .args(arguments);
        command
    }
}

/// Sets up, builds, and tells the story. Stops at the first step that fails.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let started = Instant::now();
    setup::packages(workspace)?;
    build::all(workspace, build::Profile::Debug)?;
    let mut scene = Scene::open(workspace)?;
    for (title, tell) in STORY {
        chapter(title);
        tell(&mut scene).with_context(|| format!("the demo stopped in \"{title}\""))?;
    }
    println!(
        "\nThe demo is over: all of it worked, in {:.0?}.",
        started.elapsed()
    );
    Ok(())
}

fn begin(scene: &mut Scene) -> Result<()> {
    scene.serve()?;
    step(
        "No plugin is installed, so there is no type of storage",
        &mut scene.cairn(&["storage", "types"]),
    )?;
    Ok(())
}

fn install(scene: &mut Scene) -> Result<()> {
    let plugin = scene.plugins.join(scene.stage.component());
    let plugin = plugin.display().to_string();
    let what = "Without a grant nothing is installed; the answer is the command that grants";
    refused(what, &mut scene.cairn(&["plugin", "install", &plugin]), 4)?;
    let mut words = vec!["plugin", "install", &plugin];
    for grant in scene.stage.grants() {
        words.extend(["--grant", grant]);
    }
    step("Grant what it asks for", &mut scene.cairn(&words))?;
    Ok(())
}

fn storage(scene: &mut Scene) -> Result<()> {
    for name in ["near", "far"] {
        let [kind, option, value] = scene.stage.part(name)?;
        let what = format!("Add the storage `{name}`: its options are the plugin's own");
        let add = ["storage", "add", &kind, name, &option, &value];
        step(&what, &mut scene.cairn(&add))?;
    }
    step("Both are active", &mut scene.cairn(&["storage", "list"]))?;
    Ok(())
}

fn volume(scene: &mut Scene) -> Result<()> {
    let disk = "near:vm-100-disk-0";
    let create = ["volume", "create", disk, "--size", "64M", "--guest", "100"];
    step("Make a disk for guest 100", &mut scene.cairn(&create))?;
    step(
        "Make it again: it is there and equal, so that is fine",
        &mut scene.cairn(&create),
    )?;
    let other = ["volume", "create", disk, "--size", "65M", "--guest", "100"];
    refused(
        "Ask for another size under its name",
        &mut scene.cairn(&other),
        6,
    )?;
    scene.as_guest("Write it, as a guest would", disk, "write -P 1 0 4M")?;
    step(
        "Take a snapshot",
        &mut scene.cairn(&["volume", "snapshot", disk, "monday"]),
    )?;
    scene.as_guest("Write over it", disk, "write -P 2 0 4M")?;
    step(
        "Clone the snapshot",
        &mut scene.cairn(&[
            "volume",
            "clone",
            disk,
            "monday",
            "vm-101-disk-0",
            "--guest",
            "101",
        ]),
    )?;
    scene.as_guest(
        "The clone is as the disk was",
        "near:vm-101-disk-0",
        "read -P 1 0 4M",
    )?;
    refused(
        "The disk can't be removed while a clone stands on it",
        &mut scene.cairn(&["volume", "remove", disk]),
        6,
    )?;
    step(
        "Make the disk what it was",
        &mut scene.cairn(&["volume", "rollback", disk, "monday"]),
    )?;
    scene.as_guest("It is", disk, "read -P 1 0 4M")?;
    step(
        "What there is now",
        &mut scene.cairn(&["volume", "list", "near"]),
    )?;
    Ok(())
}

fn transfer(scene: &mut Scene) -> Result<()> {
    let (disk, replica) = ("near:vm-100-disk-0", "far:vm-100-disk-0");
    step(
        "Copy the whole snapshot to the other storage",
        &mut scene.cairn(&["volume", "copy", disk, "monday", replica]),
    )?;
    let listed = scene
        .cairn(&["--json", "volume", "snapshots", disk])
        .output()?;
    let snapshots: serde_json::Value = serde_json::from_slice(&listed.stdout)?;
    let guid = snapshots
        .pointer("/0/guid")
        .and_then(serde_json::Value::as_str)
        .context("no snapshot")?
        .to_owned();
    scene.as_guest("Change one MiB", disk, "write -P 3 1M 1M")?;
    step(
        "Take the next snapshot",
        &mut scene.cairn(&["volume", "snapshot", disk, "tuesday"]),
    )?;
    let copy = ["volume", "copy", disk, "tuesday", replica, "--base", &guid];
    step(
        "Copy only what changed since the snapshot both have",
        &mut scene.cairn(&copy),
    )?;
    step(
        "The replica has both, by the same identity",
        &mut scene.cairn(&["volume", "snapshots", replica]),
    )?;
    Ok(())
}

fn come_back(scene: &mut Scene) -> Result<()> {
    scene.daemon = None;
    let mut gone = scene.cairn(&["volume", "list", "near"]);
    refused("The daemon is gone", &mut gone, 1)?;
    say("Everything it had acknowledged is on disk:");
    scene.serve()?;
    step(
        "The same volumes",
        &mut scene.cairn(&["volume", "list", "near"]),
    )?;
    let plugin = ["plugin", "show", scene.stage.plugin()];
    step(
        "What the plugin is, what it was granted, and how it fares",
        &mut scene.cairn(&plugin),
    )?;
    Ok(())
}
