//! What a fresh machine lacks: packages that tests use, and Rust's standard library for Wasm.
//! Each part looks first and is quick when nothing is missing.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::shell;
use crate::workspace::Workspace;

/// What stands between flags in CARGO_ENCODED_RUSTFLAGS, which may hold spaces.
const FLAG_SEPARATOR: &str = "\u{1f}";

/// Everything that any command needs.
pub(crate) fn everything(workspace: &Workspace) -> Result<()> {
    packages(workspace)?;
    match wasm_sysroot(workspace)? {
        None => println!("setup: the toolchain has the Wasm target"),
        Some(path) => println!(
            "setup: Rust's standard library for Wasm is in {}",
            path.display()
        ),
    }
    Ok(())
}

/// Installs the packages that tests and the demo need, when that is possible here. Where it
/// isn't, says what is missing and goes on: a test that needs one is skipped with that reason.
pub(crate) fn packages(workspace: &Workspace) -> Result<()> {
    let script = workspace.root.join("tools/install-packages.sh");
    let output = shell::output(Command::new(&script).arg("--missing"))?;
    let missing = String::from_utf8_lossy(&output)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    if missing.is_empty() {
        return Ok(());
    }
    if !is_root() {
        println!(
            "setup: these packages are missing, so tests that need them will be skipped: {missing}\n\
             setup: to install them, run: sudo {}",
            workspace.shown(&script)
        );
        return Ok(());
    }
    println!("setup: installing {missing}");
    if let Err(error) = shell::run(&mut Command::new(&script)) {
        println!("setup: {error:#}. Going on: tests that need a missing package will be skipped.");
    }
    Ok(())
}

/// Makes a cargo command find the Wasm target's standard library, and keeps this machine's paths
/// out of what it makes. Goes with `--target`: then only that target's crates get these flags.
pub(crate) fn lend_wasm_std(workspace: &Workspace, cargo: &mut Command) -> Result<()> {
    let mut flags = vec![remap(&workspace.root, "cairn")];
    if let Some(home) = cargo_home() {
        flags.push(remap(&home, "cargo"));
    }
    if let Some(sysroot) = wasm_sysroot(workspace)? {
        flags.push(format!("--sysroot={}", sysroot.display()));
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join(FLAG_SEPARATOR));
    Ok(())
}

fn remap(from: &Path, to: &str) -> String {
    format!("--remap-path-prefix={}={to}", from.display())
}

fn cargo_home() -> Option<PathBuf> {
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".cargo")))
}

/// Nothing where the toolchain has the target; else the sysroot that `tools/wasm-std.sh` made.
fn wasm_sysroot(workspace: &Workspace) -> Result<Option<PathBuf>> {
    let mut script = Command::new(workspace.root.join("tools/wasm-std.sh"));
    shell::without_own_cargo_environment(&mut script);
    let output = shell::output(&mut script).context("there is no standard library for Wasm")?;
    let path = String::from_utf8(output).context("tools/wasm-std.sh printed no path")?;
    let path = path.trim_end();
    Ok((!path.is_empty()).then(|| PathBuf::from(path)))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
