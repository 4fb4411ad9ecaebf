//! The life of a connection: driven and probed until it is dead.

use std::pin::pin;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hyper::Request;
use tokio::time::{sleep, timeout};

use super::choose::Health;
use super::link::{Board, Connected, Context, Sender};
use crate::dial::DialError;
use crate::limits::{DEAD_AFTER_MS, SHUT_DOWN_MS, SUSPECT_AFTER_MS, ms};
use crate::rpc::{self, PROBE_PATH};
use crate::trust::{PeerName, Refusal, Trust};

/// Shows on `board` how the connection is, and says at its end why it ended. A connection that the
/// peer closes may still bring answers to what was asked before; one that hangs, or whose peer isn't
/// believed any more, is cut.
pub(super) async fn until_dead(
    context: &Context,
    number: u64,
    connected: Connected,
    board: &Board,
) -> DialError {
    let Connected {
        sender,
        driver,
        hold,
        peer,
    } = connected;
    let mut driver = pin!(driver);
    let closed = tokio::select! {
        ended = driver.as_mut() => match ended {
            Ok(()) => "the peer closed it".into(),
            Err(e) => format!("it broke: {e}"),
        },
        ended = probe(number, sender, board) => match ended {
            End::Closed => "the peer closed it".into(),
            End::Silent => {
                return DialError::Broken(format!("no answer for {DEAD_AFTER_MS} ms"));
            }
        },
        refusal = revoked(&context.trust, peer) => return DialError::Refused(refusal),
    };
    tokio::spawn(async move {
        sleep(ms(SHUT_DOWN_MS)).await;
        drop(hold);
    });
    DialError::Broken(closed)
}

/// How a connection's probes came to an end.
enum End {
    /// No answer came in time.
    Silent,
    /// They can't be sent any more.
    Closed,
}

async fn probe(number: u64, sender: Sender, board: &Board) -> End {
    loop {
        let sent = Instant::now();
        let peers_ms = match answer(&sender, board).await {
            Ok(peers_ms) => peers_ms,
            Err(end) => return end,
        };
        let trip = sent.elapsed();
        board.change(|status| {
            status.health = Health::Up;
            status.why = None;
            status.last_contact = Some(Instant::now());
            status.round_trip = Some(smoothed(status.round_trip, trip));
            status.clock_ahead_ms = clock_ahead_ms(peers_ms, trip);
            let held = status.sender.as_ref().map(|(held, _)| *held);
            if held != Some(number) {
                status.sender = Some((number, sender.clone()));
            }
        });
        board.usage.until_due(trip).await;
    }
}

/// One probe's answer; shows when it is late.
async fn answer(sender: &Sender, board: &Board) -> Result<u64, End> {
    let mut answer = pin!(ask(sender.clone()));
    if let Ok(answered) = timeout(ms(SUSPECT_AFTER_MS), answer.as_mut()).await {
        return answered.ok_or(End::Closed);
    }
    board.change(|status| status.health = Health::Suspect);
    let rest = ms(DEAD_AFTER_MS - SUSPECT_AFTER_MS);
    let answered = timeout(rest, answer).await.map_err(|_| End::Silent)?;
    answered.ok_or(End::Closed)
}

/// The peer's wall clock, in milliseconds; none if the answer is unusable or the connection broke.
async fn ask(mut sender: Sender) -> Option<u64> {
    let request = Request::post(PROBE_PATH)
        .body(rpc::from_bytes(Bytes::new()))
        .ok()?;
    let response = sender.send_request(request).await.ok()?;
    let body = rpc::collect(response.into_body(), |bytes| bytes <= 8)
        .await
        .ok()?;
    body.as_ref().try_into().ok().map(u64::from_be_bytes)
}

pub(super) async fn revoked(trust: &Trust, peer: Option<PeerName>) -> Refusal {
    let mut changes = trust.changes();
    let Some(peer) = peer else {
        return std::future::pending().await;
    };
    loop {
        if let Err(refusal) = trust.recheck(&peer) {
            return refusal;
        }
        if changes.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// An eighth of what is new, as TCP does (RFC 6298).
fn smoothed(old: Option<Duration>, new: Duration) -> Duration {
    old.map_or(new, |old| (old * 7 + new) / 8)
}

fn clock_ahead_ms(peers_ms: u64, trip: Duration) -> Option<i64> {
    let ours = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()?
        .checked_sub(trip / 2)?;
    i64::try_from(peers_ms)
        .ok()?
        .checked_sub(i64::try_from(ours.as_millis()).ok()?)
}
