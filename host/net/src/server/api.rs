//! Connections that are the API's: handed out past their handshake.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::Shared;
use crate::limits::{HANDSHAKE_MS, ms};

/// One client of the API.
#[derive(Debug)]
pub struct ApiConnection {
    /// Its bytes.
    pub stream: ApiStream,
    /// Where it comes from.
    pub remote: SocketAddr,
    /// Whether it chose HTTP/2; else it speaks HTTP/1.1.
    pub is_http2: bool,
}

/// A TLS connection that holds its place among the API's until it is dropped.
pub struct ApiStream {
    stream: TlsStream<TcpStream>,
    _place: OwnedSemaphorePermit,
}

pub(super) async fn hand_out(shared: &Shared, stream: TlsStream<TcpStream>, remote: SocketAddr) {
    let Some(api) = &shared.options.api else {
        return;
    };
    let Ok(place) = Arc::clone(&shared.api).try_acquire_owned() else {
        shared
            .refusals
            .warn(remote, "closed: the API has too many connections");
        return;
    };
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let stream = ApiStream {
        stream,
        _place: place,
    };
    let connection = ApiConnection {
        stream,
        remote,
        is_http2,
    };
    let handed = timeout(ms(HANDSHAKE_MS), api.connections.send(connection)).await;
    if !matches!(handed, Ok(Ok(()))) {
        shared
            .refusals
            .warn(remote, "closed: the API doesn't take connections");
    }
}

impl fmt::Debug for ApiStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiStream")
    }
}

impl AsyncRead for ApiStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for ApiStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
