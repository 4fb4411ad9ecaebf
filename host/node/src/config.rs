//! The store as a tree of configuration, for the API: read, change, watch. Secrets don't leave it.

use cairn_core::{Code, Error};
use cairn_store::{Change, Expect, Record, Watch};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::Node;
use crate::cluster::records::{NodeRecord, RevokedRecord, Settings, TokenRecord, WitnessRecord};
use crate::records::{StorageRecord, TrustedSigner};

/// What stands in place of a secret.
const HIDDEN: &str = "(not shown)";

/// A record as the API shows it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ConfigRecord {
    /// Where: `storage/vmstore`.
    pub path: String,
    /// The revision that last changed it.
    pub revision: u64,
    /// The value.
    #[schema(value_type = Object)]
    pub value: Value,
}

impl ConfigRecord {
    fn new(path: &str, record: Record) -> Self {
        let mut value = record.value;
        hide(path, &mut value);
        Self {
            path: path.to_owned(),
            revision: record.revision,
            value,
        }
    }
}

impl Node {
    /// Waits until what was committed before is known here; false where there is no quorum to ask.
    pub async fn sync_config(&self) -> bool {
        self.store().sync().await.is_ok()
    }

    /// The store's revision as known here.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.store().revision()
    }

    /// The record at a path, as known here.
    ///
    /// # Errors
    /// `not-found`; `invalid`.
    pub fn config(&self, path: &str) -> Result<ConfigRecord, Error> {
        let found = self.store().get(path)?;
        let found = found.ok_or_else(|| Error::not_found(format!("record `{path}`")))?;
        Ok(ConfigRecord::new(path, found))
    }

    /// The records below a path, sorted, as known here; all for the empty path.
    ///
    /// # Errors
    /// `invalid`.
    pub fn configs(&self, below: &str) -> Result<Vec<ConfigRecord>, Error> {
        let listed = self.store().list(below.trim_matches('/'))?;
        Ok(listed
            .into_iter()
            .map(|(path, record)| ConfigRecord::new(&path, record))
            .collect())
    }

    /// Sets a record, if it has the revision that is expected (0: there is none; none: whatever there is).
    ///
    /// # Errors
    /// `invalid` naming field and rule where the record breaks its schema; `revision`; `no-quorum`.
    pub async fn set_config(
        &self,
        path: &str,
        mut value: Value,
        expect: Option<u64>,
    ) -> Result<ConfigRecord, Error> {
        let there = self.store().get(path)?;
        check(path, &value)?;
        unhide(path, &mut value, there.as_ref().map(|r| &r.value))?;
        let expect = match expect {
            None => Expect::Any,
            Some(0) => Expect::Absent,
            Some(revision) => Expect::Revision(revision),
        };
        let change = Change::put(path, value.clone()).expecting(expect);
        let revision = self.store().transact(&[change]).await?;
        Ok(ConfigRecord::new(path, Record { value, revision }))
    }

    /// Changes below a path after a revision.
    ///
    /// # Errors
    /// `invalid` where these changes aren't kept any more.
    pub fn watch_config(&self, below: &str, after: Option<u64>) -> Result<Watch, Error> {
        let store = self.store();
        let after = after.unwrap_or_else(|| store.revision());
        Ok(store.watch(below.trim_matches('/'), after)?)
    }

    /// Sets many records in one change.
    ///
    /// # Errors
    /// As [`Node::set_config`], for the first record that is wrong; nothing is set then.
    pub async fn import_config(
        &self,
        records: serde_json::Map<String, Value>,
    ) -> Result<u64, Error> {
        let mut changes = Vec::new();
        for (path, mut value) in records {
            let there = self.store().get(&path)?;
            let same = there
                .as_ref()
                .is_some_and(|t| ConfigRecord::new(&path, t.clone()).value == value);
            if same {
                continue;
            }
            check(&path, &value).map_err(|e| e.at(&path))?;
            unhide(&path, &mut value, there.as_ref().map(|r| &r.value)).map_err(|e| e.at(&path))?;
            changes.push(Change::put(path, value));
        }
        Ok(self.store().transact(&changes).await?)
    }

    /// Removes a record, if it has the revision that is expected.
    ///
    /// # Errors
    /// `denied` for what Cairn keeps itself; `revision`; `no-quorum`.
    pub async fn remove_config(&self, path: &str, expect: Option<u64>) -> Result<(), Error> {
        let tree = path.split('/').next().unwrap_or_default();
        if !["notes", "trust"].contains(&tree) {
            owned(path)?;
        }
        let there = self.config(path)?;
        let expect = Expect::Revision(expect.unwrap_or(there.revision));
        self.store()
            .transact(&[Change::remove(path).expecting(expect)])
            .await?;
        Ok(())
    }

    /// How long ago this node last knew that it has everything, in ms; none: not since its start.
    #[must_use]
    pub fn config_age_ms(&self) -> Option<u64> {
        let age = self.store().age()?;
        Some(u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Hides the secrets of a change that is told to a watcher.
pub fn hide(path: &str, value: &mut Value) {
    if path.starts_with("storage/")
        && let Some(secrets) = value.get_mut("secrets").and_then(Value::as_object_mut)
    {
        for secret in secrets.values_mut() {
            *secret = HIDDEN.into();
        }
    }
}

/// Puts back the secrets that were hidden when the record was read.
fn unhide(path: &str, value: &mut Value, there: Option<&Value>) -> Result<(), Error> {
    if !path.starts_with("storage/") {
        return Ok(());
    }
    let Some(secrets) = value.get_mut("secrets").and_then(Value::as_object_mut) else {
        return Ok(());
    };
    for (name, secret) in secrets.iter_mut().filter(|(_, secret)| *secret == HIDDEN) {
        let kept = there.and_then(|t| t.get("secrets")?.get(name));
        *secret = kept.cloned().ok_or_else(|| {
            Error::invalid(
                format!("secrets.{name}"),
                "it isn't known here: give the secret itself",
            )
        })?;
    }
    Ok(())
}

/// Does a value fit the records of its tree?
fn check(path: &str, value: &Value) -> Result<(), Error> {
    let (tree, rest) = path.split_once('/').unwrap_or((path, ""));
    match tree {
        "notes" => Ok(()),
        "storage" => fits::<StorageRecord>(value),
        "trust" => fits::<TrustedSigner>(value),
        "cluster" if rest.is_empty() => fits::<Settings>(value),
        "nodes" => fits::<NodeRecord>(value).and_then(|()| owned(path)),
        "witnesses" => fits::<WitnessRecord>(value).and_then(|()| owned(path)),
        "tokens" => fits::<TokenRecord>(value).and_then(|()| owned(path)),
        "revoked" => fits::<RevokedRecord>(value).and_then(|()| owned(path)),
        "plugins" | "epochs" | "backends" => owned(path),
        _ => Err(Error::invalid(
            "path",
            format!("`{tree}` is no tree of the configuration; free text belongs below `notes/`"),
        )),
    }
}

/// What only Cairn itself writes: a hand in it would break what it stands for.
fn owned(path: &str) -> Result<(), Error> {
    let message = format!(
        "`{path}` is kept by Cairn itself; the commands `cairn cluster`, `plugin` and `volume` change it"
    );
    Err(Error::new(Code::Denied, message))
}

fn fits<T: for<'a> Deserialize<'a>>(value: &Value) -> Result<(), Error> {
    let read: Result<T, _> = serde_path_to_error::deserialize(value);
    read.map(drop).map_err(|e| {
        let field = e.path().to_string();
        let field = if field == "." {
            "value".to_owned()
        } else {
            field
        };
        Error::invalid(field, e.inner().to_string())
    })
}
