//! From a TCP connection to who it is.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::server::Acceptor;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::places::Place;
use super::{Shared, api, peer};
use crate::join;
use crate::limits::{HANDSHAKE_MS, ms};
use crate::rpc::Peer;
use crate::tls::{self, JOIN_PROTOCOL, OpenProtocol, PEER_PROTOCOL};
use crate::verify::{Expected, Judge};

/// What a connection is for, past its handshake.
enum Entered {
    Peer(TlsStream<TcpStream>, Peer),
    Join(TlsStream<TcpStream>),
    Api(TlsStream<TcpStream>),
}

/// Serves one connection to its end.
pub(super) async fn serve(shared: &Arc<Shared>, tcp: TcpStream, remote: SocketAddr, place: Place) {
    let entered = timeout(ms(HANDSHAKE_MS), enter(shared, tcp, remote)).await;
    drop(place);
    match entered {
        Ok(Ok(Entered::Peer(stream, name))) => peer::serve(shared, stream, name).await,
        Ok(Ok(Entered::Join(stream))) => serve_join(shared, stream, remote).await,
        Ok(Ok(Entered::Api(stream))) => api::hand_out(shared, stream, remote).await,
        Ok(Err(why)) => {
            let sentence = format!("a connection was refused: {why}");
            shared.refusals.warn(remote, &sentence);
        }
        Err(_) => {
            let sentence = format!(
                "a connection was dropped: its TLS handshake wasn't through within {HANDSHAKE_MS} ms"
            );
            shared.refusals.warn(remote, &sentence);
        }
    }
}

async fn enter(shared: &Shared, tcp: TcpStream, remote: SocketAddr) -> Result<Entered, String> {
    tcp.set_nodelay(true).map_err(|e| e.to_string())?;
    let start = LazyConfigAcceptor::new(Acceptor::default(), tcp)
        .await
        .map_err(not_tls)?;
    let hello = start.client_hello();
    let wants = |name: &[u8]| {
        hello
            .alpn()
            .is_some_and(|mut all| all.any(|one| one == name))
    };
    let (for_peer, for_join) = (wants(PEER_PROTOCOL), wants(JOIN_PROTOCOL));
    let options = &shared.options;
    let clock = options.trust.clock();
    let broken = |e: rustls::Error| format!("the server's own TLS settings fail: {e}");
    if for_peer {
        let judge = Judge::new(&options.trust, Expected::AnyNode);
        let config = tls::peer_server(&options.presented, judge.clone(), clock).map_err(broken)?;
        let stream = start
            .into_stream(config)
            .await
            .map_err(|e| match judge.refusal() {
                Some(refusal) => refusal.to_string(),
                None => e.to_string(),
            })?;
        let name = judge.peer().ok_or("it showed no certificate")?;
        return Ok(Entered::Peer(stream, Peer { name, remote }));
    }
    let (presented, protocol) = match (&options.joins, &options.api) {
        (Some(_), _) if for_join => (&options.presented, OpenProtocol::Join),
        (_, Some(api)) if !for_join => (
            api.presented.as_ref().unwrap_or(&options.presented),
            OpenProtocol::Api,
        ),
        _ => return Err("it wants a protocol that isn't served here".into()),
    };
    let config = tls::open_server(presented, protocol, clock).map_err(broken)?;
    let stream = start.into_stream(config).await.map_err(|e| e.to_string())?;
    Ok(match protocol {
        OpenProtocol::Join => Entered::Join(stream),
        OpenProtocol::Api => Entered::Api(stream),
    })
}

fn not_tls(error: io::Error) -> String {
    format!("it doesn't speak TLS: {error}")
}

async fn serve_join(shared: &Shared, stream: TlsStream<TcpStream>, remote: SocketAddr) {
    let Some(handler) = &shared.options.joins else {
        return;
    };
    let Ok(_place) = shared.joins.try_acquire() else {
        shared
            .refusals
            .warn(remote, "closed: too many joins are under way");
        return;
    };
    let sentence = match join::server::serve(stream, remote, handler.as_ref()).await {
        Ok(None) => return,
        Ok(Some(refusal)) => format!("a join was refused: {refusal}"),
        Err(e) => format!("a join broke off: {e}"),
    };
    shared.refusals.warn(remote, &sentence);
}
