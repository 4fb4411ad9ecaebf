//! What stands in the log, and who is a member.

use std::net::SocketAddr;

use openraft::{Entry, EntryPayload, LogId, SnapshotMeta, StoredMembership, Vote};
use serde::{Deserialize, Serialize};

use crate::change::{Answer, Command};
use crate::{Cipher, StoreError};

openraft::declare_raft_types!(
    /// Consensus over sealed commands.
    pub(crate) Types:
        D = Sealed,
        R = Answer,
        NodeId = u64,
        Node = Member,
        Entry = Entry<Types>,
        SnapshotData = tokio::fs::File,
);

pub(crate) type Raft = openraft::Raft<Types>;
pub(crate) type EntryOf = Entry<Types>;
pub(crate) type Payload = EntryPayload<Types>;
pub(crate) type At = LogId<u64>;
pub(crate) type VoteOf = Vote<u64>;
pub(crate) type Membership = StoredMembership<u64, Member>;
pub(crate) type Meta = SnapshotMeta<u64, Member>;
pub(crate) type StorageError = openraft::StorageError<u64>;

/// A member of the cluster, as all members know it. Its addresses stand here, in the clear, because a
/// witness, which can read nothing else, must reach the nodes too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// It only votes.
    pub witness: bool,
    /// Where it is reached, the preferred first.
    pub addresses: Vec<SocketAddr>,
    /// SHA-256 of a witness's certificate, in hexadecimal; nodes have certificates of the cluster.
    pub pin: Option<String>,
}

/// A command as the log holds it: sealed with the cluster's key, so that a witness reads nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sealed(#[serde(with = "serde_bytes")] pub(crate) Vec<u8>);

/// What the seal is bound to.
const COMMAND: &[u8] = b"cairn command";
/// The version of [`Command`]'s encoding.
const COMMAND_VERSION: u8 = 1;

impl Sealed {
    pub(crate) fn seal(command: &Command, cipher: &dyn Cipher) -> Result<Self, StoreError> {
        let mut plain = vec![COMMAND_VERSION];
        plain.extend(encode(command)?);
        cipher
            .seal(COMMAND, &plain)
            .map(Self)
            .ok_or_else(StoreError::unsealed)
    }

    pub(crate) fn open(&self, cipher: &dyn Cipher) -> Result<Command, StoreError> {
        let plain = cipher.open(COMMAND, &self.0).ok_or_else(|| {
            StoreError::Damaged(
                "an entry of the log isn't sealed with this cluster's key".to_owned(),
            )
        })?;
        match plain.split_first() {
            Some((&COMMAND_VERSION, rest)) => decode(rest),
            Some((version, _)) => Err(StoreError::Damaged(format!(
                "the log has an entry of format {version}, and this Cairn reads {COMMAND_VERSION}: it was written \
                 by a newer one; upgrade this node"
            ))),
            None => Err(StoreError::Damaged("the log has an empty entry".to_owned())),
        }
    }
}

/// For disk and peers: self-describing, so that versions of Cairn can differ by a field.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    rmp_serde::to_vec_named(value).map_err(|e| StoreError::Damaged(format!("not encodable: {e}")))
}

pub(crate) fn decode<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> Result<T, StoreError> {
    rmp_serde::from_slice(bytes).map_err(|e| StoreError::Damaged(format!("not readable: {e}")))
}
