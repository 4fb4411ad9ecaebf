//! What `cairn cluster status` shows, as this node sees it. Asks nobody.

use std::collections::BTreeMap;
use std::time::Duration;

use cairn_core::Error;
use cairn_net::links::LinkState;
use cairn_store::{Member, Store};

use super::lead::GONE;
use super::records::{ClusterStatus, LinkStatus, MemberStatus, Votes};
use super::{Cluster, unusable};

/// Clocks further apart than this are worth a word.
const SKEW_ALARM_MS: u64 = 1_000;

impl Cluster {
    /// The cluster as this node sees it.
    pub(crate) fn status(&self) -> Result<ClusterStatus, Error> {
        let part = self.part();
        let store = &part.store;
        let identity = part.identity();
        let settings = self.settings()?;
        let (membership, quorum) = (store.membership(), store.quorum());
        let mut links: BTreeMap<u64, Vec<LinkStatus>> = BTreeMap::new();
        for link in part.links.states() {
            links
                .entry(link.peer.0)
                .or_default()
                .push(link_status(&link));
        }
        let (mut nodes, mut witnesses) = (Vec::new(), Vec::new());
        let mut alarms = Vec::new();
        for (id, member) in &membership.members {
            let shown = self.member(store, *id, member, links.remove(id).unwrap_or_default());
            let mut shown = shown;
            shown.votes = u32::from(membership.voters.contains(id));
            alarms.extend(alarms_of(store, &shown, member.witness));
            if member.witness {
                witnesses.push(shown)
            } else {
                nodes.push(shown)
            }
        }
        if let Some(why) = store.rebuilt() {
            alarms.push(format!(
                "this node's state was damaged and is rebuilt: {why}"
            ));
        }
        if let Some(why) = store.stopped() {
            alarms.push(format!(
                "this node takes no more part in the cluster since its store failed: {why}"
            ));
        }
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        let leader = quorum
            .leader
            .and_then(|id| membership.members.get(&id))
            .map(|m| m.name.clone());
        Ok(ClusterStatus {
            name: settings.as_ref().map(|s| s.name.clone()),
            id: identity.cluster().to_string(),
            authority: identity
                .secrets()
                .authority()
                .map_err(unusable)?
                .fingerprint()
                .to_string(),
            config_version: store.revision(),
            epoch: settings.map_or(0, |s| s.epoch),
            node: self.name.clone(),
            quorate: quorum.quorate,
            leader: leader.filter(|_| quorum.quorate),
            votes: Votes {
                expected: quorum.expected,
                total: quorum.votes,
                quorum: quorum.needed,
                missing: quorum.missing,
            },
            nodes,
            witnesses,
            alarms,
            store_bytes: store.bytes(),
        })
    }

    fn member(
        &self,
        store: &Store,
        id: u64,
        member: &Member,
        links: Vec<LinkStatus>,
    ) -> MemberStatus {
        let state = store.member_state(id);
        let local = id == store.id();
        // Links probe every member; consensus only those that vote.
        let by_link = links.iter().filter_map(|l| l.last_contact_ms).min();
        let by_store = state.last_contact.map(ms);
        let last_contact_ms = [by_link, by_store].into_iter().flatten().min();
        let addresses = if local {
            self.known_addresses()
        } else {
            member.addresses.clone()
        };
        MemberStatus {
            name: member.name.clone(),
            id,
            local,
            votes: 0,
            online: local || last_contact_ms.is_some_and(|at| at <= ms(GONE)),
            last_contact_ms: last_contact_ms.filter(|_| !local),
            clock_skew_ms: state.skew_ms,
            addresses: addresses.iter().map(ToString::to_string).collect(),
            links,
        }
    }
}

fn alarms_of(store: &Store, member: &MemberStatus, witness: bool) -> Vec<String> {
    let kind = if witness { "witness" } else { "node" };
    let mut alarms = Vec::new();
    if !member.online {
        alarms.push(format!("{kind} {} isn't reached", member.name));
    } else if member.links.iter().any(|l| l.state == "down") {
        alarms.push(format!(
            "{kind} {} isn't reached over all of its links",
            member.name
        ));
    }
    if let Some(skew) = member
        .clock_skew_ms
        .filter(|skew| skew.unsigned_abs() > SKEW_ALARM_MS)
    {
        alarms.push(format!(
            "the clock of {kind} {} is {skew} ms ahead of this node's",
            member.name
        ));
    }
    alarms.extend(store.member_state(member.id).reverted);
    alarms
}

fn link_status(link: &LinkState) -> LinkStatus {
    LinkStatus {
        address: link.address.to_string(),
        state: format!("{:?}", link.health).to_lowercase(),
        latency_us: link
            .round_trip
            .map(|t| u64::try_from(t.as_micros()).unwrap_or(u64::MAX)),
        last_contact_ms: link.last_contact.map(ms),
        why: link.why.clone(),
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
