//! One link: a task that dials, probes, and dials again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::back_off::BackOff;
use super::choose::Health;
use super::cut::{Hold, Line};
use super::usage::Usage;
use super::{LinkState, PeerTrust, probe};
use crate::dial::{DialError, TlsClient, await_acceptance, dial};
use crate::limits::{
    CONNECTION_WINDOW_BYTES, DIAL_MS, SEND_BUFFER_BYTES, STREAM_KEEP_ALIVE_ANSWER_MS,
    STREAM_KEEP_ALIVE_MS, STREAM_WINDOW_BYTES, ms,
};
use crate::names::{ClusterId, NodeId};
use crate::presented::Presented;
use crate::rpc::Body;
use crate::tls::{self, PEER_PROTOCOL};
use crate::trust::{PeerName, Trust};
use crate::verify::{Expected, Judge};

pub(super) type Sender = http2::SendRequest<Body>;
type Driver = http2::Connection<TokioIo<Line<TlsClient>>, Body, TokioExecutor>;

/// What all links share.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) presented: Presented,
    pub(super) trust: Trust,
    pub(super) cluster: ClusterId,
}

/// A link. Dropped, it closes its connection.
pub(super) struct Link {
    pub(super) target: Target,
    status: watch::Receiver<Status>,
    nudge: Arc<Notify>,
    task: JoinHandle<()>,
}

/// Where a link leads and who must be there.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) peer: NodeId,
    pub(super) address: SocketAddr,
    pub(super) trust: PeerTrust,
}

/// What is known of a link now.
#[derive(Clone)]
pub(super) struct Status {
    pub(super) health: Health,
    pub(super) round_trip: Option<Duration>,
    pub(super) last_contact: Option<Instant>,
    pub(super) clock_ahead_ms: Option<i64>,
    pub(super) why: Option<DialError>,
    /// The connection, and its number: another number is another connection.
    pub(super) sender: Option<(u64, Sender)>,
}

/// A connection past both sides' judgement.
pub(super) struct Connected {
    pub(super) sender: Sender,
    pub(super) driver: Driver,
    /// Dropped, it ends the connection and every request on it.
    pub(super) hold: Hold,
    /// Absent for a witness: nothing of it can be revoked.
    pub(super) peer: Option<PeerName>,
}

impl Link {
    pub(super) fn start(context: &Context, target: Target, board: Board) -> Self {
        let nudge = Arc::new(Notify::new());
        let status = board.status.subscribe();
        let task = tokio::spawn(run(context.clone(), target.clone(), board, nudge.clone()));
        Self {
            target,
            status,
            nudge,
            task,
        }
    }

    pub(super) fn nudge(&self) {
        self.nudge.notify_one();
    }

    pub(super) fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    pub(super) fn state(&self, peer: NodeId) -> LinkState {
        let status = self.status.borrow();
        LinkState {
            peer,
            address: self.target.address,
            health: status.health,
            round_trip: status.round_trip,
            last_contact: status.last_contact.map(|at| at.elapsed()),
            clock_ahead_ms: status.clock_ahead_ms,
            why: status.why.as_ref().map(ToString::to_string),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where a link's task shows how it is, and sees whether it is used.
pub(super) struct Board {
    status: watch::Sender<Status>,
    bell: Arc<watch::Sender<()>>,
    pub(super) usage: Arc<Usage>,
}

impl Board {
    pub(super) fn new(bell: Arc<watch::Sender<()>>, usage: Arc<Usage>) -> Self {
        let status = watch::Sender::new(Status {
            health: Health::New,
            round_trip: None,
            last_contact: None,
            clock_ahead_ms: None,
            why: None,
            sender: None,
        });
        Self {
            status,
            bell,
            usage,
        }
    }

    /// Changes the status, and rings if callers care.
    pub(super) fn change(&self, change: impl FnOnce(&mut Status)) {
        let mut rings = false;
        self.status.send_modify(|status| {
            let before = status.health;
            change(status);
            rings = status.health != before;
        });
        if rings {
            self.bell.send_replace(());
        }
    }
}

async fn run(context: Context, target: Target, board: Board, nudge: Arc<Notify>) {
    let mut back_off = BackOff::default();
    let mut trust = context.trust.changes();
    for number in 0.. {
        let begun = Instant::now();
        let why = match connect(&context, &target).await {
            Ok(connected) => {
                tracing::debug!(peer = %target.peer, address = %target.address, "a link is up");
                let why = probe::until_dead(&context, number, connected, &board).await;
                if begun.elapsed() > ms(DIAL_MS) {
                    back_off.reset();
                }
                why
            }
            Err(why) => why,
        };
        note_down(&target, &board, why);
        let wait = back_off.failed(begun.elapsed());
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = nudge.notified() => {}
            // Who was refused may be believed now.
            Ok(()) = trust.changed() => {}
        }
    }
}

/// Logs what is new: a dead link is dialled often and says the same each time.
fn note_down(target: &Target, board: &Board, why: DialError) {
    let text = why.to_string();
    board.change(|status| {
        let known = status
            .why
            .as_ref()
            .is_some_and(|old| old.to_string() == text);
        if !known || status.health != Health::Down {
            tracing::warn!(
                peer = %target.peer, address = %target.address, "a link is down: {text}"
            );
        }
        status.health = Health::Down;
        status.sender = None;
        status.why = Some(why);
    });
}

/// Dials and waits until both sides believe each other.
pub(super) async fn connect(context: &Context, target: &Target) -> Result<Connected, DialError> {
    let expected = match target.trust {
        PeerTrust::Ca => Expected::Node {
            cluster: context.cluster,
            node: target.peer,
        },
        PeerTrust::Pinned(fingerprint) => Expected::Pinned(fingerprint),
    };
    let judge = Judge::new(&context.trust, expected);
    let clock = context.trust.clock();
    let broken = |e: &dyn std::fmt::Display| DialError::Broken(e.to_string());
    let config = tls::client(
        Some(&context.presented),
        judge.clone(),
        PEER_PROTOCOL,
        clock,
    )
    .map_err(|e| broken(&e))?;
    let attempt = async {
        let mut stream = dial(target.address, config, &judge, ms(DIAL_MS)).await?;
        await_acceptance(&mut stream, ms(DIAL_MS)).await?;
        let (line, hold) = Line::new(stream);
        let made = settings().handshake(TokioIo::new(line)).await;
        made.map(|made| (made, hold)).map_err(|e| broken(&e))
    };
    let limit = ms(DIAL_MS);
    let late = |_| DialError::Broken(format!("no answer within {} ms", limit.as_millis()));
    let ((sender, driver), hold) = timeout(limit, attempt).await.map_err(late)??;
    Ok(Connected {
        sender,
        driver,
        hold,
        peer: judge.peer(),
    })
}

fn settings() -> http2::Builder<TokioExecutor> {
    let mut settings = http2::Builder::new(TokioExecutor::new());
    settings
        .timer(TokioTimer::new())
        // For streams: what is probed is never silent that long.
        .keep_alive_interval(ms(STREAM_KEEP_ALIVE_MS))
        .keep_alive_timeout(ms(STREAM_KEEP_ALIVE_ANSWER_MS))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES);
    settings
}
