//! Leaving: a node that goes founds a cluster of its own, and keeps what it can use alone.

use cairn_core::{Code, Error};
use cairn_store::Change;

use super::lead::Wanted;
use super::{Cluster, part};

impl Cluster {
    /// Takes this node out of its cluster. Afterwards it is a cluster of one, without a name, with the
    /// plugins, the trust list and the storages that the cluster had.
    pub(crate) async fn leave(&self, force: bool) -> Result<(), Error> {
        let _one = self.moving.lock().await;
        let old = self.part();
        if old.store.membership().members.len() < 2 {
            return Err(Error::new(
                Code::Blocked,
                "this node is alone: there is nothing to leave",
            ));
        }
        let kept: Vec<Change> = super::join::brought(&old.store)?
            .into_iter()
            .filter(|(path, _)| !path.starts_with("guests/"))
            .map(|(path, value)| Change::put(path, value))
            .collect();
        let next = part::new_cluster(&self.name, &self.clock)?;
        self.lead(Wanted::RemoveNode {
            name: self.name.clone(),
            force,
        })
        .await?;
        part::prepare_leave(&self.data, &next)?;
        self.move_to(&old.store, std::collections::BTreeMap::new())
            .await?;
        for some in kept.chunks(100) {
            self.store().transact(some).await?;
        }
        Ok(())
    }

    /// Takes a node out, dead or alive.
    pub(crate) async fn remove_node(&self, name: &str, force: bool) -> Result<(), Error> {
        if name == self.name {
            return Err(Error::invalid(
                "node",
                "this node takes itself out with `cairn cluster leave`",
            ));
        }
        self.lead(Wanted::RemoveNode {
            name: name.to_owned(),
            force,
        })
        .await
        .map(drop)
    }
}
