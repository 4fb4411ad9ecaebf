//! Whom this process believes: the clusters' authorities, and what each has revoked. A node trusts
//! its own cluster; a witness trusts each that it votes for. Changed at run time, and followed by
//! every connection that stands.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, Error as TlsError};
use tokio::sync::watch;

use crate::certificate::{CertificateFacts, check_signed, from_pem, roots};
use crate::clock::Clock;
use crate::error::IdentityError;
use crate::names::{CertificateName, ClusterId, Fingerprint, NodeId, Serial};

/// What a cluster took back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revoked {
    /// Single certificates.
    pub serials: BTreeSet<Serial>,
    /// Every certificate of a node that left: ids aren't given twice.
    pub nodes: BTreeSet<NodeId>,
}

/// The clusters believed. Clones share them.
#[derive(Debug, Clone)]
pub struct Trust {
    clusters: Arc<watch::Sender<Clusters>>,
    clock: Clock,
}

pub(crate) type Clusters = BTreeMap<ClusterId, Arc<ClusterTrust>>;

#[derive(Debug)]
pub(crate) struct ClusterTrust {
    roots: RootCertStore,
    revoked: Revoked,
}

/// Who showed a certificate that is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerName {
    /// Whose node.
    pub cluster: ClusterId,
    /// Which node.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Of the certificate it showed.
    pub serial: Serial,
}

/// Why a certificate isn't believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It can't be read.
    #[error("its certificate can't be read")]
    Unreadable,
    /// It is none of a node.
    #[error("its certificate is none of a cluster's node")]
    NoNode,
    /// Its cluster isn't known here.
    #[error(
        "it is of cluster {0}, which isn't known here: was it removed, or is the address wrong?"
    )]
    UnknownCluster(ClusterId),
    /// It is of a known cluster and of another than needed.
    #[error("it is of cluster {found} and should be of {wanted}")]
    OtherCluster {
        /// Wanted here.
        wanted: ClusterId,
        /// What it says.
        found: ClusterId,
    },
    /// Another authority signed it.
    #[error("its certificate isn't signed by the cluster's authority")]
    OtherAuthority,
    /// Its time is over.
    #[error("its certificate expired {0} s ago: it can't renew it, or one of two clocks is wrong")]
    Expired(u64),
    /// Its time hasn't come.
    #[error("its certificate is valid only in {0} s: one of two clocks is wrong")]
    NotYetValid(u64),
    /// The cluster took it back.
    #[error(
        "the certificate {serial} of node {node} was revoked: the node was removed, and can only join anew"
    )]
    Revoked {
        /// Which node's.
        node: NodeId,
        /// Which certificate.
        serial: Serial,
    },
    /// Another node is at that address.
    #[error(
        "it is node {found} and should be node {wanted}: its address is wrong or was given to another"
    )]
    OtherNode {
        /// Wanted here.
        wanted: NodeId,
        /// What it says.
        found: NodeId,
    },
    /// Not what was pinned.
    #[error("its certificate {found} isn't the one that was pinned")]
    NotPinned {
        /// What it showed.
        found: Fingerprint,
    },
}

impl Trust {
    /// Believes nobody yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            clusters: Arc::new(watch::Sender::new(Clusters::new())),
            clock,
        }
    }

    /// Believes this authority for its cluster. What was revoked stays so.
    ///
    /// # Errors
    /// When it can't be read or is none of a cluster's.
    pub fn add_cluster(&self, authority_pem: &str) -> Result<ClusterId, IdentityError> {
        let authority = from_pem(authority_pem)?;
        let cluster = CertificateFacts::read(&authority)?
            .authority_of
            .ok_or_else(|| {
                IdentityError::Unfit("the certificate is not of a cluster's authority".into())
            })?;
        let roots = roots(&[authority])?;
        self.clusters.send_modify(|clusters| {
            let revoked = clusters.get(&cluster).map(|old| old.revoked.clone());
            let trust = ClusterTrust {
                roots,
                revoked: revoked.unwrap_or_default(),
            };
            clusters.insert(cluster, Arc::new(trust));
        });
        Ok(cluster)
    }

    /// Believes this cluster no more; its connections end.
    pub fn remove_cluster(&self, cluster: ClusterId) {
        self.clusters
            .send_if_modified(|clusters| clusters.remove(&cluster).is_some());
    }

    /// What a cluster revoked, all of it; connections of those end. Without effect for a cluster
    /// that isn't known.
    pub fn set_revoked(&self, cluster: ClusterId, revoked: Revoked) {
        self.clusters.send_if_modified(|clusters| {
            let Some(old) = clusters.get(&cluster).filter(|old| old.revoked != revoked) else {
                return false;
            };
            let trust = ClusterTrust {
                roots: old.roots.clone(),
                revoked,
            };
            clusters.insert(cluster, Arc::new(trust));
            true
        });
    }

    /// The clusters known.
    #[must_use]
    pub fn clusters(&self) -> Vec<ClusterId> {
        self.clusters.borrow().keys().copied().collect()
    }

    /// Whose certificate this is, if it is believed now.
    ///
    /// # Errors
    /// Says why it isn't.
    pub fn check(&self, certificate: &CertificateDer<'_>) -> Result<PeerName, Refusal> {
        let facts = CertificateFacts::read(certificate).map_err(|_| Refusal::Unreadable)?;
        let CertificateName { cluster, node } = facts.name.ok_or(Refusal::NoNode)?;
        let known = self.clusters.borrow().get(&cluster).cloned();
        let known = known.ok_or(Refusal::UnknownCluster(cluster))?;
        let now_s = self.clock.now_s();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now_s));
        check_signed(certificate, &known.roots, now)
            .map_err(|e| Refusal::from_tls(&e, &facts, now_s))?;
        let peer = PeerName {
            cluster,
            node,
            name: facts.common_name,
            serial: facts.serial,
        };
        known.still_good(&peer)?;
        Ok(peer)
    }

    /// Whether a peer that was believed still is. Expiry doesn't end a connection that stands.
    pub(crate) fn recheck(&self, peer: &PeerName) -> Result<(), Refusal> {
        match self.clusters.borrow().get(&peer.cluster) {
            Some(known) => known.still_good(peer),
            None => Err(Refusal::UnknownCluster(peer.cluster)),
        }
    }

    /// Wakes at each change.
    pub(crate) fn changes(&self) -> watch::Receiver<Clusters> {
        self.clusters.subscribe()
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }
}

impl ClusterTrust {
    fn still_good(&self, peer: &PeerName) -> Result<(), Refusal> {
        let revoked = &self.revoked;
        if revoked.serials.contains(&peer.serial) || revoked.nodes.contains(&peer.node) {
            return Err(Refusal::Revoked {
                node: peer.node,
                serial: peer.serial,
            });
        }
        Ok(())
    }
}

impl Refusal {
    pub(crate) fn from_tls(error: &TlsError, facts: &CertificateFacts, now_s: u64) -> Self {
        match error {
            TlsError::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            ) => Self::Expired(now_s.saturating_sub(facts.not_after_s)),
            TlsError::InvalidCertificate(
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
            ) => Self::NotYetValid(facts.not_before_s.saturating_sub(now_s)),
            _ => Self::OtherAuthority,
        }
    }

    /// What the other side is told: an alert says no more than this.
    pub(crate) fn to_tls(&self) -> TlsError {
        TlsError::InvalidCertificate(match self {
            Self::Unreadable => CertificateError::BadEncoding,
            Self::OtherAuthority | Self::UnknownCluster(_) => CertificateError::UnknownIssuer,
            Self::Expired(_) => CertificateError::Expired,
            Self::NotYetValid(_) => CertificateError::NotValidYet,
            Self::Revoked { .. } => CertificateError::Revoked,
            Self::NoNode
            | Self::OtherCluster { .. }
            | Self::OtherNode { .. }
            | Self::NotPinned { .. } => CertificateError::ApplicationVerificationFailure,
        })
    }
}
