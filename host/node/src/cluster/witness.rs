//! Witnesses of this cluster: added by a token that the witness printed, removed, and readmitted under a
//! new id when their disk went back in time.

use cairn_core::{Code, Error};
use cairn_net::secret::SecretText;
use cairn_net::{IssueRequest, JoinToken, NodeId, NodeKey, Role};
use cairn_store::{Change, Expect, Member};
use serde::{Deserialize, Serialize};

use super::lead::Wanted;
use super::records::WitnessRecord;
use super::token::to_value;
use super::{Cluster, part};
use crate::plugins::parse;

/// Where a node tells a witness under which id it serves from now on.
pub(crate) const ENROL: &str = "/witness/enrol";

/// Where a node tells a witness that it isn't needed any more.
pub(crate) const FORGET: &str = "/witness/forget";

/// What a cluster tells a witness: at the join, and when it gets another id.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Enrolment {
    /// The certificate of the cluster's authority: whose nodes it answers.
    pub(crate) authority: String,
    /// The cluster's name, for people.
    pub(crate) cluster_name: String,
    /// The witness's id in this cluster.
    pub(crate) id: u64,
    /// What it shows to the cluster's nodes when it calls them: a certificate of their authority.
    pub(crate) certificate: String,
    /// Its key, made for this use alone.
    pub(crate) key: SecretText,
}

/// What a witness answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Enrolled {
    /// Its name.
    pub(crate) name: String,
}

impl Cluster {
    /// Adds the witness that printed the token. Gives its name.
    pub(crate) async fn add_witness(&self, token: &str) -> Result<String, Error> {
        let token = JoinToken::parse(token).map_err(|e| Error::invalid("token", e.to_string()))?;
        token
            .check(Role::Witness, self.clock.now_s())
            .map_err(|e| Error::new(Code::Denied, e.to_string()))?;
        let settings = self.named()?;
        let part = self.part();
        part.store.sync().await?;
        let fingerprint = token.fingerprint.to_string();
        for (path, record) in part.store.list("witnesses")? {
            let there: WitnessRecord = parse(&record.value)?;
            if there.fingerprint == fingerprint {
                let name = path.trim_start_matches("witnesses/");
                return Err(Error::new(
                    Code::AlreadyExists,
                    format!("witness {name} serves this cluster already"),
                ));
            }
        }
        let id = part::new_id().0;
        let enrolment = self.enrolment(id, settings.name)?;
        let request = serde_json::to_vec(&enrolment).map_err(|e| Error::internal(e.to_string()))?;
        let answer = cairn_net::join(&token, Role::Witness, request.into(), &self.clock)
            .await
            .map_err(|e| Error::new(Code::Denied, e.to_string()))?;
        let Enrolled { name } = serde_json::from_slice(&answer)
            .map_err(|e| Error::internal(format!("the witness's answer isn't understood: {e}")))?;
        let addresses = token.addresses.clone();
        let record = WitnessRecord {
            id,
            fingerprint: fingerprint.clone(),
            addresses: addresses.clone(),
            readded: 0,
            certified_s: self.clock.now_s(),
        };
        let change =
            Change::put(format!("witnesses/{name}"), to_value(&record)?).expecting(Expect::Absent);
        part.store.transact(&[change]).await?;
        let member = Member {
            name: name.clone(),
            witness: true,
            addresses,
            pin: Some(fingerprint),
        };
        self.lead(Wanted::Member { id, member }).await?;
        Ok(name)
    }

    /// Removes a witness.
    pub(crate) async fn remove_witness(&self, name: &str) -> Result<(), Error> {
        self.lead(Wanted::RemoveWitness {
            name: name.to_owned(),
        })
        .await
        .map(drop)
    }

    /// As the leader: a witness whose disk went back in time is evicted, and serves under a new id.
    pub(super) async fn readmit_witnesses(&self) -> Result<(), Error> {
        let part = self.part();
        let store = &part.store;
        if !store.leads() {
            return Ok(());
        }
        for (id, member) in store.membership().members {
            if !member.witness || store.member_state(id).reverted.is_none() {
                continue;
            }
            let path = format!("witnesses/{}", member.name);
            let Some(found) = store.get(&path)? else {
                continue;
            };
            let record: WitnessRecord = parse(&found.value)?;
            tracing::warn!(target: "alarm", witness = %member.name, "its disk went back in time: it is evicted and added anew");
            let next = WitnessRecord {
                id: part::new_id().0,
                readded: record.readded + 1,
                certified_s: self.clock.now_s(),
                ..record
            };
            store.remove_member(id).await?;
            self.enrol(&member, next.id).await?;
            let change =
                Change::put(path, to_value(&next)?).expecting(Expect::Revision(found.revision));
            store.transact(&[change]).await?;
            store.set_member(next.id, member).await?;
        }
        Ok(())
    }

    /// As the leader: certificates of witnesses are renewed in time.
    pub(super) async fn renew_witnesses(&self) -> Result<(), Error> {
        let store = self.store();
        if !store.leads() {
            return Ok(());
        }
        for (id, member) in store
            .membership()
            .members
            .into_iter()
            .filter(|(_, m)| m.witness)
        {
            let path = format!("witnesses/{}", member.name);
            let Some(found) = store.get(&path)? else {
                continue;
            };
            let record: WitnessRecord = parse(&found.value)?;
            let now_s = self.clock.now_s();
            if now_s.saturating_sub(record.certified_s)
                < cairn_net::limits::CERTIFICATE_LIFE_S / 3 * 2
            {
                continue;
            }
            self.enrol(&member, id).await?;
            let next = WitnessRecord {
                certified_s: now_s,
                ..record
            };
            let change =
                Change::put(path, to_value(&next)?).expecting(Expect::Revision(found.revision));
            store.transact(&[change]).await?;
        }
        Ok(())
    }

    fn enrolment(&self, id: u64, cluster_name: String) -> Result<Enrolment, Error> {
        let identity = self.part().identity();
        let key = NodeKey::generate().map_err(super::unusable)?;
        let csr = key.csr().map_err(super::unusable)?;
        let wanted = IssueRequest {
            csr: &csr,
            node: NodeId(id),
            name: "witness",
            addresses: &[],
        };
        let authority = identity.secrets().authority().map_err(super::unusable)?;
        let certificate = authority
            .issue(&wanted, self.clock.now_s())
            .map_err(super::unusable)?;
        let authority = identity.secrets().authority_certificate.clone();
        Ok(Enrolment {
            authority,
            cluster_name,
            id,
            certificate,
            key: key.pem().clone(),
        })
    }

    /// Tells a witness under which id it serves, with a new certificate.
    async fn enrol(&self, member: &Member, id: u64) -> Result<(), Error> {
        let enrolment = self.enrolment(id, self.named()?.name)?;
        let body = serde_json::to_vec(&enrolment).map_err(|e| Error::internal(e.to_string()))?;
        self.tell(member, ENROL, body).await
    }

    /// Tells a witness something over a link of its own: that of the old id ends.
    pub(super) async fn tell(
        &self,
        member: &Member,
        path: &str,
        body: Vec<u8>,
    ) -> Result<(), Error> {
        let part = self.part();
        let links = cairn_net::Links::new(cairn_net::LinksOptions {
            presented: self.presented(),
            trust: self.trust(),
            cluster: part.identity().cluster(),
        });
        let peer = cairn_net::NodeId(0);
        let config = super::lead::peer_config(member.clone());
        links.set_peers(&[(peer, config)].into());
        let called = links
            .call(peer, path, body.into(), cairn_net::CallOptions::default())
            .await;
        called
            .map(drop)
            .map_err(|e| Error::new(Code::Unavailable, format!("witness {}: {e}", member.name)))
    }
}
