//! A connection that can be cut. The HTTP library drives connections in tasks of its own, which go
//! on as long as a request waits: what shall end a connection must end its bytes.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

/// Keeps a [`Line`] whole. Dropped, it cuts it: every read and write fails from then on.
pub(super) struct Hold(
    #[allow(dead_code, reason = "its end is what counts")] oneshot::Sender<Infallible>,
);

/// Bytes of a connection, as long as its [`Hold`] is held.
pub(super) struct Line<S> {
    stream: S,
    held: Option<oneshot::Receiver<Infallible>>,
}

impl<S> Line<S> {
    pub(super) fn new(stream: S) -> (Self, Hold) {
        let (hold, held) = oneshot::channel();
        (
            Self {
                stream,
                held: Some(held),
            },
            Hold(hold),
        )
    }

    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let is_whole = self
            .held
            .as_mut()
            .is_some_and(|held| Pin::new(held).poll(cx).is_pending());
        if is_whole {
            return Ok(());
        }
        self.held = None;
        Err(io::Error::new(
            io::ErrorKind::ConnectionAborted,
            "the link was given up",
        ))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Line<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Line<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
