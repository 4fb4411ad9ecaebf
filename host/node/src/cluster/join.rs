//! Joining: both sides.
//!
//! The node that asks sends its name, a request for a certificate, its addresses and the records it
//! brings. The cluster checks the token and that nothing clashes, records all in one transaction, adds
//! the member and answers with an identity. The node keeps that, and only then lets go of its old store.
//! If it fails before that, it is where it was; the cluster has a member too many, which
//! `cairn cluster remove` takes out.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use cairn_core::{Code, Error};
use cairn_net::{
    ClusterSecrets, Identity, IssueRequest, JoinAttempt, JoinError, JoinRefusal, JoinToken,
    NodeCsr, NodeId, NodeKey, Role, StoredToken,
};
use cairn_store::{Change, Expect, Member, Store, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::lead::Wanted;
use super::part::{self, Part};
use super::records::{NodeRecord, token_path};
use super::token::to_value;
use super::{Cluster, unusable};

/// Trees that a node brings along.
pub(super) const BROUGHT: [&str; 5] = ["guests", "storage", "backends", "plugins", "trust"];
/// How long the leader may take until the node is a member.
const WELCOME_LIMIT: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What a node asks with.
#[derive(Serialize, Deserialize)]
struct JoinRequest {
    name: String,
    certificate: NodeCsr,
    addresses: Vec<SocketAddr>,
    /// What it brings, by path.
    records: Vec<(String, Value)>,
}

/// What it is given. Holds secrets: it is only sent inside the join's own TLS.
#[derive(Serialize, Deserialize)]
struct JoinReply {
    cluster_name: String,
    certificate: String,
    secrets: ClusterSecrets,
    members: std::collections::BTreeMap<u64, Member>,
}

/// What a node may not do that it has done here: it is in a named cluster with others.
fn already_member(name: &str) -> Error {
    let message = format!(
        "this node is in cluster {name}, with other nodes; `cairn cluster leave` takes it out, then it can join another"
    );
    Error::new(Code::InUse, message).with_command("cairn cluster leave")
}

impl Cluster {
    /// Takes this node into the cluster that a token names. Gives the cluster's name.
    pub(crate) async fn join(&self, token: &str) -> Result<String, Error> {
        let token = JoinToken::parse(token).map_err(|e| Error::invalid("token", e.to_string()))?;
        token
            .check(Role::Node, self.clock.now_s())
            .map_err(|e| Error::new(Code::Denied, e.to_string()))?;
        let _one = self.moving.lock().await;
        let old = self.part();
        if old.identity().cluster() == token.cluster {
            return Err(Error::new(
                Code::AlreadyExists,
                "this node is in that cluster already",
            ));
        }
        if old.store.membership().members.len() > 1 {
            let name = self
                .settings()?
                .map_or_else(|| old.identity().cluster().to_string(), |s| s.name);
            return Err(already_member(&name));
        }
        let key = NodeKey::generate().map_err(unusable)?;
        let request = JoinRequest {
            name: self.name.clone(),
            certificate: key.csr().map_err(unusable)?,
            addresses: self.known_addresses(),
            records: brought(&old.store)?,
        };
        let request = serde_json::to_vec(&request).map_err(|e| Error::internal(e.to_string()))?;
        let answer = cairn_net::join(&token, Role::Node, request.into(), &self.clock)
            .await
            .map_err(refused)?;
        let reply: Result<JoinReply, Error> = serde_json::from_slice(&answer)
            .map_err(|e| Error::internal(format!("the cluster's answer isn't understood: {e}")))?;
        let reply = reply?;
        let identity =
            Identity::assemble(&key, &reply.certificate, reply.secrets).map_err(unusable)?;
        part::prepare_join(&self.data, &identity)?;
        self.move_to(&old.store, reply.members).await?;
        Ok(reply.cluster_name)
    }

    /// Lets go of the old store and opens the one that was prepared.
    pub(super) async fn move_to(
        &self,
        old: &Store,
        members: std::collections::BTreeMap<u64, Member>,
    ) -> Result<(), Error> {
        old.stop().await;
        part::finish_move(&self.data)?;
        let identity = part::identity(&self.data, &self.name, &self.clock)?;
        let me = identity.node().0;
        let part = Part::open(&self.data, identity, &self.presented, &self.trust).await?;
        let others = members
            .into_iter()
            .filter(|(id, member)| *id != me && !member.addresses.is_empty());
        let peers = others.map(|(id, member)| {
            let trust = cairn_net::PeerTrust::Ca;
            (
                NodeId(id),
                cairn_net::PeerConfig {
                    addresses: member.addresses,
                    trust,
                },
            )
        });
        part.links.set_peers(&peers.collect());
        self.replace(part)?;
        self.welcomed().await
    }

    /// Waits until the leader has told this node who the members are.
    pub(super) async fn welcomed(&self) -> Result<(), Error> {
        let store = self.store();
        let started = std::time::Instant::now();
        while !store.quorum().quorate {
            if started.elapsed() > WELCOME_LIMIT {
                let message = "this node has joined, and the cluster's leader hasn't reached it yet: check that its \
                               addresses can be reached from the other nodes (`cairn cluster status`)";
                return Err(Error::new(Code::Unavailable, message));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        store.sync().await?;
        Ok(())
    }

    /// The cluster's side.
    pub(crate) async fn let_in(&self, attempt: JoinAttempt) -> Result<Bytes, JoinRefusal> {
        let store = self.store();
        let other = |e: Error| JoinRefusal::Other(e.message);
        store.sync().await.map_err(|e| other(e.into()))?;
        let path = token_path(&attempt.verifier);
        let found = store.get(&path).map_err(|e| other(e.into()))?;
        let stored: Option<StoredToken> = found
            .as_ref()
            .and_then(|r| serde_json::from_value(r.value.clone()).ok());
        attempt.check(stored.as_ref(), self.clock.now_s())?;
        let (Some(record), Some(token)) = (found, stored) else {
            return Err(JoinRefusal::UnknownToken);
        };
        let admitted = match serde_json::from_slice::<JoinRequest>(&attempt.request) {
            Ok(request) => {
                let used = StoredToken {
                    used_by: Some(request.name.clone()),
                    ..token
                };
                let used = to_value(&used).map_err(other)?;
                let used =
                    Change::put(path.clone(), used).expecting(Expect::Revision(record.revision));
                self.admit(&store, request, used).await
            }
            Err(e) => Err(Error::invalid(
                "request",
                format!("the two versions of Cairn don't understand each other: {e}"),
            )),
        };
        if let Err(e) = &admitted
            && e.code == Code::Revision
        {
            return Err(JoinRefusal::UsedToken {
                by: "another machine, a moment ago".to_owned(),
            });
        }
        serde_json::to_vec(&admitted)
            .map(Bytes::from)
            .map_err(|e| JoinRefusal::Other(e.to_string()))
    }

    async fn admit(
        &self,
        store: &Store,
        request: JoinRequest,
        used: Change,
    ) -> Result<JoinReply, Error> {
        let settings = self.named()?;
        let path = format!("nodes/{}", request.name);
        if store.get(&path)?.is_some() {
            let message = format!(
                "there is a node {} in this cluster already; start the new one with another --node NAME, or remove the \
                 old one with `cairn cluster remove {}`",
                request.name, request.name
            );
            return Err(Error::new(Code::AlreadyExists, message));
        }
        let id = part::new_id();
        let identity = self.part().identity();
        let addresses = super::certificate_addresses(&request.addresses);
        let wanted = IssueRequest {
            csr: &request.certificate,
            node: id,
            name: &request.name,
            addresses: &addresses,
        };
        let authority = identity.secrets().authority().map_err(unusable)?;
        let certificate = authority
            .issue(&wanted, self.clock.now_s())
            .map_err(unusable)?;
        let node = NodeRecord {
            id: id.0,
            joined_s: self.clock.now_s(),
        };
        let mut changes = vec![
            used,
            Change::put(path.clone(), to_value(&node)?).expecting(Expect::Absent),
        ];
        changes.extend(merged(store, &request.records)?);
        store
            .transact(&changes)
            .await
            .map_err(|e| clash(e, &path))?;
        let member = Member {
            name: request.name,
            witness: false,
            addresses: request.addresses,
            pin: None,
        };
        self.lead(Wanted::Member { id: id.0, member }).await?;
        let mut members = store.membership().members;
        if let Some(me) = members.get_mut(&store.id()) {
            me.addresses = self.known_addresses();
        }
        let secrets = identity.secrets().clone();
        Ok(JoinReply {
            cluster_name: settings.name,
            certificate,
            secrets,
            members,
        })
    }
}

fn clash(error: StoreError, node: &str) -> Error {
    match error {
        StoreError::Conflict { path, .. } if path != node && !path.starts_with("tokens/") => {
            Error::new(
                Code::AlreadyExists,
                format!("`{path}` was made in the cluster a moment ago; join again"),
            )
        }
        other => other.into(),
    }
}

/// What a node brings.
pub(super) fn brought(store: &Store) -> Result<Vec<(String, Value)>, Error> {
    let mut all = Vec::new();
    for tree in BROUGHT {
        all.extend(
            store
                .list(tree)?
                .into_iter()
                .map(|(path, record)| (path, record.value)),
        );
    }
    Ok(all)
}

/// The changes that take in what a node brings. The same record on both sides is fine; another under
/// the same name is a clash, and all of them are told at once.
fn merged(store: &Store, records: &[(String, Value)]) -> Result<Vec<Change>, Error> {
    let (mut changes, mut clashes) = (Vec::new(), Vec::new());
    for (path, value) in records {
        let tree = path.split('/').next().unwrap_or_default();
        if !BROUGHT.contains(&tree) {
            return Err(Error::invalid(
                "records",
                format!("a node can't bring `{path}`"),
            ));
        }
        match store.get(path)? {
            None => {
                changes.push(Change::put(path.clone(), value.clone()).expecting(Expect::Absent))
            }
            Some(there) if is_same(tree, &there.value, value) => {}
            Some(_) => clashes.push(path.clone()),
        }
    }
    if clashes.is_empty() {
        return Ok(changes);
    }
    let message = format!(
        "the node and the cluster have different things under the same names: {}. Rename or remove them on the node, \
         then join again with the same token",
        clashes.join(", ")
    );
    Err(Error::new(Code::AlreadyExists, message).with_by(clashes))
}

/// Guests are never the same; for a plugin the cluster's version serves, whatever version the node has.
fn is_same(tree: &str, there: &Value, brought: &Value) -> bool {
    match tree {
        "guests" => false,
        "plugins" => true,
        "storage" => {
            let config =
                |record: &Value| (record.get("plugin").cloned(), record.get("config").cloned());
            config(there) == config(brought)
        }
        _ => there == brought,
    }
}

fn refused(error: JoinError) -> Error {
    let code = match &error {
        JoinError::Unreachable(_) => Code::Unavailable,
        JoinError::Unanswered { .. } => Code::TimedOut,
        _ => Code::Denied,
    };
    Error::new(code, error.to_string())
}
