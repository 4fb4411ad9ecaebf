//! Byte streams to a peer: each on a connection of its own, over the best link's address.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use hyper::Request;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::link::{Connected, connect};
use super::{CallError, Links};
use crate::dial::DialError;
use crate::names::NodeId;
use crate::rpc::{self, ByteStream};

/// A peer's answer to a stream: its status, and a stream back. Dropped, it ends both streams.
pub struct PeerStream {
    /// An HTTP status; 200 is well.
    pub status: u16,
    /// What the peer sends.
    pub body: ByteStream,
}

impl std::fmt::Debug for PeerStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PeerStream({})", self.status)
    }
}

impl Links {
    /// Sends a stream and gets one back. `limit` is for the beginning of the answer; the streams may
    /// go on for days. A handler that answers only when it has read everything needs a limit for
    /// everything. Neither side buffers more than a window: the reader's pace is the sender's.
    ///
    /// # Errors
    /// As [`Self::call`]; it is never sent twice.
    pub async fn open_stream(
        &self,
        peer: NodeId,
        path: &str,
        body: ByteStream,
        limit: Duration,
    ) -> Result<PeerStream, CallError> {
        let request = Request::post(path).body(rpc::from_stream(body));
        let request = request.map_err(|e| CallError::Unfit(format!("'{path}': {e}")))?;
        let after_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        timeout(limit, self.send(peer, request))
            .await
            .unwrap_or(Err(CallError::TimedOut { after_ms }))
    }

    async fn send(
        &self,
        peer: NodeId,
        request: Request<rpc::Body>,
    ) -> Result<PeerStream, CallError> {
        let Connected {
            mut sender,
            driver,
            hold,
            peer,
        } = self.dial_best(peer).await?;
        let trust = self.0.context.trust.clone();
        let (wanted, unwanted) = oneshot::channel::<Infallible>();
        tokio::spawn(driver);
        tokio::spawn(async move {
            let _hold = hold;
            tokio::select! {
                _ = unwanted => {}
                refusal = super::probe::revoked(&trust, peer) => {
                    tracing::warn!("a stream was closed: {refusal}");
                }
            }
        });
        let response = sender.send_request(request).await;
        let response = response.map_err(|e| CallError::Lost { why: e.to_string() })?;
        let status = response.status().as_u16();
        // The connection lives as long as the answer does.
        let body = Wanted {
            body: rpc::into_stream(response.into_body()),
            _wanted: wanted,
        };
        Ok(PeerStream {
            status,
            body: Box::pin(body),
        })
    }

    /// A new connection over the best link, or the next best.
    async fn dial_best(&self, peer: NodeId) -> Result<Connected, CallError> {
        let (links, place) = self.choose(peer, None).await?;
        let first = links.links.get(place).into_iter();
        let others = links
            .links
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != place);
        let mut failure = CallError::Unreachable {
            why: "no link is up".into(),
        };
        for link in first.chain(others.map(|(_, link)| link)) {
            match connect(&self.0.context, &link.target).await {
                Ok(connected) => return Ok(connected),
                Err(why @ DialError::Broken(_)) => {
                    failure = CallError::Unreachable {
                        why: why.to_string(),
                    };
                }
                Err(why) => {
                    failure = CallError::Refused {
                        why: why.to_string(),
                    }
                }
            }
        }
        Err(failure)
    }
}

/// An answer, and the sign that somebody wants it.
struct Wanted {
    body: ByteStream,
    _wanted: oneshot::Sender<Infallible>,
}

impl Stream for Wanted {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.body.as_mut().poll_next(cx)
    }
}
