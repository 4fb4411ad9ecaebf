//! openraft's way to the other members, over a transport that the daemon provides.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::BoxFuture;
use openraft::error::{
    InstallSnapshotError, NetworkError, RPCError, RaftError, RemoteError, Unreachable,
};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::contact::Contacts;
use crate::limits::APPEND_MAX_BYTES;
use crate::reversion::Reversions;
use crate::types::{EntryOf, Member, Payload, Types, decode, encode};

/// What one member asks of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rpc {
    /// Entries of the log, or a heartbeat.
    Append,
    /// A vote in an election.
    Vote,
    /// A piece of a snapshot.
    Snapshot,
    /// A change, for the leader.
    Propose,
    /// More time for a lease, from the leader.
    Renew,
    /// Up to where the log is committed, from the leader.
    ReadIndex,
    /// How it is.
    Ping,
    /// A snapshot for a witness to keep.
    Keep,
}

impl Rpc {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Append,
        Self::Vote,
        Self::Snapshot,
        Self::Propose,
        Self::Renew,
        Self::ReadIndex,
        Self::Ping,
        Self::Keep,
    ];

    /// As part of an address.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Vote => "vote",
            Self::Snapshot => "snapshot",
            Self::Propose => "propose",
            Self::Renew => "renew",
            Self::ReadIndex => "read-index",
            Self::Ping => "ping",
            Self::Keep => "keep",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rpc| rpc.name() == name)
    }
}

/// Why a call to a member failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// It was not asked: there is no way to it.
    #[error("not reached: {0}")]
    Unreachable(String),
    /// It may have been asked; no answer came.
    #[error("no answer: {0}")]
    NoAnswer(String),
    /// It answered that it can't.
    #[error("{0}")]
    Refused(String),
}

/// Carries messages to members. Bytes are opaque; who answers must be the member that was asked.
pub trait Transport: Send + Sync + 'static {
    /// Asks a member.
    fn call(
        &self,
        to: u64,
        rpc: Rpc,
        body: Bytes,
        limit: Duration,
    ) -> BoxFuture<'static, Result<Bytes, CallError>>;
}

/// Makes the ways.
#[derive(Clone)]
pub(crate) struct Network {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) contacts: Arc<Contacts>,
    pub(crate) reversions: Arc<Reversions>,
    pub(crate) retry: Duration,
}

/// The way to one member.
pub(crate) struct Peer {
    target: u64,
    network: Network,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, _: &Member) -> Peer {
        Peer {
            target,
            network: self.clone(),
        }
    }
}

type Failed<E> = RPCError<u64, Member, RaftError<u64, E>>;

impl Peer {
    async fn ask<Q, A, E>(&self, rpc: Rpc, request: &Q, option: &RPCOption) -> Result<A, Failed<E>>
    where
        Q: Serialize,
        A: for<'a> Deserialize<'a>,
        E: std::error::Error + for<'a> Deserialize<'a>,
    {
        let body = encode(request).map_err(|e| RPCError::Network(NetworkError::new(&e)))?;
        let started = Instant::now();
        let answer = self
            .network
            .transport
            .call(self.target, rpc, body.into(), option.hard_ttl())
            .await;
        let answer = answer.map_err(|e| match e {
            CallError::Unreachable(_) | CallError::Refused(_) => {
                RPCError::Unreachable(Unreachable::new(&e))
            }
            CallError::NoAnswer(_) => RPCError::Network(NetworkError::new(&e)),
        })?;
        self.network
            .contacts
            .heard(self.target, Some(started.elapsed()));
        let answer: Result<A, RaftError<u64, E>> =
            decode(&answer).map_err(|e| RPCError::Network(NetworkError::new(&e)))?;
        answer.map_err(|e| RPCError::RemoteError(RemoteError::new(self.target, e)))
    }
}

impl RaftNetwork<Types> for Peer {
    async fn append_entries(
        &mut self,
        mut request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, RPCError<u64, Member, RaftError<u64>>> {
        let sent = within_limit(&mut request.entries);
        let answer = self.ask(Rpc::Append, &request, &option).await?;
        self.network
            .reversions
            .check(self.target, &request, &answer)
            .map_err(|e| {
                tracing::error!(target = self.target, "{e}");
                RPCError::Unreachable(Unreachable::new(&e))
            })?;
        Ok(match answer {
            AppendEntriesResponse::Success => match sent {
                Sent::All => AppendEntriesResponse::Success,
                Sent::UpTo(last) => AppendEntriesResponse::PartialSuccess(last),
            },
            other => other,
        })
    }

    async fn install_snapshot(
        &mut self,
        request: InstallSnapshotRequest<Types>,
        option: RPCOption,
    ) -> Result<
        InstallSnapshotResponse<u64>,
        RPCError<u64, Member, RaftError<u64, InstallSnapshotError>>,
    > {
        self.ask(Rpc::Snapshot, &request, &option).await
    }

    async fn vote(
        &mut self,
        request: VoteRequest<u64>,
        option: RPCOption,
    ) -> Result<VoteResponse<u64>, RPCError<u64, Member, RaftError<u64>>> {
        self.ask(Rpc::Vote, &request, &option).await
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(self.network.retry))
    }
}

enum Sent {
    All,
    UpTo(Option<openraft::LogId<u64>>),
}

/// Cuts a message to the size that passes within the time of one heartbeat; one entry always goes.
fn within_limit(entries: &mut Vec<EntryOf>) -> Sent {
    let mut bytes = 0;
    let fits = entries.iter().take_while(|entry| {
        let first = bytes == 0;
        bytes += match &entry.payload {
            Payload::Normal(sealed) => sealed.0.len(),
            Payload::Blank | Payload::Membership(_) => 1_024,
        };
        first || bytes <= APPEND_MAX_BYTES
    });
    let count = fits.count();
    if count == entries.len() {
        return Sent::All;
    }
    entries.truncate(count);
    Sent::UpTo(entries.last().map(|e| e.log_id))
}

impl From<CallError> for StoreError {
    fn from(error: CallError) -> Self {
        Self::Stopped(error.to_string())
    }
}
