//! The life of a connection: driven and probed until it is dead.

use std::pin::pin;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hyper::Request;
use tokio::time::{sleep, timeout};

use super::choose::Health;
use super::link::{Board, Connected, Context, Sender};
use crate::dial::DialError;
use crate::limits::{DEAD_AFTER_MS, PROBE_EVERY_MS, SUSPECT_AFTER_MS, ms};
use crate::rpc::{self, PROBE_PATH};
use crate::trust::{PeerName, Refusal, Trust};

/// Shows on `board` how the connection is, and says at its end why it ended.
pub(super) async fn until_dead(
    context: &Context,
    number: u64,
    connected: Connected,
    board: &Board,
) -> DialError {
    let Connected {
        sender,
        driver,
        peer,
    } = connected;
    let mut driver = pin!(driver);
    tokio::select! {
        ended = driver.as_mut() => DialError::Broken(match ended {
            Ok(()) => "the peer closed it".into(),
            Err(e) => format!("it broke: {e}"),
        }),
        () = probe(number, sender, board) => {
            DialError::Broken(format!("no answer for {DEAD_AFTER_MS} ms"))
        }
        refusal = revoked(&context.trust, peer) => DialError::Refused(refusal),
    }
}

/// Ends when a probe isn't answered at all.
async fn probe(number: u64, sender: Sender, board: &Board) {
    loop {
        let sent = Instant::now();
        let mut answer = pin!(ask(sender.clone()));
        let answered = match timeout(ms(SUSPECT_AFTER_MS), answer.as_mut()).await {
            Ok(answered) => answered,
            Err(_) => {
                board.change(|status| status.health = Health::Suspect);
                let rest = ms(DEAD_AFTER_MS - SUSPECT_AFTER_MS);
                timeout(rest, answer).await.unwrap_or(None)
            }
        };
        let Some(peers_ms) = answered else { return };
        let trip = sent.elapsed();
        board.change(|status| {
            status.health = Health::Up;
            status.why = None;
            status.last_contact = Some(Instant::now());
            status.round_trip = Some(smoothed(status.round_trip, trip));
            status.clock_ahead_ms = clock_ahead_ms(peers_ms, trip);
            if status
                .sender
                .as_ref()
                .is_none_or(|(held, _)| *held != number)
            {
                status.sender = Some((number, sender.clone()));
            }
        });
        sleep(ms(PROBE_EVERY_MS).saturating_sub(trip)).await;
    }
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
