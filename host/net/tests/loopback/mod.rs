//! What tests on the loopback share: clusters of real identities, nodes with real servers, a proxy
//! that can hang, and the log.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cairn_net::links::Health;
use cairn_net::{
    CallOptions, Clock, ClusterSecrets, Identity, LinkState, Links, LinksOptions, NodeId, Peer,
    PeerConfig, PeerHandler, PeerRequest, PeerResponse, PeerTrust, Presented, Retry, Server,
    ServerOptions, Trust,
};
use futures::StreamExt;
use futures::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub(crate) mod proxy;

/// A cluster's secrets, and its nodes.
pub(crate) struct Cluster {
    pub(crate) secrets: ClusterSecrets,
    pub(crate) clock: Clock,
    pub(crate) now_s: Arc<AtomicU64>,
}

impl Cluster {
    pub(crate) fn new(name: &str) -> Self {
        let now_s = Arc::new(AtomicU64::new(Clock::system().now_s()));
        let clock = Clock::new({
            let now_s = now_s.clone();
            move || now_s.load(Ordering::Relaxed)
        });
        let secrets = ClusterSecrets::create(name, clock.now_s()).unwrap();
        Self {
            secrets,
            clock,
            now_s,
        }
    }

    pub(crate) fn identity(&self, node: u64) -> Identity {
        let (name, now_s) = (format!("node{node}"), self.clock.now_s());
        let addresses = [[127, 0, 0, 1].into()];
        Identity::issue_own(self.secrets.clone(), NodeId(node), &name, &addresses, now_s).unwrap()
    }

    /// Believes this cluster, by its own clock.
    pub(crate) fn trust(&self) -> Trust {
        let trust = Trust::new(self.clock.clone());
        trust
            .add_cluster(&self.secrets.authority_certificate)
            .unwrap();
        trust
    }

    /// The calling side of a node.
    pub(crate) fn links(&self, node: u64) -> Links {
        self.links_of(&self.identity(node))
    }

    pub(crate) fn links_of(&self, identity: &Identity) -> Links {
        let presented = Presented::new(identity.certified_key().unwrap());
        let cluster = self.secrets.authority().unwrap().cluster();
        Links::new(LinksOptions {
            presented,
            trust: self.trust(),
            cluster,
        })
    }

    /// A node that serves on a port of its own.
    pub(crate) async fn node(&self, node: u64) -> Node {
        Node::start(
            Presented::new(self.identity(node).certified_key().unwrap()),
            self.trust(),
        )
        .await
    }
}

/// A server with [`Answers`].
pub(crate) struct Node {
    pub(crate) presented: Presented,
    pub(crate) trust: Trust,
    pub(crate) server: Server,
    pub(crate) address: SocketAddr,
    pub(crate) answers: Arc<Answers>,
}

impl Node {
    pub(crate) async fn start(presented: Presented, trust: Trust) -> Self {
        log();
        let answers = Arc::new(Answers::default());
        let server = Server::new(ServerOptions {
            presented: presented.clone(),
            trust: trust.clone(),
            peers: answers.clone(),
            joins: None,
            api: None,
        });
        let address = listen(&server).await;
        Self {
            presented,
            trust,
            server,
            address,
            answers,
        }
    }
}

pub(crate) async fn listen(server: &Server) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    server.listen(listener);
    address
}

/// Answers by path, and counts.
pub(crate) struct Answers {
    pub(crate) count: AtomicUsize,
    pub(crate) connected: AtomicUsize,
    /// Bodies that weren't taken by `/keep`.
    pub(crate) refused: Arc<AtomicUsize>,
    /// `/hold` answers and `/drain` reads on while this is true.
    pub(crate) go: watch::Sender<bool>,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            count: AtomicUsize::new(0),
            connected: AtomicUsize::new(0),
            refused: Arc::default(),
            go: watch::Sender::new(false),
        }
    }
}

impl PeerHandler for Answers {
    fn handle(&self, request: PeerRequest) -> BoxFuture<'static, PeerResponse> {
        self.count.fetch_add(1, Ordering::Relaxed);
        let mut go = self.go.subscribe();
        let refused = self.refused.clone();
        Box::pin(async move {
            let PeerRequest { peer, path, body } = request;
            match path.as_str() {
                "/echo" => match body.bytes().await {
                    Ok(bytes) => PeerResponse::ok(bytes),
                    Err(e) => e.into(),
                },
                "/who" => {
                    let name = &peer.name;
                    PeerResponse::ok(format!("{} {} {}", name.cluster, name.node, name.name))
                }
                "/hold" => {
                    go.wait_for(|go| *go).await.unwrap();
                    PeerResponse::ok("held")
                }
                "/keep" => match body.bytes().await {
                    Ok(_kept) => {
                        go.wait_for(|go| *go).await.unwrap();
                        PeerResponse::ok("kept")
                    }
                    Err(e) => {
                        refused.fetch_add(1, Ordering::Relaxed);
                        e.into()
                    }
                },
                "/stream" => PeerResponse::stream(body.into_stream()),
                "/drain" => {
                    let mut stream = body.into_stream();
                    let mut read = stream.next().await.unwrap().unwrap().len();
                    go.wait_for(|go| *go).await.unwrap();
                    while let Some(piece) = stream.next().await {
                        read += piece.unwrap().len();
                    }
                    PeerResponse::ok(read.to_string())
                }
                "/huge" => PeerResponse::ok(vec![0; 17 * 1024 * 1024]),
                _ => PeerResponse::error(503, "votes 1 of 3"),
            }
        })
    }

    fn connected(&self, _peer: &Peer) {
        self.connected.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) fn peers(wanted: &[(u64, &[SocketAddr])]) -> BTreeMap<NodeId, PeerConfig> {
    let config = |addresses: &[SocketAddr]| PeerConfig {
        addresses: addresses.to_vec(),
        trust: PeerTrust::Ca,
    };
    wanted
        .iter()
        .map(|(id, addresses)| (NodeId(*id), config(addresses)))
        .collect()
}

pub(crate) fn once(limit_ms: u64) -> CallOptions {
    CallOptions {
        limit: Duration::from_millis(limit_ms),
        retry: Retry::Never,
    }
}

pub(crate) fn twice(limit_ms: u64) -> CallOptions {
    CallOptions {
        limit: Duration::from_millis(limit_ms),
        retry: Retry::OnOtherLink,
    }
}

/// Waits for a condition, and fails with `what` when it doesn't come.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    begun.elapsed()
}

pub(crate) fn link(links: &Links, address: SocketAddr) -> LinkState {
    links
        .states()
        .into_iter()
        .find(|link| link.address == address)
        .unwrap()
}

pub(crate) async fn until_up(links: &Links) {
    until("all links are up", || {
        links.states().iter().all(|link| link.health == Health::Up)
    })
    .await;
}

/// What was logged by this test program until now, on every level.
pub(crate) fn log() -> String {
    static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());
    static START: Once = Once::new();
    struct Writer;
    impl std::io::Write for Writer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            LOG.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    START.call_once(|| {
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(|| Writer)
            .init();
    });
    String::from_utf8_lossy(&LOG.lock().unwrap()).into_owned()
}

pub(crate) async fn who(links: &Links, peer: u64) -> Result<Bytes, cairn_net::CallError> {
    links
        .call(NodeId(peer), "/who", Bytes::new(), once(5000))
        .await
}
