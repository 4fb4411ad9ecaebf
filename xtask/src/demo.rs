//! `./x demo`: Cairn doing its job on this machine, told as it goes.
//!
//! A scene holds what the chapters share, in a folder of its own. Everything in it is cleaned up
//! when it is dropped, also after a failed step.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::narrate::chapter;
use crate::workspace::Workspace;
use crate::{build, setup};

/// One part of the story.
type Chapter = (&'static str, fn(&mut Scene) -> Result<()>);

/// The story, in order.
const STORY: &[Chapter] = &[];

/// What the chapters share.
#[expect(dead_code, reason = "the story's chapters use it")]
struct Scene {
    /// The daemon and command line.
    cairn: PathBuf,
    /// Components of the bundled plugins.
    plugins: PathBuf,
    /// For the daemon's data, pools and logs.
    folder: TempDir,
}

impl Scene {
    fn open(workspace: &Workspace) -> Result<Scene> {
        Ok(Scene {
            cairn: workspace.daemon("debug"),
            plugins: workspace.plugins(),
            folder: TempDir::with_prefix("cairn-demo-").context("can't make a folder")?,
        })
    }

    /// `cairn` that speaks to this scene's daemon.
    #[expect(dead_code, reason = "the story's chapters use it")]
    fn cairn(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.cairn);
        command
            .env("CAIRN_DATA", self.folder.path().join("data"))
            .args(arguments);
        command
    }
}

/// Whether there is a story to tell yet.
pub(crate) fn is_told() -> bool {
    !STORY.is_empty()
}

/// Sets up, builds, and tells the story. Stops at the first step that fails.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    if !is_told() {
        bail!("the demo has no chapters yet: they are listed in xtask/src/demo.rs");
    }
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
