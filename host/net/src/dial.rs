//! One outgoing TLS connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig, Error as TlsError};
use tokio::io::AsyncBufReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::limits::{CONNECT_MS, ms};
use crate::trust::Refusal;
use crate::verify::Judge;

pub(crate) type TlsClient = TlsStream<TcpStream>;

/// Why there is no connection.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum DialError {
    /// Nobody answers.
    #[error("{0}")]
    Broken(String),
    /// We don't believe who answers.
    #[error("{0}")]
    Refused(Refusal),
    /// It doesn't believe us.
    #[error("it refuses this node: {0}")]
    RefusedUs(&'static str),
}

/// TCP and TLS within `limit`, to whom `judge` accepts.
pub(crate) async fn dial(
    address: SocketAddr,
    config: Arc<ClientConfig>,
    judge: &Judge,
    limit: Duration,
) -> Result<TlsClient, DialError> {
    let attempt = async {
        let tcp = timeout(ms(CONNECT_MS), TcpStream::connect(address)).await??;
        tcp.set_nodelay(true)?;
        let name = ServerName::IpAddress(address.ip().into());
        TlsConnector::from(config).connect(name, tcp).await
    };
    match timeout(limit, attempt).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(e)) => match judge.refusal() {
            Some(refusal) => Err(DialError::Refused(refusal)),
            None => Err(explain(&e)),
        },
        Err(_) => Err(DialError::Broken(format!(
            "no answer within {} ms",
            limit.as_millis()
        ))),
    }
}

/// Waits until the server has judged our certificate: with TLS 1.3 that shows in the first bytes
/// after the handshake, which an HTTP/2 server sends unasked.
pub(crate) async fn await_acceptance(
    stream: &mut TlsClient,
    limit: Duration,
) -> Result<(), DialError> {
    match timeout(limit, stream.fill_buf()).await {
        Ok(Ok([])) => Err(DialError::Broken("it closed the connection at once".into())),
        Ok(Ok(_)) => Ok(()),
        Ok(Err(e)) => Err(explain(&e)),
        Err(_) => Err(DialError::Broken(format!(
            "no answer within {} ms",
            limit.as_millis()
        ))),
    }
}

fn explain(error: &std::io::Error) -> DialError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    let Some(TlsError::AlertReceived(alert)) = inner else {
        return DialError::Broken(error.to_string());
    };
    DialError::RefusedUs(match alert {
        AlertDescription::CertificateRevoked => {
            "its cluster revoked this node's certificate; was this node removed?"
        }
        AlertDescription::CertificateExpired => {
            "this node's certificate is expired or not valid yet; do the clocks agree?"
        }
        AlertDescription::UnknownCA => "this node's cluster isn't known there",
        AlertDescription::AccessDenied => "this node's certificate isn't what is wanted there",
        AlertDescription::CertificateRequired => "it wants a certificate and was shown none",
        AlertDescription::NoApplicationProtocol => "it doesn't speak Cairn's protocol",
        AlertDescription::ProtocolVersion => "it speaks another version of TLS",
        _ => "the TLS handshake failed there; its log says why",
    })
}
