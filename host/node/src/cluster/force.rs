//! `force-quorum`: this node goes on alone, though the majority is lost.

use std::sync::Arc;

use cairn_core::{Code, Error};
use cairn_store::{Change, Member};

use super::records::Settings;
use super::token::to_value;
use super::{Cluster, SETTINGS, part};

impl Cluster {
    /// Makes this node the only member, and raises the cluster's epoch. `typed` is the cluster's name.
    pub(crate) async fn force_quorum(&self, typed: &str) -> Result<(), Error> {
        let _one = self.moving.lock().await;
        let settings = self.named()?;
        if settings.name != typed {
            let rule = format!(
                "it must be this cluster's name, {}, typed in full",
                settings.name
            );
            return Err(Error::invalid("cluster", rule));
        }
        let old = self.part();
        if old.store.quorum().quorate {
            let message = "the cluster has its quorum: there is nothing to force. Nodes that are gone are taken out \
                           with `cairn cluster remove`";
            return Err(Error::new(Code::Blocked, message));
        }
        tracing::warn!(target: "alarm", "an operator forces the quorum: this node goes on alone");
        let me = old.store.id();
        let others: Vec<(u64, Member)> = old
            .store
            .membership()
            .members
            .into_iter()
            .filter(|(id, _)| *id != me)
            .collect();
        let member = Member {
            name: self.name.clone(),
            addresses: self.addresses(),
            ..Member::default()
        };
        old.store.stop().await;
        drop(old);
        let identity = part::identity(&self.data, &self.name, &self.clock)?;
        let key = Arc::new(part::Sealer(identity.secrets().cluster_key.clone()));
        // On a copy: the old one is let go of whenever its last user is done, and stays as it was.
        let forced = match part::copy_store(&self.data) {
            Ok(copy) => match cairn_store::go_on_alone(&copy, me, member, key).await {
                Ok(()) => part::take_copy(&self.data, &copy),
                Err(e) => Err(e.into()),
            },
            Err(e) => Err(e),
        };
        // Whatever came of it, the node gets a store again.
        let reopened = part::Part::open(&self.data, identity, &self.presented, &self.trust).await?;
        self.replace(reopened)?;
        forced?;
        self.welcomed().await?;
        self.record_force(settings, &others).await
    }

    /// The others may not come back under their old ids: what they committed alone isn't known here.
    async fn record_force(
        &self,
        settings: Settings,
        others: &[(u64, Member)],
    ) -> Result<(), Error> {
        let settings = Settings {
            epoch: settings.epoch + 1,
            ..settings
        };
        let mut changes = vec![Change::put(SETTINGS, to_value(&settings)?)];
        for (id, member) in others {
            let tree = if member.witness { "witnesses" } else { "nodes" };
            changes.push(Change::remove(format!("{tree}/{}", member.name)));
            let revoked = super::records::RevokedRecord {
                name: member.name.clone(),
                since_s: self.clock.now_s(),
            };
            changes.push(Change::put(format!("revoked/{id}"), to_value(&revoked)?));
        }
        self.store().transact(&changes).await?;
        Ok(())
    }
}
