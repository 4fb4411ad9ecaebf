//! Builds with cargo and learns from its messages what was made, and where.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::shell;
use crate::workspace::{Package, Workspace, list, text};

/// One thing cargo made, or found to be fresh.
pub(crate) struct Artifact<'a> {
    pub(crate) package: &'a Package,
    /// `lib`, `bin`, `test`, `example`…
    pub(crate) kinds: Vec<String>,
    /// The target's name: the crate's, or the test's.
    pub(crate) name: String,
    /// The program, if it can be run.
    pub(crate) executable: Option<PathBuf>,
    pub(crate) files: Vec<PathBuf>,
    /// Whether it is a program of tests.
    pub(crate) is_test: bool,
}

impl Artifact<'_> {
    /// Whether the target is of one of these kinds.
    pub(crate) fn is_a(&self, kinds: &[&str]) -> bool {
        self.kinds.iter().any(|kind| kinds.contains(&kind.as_str()))
    }
}

/// Runs a building cargo command and returns what it made of this workspace's own packages.
/// Compiler messages and progress go to standard error, as always.
pub(crate) fn build<'a>(
    workspace: &'a Workspace,
    cargo: &mut Command,
) -> Result<Vec<Artifact<'a>>> {
    let shown = shell::line(cargo);
    let output = cargo
        .args(["--message-format", "json-render-diagnostics"])
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("can't start {shown}"))?;
    if !output.status.success() {
        bail!("`{shown}` failed: {}", output.status);
    }
    let messages = String::from_utf8(output.stdout).context("cargo printed no text")?;
    let mut artifacts = Vec::new();
    for line in messages.lines() {
        let message: Value = serde_json::from_str(line).context("cargo printed no JSON")?;
        if text(&message, "reason")? == "compiler-artifact" {
            artifacts.extend(read(workspace, &message)?);
        }
    }
    Ok(artifacts)
}

/// Nothing for packages from elsewhere.
fn read<'a>(workspace: &'a Workspace, message: &Value) -> Result<Option<Artifact<'a>>> {
    let manifest = PathBuf::from(text(message, "manifest_path")?);
    let Some(package) = workspace
        .packages
        .iter()
        .find(|package| package.folder.join("Cargo.toml") == manifest)
    else {
        return Ok(None);
    };
    let target = message.get("target").context("cargo gave no `target`")?;
    Ok(Some(Artifact {
        package,
        kinds: strings(target, "kind")?,
        name: text(target, "name")?.to_owned(),
        executable: message
            .get("executable")
            .and_then(Value::as_str)
            .map(PathBuf::from),
        files: strings(message, "filenames")?
            .into_iter()
            .map(PathBuf::from)
            .collect(),
        is_test: message
            .pointer("/profile/test")
            .and_then(Value::as_bool)
            .unwrap_or(false),
    }))
}

fn strings(value: &Value, key: &str) -> Result<Vec<String>> {
    Ok(list(value, key)?
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect())
}
