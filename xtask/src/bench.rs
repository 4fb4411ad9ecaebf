//! `./x bench`: optimised builds, and figures against their targets. Nothing is asserted: a machine
//! that is busy or small measures other figures than a quiet one.

use std::process::Command;

use anyhow::Result;

use crate::workspace::Workspace;
use crate::{build, setup, shell};

/// What can be measured; as the program of `tests/bench` knows it.
pub(crate) const AREAS: [&str; 1] = ["plugins"];

/// Builds, and runs the benchmarks of the named areas, or of all.
pub(crate) fn run(workspace: &Workspace, areas: &[String]) -> Result<()> {
    setup::packages(workspace)?;
    build::all(workspace, build::Profile::Release)?;
    let mut cargo = shell::cargo(&workspace.root);
    // All packages, so that dependencies have the features they were just built with.
    cargo.args(["build", "--workspace", "--release", "--bin", "cairn-bench"]);
    shell::run(&mut cargo)?;
    let daemon = workspace.daemon("release");
    let mut bench = Command::new(daemon.with_file_name("cairn-bench"));
    shell::without_own_cargo_environment(&mut bench);
    bench
        .args(areas)
        .env("CAIRN_BIN", &daemon)
        .env("CAIRN_PLUGINS", workspace.plugins());
    shell::run(&mut bench)
}
