//! What the leader does for the others. Any node asks; the one that leads carries out.

use std::net::SocketAddr;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use cairn_core::cluster::{Candidate, may_remove};
use cairn_core::{Code, Error};
use cairn_net::{CallOptions, NodeId, Retry};
use cairn_store::{Change, Member, Store};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::records::{NodeRecord, RevokedRecord, WitnessRecord};
use super::token::to_value;
use super::{Cluster, messages};
use crate::plugins::parse;

/// How long the leader may take.
const LEAD_LIMIT: Duration = Duration::from_secs(30);
/// How long a leader is waited for.
const LEADER_WAIT: Duration = Duration::from_secs(4);
/// Between two tries to find it.
const RETRY: Duration = Duration::from_millis(100);
/// A member not heard from for so long counts as gone.
pub(super) const GONE: Duration = Duration::from_millis(1_500);

/// What the leader is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Wanted {
    /// A member that was recorded becomes one of consensus; or its addresses are others now.
    Member { id: u64, member: Member },
    /// A node goes.
    RemoveNode { name: String, force: bool },
    /// A witness goes.
    RemoveWitness { name: String },
}

impl Cluster {
    /// Has the leader do something, wherever it is.
    pub(super) async fn lead(&self, wanted: Wanted) -> Result<Value, Error> {
        let started = Instant::now();
        let body = serde_json::to_vec(&wanted).map_err(|e| Error::internal(e.to_string()))?;
        loop {
            let part = self.part();
            let quorum = part.store.quorum();
            match quorum.leader.filter(|_| quorum.quorate) {
                Some(leader) if leader == part.store.id() => return self.lead_here(wanted).await,
                Some(leader) => {
                    let options = CallOptions {
                        limit: LEAD_LIMIT,
                        retry: Retry::Never,
                    };
                    let called = part
                        .links
                        .call(NodeId(leader), messages::LEAD, body.clone().into(), options)
                        .await;
                    let answer = called
                        .map_err(|e| Error::new(Code::Unavailable, format!("the leader: {e}")))?;
                    let done: Result<Value, Error> = serde_json::from_slice(&answer)
                        .map_err(|e| Error::internal(e.to_string()))?;
                    match done {
                        Err(e) if e.code == Code::Overloaded && started.elapsed() < LEADER_WAIT => {
                        }
                        done => return done,
                    }
                }
                None if started.elapsed() > LEADER_WAIT => return Err(part.store.refusal().into()),
                None => {}
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Does it here, if this node leads.
    pub(crate) async fn lead_here(&self, wanted: Wanted) -> Result<Value, Error> {
        let store = self.store();
        if !store.leads() {
            // Said to a node that asks a moment too early or late; it asks again.
            return Err(Error::new(Code::Overloaded, "this node doesn't lead"));
        }
        match wanted {
            Wanted::Member { id, member } => self.lead_member(&store, id, member).await?,
            Wanted::RemoveNode { name, force } => {
                self.lead_remove_node(&store, &name, force).await?
            }
            Wanted::RemoveWitness { name } => self.lead_remove_witness(&store, &name).await?,
        }
        Ok(Value::Null)
    }

    async fn lead_member(&self, store: &Store, id: u64, member: Member) -> Result<(), Error> {
        let tree = if member.witness { "witnesses" } else { "nodes" };
        let path = format!("{tree}/{}", member.name);
        let recorded = store
            .get(&path)?
            .and_then(|r| r.value.get("id").and_then(Value::as_u64));
        if recorded.is_some_and(|recorded| recorded != id) {
            return Err(Error::new(
                Code::AlreadyExists,
                format!("`{path}` is recorded with another id"),
            ));
        }
        if store.membership().members.get(&id) != Some(&member) {
            store.set_member(id, member).await?;
        }
        Ok(())
    }

    async fn lead_remove_node(&self, store: &Store, name: &str, force: bool) -> Result<(), Error> {
        store.sync().await?;
        let path = format!("nodes/{name}");
        let record: NodeRecord = match store.get(&path)? {
            Some(record) => parse(&record.value)?,
            None => return Err(Error::not_found(format!("node {name} in this cluster"))),
        };
        let members = candidates(store);
        if !force || members.iter().filter(|m| !m.witness).count() < 2 {
            may_remove(&members, record.id)?;
        }
        let revoked = RevokedRecord {
            name: name.to_owned(),
            since_s: self.clock.now_s(),
        };
        // First the record: what is half done shows, and the same command finishes it.
        store
            .transact(&[Change::put(
                format!("revoked/{}", record.id),
                to_value(&revoked)?,
            )])
            .await?;
        if store.membership().members.contains_key(&record.id) {
            store.remove_member(record.id).await?;
        }
        store.transact(&[Change::remove(path)]).await?;
        Ok(())
    }

    async fn lead_remove_witness(&self, store: &Store, name: &str) -> Result<(), Error> {
        store.sync().await?;
        let path = format!("witnesses/{name}");
        let record: WitnessRecord = match store.get(&path)? {
            Some(record) => parse(&record.value)?,
            None => return Err(Error::not_found(format!("witness {name} of this cluster"))),
        };
        may_remove(&candidates(store), record.id)?;
        let member = store.membership().members.remove(&record.id);
        if member.is_some() {
            store.remove_member(record.id).await?;
        }
        store.transact(&[Change::remove(path)]).await?;
        // One that is away keeps what it can't read, until it is told or wiped.
        if let Some(member) = member
            && let Err(e) = self.tell(&member, super::FORGET, Vec::new()).await
        {
            tracing::info!("the witness isn't told that it is removed: {e}");
        }
        Ok(())
    }

    /// Tells the leader where this node is reached, if it is a member.
    pub(super) async fn announce(&self) -> Result<(), Error> {
        let part = self.part();
        let addresses = self.addresses();
        let me = part.store.id();
        let Some(known) = part.store.membership().members.remove(&me) else {
            return Ok(());
        };
        if addresses.is_empty() || known.addresses == addresses {
            return Ok(());
        }
        let member = Member { addresses, ..known };
        self.lead(Wanted::Member { id: me, member }).await.map(drop)
    }

    /// Where the links go: to all other members.
    pub(super) fn set_links(&self) {
        let part = self.part();
        let peers = part
            .store
            .membership()
            .members
            .into_iter()
            .filter(|(id, member)| *id != part.store.id() && !member.addresses.is_empty())
            .map(|(id, member)| (NodeId(id), peer_config(member)));
        part.links.set_peers(&peers.collect());
    }

    /// Sets what this node's addresses are, and renews its certificate for them.
    pub(crate) fn listen_on(&self, addresses: Vec<SocketAddr>) -> Result<(), Error> {
        self.set_addresses(addresses);
        self.renew()
    }

    /// A new certificate for this node.
    pub(super) fn renew(&self) -> Result<(), Error> {
        let part = self.part();
        let identity =
            super::renewed(&part.identity(), &self.certificate_addresses(), &self.clock)?;
        self.presented
            .replace(identity.certified_key().map_err(super::unusable)?);
        part.set_identity(&self.data, identity)
    }

    pub(super) fn known_addresses(&self) -> Vec<SocketAddr> {
        self.addresses
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

pub(super) fn peer_config(member: Member) -> cairn_net::PeerConfig {
    let pin = member
        .pin
        .and_then(|pin| cairn_net::Fingerprint::try_from(pin).ok());
    let trust = pin.map_or(cairn_net::PeerTrust::Ca, cairn_net::PeerTrust::Pinned);
    cairn_net::PeerConfig {
        addresses: member.addresses,
        trust,
    }
}

/// The members, as this node sees them.
pub(super) fn candidates(store: &Store) -> Vec<Candidate> {
    let membership = store.membership();
    let members = membership.members.into_iter();
    members
        .map(|(id, member)| {
            let state = store.member_state(id);
            let silent = state.last_contact.unwrap_or(Duration::MAX);
            let gone = if id == store.id() || silent <= GONE {
                Duration::ZERO
            } else {
                silent
            };
            Candidate {
                id,
                name: member.name,
                witness: member.witness,
                votes: membership.voters.contains(&id),
                gone,
                caught_up: id == store.id() || store.caught_up(id),
                reverted: state.reverted.is_some(),
            }
        })
        .collect()
}
