//! What a process shows in handshakes: one place, changed at run time by a rotation. Connections
//! that stand keep what they were made with.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// The certificate and key shown now. Clones share them.
#[derive(Clone)]
pub struct Presented(Arc<ArcSwap<CertifiedKey>>);

impl Presented {
    /// Shows this, from [`crate::Identity::certified_key`] or a witness's.
    #[must_use]
    pub fn new(shown: Arc<CertifiedKey>) -> Self {
        Self(Arc::new(ArcSwap::new(shown)))
    }

    /// Shows this from the next handshake on.
    pub fn replace(&self, shown: Arc<CertifiedKey>) {
        self.0.store(shown);
    }
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Presented")
    }
}

impl ResolvesServerCert for Presented {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl ResolvesClientCert for Presented {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
