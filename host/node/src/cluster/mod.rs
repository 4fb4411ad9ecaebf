//! This node as a member of its cluster: its identity, its links, its part of the store.
//!
//! A node is always in a cluster: a new one founds a cluster of one, whose name is given later. Joining
//! another replaces identity, links and store at once; [`Cluster::part`] is what holds now.
//!
//! | module | what |
//! |---|---|
//! | `part` | what a node holds of one cluster, and how it is kept on disk |
//! | `messages` | between the store and the links |
//! | `lead` | what the leader does for the others: joins, removals, witnesses |
//! | `token`, `join`, `leave` | in and out |
//! | `force` | alone, though the majority is lost |
//! | `upkeep` | voters, links, certificates, revocations, in the background |
//! | `status` | what `cairn cluster status` shows |
//! | `witness` | witnesses of this cluster |

mod force;
mod join;
mod lead;
mod leave;
mod messages;
mod part;
pub mod records;
mod status;
mod token;
mod upkeep;
mod witness;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use cairn_core::Error;
use cairn_net::{Clock, Identity, IdentityError, Presented, Trust};
use cairn_store::Store;

pub(crate) use messages::{COMPONENT, Joins, LinksTransport, Peers, STORE as STORE_PATH};
use part::Part;
pub(crate) use upkeep::run as run_upkeep;
pub(crate) use witness::{ENROL, Enrolled, Enrolment, FORGET};

/// Where a cluster's name and settings stand.
pub(crate) const SETTINGS: &str = "cluster";

/// This node's membership.
pub(crate) struct Cluster {
    data: PathBuf,
    name: String,
    clock: Clock,
    /// What TLS shows of this node; replaced with its identity.
    presented: Presented,
    trust: Trust,
    part: RwLock<Arc<Part>>,
    /// Where others reach this node.
    addresses: RwLock<Vec<SocketAddr>>,
    /// Joining and leaving, one at a time.
    moving: tokio::sync::Mutex<()>,
}

impl Cluster {
    /// Opens what the data folder holds, and founds a cluster of one where it holds none.
    pub(crate) async fn open(data: &Path, name: &str) -> Result<Self, Error> {
        part::finish_move(data)?;
        let clock = Clock::system();
        let identity = part::identity(data, name, &clock)?;
        if identity.name() != name {
            let message = format!(
                "this data folder is node {}'s, and this daemon was started as {name}: a node keeps its name; start \
                 it with --node {}",
                identity.name(),
                identity.name()
            );
            return Err(Error::invalid("node", message));
        }
        let presented = Presented::new(identity.certified_key().map_err(unusable)?);
        let trust = Trust::new(clock.clone());
        let part = Part::open(data, identity, &presented, &trust).await?;
        let cluster = Self {
            data: data.to_owned(),
            name: name.to_owned(),
            clock,
            presented,
            trust,
            part: RwLock::new(Arc::new(part)),
            addresses: RwLock::default(),
            moving: tokio::sync::Mutex::default(),
        };
        cluster.write_authority()?;
        Ok(cluster)
    }

    /// What holds now.
    pub(crate) fn part(&self) -> Arc<Part> {
        Arc::clone(&self.part.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn store(&self) -> Arc<Store> {
        Arc::clone(&self.part().store)
    }

    pub(crate) fn presented(&self) -> Presented {
        self.presented.clone()
    }

    pub(crate) fn trust(&self) -> Trust {
        self.trust.clone()
    }

    /// Tells where this node is reached; others learn it from the leader.
    pub(crate) fn set_addresses(&self, addresses: Vec<SocketAddr>) {
        *self
            .addresses
            .write()
            .unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// For the certificate: what clients may call this node by.
    fn certificate_addresses(&self) -> Vec<IpAddr> {
        certificate_addresses(&self.addresses())
    }

    /// Replaces identity, links and store; the old ones have been stopped.
    fn replace(&self, part: Part) -> Result<(), Error> {
        let identity = part.identity();
        self.presented
            .replace(identity.certified_key().map_err(unusable)?);
        let old = {
            let mut now = self.part.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *now, Arc::new(part))
        };
        if old.identity().cluster() != identity.cluster() {
            self.trust.remove_cluster(old.identity().cluster());
        }
        self.write_authority()
    }

    /// The authority's certificate, for clients of the API to pin.
    fn write_authority(&self) -> Result<(), Error> {
        let path = self.data.join("ca.pem");
        let pem = self
            .part()
            .identity()
            .secrets()
            .authority_certificate
            .clone();
        std::fs::write(&path, pem)
            .map_err(|e| Error::internal(format!("{} can't be written: {e}", path.display())))
    }
}

fn certificate_addresses(addresses: &[SocketAddr]) -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = vec![
        std::net::Ipv4Addr::LOCALHOST.into(),
        std::net::Ipv6Addr::LOCALHOST.into(),
    ];
    for address in addresses {
        if !all.contains(&address.ip()) {
            all.push(address.ip());
        }
    }
    all
}

fn renewed(identity: &Identity, addresses: &[IpAddr], clock: &Clock) -> Result<Identity, Error> {
    identity.renewed(addresses, clock.now_s()).map_err(unusable)
}

fn unusable(error: IdentityError) -> Error {
    Error::internal(format!("this node's identity: {error}"))
}
