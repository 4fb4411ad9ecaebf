//! Where things are: the clone, cargo's target folder, and the packages of the workspace.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::shell;

/// The clone and what `cargo metadata` says about it.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    /// Cargo's target folder, wherever CARGO_TARGET_DIR or the configuration put it.
    pub(crate) target: PathBuf,
    pub(crate) packages: Vec<Package>,
}

/// One package of the workspace.
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    pub(crate) plugin: Option<PluginKind>,
    /// Whether its library becomes a module of its own, as a plugin's does.
    pub(crate) has_cdylib: bool,
    /// Names of its integration tests (`tests/*.rs`).
    pub(crate) integration_tests: Vec<String>,
}

/// What `[package.metadata.cairn] plugin` in a Cargo.toml says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PluginKind {
    /// `true`: ships with Cairn.
    Bundled,
    /// `"test"`: only tests install it.
    Test,
}

impl Workspace {
    /// Asks cargo about the workspace that this program was built from.
    pub(crate) fn find() -> Result<Workspace> {
        let manifest = env::var_os("CARGO_MANIFEST_DIR")
            .map(PathBuf::from)
            .context("CARGO_MANIFEST_DIR is not set: start this through ./x or `cargo xtask`")?;
        let root = manifest
            .parent()
            .context("xtask has no parent folder")?
            .to_path_buf();
        let output = shell::output(shell::cargo(&root).args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
        ]))?;
        let metadata: Value =
            serde_json::from_slice(&output).context("cargo metadata printed no JSON")?;
        Self::from_metadata(root, &metadata)
    }

    fn from_metadata(root: PathBuf, metadata: &Value) -> Result<Workspace> {
        let target = text(metadata, "target_directory")?.into();
        let packages = list(metadata, "packages")?
            .iter()
            .map(Package::read)
            .collect::<Result<_>>()?;
        Ok(Workspace {
            root,
            target,
            packages,
        })
    }

    /// The daemon's binary of a profile (`debug` or `release`).
    pub(crate) fn daemon(&self, profile_folder: &str) -> PathBuf {
        self.target.join(profile_folder).join("cairn")
    }

    /// Where components of plugins are left.
    pub(crate) fn plugins(&self) -> PathBuf {
        self.target.join("plugins")
    }

    /// The contracts.
    pub(crate) fn contracts(&self) -> PathBuf {
        self.root.join("wit")
    }

    /// `path` as seen from the clone, for people.
    pub(crate) fn shown<'a>(&self, path: &'a Path) -> std::path::Display<'a> {
        path.strip_prefix(&self.root).unwrap_or(path).display()
    }
}

impl Package {
    fn read(package: &Value) -> Result<Package> {
        let name = text(package, "name")?.to_owned();
        let manifest = PathBuf::from(text(package, "manifest_path")?);
        let mut integration_tests = Vec::new();
        let mut has_cdylib = false;
        for target in list(package, "targets")? {
            let kinds = list(target, "kind")?;
            if kinds.iter().any(|kind| kind == "test") {
                integration_tests.push(text(target, "name")?.to_owned());
            }
            has_cdylib |= list(target, "crate_types")?
                .iter()
                .any(|kind| kind == "cdylib");
        }
        let plugin = match package.pointer("/metadata/cairn/plugin") {
            None | Some(Value::Bool(false)) => None,
            Some(Value::Bool(true)) => Some(PluginKind::Bundled),
            Some(Value::String(kind)) if kind == "test" => Some(PluginKind::Test),
            Some(other) => bail!(
                "{}: [package.metadata.cairn] plugin is {other}, but can only be true or \"test\"",
                manifest.display()
            ),
        };
        if plugin.is_some() && !has_cdylib {
            bail!(
                "{}: a plugin needs crate-type = [\"cdylib\", \"lib\"] in its [lib]",
                manifest.display()
            );
        }
        let folder = manifest
            .parent()
            .context("a manifest has no folder")?
            .to_path_buf();
        Ok(Package {
            name,
            folder,
            plugin,
            has_cdylib,
            integration_tests,
        })
    }
}

pub(crate) fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value
        .get(key)
        .and_then(Value::as_str)
        .with_context(|| format!("cargo gave no `{key}`"))
}

pub(crate) fn list<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    value
        .get(key)
        .and_then(Value::as_array)
        .with_context(|| format!("cargo gave no `{key}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn metadata(plugin: &Value, crate_type: &str) -> Value {
        json!({
            "target_directory": "/elsewhere/target",
            "packages": [{
                "name": "storage-x",
                "manifest_path": "/clone/plugins/storage-x/Cargo.toml",
                "metadata": { "cairn": { "plugin": plugin } },
                "targets": [
                    { "name": "storage_x", "kind": [crate_type], "crate_types": [crate_type] },
                    { "name": "dialects", "kind": ["test"], "crate_types": ["bin"] },
                ],
            }],
        })
    }

    fn read(plugin: &Value, crate_type: &str) -> Result<Workspace> {
        Workspace::from_metadata("/clone".into(), &metadata(plugin, crate_type))
    }

    #[test]
    fn plugins_are_found_by_their_manifests() {
        let workspace = read(&json!(true), "cdylib").unwrap();
        let package = &workspace.packages[0];
        assert_eq!(package.plugin, Some(PluginKind::Bundled));
        assert_eq!(package.integration_tests, ["dialects"]);
        assert_eq!(package.folder, Path::new("/clone/plugins/storage-x"));
        assert_eq!(
            workspace.daemon("debug"),
            Path::new("/elsewhere/target/debug/cairn")
        );
        let workspace = read(&json!("test"), "cdylib").unwrap();
        assert_eq!(workspace.packages[0].plugin, Some(PluginKind::Test));
    }

    #[test]
    fn a_manifest_that_means_something_else_is_refused() {
        let error = read(&json!("yes"), "cdylib").err().unwrap().to_string();
        assert!(error.contains("can only be true or \"test\""), "{error}");
        let error = read(&json!(true), "lib").err().unwrap().to_string();
        assert!(error.contains("cdylib"), "{error}");
    }
}
