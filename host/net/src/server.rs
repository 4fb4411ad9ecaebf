//! One port for everything: the protocol that a client names in its TLS hello (ALPN) decides.
//!
//! | ALPN | client's certificate | goes to |
//! |---|---|---|
//! | `cairn-peer/1` | of a node of a cluster that is believed, not revoked | [`PeerHandler`] |
//! | `cairn-join/1` | none | [`JoinHandler`] |
//! | `h2`, `http/1.1`, none | none | the API, as a stream |
//!
//! Bounds: the time of a handshake, handshakes at once (in all and from one address), connections
//! of each kind, requests of a connection, bytes of bodies ([`crate::limits`]). What comes beyond a
//! bound is closed at once rather than kept waiting.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;

use crate::join::JoinHandler;
use crate::limits::{
    ACCEPT_PAUSE_MS, MAX_API_CONNECTIONS, MAX_JOINS, MAX_PEER_CONNECTIONS, SHUT_DOWN_MS, ms,
};
use crate::presented::Presented;
use crate::rpc::PeerHandler;
use crate::trust::Trust;

mod api;
mod handshake;
mod peer;
mod places;
mod quiet;

pub use api::{ApiConnection, ApiStream};

use places::Places;
use quiet::Quiet;

/// What a server needs.
pub struct ServerOptions {
    /// What it shows; a rotation replaces it at run time.
    pub presented: Presented,
    /// Whose nodes it serves: one cluster on a node, many on a witness.
    pub trust: Trust,
    /// Answers peers.
    pub peers: Arc<dyn PeerHandler>,
    /// Decides on joins; without it they are refused.
    pub joins: Option<Arc<dyn JoinHandler>>,
    /// Gets the API's connections; without it they are refused.
    pub api: Option<ApiOptions>,
}

/// Where the API's connections go.
pub struct ApiOptions {
    /// Each connection, past its handshake.
    pub connections: mpsc::Sender<ApiConnection>,
    /// A certificate of the administrator's own; else the node's is shown.
    pub presented: Option<Presented>,
}

/// A server on one or more addresses. Clones are the same server.
#[derive(Clone)]
pub struct Server(Arc<Shared>);

struct Shared {
    options: ServerOptions,
    handshakes: Places,
    refusals: Quiet,
    peers: Arc<Semaphore>,
    joins: Arc<Semaphore>,
    api: Arc<Semaphore>,
    stop: watch::Sender<bool>,
}

impl Server {
    /// A server that listens nowhere yet.
    #[must_use]
    pub fn new(options: ServerOptions) -> Self {
        Self(Arc::new(Shared {
            options,
            handshakes: Places::default(),
            refusals: Quiet::default(),
            peers: Arc::new(Semaphore::new(MAX_PEER_CONNECTIONS)),
            joins: Arc::new(Semaphore::new(MAX_JOINS)),
            api: Arc::new(Semaphore::new(MAX_API_CONNECTIONS)),
            stop: watch::Sender::new(false),
        }))
    }

    /// Serves what comes to this listener, until [`Self::shut_down`].
    pub fn listen(&self, listener: TcpListener) {
        let shared = Arc::clone(&self.0);
        tokio::spawn(async move {
            let mut stop = shared.stop.subscribe();
            tokio::select! {
                () = accept(&shared, &listener) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        });
    }

    /// Connections of peers that stand now.
    #[must_use]
    pub fn peer_connections(&self) -> usize {
        MAX_PEER_CONNECTIONS.saturating_sub(self.0.peers.available_permits())
    }

    /// Takes no more connections and ends those that stand: requests under way get a moment.
    /// Connections of the API are their owner's to end.
    pub async fn shut_down(&self) {
        self.0.stop.send_replace(true);
        let all = u32::try_from(MAX_PEER_CONNECTIONS).unwrap_or(u32::MAX);
        let ended = timeout(ms(SHUT_DOWN_MS), self.0.peers.acquire_many(all)).await;
        if ended.is_err() {
            tracing::info!("requests of peers were still under way at the end");
        }
    }
}

async fn accept(shared: &Arc<Shared>, listener: &TcpListener) {
    loop {
        match listener.accept().await {
            Ok((tcp, remote)) => admit(shared, tcp, remote),
            Err(e) => {
                tracing::warn!("no connection can be taken: {e}");
                tokio::time::sleep(ms(ACCEPT_PAUSE_MS)).await;
            }
        }
    }
}

fn admit(shared: &Arc<Shared>, tcp: tokio::net::TcpStream, remote: SocketAddr) {
    let Some(place) = shared.handshakes.take(remote.ip()) else {
        tracing::debug!(%remote, "closed: too many handshakes are under way");
        return;
    };
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let mut stop = shared.stop.subscribe();
        tokio::select! {
            () = handshake::serve(&shared, tcp, remote, place) => {}
            // Peers end themselves, to let requests under way come to their end.
            () = stopped(&mut stop) => {}
        }
    });
}

/// A while after the server was told to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the server is gone.
    let _ = stop.wait_for(|stop| *stop).await;
    tokio::time::sleep(ms(SHUT_DOWN_MS)).await;
}
