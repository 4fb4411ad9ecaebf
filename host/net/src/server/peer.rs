//! A peer's connection: HTTP/2, watched for revocation while it stands.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{SystemTime, UNIX_EPOCH};

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::Shared;
use crate::limits::{
    CONNECTION_WINDOW_BYTES, MAX_PATH_BYTES, MAX_REQUESTS_PER_CONNECTION, SEND_BUFFER_BYTES,
    SERVER_KEEP_ALIVE_ANSWER_MS, SERVER_KEEP_ALIVE_MS, STREAM_WINDOW_BYTES, ms,
};
use crate::rpc::{
    Body, Held, PROBE_PATH, Peer, PeerHandler, PeerRequest, PeerResponse, RequestBody,
};

pub(super) async fn serve(shared: &Arc<Shared>, stream: TlsStream<TcpStream>, peer: Peer) {
    let Ok(_place) = shared.peers.try_acquire() else {
        shared
            .refusals
            .warn(peer.remote, "closed: too many connections of peers");
        return;
    };
    let peer = Arc::new(peer);
    let handler = Arc::clone(&shared.options.peers);
    let held = Arc::new(AtomicUsize::new(0));
    handler.connected(&peer);
    let answer = service_fn({
        let peer = Arc::clone(&peer);
        move |request| {
            let held = Held::new(Arc::clone(&held));
            let (handler, peer) = (Arc::clone(&handler), Arc::clone(&peer));
            async move { Ok::<_, Infallible>(respond(&*handler, peer, request, held).await) }
        }
    });
    let mut connection = pin!(settings().serve_connection(TokioIo::new(stream), answer));
    let mut changes = shared.options.trust.changes();
    let mut stop = shared.stop.subscribe();
    let mut stopping = false;
    loop {
        // What changed since the handshake counts too, so the check comes first.
        if let Err(refusal) = shared.options.trust.recheck(&peer.name) {
            let sentence = format!("a connection was closed: {refusal}");
            shared.refusals.warn(peer.remote, &sentence);
            return;
        }
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(e) = ended {
                    tracing::debug!(remote = %peer.remote, "a peer's connection ended: {e}");
                }
                return;
            }
            Ok(()) = changes.changed() => {}
            Ok(_) = stop.wait_for(|stop| *stop), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

fn settings() -> http2::Builder<TokioExecutor> {
    let mut settings = http2::Builder::new(TokioExecutor::new());
    settings
        .timer(TokioTimer::new())
        .keep_alive_interval(ms(SERVER_KEEP_ALIVE_MS))
        .keep_alive_timeout(ms(SERVER_KEEP_ALIVE_ANSWER_MS))
        .max_concurrent_streams(MAX_REQUESTS_PER_CONNECTION)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES);
    settings
}

async fn respond(
    handler: &dyn PeerHandler,
    peer: Arc<Peer>,
    request: Request<Incoming>,
    held: Held,
) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let response = if path == PROBE_PATH {
        PeerResponse::ok(wall_clock_ms().to_be_bytes().to_vec())
    } else if path.len() > MAX_PATH_BYTES {
        PeerResponse::error(414, format!("a path may have {MAX_PATH_BYTES} bytes"))
    } else {
        let body = RequestBody::new(request.into_body(), held.clone());
        handler.handle(PeerRequest { peer, path, body }).await
    };
    let PeerResponse { status, body } = response;
    let mut response = Response::new(body);
    if let Ok(status) = status.try_into() {
        *response.status_mut() = status;
    }
    drop(held);
    response
}

/// Shown as clock skew, and decides nothing.
fn wall_clock_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
