//! A plugin host, and plugins loaded into it with all they ask for.

#![allow(dead_code)] // each test program needs its part

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_core::plugin::Version;
use cairn_core::storage::{Content, Format, VolumeSpec};
use cairn_plugins::{Instance, Plugin, PluginHost, StorageCalls};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A host with a data folder of its own.
pub struct Played {
    pub host: Arc<PluginHost>,
    pub data: TempDir,
}

impl Played {
    pub fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let host = PluginHost::new(&data.path().join("compiled"), "n1").unwrap();
        Self { host, data }
    }

    /// Loads a plugin that tests use, granting all it asks for.
    pub async fn load(&self, file: &str) -> Arc<Plugin> {
        self.load_as(file, |_| ()).await
    }

    /// Loads it with something of its version changed.
    pub async fn load_as(&self, file: &str, change: impl FnOnce(&mut Version)) -> Arc<Plugin> {
        let component = component(file);
        let inspection = self.host.inspect(&component).await.unwrap();
        let granted = inspection.asks.clone();
        let mut version = Version {
            inspection,
            granted,
        };
        change(&mut version);
        self.host.load(&component, &version).await.unwrap()
    }
}

/// A plugin that tests use.
pub fn component(file: &str) -> Vec<u8> {
    let folder = std::env::var_os("CAIRN_PLUGINS");
    let folder = folder.expect("CAIRN_PLUGINS is not set: run this by ./x test plugins");
    fs::read(PathBuf::from(folder).join("test").join(file)).unwrap()
}

/// What a storage is asked to make.
pub fn spec() -> VolumeSpec {
    VolumeSpec {
        name: "v".to_owned(),
        content: Content::Images,
        format: Some(Format::Raw),
        size_bytes: 1,
        guest: None,
        hints: Default::default(),
    }
}

/// A storage of the hostile plugin.
pub fn storage(plugin: &Arc<Plugin>, name: &str, mode: &str, dir: &Path) -> StorageCalls {
    plugin.storage(instance(
        name,
        json!({"mode": mode, "path": dir.display().to_string()}),
    ))
}

/// An instance with this configuration and a password.
pub fn instance(name: &str, config: Value) -> Arc<Instance> {
    let secrets = [("password".to_owned(), "hunter2".to_owned())];
    Arc::new(Instance {
        name: name.to_owned(),
        config,
        secrets: secrets.into(),
    })
}
