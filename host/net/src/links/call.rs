//! One call, over one link or a second one.

use std::sync::Arc;

use bytes::Bytes;
use hyper::Request;
use tokio::time::timeout;

use super::choose::{Health, best};
use super::link::Sender;
use super::{CallError, CallOptions, Link, Links, PeerLinks};
use crate::dial::DialError;
use crate::limits::MAX_BODY_BYTES;
use crate::names::NodeId;
use crate::rpc;

/// Whether a call may be sent twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Never: doing it twice would be wrong.
    Never,
    /// Once, over another link, when its link fails or hangs.
    OnOtherLink,
}

/// How one attempt ended short of an answer.
enum Failure {
    /// It never left.
    Unsent(String),
    /// It may have arrived.
    Lost(String),
    /// The link hangs, and there is another.
    Left,
    Final(CallError),
}

impl Links {
    /// Asks a peer and gives the body of its answer, if that is of status 200.
    ///
    /// # Errors
    /// Says which of the [`CallError`]s it is.
    pub async fn call(
        &self,
        peer: NodeId,
        path: &str,
        body: Bytes,
        options: CallOptions,
    ) -> Result<Bytes, CallError> {
        if body.len() > MAX_BODY_BYTES {
            let sentence = format!("a request may have {MAX_BODY_BYTES} bytes");
            return Err(CallError::Unfit(sentence));
        }
        let limit = options.limit;
        let call = self.call_unbounded(peer, path, body, options.retry);
        timeout(limit, call).await.unwrap_or_else(|_| {
            let after_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
            Err(CallError::TimedOut { after_ms })
        })
    }

    async fn call_unbounded(
        &self,
        peer: NodeId,
        path: &str,
        body: Bytes,
        retry: Retry,
    ) -> Result<Bytes, CallError> {
        let mut left = None;
        let mut sent = None;
        loop {
            let chosen = self.choose(peer, left).await;
            let (links, place) = chosen.map_err(|e| lost(sent.as_deref(), e))?;
            let request = request(path, body.clone())?;
            let is_last = left.is_some();
            let may_leave = retry == Retry::OnOtherLink && !is_last;
            match attempt(&links, place, request, may_leave).await {
                Ok(answer) => return Ok(answer),
                Err(Failure::Final(e)) => return Err(e),
                Err(Failure::Unsent(why)) if is_last => {
                    return Err(lost(sent.as_deref(), CallError::Unreachable { why }));
                }
                Err(Failure::Unsent(_)) => {}
                Err(Failure::Lost(why)) if may_leave => sent = Some(why),
                Err(Failure::Lost(why)) => return Err(CallError::Lost { why }),
                Err(Failure::Left) => sent = Some("its probe isn't answered".into()),
            }
            left = Some(place);
        }
    }

    /// The best link; waits while the first dials are under way.
    pub(super) async fn choose(
        &self,
        peer: NodeId,
        left: Option<usize>,
    ) -> Result<(Arc<PeerLinks>, usize), CallError> {
        let unknown = || CallError::Unreachable {
            why: format!("node {peer} has no known address"),
        };
        loop {
            let links = self.peer(peer).ok_or_else(unknown)?;
            let mut bell = links.bell.subscribe();
            if let Some(place) = links.best(left) {
                return Ok((links, place));
            }
            if !links.has_new() {
                return Err(links.failure());
            }
            drop(links);
            if bell.changed().await.is_err() {
                return Err(unknown());
            }
        }
    }
}

impl PeerLinks {
    fn best(&self, left: Option<usize>) -> Option<usize> {
        let all: Vec<_> = self
            .links
            .iter()
            .map(|link| {
                let status = link.status();
                let status = status.borrow();
                (status.health, status.round_trip)
            })
            .collect();
        best(all.into_iter(), left)
    }

    fn is_other_up(&self, place: usize) -> bool {
        let others = self.links.iter().enumerate();
        others
            .filter(|(other, _)| *other != place)
            .any(|(_, link)| link.status().borrow().health == Health::Up)
    }

    fn has_new(&self) -> bool {
        self.links
            .iter()
            .any(|link| link.status().borrow().health == Health::New)
    }

    /// Why none works. A refusal counts more than silence: it says what to do.
    fn failure(&self) -> CallError {
        let mut whys = Vec::new();
        for link in &self.links {
            let status = link.status();
            let status = status.borrow();
            let why = status.why.as_ref();
            let sentence = match why {
                Some(why) => format!("{}: {why}", link.target.address),
                None => format!("{}: not up", link.target.address),
            };
            if matches!(why, Some(DialError::Refused(_) | DialError::RefusedUs(_))) {
                return CallError::Refused { why: sentence };
            }
            whys.push(sentence);
        }
        CallError::Unreachable {
            why: whys.join("; "),
        }
    }
}

/// What was sent once may have been carried out, whatever became of the second attempt.
fn lost(sent: Option<&str>, otherwise: CallError) -> CallError {
    sent.map_or(otherwise, |why| CallError::Lost {
        why: why.to_owned(),
    })
}

fn request(path: &str, body: Bytes) -> Result<Request<rpc::Body>, CallError> {
    Request::post(path)
        .body(rpc::from_bytes(body))
        .map_err(|e| CallError::Unfit(format!("the path '{path}' can't be asked for: {e}")))
}

async fn attempt(
    links: &PeerLinks,
    place: usize,
    request: Request<rpc::Body>,
    may_leave: bool,
) -> Result<Bytes, Failure> {
    let gone = || Failure::Unsent("its link went down".into());
    let link = links.links.get(place).ok_or_else(gone)?;
    links.usage.note();
    let held = link.status().borrow().sender.clone();
    let (number, sender) = held.ok_or_else(gone)?;
    tokio::select! {
        answer = exchange(sender, request) => answer,
        () = hangs(links, link, place, number), if may_leave => Err(Failure::Left),
    }
}

async fn exchange(mut sender: Sender, request: Request<rpc::Body>) -> Result<Bytes, Failure> {
    let response = sender.send_request(request).await.map_err(|e| {
        if e.is_canceled() {
            Failure::Unsent(e.to_string())
        } else {
            Failure::Lost(e.to_string())
        }
    })?;
    let status = response.status().as_u16();
    let body = rpc::collect(response.into_body(), |_| true)
        .await
        .map_err(|e| match e {
            rpc::BodyError::Broken(why) => Failure::Lost(why),
            other => Failure::Final(CallError::Unfit(format!("its answer is refused: {other}"))),
        })?;
    if status == 200 {
        Ok(body)
    } else {
        Err(Failure::Final(CallError::Remote { status, body }))
    }
}

/// Ends when the connection is suspect or gone while another link is up.
async fn hangs(links: &PeerLinks, link: &Link, place: usize, number: u64) {
    let mut bell = links.bell.subscribe();
    loop {
        let is_well = {
            let status = link.status();
            let status = status.borrow();
            let is_held = status
                .sender
                .as_ref()
                .is_some_and(|(held, _)| *held == number);
            is_held && status.health == Health::Up
        };
        if !is_well && links.is_other_up(place) {
            return;
        }
        if bell.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}
