//! Storages: a name, a plugin and a configuration. A storage whose backend is away is shown as
//! unavailable with the cause; the others go on.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_core::names::{PluginName, StorageName};
use cairn_core::plugin::Kind;
use cairn_core::schema::Schema;
use cairn_core::storage::{Capabilities, Finding, Level};
use cairn_core::{Code, Error};
use cairn_plugins::{Instance, StorageCalls};
use cairn_store::{Change, Expect};
use serde_json::Value;

use crate::Node;
use crate::mounted::{Mounted, unavailable};
use crate::plugins::{no_plugin, parse};
use crate::records::{Storage, StorageRecord, StorageReport, StorageType};

impl Node {
    /// Kinds of storage that can be added.
    ///
    /// # Errors
    /// As the store says.
    pub fn storage_types(&self) -> Result<Vec<StorageType>, Error> {
        let mut types = Vec::new();
        for summary in self
            .plugins()?
            .into_iter()
            .filter(|p| p.kind == Kind::Storage)
        {
            let installed = self.installed(&summary.name.parse()?)?;
            let Some((installed, _)) = installed else {
                continue;
            };
            let inspection = installed.active.inspection;
            types.push(StorageType {
                type_name: type_name(&summary.name),
                plugin: summary.name,
                version: inspection.version,
                summary: inspection.summary,
                schema: inspection.config_schema,
            });
        }
        Ok(types)
    }

    /// One kind of storage, by its type or its plugin's name.
    ///
    /// # Errors
    /// `not-found` naming those there are.
    pub fn storage_type(&self, wanted: &str) -> Result<StorageType, Error> {
        let types = self.storage_types()?;
        let known: Vec<String> = types.iter().map(|t| t.type_name.clone()).collect();
        types
            .into_iter()
            .find(|t| t.type_name == wanted || t.plugin == wanted)
            .ok_or_else(|| {
                let there = match known.as_slice() {
                    [] => "no storage plugin is installed; `cairn plugin install` installs one"
                        .to_owned(),
                    some => format!("there are: {}", some.join(", ")),
                };
                Error::new(
                    Code::NotFound,
                    format!("there is no storage type `{wanted}`; {there}"),
                )
            })
    }

    /// Adds a storage: checks its configuration by the schema and by the plugin itself, activates
    /// it, and records what its backend is. With `force`, also while the backend is away.
    ///
    /// # Errors
    /// `invalid` naming the field; `already-exists`; `unavailable` where the backend is away.
    pub async fn add_storage(
        &self,
        name: &StorageName,
        wanted: &str,
        config: &Value,
        force: bool,
    ) -> Result<Storage, Error> {
        let storage_type = self.storage_type(wanted)?;
        let (public, secrets) = validated(&storage_type, config, &BTreeMap::new())?;
        let _change = self.changes.lock().await;
        if let Some(there) = self.store().get(&format!("storage/{name}"))? {
            let record: StorageRecord = parse(&there.value)?;
            if record.plugin == storage_type.plugin
                && record.config == public
                && record.secrets == secrets
            {
                return self.storage(name).await;
            }
            return Err(Error::new(
                Code::AlreadyExists,
                format!(
                    "storage {name} is there with another configuration; change it with `cairn storage set`"
                ),
            ));
        }
        let record = StorageRecord {
            plugin: storage_type.plugin,
            config: public,
            secrets,
        };
        let path = format!("storage/{name}");
        let value = serde_json::to_value(&record).map_err(|e| Error::internal(e.to_string()))?;
        let mut changes = vec![Change::put(path, value).expecting(Expect::Absent)];
        let mut findings = Vec::new();
        match self.prepare(name, &record).await {
            Ok((identity, found)) => {
                findings = found;
                findings.extend(self.same_backend(name, &identity)?);
                changes.push(self.backend_change(name, &identity));
            }
            Err(e) if force && e.code == Code::Unavailable => findings.push(Finding {
                level: Level::Warning,
                message: format!("added though its backend is away: {}", e.message),
            }),
            Err(e) => return Err(e),
        }
        self.store().transact(&changes).await?;
        let mut storage = self.storage(name).await?;
        storage.findings = findings;
        Ok(storage)
    }

    /// What a new configuration must pass: deep check, preparation, activation, identity.
    async fn prepare(
        &self,
        name: &StorageName,
        record: &StorageRecord,
    ) -> Result<(String, Vec<Finding>), Error> {
        let calls = self.bind(name, record)?;
        let findings = calls.check().await?;
        calls.added().await?;
        let usable = async {
            calls.activate().await?;
            calls.identity().await
        };
        match usable.await {
            Ok(identity) => Ok((identity, findings)),
            Err(e) => {
                // What was prepared for it goes again, as it isn't added.
                if let Err(left) = calls.removed().await {
                    tracing::warn!(storage = %name, "what was prepared for it stays: {left}");
                }
                Err(e)
            }
        }
    }

    /// Changes a storage's configuration: given keys are set, `null` takes one away.
    ///
    /// # Errors
    /// `invalid` naming the field, `revision` where it changed since `expect`.
    pub async fn set_storage(
        &self,
        name: &StorageName,
        changes: &Value,
        expect: Option<u64>,
    ) -> Result<Storage, Error> {
        let _change = self.changes.lock().await;
        let (old, revision) = self.storage_record(name)?;
        if expect.is_some_and(|expect| expect != revision) {
            // Before the plugin is told of a change that would then not be recorded.
            let message = format!("storage {name} has changed since it was read; read it again");
            return Err(Error::new(Code::Revision, message));
        }
        let storage_type = self.storage_type(&old.plugin)?;
        let mut config = old.config.clone();
        if let (Some(config), Some(changes)) = (config.as_object_mut(), changes.as_object()) {
            for (secret, value) in &old.secrets {
                config.insert(secret.clone(), Value::String(value.clone()));
            }
            for (key, value) in changes {
                config.insert(key.clone(), value.clone());
            }
        } else {
            return Err(Error::invalid("config", "it must be an object of fields"));
        }
        let (public, secrets) = validated(&storage_type, &config, &old.secrets)?;
        schema(&storage_type)?.check_change(&old.config, &public)?;
        let record = StorageRecord {
            config: public,
            secrets,
            ..old.clone()
        };
        let calls = self.bind(name, &record)?;
        let findings = calls.check().await?;
        calls.changed(&old.config).await?;
        self.record_storage(name, &record, Expect::Revision(expect.unwrap_or(revision)))
            .await?;
        self.mounted().remove(name.as_str());
        let mut storage = self.storage(name).await?;
        storage.findings = findings;
        Ok(storage)
    }

    /// Forgets a storage. Its data stays where it is.
    ///
    /// # Errors
    /// `in-use` where a volume is attached; `not-found`.
    pub async fn remove_storage(&self, name: &StorageName) -> Result<(), Error> {
        let _change = self.changes.lock().await;
        let (record, revision) = self.storage_record(name)?;
        let calls = self.bind(name, &record)?;
        match calls.removed().await {
            Ok(()) => {}
            // A backend that is gone for good must not keep its record for ever.
            Err(e) if e.code == Code::Unavailable => {
                tracing::warn!(storage = %name, "removed while its backend is away: {e}");
            }
            Err(e) => return Err(e),
        }
        if let Err(e) = calls.deactivate().await {
            if e.code == Code::InUse {
                return Err(e);
            }
            tracing::warn!(storage = %name, "removed, but not deactivated: {e}");
        }
        let path = format!("storage/{name}");
        let mut changes = vec![Change::remove(path).expecting(Expect::Revision(revision))];
        changes.extend(self.forget_backends(name)?);
        self.store().transact(&changes).await?;
        self.mounted().remove(name.as_str());
        Ok(())
    }

    /// All storages with their status, asked for at the same time.
    ///
    /// # Errors
    /// As the store says.
    pub async fn storages(&self) -> Result<Vec<Storage>, Error> {
        let mut names = Vec::new();
        for (path, _) in self.store().list("storage")? {
            names.push(path.trim_start_matches("storage/").parse::<StorageName>()?);
        }
        let shown = futures::future::join_all(names.iter().map(|name| self.storage(name))).await;
        shown.into_iter().collect()
    }

    /// One storage with its status.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn storage(&self, name: &StorageName) -> Result<Storage, Error> {
        let (record, revision) = self.storage_record(name)?;
        let (status, abilities, capabilities) = match self.mount(name) {
            Ok(mounted) => {
                let status = mounted.status().await;
                let inspection = &mounted.calls.plugin().version().inspection;
                let known = mounted.known_capabilities();
                (status, inspection.exports.clone(), known)
            }
            Err(e) => (unavailable(&e), Vec::new(), None),
        };
        Ok(Storage {
            name: name.to_string(),
            type_name: type_name(&record.plugin),
            plugin: record.plugin,
            config: record.config,
            secrets_set: record.secrets.into_keys().collect(),
            identity: self.backend(name)?,
            abilities,
            capabilities,
            status,
            revision,
            findings: Vec::new(),
        })
    }

    /// Space, state and health.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn storage_status(&self, name: &StorageName) -> Result<StorageReport, Error> {
        let mounted = self.mount(name)?;
        let status = mounted.status().await;
        let health = match mounted.calls.health().await {
            Ok(facts) => facts,
            Err(e) => {
                tracing::warn!(storage = %name, "no health report: {e}");
                Vec::new()
            }
        };
        Ok(StorageReport { status, health })
    }

    /// The storage, active, ready to be called.
    pub(crate) async fn active(
        &self,
        name: &StorageName,
    ) -> Result<(StorageCalls, Capabilities), Error> {
        let mounted = self.mount(name)?;
        mounted.activate(self, name).await?;
        let capabilities = mounted.capabilities().await?;
        Ok((mounted.calls.clone(), capabilities))
    }

    fn mount(&self, name: &StorageName) -> Result<Arc<Mounted>, Error> {
        let (record, revision) = self.storage_record(name)?;
        if let Some(there) = self
            .mounted()
            .get(name.as_str())
            .filter(|m| m.revision == revision)
        {
            return Ok(Arc::clone(there));
        }
        loop {
            let calls = self.bind(name, &record)?;
            let plugin: PluginName = record.plugin.parse()?;
            let mut all = self.mounted();
            // A version that was replaced meanwhile must not come back with what it was granted.
            if Arc::ptr_eq(calls.plugin(), &self.loaded_plugin(&plugin)?) {
                let mounted = Arc::new(Mounted::new(record, revision, calls));
                all.insert(name.to_string(), Arc::clone(&mounted));
                return Ok(mounted);
            }
        }
    }

    fn bind(&self, name: &StorageName, record: &StorageRecord) -> Result<StorageCalls, Error> {
        let plugin: PluginName = record.plugin.parse()?;
        let loaded = self.loaded_plugin(&plugin)?;
        if loaded.version().inspection.kind != Kind::Storage {
            return Err(no_plugin(&plugin));
        }
        Ok(loaded.storage(Arc::new(Instance {
            name: name.to_string(),
            config: record.config.clone(),
            secrets: record.secrets.clone(),
        })))
    }

    fn storage_record(&self, name: &StorageName) -> Result<(StorageRecord, u64), Error> {
        let record = self
            .store()
            .get(&format!("storage/{name}"))?
            .ok_or_else(|| {
                Error::new(
                    Code::NotFound,
                    format!(
                        "there is no storage {name}; `cairn storage list` shows those there are"
                    ),
                )
            })?;
        Ok((parse(&record.value)?, record.revision))
    }

    async fn record_storage(
        &self,
        name: &StorageName,
        record: &StorageRecord,
        expect: Expect,
    ) -> Result<(), Error> {
        let value = serde_json::to_value(record).map_err(|e| Error::internal(e.to_string()))?;
        self.store()
            .transact(&[Change::put(format!("storage/{name}"), value).expecting(expect)])
            .await?;
        Ok(())
    }

    /// Storages that a plugin serves.
    pub(crate) fn users(&self, plugin: &PluginName) -> Result<Vec<String>, Error> {
        let mut users = Vec::new();
        for (path, record) in self.store().list("storage")? {
            let storage: StorageRecord = parse(&record.value)?;
            if storage.plugin == plugin.as_str() {
                users.push(path.trim_start_matches("storage/").to_owned());
            }
        }
        Ok(users)
    }
}

fn schema(storage_type: &StorageType) -> Result<Schema, Error> {
    Schema::parse(&storage_type.schema.to_string())
}

/// A configuration by its schema: without secrets, and these. Fields of `secrets` stay such.
fn validated(
    storage_type: &StorageType,
    config: &Value,
    secrets: &BTreeMap<String, String>,
) -> Result<(Value, BTreeMap<String, String>), Error> {
    let schema = schema(storage_type)?;
    let config = schema.validate(config).map_err(|problems| {
        let all: Vec<String> = problems.iter().map(|p| p.message.clone()).collect();
        let mut first = problems
            .into_iter()
            .next()
            .unwrap_or_else(|| Error::internal("no problem"));
        first.message = all.join("; ");
        first
    })?;
    Ok(schema.split_secrets(&config, secrets))
}

fn type_name(plugin: &str) -> String {
    plugin.strip_prefix("storage-").unwrap_or(plugin).to_owned()
}
