//! A plugin host, and plugins loaded into it with all they ask for.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use cairn_core::plugin::Version;
use cairn_plugins::{Instance, Plugin, PluginHost};
use serde_json::Value;
use tempfile::TempDir;

/// A host with a cache of its own.
pub struct Played {
    host: Arc<PluginHost>,
    _cache: TempDir,
}

impl Played {
    pub fn new() -> Self {
        let cache = tempfile::tempdir().unwrap();
        let host = PluginHost::new(&cache.path().join("compiled"), "n1").unwrap();
        Self {
            host,
            _cache: cache,
        }
    }

    /// Loads a plugin that tests use, granting all it asks for.
    pub async fn load(&self, file: &str) -> Arc<Plugin> {
        let folder = std::env::var_os("CAIRN_PLUGINS");
        let folder = folder.expect("CAIRN_PLUGINS is not set: run this by ./x test plugins");
        let component = fs::read(PathBuf::from(folder).join("test").join(file)).unwrap();
        let inspection = self.host.inspect(&component).await.unwrap();
        let granted = inspection.asks.clone();
        let version = Version {
            inspection,
            granted,
        };
        self.host.load(&component, &version).await.unwrap()
    }
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
