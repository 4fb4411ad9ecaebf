//! What goes on in the background: links follow the membership, revocations are believed, certificates
//! are renewed, and the leader gives votes.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use cairn_core::Error;
use cairn_core::cluster::choose_voters;
use cairn_net::{NodeId, Revoked};

use super::Cluster;
use super::lead::candidates;
use crate::Node;

/// Between two rounds.
const ROUND: Duration = Duration::from_millis(250);
/// Between two looks at the certificate.
const RENEWAL_LOOK: Duration = Duration::from_secs(3_600);

/// Runs for as long as the node is there.
pub(crate) async fn run(node: Weak<Node>) {
    let mut looked = Instant::now();
    let mut told = String::new();
    while let Some(node) = node.upgrade() {
        let done = node.cluster.round(&mut looked).await;
        let problem = done.err().map(|e| e.to_string()).unwrap_or_default();
        if problem != told && !problem.is_empty() {
            tracing::warn!("the cluster's upkeep: {problem}");
        }
        told = problem;
        drop(node);
        tokio::time::sleep(ROUND).await;
    }
}

impl Cluster {
    async fn round(&self, looked: &mut Instant) -> Result<(), Error> {
        self.set_links();
        self.believe_revocations()?;
        if looked.elapsed() > RENEWAL_LOOK {
            *looked = Instant::now();
            self.renew_witnesses().await?;
            if self.part().identity().renew_due(self.clock.now_s()) {
                self.renew()?;
                tracing::info!("this node's certificate is renewed");
            }
        }
        if self.store().quorum().quorate {
            self.announce().await?;
        }
        self.give_votes().await?;
        self.readmit_witnesses().await
    }

    fn believe_revocations(&self) -> Result<(), Error> {
        let part = self.part();
        let listed = part.store.list("revoked")?;
        let nodes = listed
            .iter()
            .filter_map(|(path, _)| path.strip_prefix("revoked/")?.parse().ok().map(NodeId));
        let revoked = Revoked {
            nodes: nodes.collect(),
            serials: BTreeSet::new(),
        };
        self.trust.set_revoked(part.identity().cluster(), revoked);
        Ok(())
    }

    /// As the leader: members get and lose votes.
    async fn give_votes(&self) -> Result<(), Error> {
        let store: Arc<cairn_store::Store> = self.store();
        if !store.leads() || store.membership().changing {
            return Ok(());
        }
        let members = candidates(&store);
        let now: BTreeSet<u64> = members.iter().filter(|m| m.votes).map(|m| m.id).collect();
        let wanted = choose_voters(&members);
        if wanted != now {
            let names = |ids: &BTreeSet<u64>| -> Vec<String> {
                members
                    .iter()
                    .filter(|m| ids.contains(&m.id))
                    .map(|m| m.name.clone())
                    .collect()
            };
            tracing::info!(before = ?names(&now), after = ?names(&wanted), "votes are given anew");
            store.set_voters(wanted).await?;
        }
        Ok(())
    }
}
