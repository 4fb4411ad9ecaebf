//! The TLS settings of each kind of connection: 1.3 only, aws-lc-rs, nothing resumed (a resumed
//! session would outlive a revocation).

use std::sync::{Arc, OnceLock};

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;
use rustls::{ClientConfig, Error as TlsError, ServerConfig};

use crate::clock::Clock;
use crate::presented::Presented;
use crate::verify::Judge;

/// ALPN of connections between nodes: HTTP/2 with certificates on both sides.
pub const PEER_PROTOCOL: &[u8] = b"cairn-peer/1";
/// ALPN of a join.
pub const JOIN_PROTOCOL: &[u8] = b"cairn-join/1";
const API_PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The cryptography used, whatever other parts of the process have installed.
pub(crate) fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
}

/// A server's side of a connection between nodes.
pub(crate) fn peer_server(
    presented: &Presented,
    judge: Arc<Judge>,
    clock: &Clock,
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::clone(provider());
    let mut config = ServerConfig::builder_with_details(provider, Arc::new(clock.clone()))
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(judge)
        .with_cert_resolver(Arc::new(presented.clone()));
    config.alpn_protocols = vec![PEER_PROTOCOL.to_vec()];
    Ok(Arc::new(unresumed(config)))
}

/// A server's side of a join, and of the API: clients show no certificate.
pub(crate) fn open_server(
    presented: &Presented,
    protocols: OpenProtocol,
    clock: &Clock,
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::clone(provider());
    let mut config = ServerConfig::builder_with_details(provider, Arc::new(clock.clone()))
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(presented.clone()));
    config.alpn_protocols = match protocols {
        OpenProtocol::Join => vec![JOIN_PROTOCOL.to_vec()],
        OpenProtocol::Api => API_PROTOCOLS.iter().map(|name| name.to_vec()).collect(),
    };
    Ok(Arc::new(unresumed(config)))
}

/// What is served to clients without a certificate.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OpenProtocol {
    Join,
    Api,
}

fn unresumed(mut config: ServerConfig) -> ServerConfig {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config
}

/// A client's side; only peers show what they are, a node that joins is nothing yet.
pub(crate) fn client(
    presented: Option<&Presented>,
    judge: Arc<Judge>,
    protocol: &[u8],
    clock: &Clock,
) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::clone(provider());
    let builder = ClientConfig::builder_with_details(provider, Arc::new(clock.clone()))
        .with_protocol_versions(&[&TLS13])?
        .dangerous() // not unverified: the judge knows nodes by id and not by host name
        .with_custom_certificate_verifier(judge);
    let mut config = match presented {
        Some(shown) => builder.with_client_cert_resolver(Arc::new(shown.clone())),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Ok(Arc::new(config))
}
