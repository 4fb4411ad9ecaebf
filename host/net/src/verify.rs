//! How a certificate is judged within a handshake, on either side.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error as TlsError, SignatureScheme};

use crate::certificate::{CertificateFacts, check_signed, roots};
use crate::names::{ClusterId, Fingerprint, NodeId};
use crate::trust::{PeerName, Refusal, Trust};

/// Who may be at the other end.
#[derive(Debug, Clone)]
pub(crate) enum Expected {
    /// Any node of a cluster that is believed.
    AnyNode,
    /// This node of this cluster.
    Node { cluster: ClusterId, node: NodeId },
    /// Who holds the key of this certificate: a witness.
    Pinned(Fingerprint),
    /// What a join token pins: a node signed by this authority, or a witness.
    Token {
        cluster: ClusterId,
        fingerprint: Fingerprint,
    },
}

/// Judges one handshake and keeps the judgement: alerts are too short for the sentence.
#[derive(Debug)]
pub(crate) struct Judge {
    trust: Trust,
    expected: Expected,
    judgement: Mutex<Option<Result<Option<PeerName>, Refusal>>>,
}

impl Judge {
    pub(crate) fn new(trust: &Trust, expected: Expected) -> Arc<Self> {
        Arc::new(Self {
            trust: trust.clone(),
            expected,
            judgement: Mutex::new(None),
        })
    }

    /// Who it was, where the handshake went through; a witness has no such name.
    pub(crate) fn peer(&self) -> Option<PeerName> {
        self.judgement()
            .and_then(|judgement| judgement.ok().flatten())
    }

    /// Why it didn't go through, where that was our judgement.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        self.judgement().and_then(Result::err)
    }

    fn judgement(&self) -> Option<Result<Option<PeerName>, Refusal>> {
        self.judgement
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), TlsError> {
        let judgement = self.look_at(leaf, others, now);
        let answer = judgement.as_ref().map(|_| ()).map_err(Refusal::to_tls);
        *self
            .judgement
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(judgement);
        answer
    }

    fn look_at(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Option<PeerName>, Refusal> {
        match &self.expected {
            Expected::AnyNode => self.trust.check(leaf).map(Some),
            Expected::Node { cluster, node } => {
                let peer = self.trust.check(leaf)?;
                if peer.cluster != *cluster {
                    return Err(Refusal::OtherCluster {
                        wanted: *cluster,
                        found: peer.cluster,
                    });
                }
                if peer.node != *node {
                    return Err(Refusal::OtherNode {
                        wanted: *node,
                        found: peer.node,
                    });
                }
                Ok(Some(peer))
            }
            Expected::Pinned(fingerprint) => pinned(leaf, *fingerprint).map(|()| None),
            Expected::Token {
                cluster,
                fingerprint,
            } => of_token(leaf, others, *cluster, *fingerprint, now).map(|()| None),
        }
    }
}

fn pinned(leaf: &CertificateDer<'_>, wanted: Fingerprint) -> Result<(), Refusal> {
    let found = Fingerprint::of(leaf);
    if found == wanted {
        Ok(())
    } else {
        Err(Refusal::NotPinned { found })
    }
}

/// The authority comes with the chain: who joins has only its fingerprint yet.
fn of_token(
    leaf: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
    wanted: ClusterId,
    fingerprint: Fingerprint,
    now: UnixTime,
) -> Result<(), Refusal> {
    let Err(not_pinned) = pinned(leaf, fingerprint) else {
        return Ok(());
    };
    let authority = others
        .iter()
        .find(|other| Fingerprint::of(other) == fingerprint);
    let authority = authority.ok_or(not_pinned)?.clone().into_owned();
    let facts = CertificateFacts::read(leaf).map_err(|_| Refusal::Unreadable)?;
    let roots = roots(&[authority]).map_err(|_| Refusal::Unreadable)?;
    let now_s = Duration::from_secs(now.as_secs()).as_secs();
    check_signed(leaf, &roots, now).map_err(|e| Refusal::from_tls(&e, &facts, now_s))?;
    let found = facts.name.ok_or(Refusal::NoNode)?.cluster;
    if found == wanted {
        Ok(())
    } else {
        Err(Refusal::OtherCluster { wanted, found })
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        self.judge(end_entity, intermediates, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &crate::tls::provider().signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &crate::tls::provider().signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        crate::tls::provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

impl ClientCertVerifier for Judge {
    /// Empty: clients have one certificate, and whom we believe changes.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        self.judge(end_entity, intermediates, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        ServerCertVerifier::verify_tls12_signature(self, message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        ServerCertVerifier::verify_tls13_signature(self, message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ServerCertVerifier::supported_verify_schemes(self)
    }
}
