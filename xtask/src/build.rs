//! `./x build`: the daemon and the plugins, and where people look for them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result};

use crate::workspace::Workspace;
use crate::{plugins, shell};

/// How the daemon is built.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    Debug,
    Release,
}

impl Profile {
    fn folder(self) -> &'static str {
        match self {
            Profile::Debug => "debug",
            Profile::Release => "release",
        }
    }
}

/// Builds daemon and plugins, and says where they are.
pub(crate) fn all(workspace: &Workspace, profile: Profile) -> Result<()> {
    daemon(workspace, profile)?;
    let components = plugins::build(workspace)?;
    show_in_clone(workspace, profile)?;
    println!(
        "built {}",
        workspace.shown(&workspace.daemon(profile.folder()))
    );
    for component in components {
        println!(
            "built {} ({} KiB)",
            workspace.shown(&component.path),
            component.bytes / 1024
        );
    }
    Ok(())
}

/// Builds the daemon. All packages are selected, as in tests and lints, so that cargo settles on
/// the same features of dependencies each time and compiles wasmtime once, not once a command.
fn daemon(workspace: &Workspace, profile: Profile) -> Result<()> {
    let mut cargo = shell::cargo(&workspace.root);
    cargo.args(["build", "--workspace", "--bin", "cairn"]);
    if profile == Profile::Release {
        cargo.arg("--release");
    }
    shell::run(&mut cargo)
}

/// Makes `target/PROFILE/cairn` and `target/plugins` exist in the clone when cargo's target
/// folder is elsewhere, and undoes that when it no longer is.
fn show_in_clone(workspace: &Workspace, profile: Profile) -> Result<()> {
    let shown = workspace.root.join("target");
    if shown == workspace.target {
        return Ok(());
    }
    link(
        &workspace.daemon(profile.folder()),
        &shown.join(profile.folder()).join("cairn"),
    )?;
    link(&workspace.plugins(), &shown.join("plugins"))
}

/// Both are only ever made by builds, so what is in the way can go.
fn link(from: &Path, to: &Path) -> Result<()> {
    if fs::read_link(to).is_ok_and(|target| target == from) {
        return Ok(());
    }
    match fs::symlink_metadata(to) {
        Ok(there) if there.is_dir() => fs::remove_dir_all(to),
        Ok(_) => fs::remove_file(to),
        Err(_) => Ok(()),
    }
    .with_context(|| format!("can't replace {}", to.display()))?;
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
    }
    symlink(from, to).with_context(|| format!("can't link {} to {}", to.display(), from.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_replace_what_an_earlier_build_left() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("real");
        fs::create_dir(&real).unwrap();
        let shown = folder.path().join("target/plugins");
        fs::create_dir_all(shown.join("old")).unwrap();
        for _ in 0..2 {
            link(&real, &shown).unwrap();
            assert_eq!(fs::read_link(&shown).unwrap(), real);
        }
        let other = folder.path().join("other");
        link(&other, &shown).unwrap();
        assert_eq!(fs::read_link(&shown).unwrap(), other);
        assert!(real.is_dir());
    }
}
