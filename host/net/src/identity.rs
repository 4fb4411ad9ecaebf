//! What a node is: its name and id in a cluster, its key and certificate, and the secrets that all
//! nodes of the cluster hold.
//!
//! All of it is one file, `identity.json`, so that key and certificate change together.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::authority::{Authority, IssueRequest, NodeKey};
use crate::certificate::{CertificateFacts, check_signed, from_pem, roots};
use crate::error::IdentityError;
use crate::files;
use crate::limits::{CERTIFICATE_BACKDATE_S, CERTIFICATE_LIFE_S};
use crate::names::{CertificateName, ClusterId, NodeId};
use crate::seal::ClusterKey;
use crate::secret::SecretText;

const FILE: &str = "identity.json";
const FORMAT: u32 = 1;

/// What all nodes of a cluster hold and no witness does. A node that joins is given this.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClusterSecrets {
    /// The authority's certificate, PEM.
    pub authority_certificate: String,
    /// The authority's private key, PEM.
    pub authority_key: SecretText,
    /// What the witness's entries are sealed with.
    pub cluster_key: ClusterKey,
}

impl ClusterSecrets {
    /// A new cluster's: an authority and a key.
    ///
    /// # Errors
    /// As [`Authority::create`].
    pub fn create(cluster_name: &str, now_s: u64) -> Result<Self, IdentityError> {
        let authority = Authority::create(cluster_name, now_s)?;
        Ok(Self {
            authority_certificate: authority.certificate_pem().to_owned(),
            authority_key: authority.key_pem().clone(),
            cluster_key: ClusterKey::generate(1)?,
        })
    }

    /// The authority, ready to sign.
    ///
    /// # Errors
    /// As [`Authority::load`].
    pub fn authority(&self) -> Result<Authority, IdentityError> {
        Authority::load(&self.authority_certificate, &self.authority_key)
    }
}

/// A node's identity. Debug output shows no secret of it.
#[derive(Debug, Clone)]
pub struct Identity {
    cluster: ClusterId,
    node: NodeId,
    name: String,
    key: SecretText,
    certificate: String,
    facts: CertificateFacts,
    secrets: ClusterSecrets,
}

/// The file's form.
#[derive(Serialize, Deserialize)]
struct Record {
    format: u32,
    cluster: ClusterId,
    node: NodeId,
    name: String,
    key: SecretText,
    certificate: String,
    secrets: ClusterSecrets,
}

impl Identity {
    /// Puts an identity together from what a join gave, and checks that the parts fit.
    ///
    /// # Errors
    /// When key, certificate and authority don't belong together.
    pub fn assemble(
        key: &NodeKey,
        certificate_pem: &str,
        secrets: ClusterSecrets,
    ) -> Result<Self, IdentityError> {
        let unfit = |sentence: &str| IdentityError::Unfit(sentence.to_owned());
        let certificate = from_pem(certificate_pem)?;
        let facts = CertificateFacts::read(&certificate)?;
        let CertificateName { cluster, node } = facts
            .name
            .ok_or_else(|| unfit("the certificate names no node"))?;
        let authority = from_pem(&secrets.authority_certificate)?;
        let ours = roots(&[authority])?;
        // Whether it is expired doesn't matter here: an expired one can still be renewed.
        let then = std::time::Duration::from_secs(facts.not_before_s);
        let then = rustls::pki_types::UnixTime::since_unix_epoch(then);
        check_signed(&certificate, &ours, then)
            .map_err(|e| IdentityError::unfit("the certificate isn't of this authority", e))?;
        if secrets.authority()?.cluster() != cluster {
            return Err(unfit("certificate and authority are of two clusters"));
        }
        crate::keys::certified(vec![certificate], key.pem())?;
        Ok(Self {
            cluster,
            node,
            name: facts.common_name.clone(),
            key: key.pem().clone(),
            certificate: certificate_pem.to_owned(),
            facts,
            secrets,
        })
    }

    /// A node that holds the cluster's secrets makes an identity for itself: the first node of a
    /// cluster, and every renewal.
    ///
    /// # Errors
    /// When a name doesn't fit into a certificate, or there are no random numbers.
    pub fn issue_own(
        secrets: ClusterSecrets,
        node: NodeId,
        name: &str,
        addresses: &[IpAddr],
        now_s: u64,
    ) -> Result<Self, IdentityError> {
        let key = NodeKey::generate()?;
        let wanted = IssueRequest {
            csr: &key.csr()?,
            node,
            name,
            addresses,
        };
        let certificate = secrets.authority()?.issue(&wanted, now_s)?;
        Self::assemble(&key, &certificate, secrets)
    }

    /// The same node with a new key and certificate, for these addresses.
    ///
    /// # Errors
    /// As [`Self::issue_own`].
    pub fn renewed(&self, addresses: &[IpAddr], now_s: u64) -> Result<Self, IdentityError> {
        Self::issue_own(
            self.secrets.clone(),
            self.node,
            &self.name,
            addresses,
            now_s,
        )
    }

    /// Whether two thirds of the certificate's life are over, or the clock stands before it.
    #[must_use]
    pub fn renew_due(&self, now_s: u64) -> bool {
        let begun_s = self
            .facts
            .not_before_s
            .saturating_add(CERTIFICATE_BACKDATE_S);
        let due_s = begun_s.saturating_add(CERTIFICATE_LIFE_S / 3 * 2);
        now_s >= due_s || now_s < self.facts.not_before_s
    }

    /// Writes it to `folder`: mode 0600 in 0700, whole or not at all, synced.
    ///
    /// # Errors
    /// When the system says no.
    pub fn save(&self, folder: &Path) -> Result<(), IdentityError> {
        let record = Record {
            format: FORMAT,
            cluster: self.cluster,
            node: self.node,
            name: self.name.clone(),
            key: self.key.clone(),
            certificate: self.certificate.clone(),
            secrets: self.secrets.clone(),
        };
        save_record(folder, FILE, &record)
    }

    /// Reads what [`Self::save`] wrote, and checks that its parts fit.
    ///
    /// # Errors
    /// When it isn't there, is damaged, or is of a later format.
    pub fn load(folder: &Path) -> Result<Self, IdentityError> {
        let path = folder.join(FILE);
        let record: Record = load_record(folder, FILE, FORMAT)?;
        let damaged = |why: String| IdentityError::Damaged {
            path: path.clone(),
            why,
        };
        let key = NodeKey::from_pem(record.key);
        let identity = Self::assemble(&key, &record.certificate, record.secrets)
            .map_err(|e| damaged(e.to_string()))?;
        if (identity.cluster, identity.node) != (record.cluster, record.node) {
            return Err(damaged("its certificate is another node's".into()));
        }
        Ok(identity)
    }

    /// Whether `folder` holds an identity, whole or damaged.
    #[must_use]
    pub fn is_saved(folder: &Path) -> bool {
        folder.join(FILE).exists()
    }

    /// Which cluster.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// Which node.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the certificate says: serial number, dates.
    #[must_use]
    pub fn facts(&self) -> &CertificateFacts {
        &self.facts
    }

    /// What all nodes share.
    #[must_use]
    pub fn secrets(&self) -> &ClusterSecrets {
        &self.secrets
    }

    /// Certificate, authority and key as TLS shows them.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn certified_key(&self) -> Result<Arc<CertifiedKey>, IdentityError> {
        let authority = from_pem(&self.secrets.authority_certificate)?;
        crate::keys::certified(vec![from_pem(&self.certificate)?, authority], &self.key)
    }
}

/// A certificate, its authority's and its key, as TLS shows them: for a member that isn't a node.
///
/// # Errors
/// When they can't be read or don't belong together.
pub fn certified_key(
    certificate_pem: &str,
    authority_pem: &str,
    key: &SecretText,
) -> Result<Arc<CertifiedKey>, IdentityError> {
    let chain = vec![from_pem(certificate_pem)?, from_pem(authority_pem)?];
    crate::keys::certified(chain, key)
}

pub(crate) fn save_record(
    folder: &Path,
    file: &str,
    record: &impl Serialize,
) -> Result<(), IdentityError> {
    let text = serde_json::to_vec_pretty(record).map(Zeroizing::new);
    let text = text.map_err(|e| IdentityError::unfit("an identity can't be written", e))?;
    files::write(folder, file, &text)
}

pub(crate) fn load_record<R: for<'de> Deserialize<'de>>(
    folder: &Path,
    file: &str,
    known: u32,
) -> Result<R, IdentityError> {
    #[derive(Deserialize)]
    struct Head {
        format: u32,
    }
    let text = files::read(folder, file)?;
    // Place and kind of a fault, not its text: that could be a key.
    let damaged = |e: serde_json::Error| IdentityError::Damaged {
        path: folder.join(file),
        why: format!("{:?} fault in line {}", e.classify(), e.line()),
    };
    let head: Head = serde_json::from_slice(&text).map_err(damaged)?;
    if head.format > known {
        let path = folder.join(file);
        return Err(IdentityError::NewerFormat {
            path,
            found: head.format,
            known,
        });
    }
    serde_json::from_slice(&text).map_err(damaged)
}
