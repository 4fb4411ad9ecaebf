//! Everything one daemon holds.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use cairn_core::{Code, Error};
use cairn_net::{ApiConnection, ApiOptions, Server, ServerOptions};
use cairn_plugins::{Plugin, PluginHost};
use cairn_store::Store;

use crate::cluster::Cluster;
use crate::components::Components;
use crate::locks::Locks;
use crate::mounted::Mounted;

/// One node with its data folder. One process holds it at a time.
pub struct Node {
    pub(crate) name: String,
    pub(crate) data: PathBuf,
    pub(crate) cluster: Cluster,
    pub(crate) host: Arc<PluginHost>,
    pub(crate) components: Components,
    /// Loaded plugins by name, or why one can't be loaded.
    pub(crate) loaded: RwLock<HashMap<String, Result<Arc<Plugin>, Error>>>,
    /// Storages that were used since the start, with what is remembered of them.
    pub(crate) mounted: Mutex<HashMap<String, Arc<Mounted>>>,
    pub(crate) volume_locks: Locks,
    /// Changes of plugins and storages are made one at a time.
    pub(crate) changes: tokio::sync::Mutex<()>,
    _lock: File,
}

impl Node {
    /// Opens the data folder, making it if needed, and loads what is installed. A plugin that can't
    /// be loaded is shown as such and doesn't stop the node.
    ///
    /// # Errors
    /// `in-use` where another daemon holds the folder; `corrupt`, `internal` as the store says.
    pub async fn open(data: &Path, name: &str) -> Result<Arc<Self>, Error> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(data)
            .map_err(|e| {
                Error::internal(format!(
                    "the data folder {} can't be made: {e}",
                    data.display()
                ))
            })?;
        let lock = lock(data)?;
        let host = PluginHost::new(&data.join("compiled"), name)?;
        let node = Arc::new(Self {
            name: name.to_owned(),
            data: data.to_owned(),
            cluster: Cluster::open(data, name).await?,
            host,
            components: Components::open(&data.join("plugins"))?,
            loaded: RwLock::default(),
            mounted: Mutex::default(),
            volume_locks: Locks::default(),
            changes: tokio::sync::Mutex::default(),
            _lock: lock,
        });
        node.load_plugins().await?;
        tokio::spawn(crate::cluster::run_upkeep(Arc::downgrade(&node)));
        tokio::spawn(crate::plugin_sync::run(Arc::downgrade(&node)));
        Ok(node)
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The store, as this node has it now.
    pub(crate) fn store(&self) -> Arc<Store> {
        self.cluster.store()
    }

    /// The server for peers, joins and the API, which listens nowhere yet. Connections of the API are
    /// handed to `api`.
    pub fn server(self: &Arc<Self>, api: tokio::sync::mpsc::Sender<ApiConnection>) -> Server {
        Server::new(ServerOptions {
            presented: self.cluster.presented(),
            trust: self.cluster.trust(),
            peers: Arc::new(crate::cluster::Peers(Arc::downgrade(self))),
            joins: Some(Arc::new(crate::cluster::Joins(Arc::downgrade(self)))),
            api: Some(ApiOptions {
                connections: api,
                presented: None,
            }),
        })
    }

    /// Tells the node where others reach it.
    ///
    /// # Errors
    /// `internal` where its certificate can't be made for these addresses.
    pub fn listen_on(&self, addresses: Vec<std::net::SocketAddr>) -> Result<(), Error> {
        self.cluster.listen_on(addresses)
    }

    /// Ends the node's part in the cluster; what was acknowledged stays.
    pub async fn stop(&self) {
        self.store().stop().await;
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    pub(crate) fn mounted(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Mounted>>> {
        self.mounted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock(data: &Path) -> Result<File, Error> {
    let path = data.join("lock");
    let file = File::create(&path)
        .map_err(|e| Error::internal(format!("{} can't be made: {e}", path.display())))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(_) => Err(Error::new(
            Code::InUse,
            format!(
                "another cairn daemon uses {}; stop it, or give this one a folder of its own with --data",
                data.display()
            ),
        )),
    }
}
