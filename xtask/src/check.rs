//! `./x check`: everything that needs no running program. All steps run, also after one failed.

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::Result;

use crate::workspace::Workspace;
use crate::{shell, sizes, wit_lock};

/// A step's name and what it does.
type Step = (&'static str, fn(&Workspace) -> Result<()>);

const STEPS: &[Step] = &[
    ("lock file", lock_file),
    ("formatting", formatting),
    ("frozen contracts", wit_lock::check),
    ("lints", lints),
    ("docs", docs),
    ("file sizes", sizes::report),
];

/// Runs all steps and says which failed.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    let mut failed = Vec::new();
    for (name, step) in STEPS {
        println!("\n== {name}");
        let started = Instant::now();
        match step(workspace) {
            Ok(()) => println!("ok: {name} in {:.1?}", started.elapsed()),
            Err(error) => {
                println!("failed: {name}: {error:#}");
                failed.push(*name);
            }
        }
    }
    println!();
    if failed.is_empty() {
        println!("all {} checks passed", STEPS.len());
        Ok(ExitCode::SUCCESS)
    } else {
        println!("failed: {}", failed.join(", "));
        Ok(ExitCode::FAILURE)
    }
}

fn cargo(workspace: &Workspace, arguments: &[&str]) -> Command {
    let mut cargo = shell::cargo(&workspace.root);
    cargo.args(arguments);
    cargo
}

/// `./x` has made sure of it before this program was built; here for those who start it otherwise.
fn lock_file(workspace: &Workspace) -> Result<()> {
    let arguments = ["metadata", "--locked", "--format-version", "1"];
    shell::output(&mut cargo(workspace, &arguments))
        .map(drop)
        .map_err(|_| {
            anyhow::anyhow!(
                "Cargo.lock doesn't fit the manifests: run any cargo command and commit it"
            )
        })
}

fn formatting(workspace: &Workspace) -> Result<()> {
    shell::run(&mut cargo(workspace, &["fmt", "--all", "--check"]))
}

fn lints(workspace: &Workspace) -> Result<()> {
    let arguments = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--keep-going",
        "--locked",
        "--",
        "--deny",
        "warnings",
    ];
    shell::run(&mut cargo(workspace, &arguments))
}

fn docs(workspace: &Workspace) -> Result<()> {
    let mut cargo = cargo(workspace, &["doc", "--workspace", "--no-deps", "--locked"]);
    shell::run(cargo.env("RUSTDOCFLAGS", "--deny warnings"))
}
