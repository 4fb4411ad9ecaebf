//! What a certificate says, read once, and whether an authority signed it.

use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::error::IdentityError;
use crate::names::{CertificateName, ClusterId, Fingerprint, Serial};

/// What a certificate says of itself. Says nothing about who signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Cluster and node, where it names exactly one.
    pub name: Option<CertificateName>,
    /// The cluster, where it is the certificate of an authority.
    pub authority_of: Option<ClusterId>,
    /// The common name: a node's, cluster's or witness's.
    pub common_name: String,
    /// Its serial number.
    pub serial: Serial,
    /// SHA-256 of the whole.
    pub fingerprint: Fingerprint,
    /// Valid from, in seconds since 1970.
    pub not_before_s: u64,
    /// Valid until, in seconds since 1970.
    pub not_after_s: u64,
}

impl CertificateFacts {
    /// Reads a certificate in DER form.
    ///
    /// # Errors
    /// When it isn't one, or has a serial number longer than ours.
    pub fn read(der: &[u8]) -> Result<Self, IdentityError> {
        let wrong = |why: &str| IdentityError::unfit("a certificate can't be read", why);
        let (_, parsed) = X509Certificate::from_der(der).map_err(|e| wrong(&e.to_string()))?;
        let serial = read_serial(parsed.raw_serial()).ok_or_else(|| wrong("its serial number"))?;
        let names = uri_names(&parsed).map_err(|e| wrong(&e))?;
        let mut nodes = names.iter().filter_map(|name| name.parse().ok());
        let name = match (nodes.next(), nodes.next()) {
            (Some(one), None) => Some(one),
            _ => None,
        };
        let authority = names
            .iter()
            .find_map(|name| name.strip_prefix("cairn://")?.parse().ok());
        let common_name = parsed.subject().iter_common_name().next();
        let seconds = |at: i64| u64::try_from(at).unwrap_or(0);
        Ok(Self {
            name,
            authority_of: authority.filter(|_| parsed.is_ca()),
            common_name: common_name
                .and_then(|name| name.as_str().ok())
                .unwrap_or_default()
                .to_owned(),
            serial,
            fingerprint: Fingerprint::of(der),
            not_before_s: seconds(parsed.validity().not_before.timestamp()),
            not_after_s: seconds(parsed.validity().not_after.timestamp()),
        })
    }
}

fn uri_names(certificate: &X509Certificate<'_>) -> Result<Vec<String>, String> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|e| e.to_string())?;
    let Some(names) = names else {
        return Ok(Vec::new());
    };
    let uris = names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some((*uri).to_owned()),
            _ => None,
        });
    Ok(uris.collect())
}

fn read_serial(bytes: &[u8]) -> Option<Serial> {
    let digits: Vec<u8> = bytes
        .iter()
        .copied()
        .skip_while(|byte| *byte == 0)
        .collect();
    if digits.len() > 16 {
        return None;
    }
    Some(Serial(
        digits
            .iter()
            .fold(0, |sum, byte| (sum << 8) | u128::from(*byte)),
    ))
}

/// The authorities that may have signed, ready for checking.
pub(crate) fn roots(
    authorities: &[CertificateDer<'static>],
) -> Result<RootCertStore, IdentityError> {
    let mut store = RootCertStore::empty();
    for authority in authorities {
        let added = store.add(authority.clone());
        added.map_err(|e| IdentityError::unfit("the authority's certificate is unusable", e))?;
    }
    Ok(store)
}

/// Whether one of `roots` signed this certificate itself, and it is valid at that time.
pub(crate) fn check_signed(
    der: &CertificateDer<'_>,
    roots: &RootCertStore,
    now: UnixTime,
) -> Result<(), rustls::Error> {
    let parsed = ParsedCertificate::try_from(der)?;
    let algorithms = crate::tls::provider().signature_verification_algorithms.all;
    verify_server_cert_signed_by_trust_anchor(&parsed, roots, &[], now, algorithms)
}

/// The first certificate of a PEM text.
pub(crate) fn from_pem(pem: &str) -> Result<CertificateDer<'static>, IdentityError> {
    CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|e| IdentityError::unfit("a certificate can't be read", e))
}
