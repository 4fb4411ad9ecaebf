//! Which backend stands behind a storage on each node, recorded under `backends/STORAGE/NODE`.
//!
//! One storage has another backend on each node (a pool of the same name), or the same (a share). A node
//! that uses a storage for the first time prepares it and records what it found; ever after, another
//! backend in its place is noticed, and nothing is done on it.

use cairn_core::names::StorageName;
use cairn_core::storage::{Finding, Level};
use cairn_core::{Code, Error};
use cairn_plugins::StorageCalls;
use cairn_store::{Change, Expect, StoreError};

use crate::Node;

impl Node {
    /// The backend that this node has recorded for a storage.
    pub(crate) fn backend(&self, name: &StorageName) -> Result<Option<String>, Error> {
        let record = self.store().get(&self.backend_path(name))?;
        Ok(record.and_then(|r| r.value.as_str().map(str::to_owned)))
    }

    pub(crate) fn backend_change(&self, name: &StorageName, identity: &str) -> Change {
        Change::put(self.backend_path(name), identity.into())
    }

    /// The changes that forget the backends of a storage on all nodes.
    pub(crate) fn forget_backends(&self, name: &StorageName) -> Result<Vec<Change>, Error> {
        let listed = self.store().list(&format!("backends/{name}"))?;
        Ok(listed
            .into_iter()
            .map(|(path, _)| Change::remove(path))
            .collect())
    }

    /// Makes a storage usable here, and makes sure that its backend is the one that was recorded.
    pub(crate) async fn activate(
        &self,
        name: &StorageName,
        calls: &StorageCalls,
    ) -> Result<(), Error> {
        let recorded = self.backend(name)?;
        if recorded.is_none() {
            calls.added().await?;
        }
        calls.activate().await?;
        let found = calls.identity().await?;
        match recorded {
            Some(recorded) if recorded == found => Ok(()),
            Some(recorded) => Err(other_backend(name, &recorded, &found)),
            None => {
                let change = self.backend_change(name, &found).expecting(Expect::Absent);
                match self.store().transact(&[change]).await {
                    Ok(_) => Ok(()),
                    // Another call of this node recorded it, a moment ago.
                    Err(StoreError::Conflict { .. })
                        if self.backend(name)?.as_ref() == Some(&found) =>
                    {
                        Ok(())
                    }
                    Err(e) => Err(e.into()),
                }
            }
        }
    }

    /// Storages that stand on the same backend on this node.
    pub(crate) fn same_backend(
        &self,
        name: &StorageName,
        identity: &str,
    ) -> Result<Vec<Finding>, Error> {
        let mut found = Vec::new();
        for (path, record) in self.store().list("backends")? {
            let Some((other, node)) = path.trim_start_matches("backends/").split_once('/') else {
                continue;
            };
            if node == self.name()
                && other != name.as_str()
                && record.value.as_str() == Some(identity)
            {
                found.push(Finding {
                    level: Level::Warning,
                    message: format!(
                        "storage {other} stands on the same backend ({identity}): both show the same volumes and the \
                         same space"
                    ),
                });
            }
        }
        Ok(found)
    }

    fn backend_path(&self, name: &StorageName) -> String {
        format!("backends/{name}/{}", self.name())
    }
}

fn other_backend(name: &StorageName, recorded: &str, found: &str) -> Error {
    let error = Error::new(
        Code::WrongBackend,
        format!(
            "storage {name} was added on backend {recorded}, and now {found} is there; nothing is done on it. Bring \
             the old backend back, or remove the storage and add it again"
        ),
    );
    tracing::error!(target: "alarm", storage = %name, "{error}");
    error
}
