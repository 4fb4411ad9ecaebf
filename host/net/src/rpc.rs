//! Requests between nodes: a path and a body, answered by a status and a body. Bodies are bytes of
//! bounded size, or streams.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use futures::{Stream, StreamExt, TryStreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, BodyStream, Full, StreamBody};
use hyper::body::{Frame, Incoming};

use crate::limits::{MAX_BODY_BYTES, MAX_BODY_BYTES_PER_CONNECTION};
use crate::trust::PeerName;

/// Bytes that come or go piece by piece; the reader's pace is the sender's.
pub type ByteStream = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// The path that every server answers itself: with its wall clock in milliseconds since 1970.
pub(crate) const PROBE_PATH: &str = "/cairn/probe";

/// The node at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// As its certificate says and its cluster signed.
    pub name: PeerName,
    /// Where the connection comes from.
    pub remote: SocketAddr,
}

/// Answers requests of peers. Given by the node, or the witness.
pub trait PeerHandler: Send + Sync + 'static {
    /// Answers one request. Dropped when the peer gives up or its connection ends.
    fn handle(&self, request: PeerRequest) -> BoxFuture<'static, PeerResponse>;

    /// A peer has connected, for calls or for one stream: a good moment for [`crate::Links::nudge`].
    fn connected(&self, _peer: &Peer) {}
}

/// One request of a peer.
#[derive(Debug)]
pub struct PeerRequest {
    /// Who asks.
    pub peer: Arc<Peer>,
    /// What for; begins with a slash.
    pub path: String,
    /// The body, unread.
    pub body: RequestBody,
}

/// A request's body, unread.
pub struct RequestBody {
    incoming: Incoming,
    held: Held,
}

/// Why a body wasn't taken. Becomes the answer by `PeerResponse::from`.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Beyond the bound of one body.
    #[error("a body may have {MAX_BODY_BYTES} bytes")]
    TooLarge,
    /// The connection's bodies are beyond their bound together.
    #[error(
        "the requests of this connection hold {MAX_BODY_BYTES_PER_CONNECTION} bytes already: send fewer at once"
    )]
    Overloaded,
    /// It broke off.
    #[error("the body broke off: {0}")]
    Broken(String),
}

impl RequestBody {
    pub(crate) fn new(incoming: Incoming, held: Held) -> Self {
        Self { incoming, held }
    }

    /// All of it, up to [`MAX_BODY_BYTES`].
    ///
    /// # Errors
    /// Says which of the [`BodyError`]s it is.
    pub async fn bytes(self) -> Result<Bytes, BodyError> {
        let Self { incoming, held } = self;
        collect(incoming, |more| held.add(more)).await
    }

    /// Piece by piece, without a bound.
    #[must_use]
    pub fn into_stream(self) -> ByteStream {
        into_stream(self.incoming)
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestBody")
    }
}

/// The bytes that one request holds of its connection's bound; given back when it is answered.
#[derive(Clone)]
pub(crate) struct Held(Arc<HeldBytes>);

struct HeldBytes {
    here: AtomicUsize,
    connection: Arc<AtomicUsize>,
}

impl Held {
    pub(crate) fn new(connection: Arc<AtomicUsize>) -> Self {
        Self(Arc::new(HeldBytes {
            here: AtomicUsize::new(0),
            connection,
        }))
    }

    fn add(&self, bytes: usize) -> bool {
        self.0.here.fetch_add(bytes, Ordering::Relaxed);
        let before = self.0.connection.fetch_add(bytes, Ordering::Relaxed);
        before.saturating_add(bytes) <= MAX_BODY_BYTES_PER_CONNECTION
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.connection
            .fetch_sub(*self.here.get_mut(), Ordering::Relaxed);
    }
}

/// Reads a whole body; `claim` is asked for each piece.
pub(crate) async fn collect(
    incoming: Incoming,
    claim: impl Fn(usize) -> bool,
) -> Result<Bytes, BodyError> {
    let mut stream = into_stream(incoming);
    let mut whole = BytesMut::new();
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|e| BodyError::Broken(e.to_string()))?;
        if whole.len().saturating_add(piece.len()) > MAX_BODY_BYTES {
            return Err(BodyError::TooLarge);
        }
        if !claim(piece.len()) {
            return Err(BodyError::Overloaded);
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

pub(crate) fn into_stream(incoming: Incoming) -> ByteStream {
    let frames = TryStreamExt::map_err(BodyStream::new(incoming), io::Error::other);
    Box::pin(frames.try_filter_map(|frame| async { Ok(frame.into_data().ok()) }))
}

pub(crate) fn from_stream(stream: ByteStream) -> Body {
    StreamBody::new(stream.map_ok(Frame::data)).boxed_unsync()
}

pub(crate) fn from_bytes(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// The answer to a peer.
pub struct PeerResponse {
    pub(crate) status: u16,
    pub(crate) body: Body,
}

impl PeerResponse {
    /// Status 200 and these bytes.
    #[must_use]
    pub fn ok(bytes: impl Into<Bytes>) -> Self {
        Self {
            status: 200,
            body: from_bytes(bytes.into()),
        }
    }

    /// Status 200 and these bytes as they come. An error in the stream breaks the answer off.
    #[must_use]
    pub fn stream(stream: ByteStream) -> Self {
        Self {
            status: 200,
            body: from_stream(stream),
        }
    }

    /// Another status, 400 to 599, with a body that says more.
    #[must_use]
    pub fn error(status: u16, body: impl Into<Bytes>) -> Self {
        let status = if (400..600).contains(&status) {
            status
        } else {
            500
        };
        Self {
            status,
            body: from_bytes(body.into()),
        }
    }
}

impl From<BodyError> for PeerResponse {
    fn from(error: BodyError) -> Self {
        let status = match error {
            BodyError::TooLarge => 413,
            BodyError::Overloaded => 429,
            BodyError::Broken(_) => 400,
        };
        Self::error(status, error.to_string())
    }
}

impl fmt::Debug for PeerResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerResponse({})", self.status)
    }
}
