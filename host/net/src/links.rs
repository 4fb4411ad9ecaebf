//! Requests to other nodes. A peer has one or more addresses; each is a link with a connection of
//! its own, kept open and probed: every 300 ms while the peer is being called, every second otherwise. A call
//! goes over the best link that lives, and has its peer probed at once.
//!
//! ```text
//! New --dialled--> Up --probe 600 ms late--> Suspect --3000 ms late--> Down --back-off--> dialled again
//!  \--failed--> Down     <----answered-------/    closed, revoked: Down at once
//! ```
//! A suspect link gets no new calls while another is up, and calls under way on it that may be
//! repeated move to the other one: a link that hangs is left within a second. A call to a peer
//! whose links are all down fails at once. Streams get connections of their own, so that bulk
//! doesn't stand in the way of calls.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch;

use crate::limits::{CALL_MS, MAX_LINKS_PER_PEER, ms};
use crate::names::{ClusterId, Fingerprint, NodeId};
use crate::presented::Presented;
use crate::trust::Trust;

mod back_off;
mod call;
mod choose;
mod cut;
mod error;
mod link;
mod probe;
mod stream;
mod usage;

pub use call::Retry;
pub use choose::Health;
pub use error::CallError;
pub use stream::PeerStream;

use link::{Board, Link, Target};
use usage::Usage;

/// The calling side of this process. Clones share the links.
#[derive(Clone)]
pub struct Links(Arc<Shared>);

struct Shared {
    context: link::Context,
    peers: RwLock<BTreeMap<NodeId, Arc<PeerLinks>>>,
}

/// The links to one peer.
struct PeerLinks {
    links: Vec<Arc<Link>>,
    /// Rings when a link's health changes, or the links do.
    bell: Arc<watch::Sender<()>>,
    usage: Arc<Usage>,
}

/// What links need.
pub struct LinksOptions {
    /// What this side shows.
    pub presented: Presented,
    /// Whom it believes.
    pub trust: Trust,
    /// Whose nodes [`PeerTrust::Ca`] means.
    pub cluster: ClusterId,
}

/// Where a peer is, and how it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerConfig {
    /// Each is a link. Earlier ones are preferred unless clearly slower. At most
    /// [`MAX_LINKS_PER_PEER`] are used.
    pub addresses: Vec<SocketAddr>,
    /// How it proves what it is.
    pub trust: PeerTrust,
}

/// How a peer proves what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerTrust {
    /// By a certificate of this cluster's authority with the peer's id in it.
    Ca,
    /// By this very certificate: a witness.
    Pinned(Fingerprint),
}

/// How a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallOptions {
    /// Ends the call, whatever it waits for.
    pub limit: Duration,
    /// Whether it may be sent twice.
    pub retry: Retry,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self {
            limit: ms(CALL_MS),
            retry: Retry::Never,
        }
    }
}

/// How a link is, for `cairn cluster status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkState {
    /// To whom.
    pub peer: NodeId,
    /// Over which of its addresses.
    pub address: SocketAddr,
    /// Whether it works.
    pub health: Health,
    /// The time of a probe there and back, smoothed.
    pub round_trip: Option<Duration>,
    /// How long ago the peer last answered over it.
    pub last_contact: Option<Duration>,
    /// How far the peer's wall clock is ahead of ours. Shown, and decides nothing.
    pub clock_ahead_ms: Option<i64>,
    /// Why it is down.
    pub why: Option<String>,
}

impl Links {
    /// Links to nobody yet.
    #[must_use]
    pub fn new(options: LinksOptions) -> Self {
        let LinksOptions {
            presented,
            trust,
            cluster,
        } = options;
        let context = link::Context {
            presented,
            trust,
            cluster,
        };
        Self(Arc::new(Shared {
            context,
            peers: RwLock::default(),
        }))
    }

    /// The peers from now on. Links whose address and trust stay the same go on undisturbed; a
    /// link that goes is closed when the calls under way on it have ended.
    pub fn set_peers(&self, wanted: &BTreeMap<NodeId, PeerConfig>) {
        let mut peers = self.0.peers.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::take(&mut *peers);
        for (&id, config) in wanted {
            let links = self.make_links(id, config, old.get(&id).map(AsRef::as_ref));
            peers.insert(id, Arc::new(links));
        }
        drop(peers);
        for gone in old.values() {
            gone.bell.send_replace(());
        }
    }

    fn make_links(&self, id: NodeId, config: &PeerConfig, old: Option<&PeerLinks>) -> PeerLinks {
        let bell = old.map_or_else(Arc::default, |old| old.bell.clone());
        let usage = old.map_or_else(Arc::default, |old| old.usage.clone());
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for address in &config.addresses {
            if !addresses.contains(address) && addresses.len() < MAX_LINKS_PER_PEER {
                addresses.push(*address);
            }
        }
        let links = addresses.into_iter().map(|address| {
            let target = Target {
                peer: id,
                address,
                trust: config.trust,
            };
            let same = |link: &&Arc<Link>| link.target == target;
            let kept = old.and_then(|old| old.links.iter().find(same).cloned());
            kept.unwrap_or_else(|| {
                let board = Board::new(bell.clone(), usage.clone());
                Arc::new(Link::start(&self.0.context, target, board))
            })
        });
        let links = links.collect();
        PeerLinks { links, bell, usage }
    }

    /// Dials this peer's dead links now: there is a reason to think that it is back.
    pub fn nudge(&self, peer: NodeId) {
        if let Some(peer) = self.peer(peer) {
            peer.links.iter().for_each(|link| link.nudge());
        }
    }

    /// How every link is now.
    #[must_use]
    pub fn states(&self) -> Vec<LinkState> {
        let peers = self.0.peers.read().unwrap_or_else(PoisonError::into_inner);
        let all = peers
            .iter()
            .flat_map(|(id, peer)| peer.links.iter().map(|link| link.state(*id)));
        all.collect()
    }

    fn peer(&self, id: NodeId) -> Option<Arc<PeerLinks>> {
        self.0
            .peers
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .cloned()
    }
}
