//! Answers the other members.

use bytes::Bytes;
use openraft::error::{InstallSnapshotError, RaftError};
use serde::{Deserialize, Serialize};

use crate::change::Answer;
use crate::network::Rpc;
use crate::store::Tried;
use crate::types::{Raft, Sealed, decode, encode};
use crate::{Store, StoreError};

/// What a leader says to a change that was handed to it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ProposeReply {
    Answer(Answer),
    /// It stands in no log: this member doesn't lead, or has no majority.
    NotTaken,
    /// It may be committed yet.
    Unknown,
}

impl Store {
    /// Answers a message of the member `from`, which the transport made sure of.
    ///
    /// # Errors
    /// Where the message can't be read, or this member can't answer.
    pub async fn handle(&self, from: u64, rpc: Rpc, body: Bytes) -> Result<Bytes, StoreError> {
        self.network.contacts.heard(from, None);
        match rpc {
            Rpc::Append | Rpc::Vote | Rpc::Snapshot => consensus(&self.raft, rpc, &body).await,
            Rpc::Propose => self.take(&body).await,
            Rpc::Renew => encode(&self.renew_here(decode(&body)?)?).map(Bytes::from),
            Rpc::ReadIndex => encode(&self.read_index().await).map(Bytes::from),
            Rpc::Ping => encode(&self.pong()).map(Bytes::from),
            Rpc::Keep => Err(StoreError::Member("this member is no witness".to_owned())),
        }
    }

    async fn take(&self, body: &[u8]) -> Result<Bytes, StoreError> {
        let sealed: Sealed = decode(body)?;
        let quorum = self.quorum();
        let reply = if quorum.quorate && quorum.leader == Some(self.me) {
            match self.propose(sealed).await {
                Tried::Answered(answer) => ProposeReply::Answer(answer),
                Tried::NotTaken => ProposeReply::NotTaken,
                Tried::Unknown | Tried::Stopped(_) => ProposeReply::Unknown,
            }
        } else {
            ProposeReply::NotTaken
        };
        encode(&reply).map(Bytes::from)
    }
}

/// Hands a message to openraft, and its answer back.
pub(crate) async fn consensus(raft: &Raft, rpc: Rpc, body: &[u8]) -> Result<Bytes, StoreError> {
    let answer = match rpc {
        Rpc::Append => encode(&raft.append_entries(decode(body)?).await),
        Rpc::Vote => encode(&raft.vote(decode(body)?).await),
        Rpc::Snapshot => {
            let answer: Result<_, RaftError<u64, InstallSnapshotError>> =
                raft.install_snapshot(decode(body)?).await;
            encode(&answer)
        }
        _ => {
            return Err(StoreError::Member(format!(
                "`{}` is no message of consensus",
                rpc.name()
            )));
        }
    };
    answer.map(Bytes::from)
}
