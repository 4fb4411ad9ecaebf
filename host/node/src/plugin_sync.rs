//! Plugins follow the store: what another node installed, upgraded or removed is fetched from a peer by
//! its digest, and loaded here too.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use bytes::BytesMut;
use cairn_core::plugin::Installed;
use cairn_core::{Code, Error};
use cairn_net::{NodeId, PeerResponse};
use futures::StreamExt;

use crate::Node;
use crate::cluster::COMPONENT;
use crate::plugins::parse;

/// Between two looks where nothing is told.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long a peer may take to begin with a component.
const FETCH_LIMIT: Duration = Duration::from_secs(30);
/// Largest component.
const COMPONENT_MAX_BYTES: usize = 128 << 20;

/// Runs for as long as the node is there.
pub(crate) async fn run(node: Weak<Node>) {
    loop {
        let Some(strong) = node.upgrade() else { return };
        let store = strong.store();
        let watch = store.watch("plugins", store.revision());
        if let Err(e) = strong.follow_plugins().await {
            tracing::warn!("plugins of other nodes can't be loaded: {e}");
        }
        drop((strong, store));
        match watch {
            Ok(mut watch) => drop(tokio::time::timeout(LOOK_EVERY, watch.next()).await),
            Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

impl Node {
    async fn follow_plugins(&self) -> Result<(), Error> {
        // A plugin that is being installed here is this node's own doing.
        let _change = self.changes.lock().await;
        let mut recorded = BTreeSet::new();
        for (path, record) in self.store().list("plugins")? {
            let name = path.trim_start_matches("plugins/").to_owned();
            let installed: Installed = parse(&record.value)?;
            recorded.insert(name.clone());
            if self.serves(&name, &installed) {
                continue;
            }
            let loaded = self.fetch_and_load(&installed).await;
            if let Err(e) = &loaded {
                tracing::error!(target: "alarm", plugin = %name, "can't be loaded: {e}");
            }
            self.loaded
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(name.clone(), loaded);
            self.mounted().retain(|_, m| m.record.plugin != name);
        }
        self.loaded
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|name, _| recorded.contains(name));
        Ok(())
    }

    /// Is what is loaded what is recorded?
    fn serves(&self, name: &str, installed: &Installed) -> bool {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        match loaded.get(name) {
            Some(Ok(plugin)) => *plugin.version() == installed.active,
            _ => false,
        }
    }

    async fn fetch_and_load(
        &self,
        installed: &Installed,
    ) -> Result<Arc<cairn_plugins::Plugin>, Error> {
        let digest = &installed.active.inspection.digest;
        if self.components.get(digest).is_err() {
            let component = self.fetch_component(digest).await?;
            self.components.put(digest, &component)?;
        }
        self.host
            .load(&self.components.get(digest)?, &installed.active)
            .await
    }

    /// From the first peer that has it.
    async fn fetch_component(&self, digest: &str) -> Result<Vec<u8>, Error> {
        let part = self.cluster.part();
        let mut failures = Vec::new();
        for (id, member) in part.store.membership().members {
            if id == part.store.id() || member.witness {
                continue;
            }
            match fetch(&part.links, id, digest).await {
                Ok(component) if cairn_plugins::digest(&component) == digest => {
                    return Ok(component);
                }
                Ok(_) => failures.push(format!("{}: it sent another component", member.name)),
                Err(e) => failures.push(format!("{}: {e}", member.name)),
            }
        }
        let message = format!(
            "no node gives the component {digest}: {}",
            failures.join("; ")
        );
        Err(Error::new(Code::Unavailable, message))
    }

    /// A component, for a peer.
    pub(crate) fn component_stream(&self, digest: &str) -> PeerResponse {
        match self.components.get(digest) {
            Ok(component) => PeerResponse::stream(Box::pin(futures::stream::iter(
                component
                    .chunks(64 << 10)
                    .map(|c| Ok(bytes::Bytes::copy_from_slice(c)))
                    .collect::<Vec<_>>(),
            ))),
            Err(_) => PeerResponse::error(404, "this node doesn't have that component"),
        }
    }
}

async fn fetch(links: &cairn_net::Links, from: u64, digest: &str) -> Result<Vec<u8>, Error> {
    let nothing = Box::pin(futures::stream::empty());
    let opened = links
        .open_stream(
            NodeId(from),
            &format!("{COMPONENT}{digest}"),
            nothing,
            FETCH_LIMIT,
        )
        .await;
    let mut answer = opened
        .map_err(|e| Error::new(Code::Unavailable, e.to_string()))?
        .body;
    let mut whole = BytesMut::new();
    while let Some(piece) = answer.next().await {
        let piece = piece.map_err(|e| Error::new(Code::Unavailable, e.to_string()))?;
        if whole.len() + piece.len() > COMPONENT_MAX_BYTES {
            return Err(Error::new(Code::Unavailable, "it is too large"));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.to_vec())
}
