//! Private keys as TLS wants them, and whether a key belongs to a certificate.

use std::sync::Arc;

use rcgen::{KeyPair, PublicKeyData};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::error::IdentityError;
use crate::secret::SecretText;

/// A chain and its key, ready to be shown in a handshake.
pub(crate) fn certified(
    chain: Vec<CertificateDer<'static>>,
    key_pem: &SecretText,
) -> Result<Arc<CertifiedKey>, IdentityError> {
    let unreadable = || IdentityError::Unfit("a private key can't be read".into());
    let key =
        PrivateKeyDer::from_pem_slice(key_pem.expose().as_bytes()).map_err(|_| unreadable())?;
    let key = crate::tls::provider()
        .key_provider
        .load_private_key(key)
        .map_err(|_| unreadable())?;
    let certified = CertifiedKey::new(chain, key);
    certified.keys_match().map_err(|_| {
        IdentityError::Unfit("the private key doesn't belong to the certificate".into())
    })?;
    Ok(Arc::new(certified))
}

/// Whether the certificate's public key is this key's.
pub(crate) fn belong_together(certificate: &CertificateDer<'_>, key: &KeyPair) -> bool {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return false;
    };
    parsed.public_key().subject_public_key.data.as_ref() == key.der_bytes()
}
