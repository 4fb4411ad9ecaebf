//! The cluster's certificate authority. Every node holds it, so every node can let another in and
//! renew its own certificate; a witness never does.
//!
//! Keys are ECDSA on P-256: small, quick, and known to every browser that looks at the API.

use std::net::IpAddr;

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;

use crate::certificate::{CertificateFacts, from_pem};
use crate::error::IdentityError;
use crate::limits::{AUTHORITY_LIFE_S, CERTIFICATE_BACKDATE_S, CERTIFICATE_LIFE_S, MAX_NAME_BYTES};
use crate::names::{CertificateName, ClusterId, Fingerprint, NodeId};
use crate::secret::{SecretText, random_bytes};

/// Signs the certificates of a cluster's nodes.
pub struct Authority {
    cluster: ClusterId,
    cluster_name: String,
    certificate_pem: String,
    certificate: CertificateDer<'static>,
    key_pem: SecretText,
    issuer: Issuer<'static, KeyPair>,
}

/// What a node's new certificate shall say.
#[derive(Debug, Clone)]
pub struct IssueRequest<'a> {
    /// From the node: its public key.
    pub csr: &'a NodeCsr,
    /// Its id, never given before.
    pub node: NodeId,
    /// Its name: also a DNS name that the API answers to.
    pub name: &'a str,
    /// Where its API is reached.
    pub addresses: &'a [IpAddr],
}

impl Authority {
    /// A new cluster's, with a new cluster id.
    ///
    /// # Errors
    /// When the name doesn't fit into a certificate, or there are no random numbers.
    pub fn create(cluster_name: &str, now_s: u64) -> Result<Self, IdentityError> {
        check_name("cluster's name", cluster_name)?;
        let cluster = ClusterId::random()?;
        let mut params = blank(cluster_name, now_s, AUTHORITY_LIFE_S)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.subject_alt_names = vec![uri(&format!("cairn://{cluster}"))?];
        let key = new_key()?;
        let made = params.self_signed(&key).map_err(unsigned)?;
        Self::load(&made.pem(), &SecretText::new(key.serialize_pem()))
    }

    /// From what [`Self::certificate_pem`] and [`Self::key_pem`] gave.
    ///
    /// # Errors
    /// When they can't be read, don't belong together, or aren't an authority of ours.
    pub fn load(certificate_pem: &str, key_pem: &SecretText) -> Result<Self, IdentityError> {
        let certificate = from_pem(certificate_pem)?;
        let facts = CertificateFacts::read(&certificate)?;
        let cluster = facts.authority_of.ok_or_else(|| {
            IdentityError::Unfit("the certificate is not of a cluster's authority".into())
        })?;
        let key = read_key(key_pem)?;
        if !crate::keys::belong_together(&certificate, &key) {
            let sentence = "the authority's key doesn't belong to its certificate";
            return Err(IdentityError::Unfit(sentence.into()));
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .map_err(|e| IdentityError::unfit("the authority's certificate is unusable", e))?;
        Ok(Self {
            cluster,
            cluster_name: facts.common_name,
            certificate_pem: certificate_pem.to_owned(),
            certificate,
            key_pem: key_pem.clone(),
            issuer,
        })
    }

    /// Whose it is.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The cluster's name as it was created.
    #[must_use]
    pub fn cluster_name(&self) -> &str {
        &self.cluster_name
    }

    /// What a join token pins.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// Its certificate, for all to see.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Its private key.
    #[must_use]
    pub fn key_pem(&self) -> &SecretText {
        &self.key_pem
    }

    /// A certificate in PEM, valid for 90 days. Of the request only the public key counts.
    ///
    /// # Errors
    /// When a name doesn't fit or the request isn't signed by its own key.
    pub fn issue(&self, wanted: &IssueRequest<'_>, now_s: u64) -> Result<String, IdentityError> {
        check_name("node's name", wanted.name)?;
        let mut request = CertificateSigningRequestParams::from_pem(&wanted.csr.0)
            .map_err(|e| IdentityError::unfit("the request for a certificate is unusable", e))?;
        let mut params = blank(wanted.name, now_s, CERTIFICATE_LIFE_S)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        let name = CertificateName {
            cluster: self.cluster,
            node: wanted.node,
        };
        params.subject_alt_names = vec![uri(&name.to_string())?, dns(wanted.name)?];
        let addresses = wanted
            .addresses
            .iter()
            .map(|address| SanType::IpAddress(*address));
        params.subject_alt_names.extend(addresses);
        request.params = params;
        Ok(request.signed_by(&self.issuer).map_err(unsigned)?.pem())
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("cluster", &self.cluster)
            .field("cluster_name", &self.cluster_name)
            .field("fingerprint", &self.fingerprint())
            .finish_non_exhaustive()
    }
}

/// A node's request for a certificate: its public key, signed with the private one (PKCS #10, PEM).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct NodeCsr(pub String);

/// A node's own private key; it never leaves the node.
#[derive(Debug, Clone)]
pub struct NodeKey(SecretText);

impl NodeKey {
    /// A new one.
    ///
    /// # Errors
    /// When there are no random numbers.
    pub fn generate() -> Result<Self, IdentityError> {
        Ok(Self(SecretText::new(new_key()?.serialize_pem())))
    }

    /// The request to send to a node of the cluster.
    ///
    /// # Errors
    /// When the key can't be used.
    pub fn csr(&self) -> Result<NodeCsr, IdentityError> {
        let request = CertificateParams::default().serialize_request(&read_key(&self.0)?);
        let pem = request
            .and_then(|request| request.pem())
            .map_err(unsigned)?;
        Ok(NodeCsr(pem))
    }

    pub(crate) fn from_pem(pem: SecretText) -> Self {
        Self(pem)
    }

    /// In PEM, for the node's own file.
    #[must_use]
    pub fn pem(&self) -> &SecretText {
        &self.0
    }
}

pub(crate) fn new_key() -> Result<KeyPair, IdentityError> {
    KeyPair::generate().map_err(|e| IdentityError::unfit("no key could be made", e))
}

pub(crate) fn read_key(pem: &SecretText) -> Result<KeyPair, IdentityError> {
    // The library's reason is left out: it could quote the key.
    KeyPair::from_pem(pem.expose())
        .map_err(|_| IdentityError::Unfit("a private key can't be read".into()))
}

/// Parameters with subject, dates and serial set, and nothing allowed yet.
pub(crate) fn blank(
    common_name: &str,
    now_s: u64,
    life_s: u64,
) -> Result<CertificateParams, IdentityError> {
    let date = |at_s: u64| {
        let at = i64::try_from(at_s).unwrap_or(i64::MAX);
        OffsetDateTime::from_unix_timestamp(at)
            .map_err(|e| IdentityError::unfit("the clock shows an impossible date", e))
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.not_before = date(now_s.saturating_sub(CERTIFICATE_BACKDATE_S))?;
    params.not_after = date(now_s.saturating_add(life_s))?;
    // The top bit stays clear: a serial number is positive.
    let serial = u128::from_be_bytes(random_bytes()?) >> 1;
    params.serial_number = Some(SerialNumber::from_slice(&serial.to_be_bytes()));
    Ok(params)
}

pub(crate) fn check_name(what: &'static str, name: &str) -> Result<(), IdentityError> {
    let why = if name.is_empty() {
        "it is empty"
    } else if name.len() > MAX_NAME_BYTES {
        "it is longer than 64 bytes"
    } else if name.chars().any(char::is_control) {
        "it has control characters"
    } else {
        return Ok(());
    };
    Err(IdentityError::Name {
        what,
        name: name.chars().take(100).collect(),
        why,
    })
}

pub(crate) fn unsigned(error: rcgen::Error) -> IdentityError {
    IdentityError::unfit("the certificate can't be signed", error)
}

fn uri(text: &str) -> Result<SanType, IdentityError> {
    Ok(SanType::URI(ascii(text)?))
}

pub(crate) fn dns(name: &str) -> Result<SanType, IdentityError> {
    Ok(SanType::DnsName(ascii(name)?))
}

fn ascii(text: &str) -> Result<Ia5String, IdentityError> {
    Ia5String::try_from(text).map_err(|_| IdentityError::Name {
        what: "name",
        name: text.to_owned(),
        why: "it has letters beyond ASCII",
    })
}
