//! Plugins of this node: install, upgrade, grant, roll back, remove; and whose signatures are taken.
//!
//! ```text
//!  install ──▶ active ──upgrade──▶ active + previous ──rollback──▶ the two change places
//!                 └──remove (no storage uses it)──▶ gone
//! ```
//!
//! A version is recorded with its digest and what it was granted; the component is on disk before
//! the record names it. Calls under way end on the version they began with.

use std::sync::{Arc, PoisonError};

use cairn_core::names::PluginName;
use cairn_core::plugin::{Inspection, Installed, Version};
use cairn_core::{Code, Error};
use cairn_plugins::{Plugin, TrustedKey, verify};
use cairn_store::{Change, Expect};

use crate::Node;
use crate::records::{PluginDetail, PluginSummary, TrustedSigner};

impl Node {
    /// Reads what a component is; nothing is installed.
    ///
    /// # Errors
    /// `invalid` where it can't be a plugin; `denied` where the signature isn't good.
    pub async fn inspect_plugin(
        &self,
        component: &[u8],
        minisig: Option<&str>,
    ) -> Result<Inspection, Error> {
        let mut inspection = self.host.inspect(component).await?;
        if let Some(minisig) = minisig {
            inspection.signature = verify(component, minisig, &self.trusted_keys()?)?;
        }
        Ok(inspection)
    }

    /// Installs a component with these grants. The same component again changes nothing but the
    /// grants, where some are given. Returns whether it is new.
    ///
    /// # Errors
    /// `denied` listing what it asks for where something it needs isn't granted; `already-exists`
    /// where another component of this name is installed.
    pub async fn install_plugin(
        &self,
        component: &[u8],
        minisig: Option<&str>,
        grants: &[String],
    ) -> Result<(PluginDetail, bool), Error> {
        let inspection = self.inspect_plugin(component, minisig).await?;
        let _change = self.changes.lock().await;
        let name = inspection.name.clone();
        if let Some((installed, _)) = self.installed(&name)? {
            if installed.active.inspection.digest != inspection.digest {
                return Err(Error::new(
                    Code::AlreadyExists,
                    format!(
                        "plugin {name} {} is installed, and this is another component ({} {}); use `cairn \
                         plugin upgrade`",
                        installed.active.inspection.version, inspection.version, inspection.digest
                    ),
                ));
            }
            if !grants.is_empty() {
                self.regrant(&name, grants).await?;
            }
            return Ok((self.plugin(&name)?, false));
        }
        let version = granted(inspection, grants)?;
        self.components.put(&version.inspection.digest, component)?;
        let plugin = self.host.load(component, &version).await?;
        let installed = Installed {
            active: version,
            previous: None,
        };
        self.record(&name, &installed, Expect::Absent)?;
        self.serve(&name, plugin);
        Ok((self.plugin(&name)?, true))
    }

    /// Replaces the active version. Grants are kept; what the new one asks beyond them must be in
    /// `grants`.
    ///
    /// # Errors
    /// `denied` naming what is new and not granted; `not-found` where it isn't installed.
    pub async fn upgrade_plugin(
        &self,
        name: &PluginName,
        component: &[u8],
        minisig: Option<&str>,
        grants: &[String],
    ) -> Result<PluginDetail, Error> {
        let inspection = self.inspect_plugin(component, minisig).await?;
        if inspection.name != *name {
            let other = &inspection.name;
            return Err(Error::invalid(
                "component",
                format!("it is plugin {other}, not {name}"),
            ));
        }
        let _change = self.changes.lock().await;
        let (installed, revision) = self.installed(name)?.ok_or_else(|| no_plugin(name))?;
        if installed.active.inspection.digest == inspection.digest {
            return self.plugin(name);
        }
        let version = regranted(inspection, &installed.active, grants)?;
        self.components.put(&version.inspection.digest, component)?;
        let plugin = self.host.load(component, &version).await?;
        let next = Installed {
            active: version,
            previous: Some(installed.active.clone()),
        };
        self.record(name, &next, Expect::Revision(revision))?;
        self.serve(name, plugin);
        if let Some(old) = installed.previous {
            self.discard(&old, &next);
        }
        self.plugin(name)
    }

    /// Makes the version before the active one again, with the grants it had.
    ///
    /// # Errors
    /// `invalid` where there is none.
    pub async fn rollback_plugin(&self, name: &PluginName) -> Result<PluginDetail, Error> {
        let _change = self.changes.lock().await;
        let (installed, revision) = self.installed(name)?.ok_or_else(|| no_plugin(name))?;
        let previous = installed.previous.ok_or_else(|| {
            Error::invalid(
                "plugin",
                format!("{name} was never upgraded, so there is no version to go back to"),
            )
        })?;
        let component = self.components.get(&previous.inspection.digest)?;
        let plugin = self.host.load(&component, &previous).await?;
        let next = Installed {
            active: previous,
            previous: Some(installed.active),
        };
        self.record(name, &next, Expect::Revision(revision))?;
        self.serve(name, plugin);
        self.plugin(name)
    }

    /// Replaces what the active version is granted.
    ///
    /// # Errors
    /// `invalid` naming a grant that it doesn't ask for.
    pub async fn grant_plugin(
        &self,
        name: &PluginName,
        grants: &[String],
    ) -> Result<PluginDetail, Error> {
        let _change = self.changes.lock().await;
        self.regrant(name, grants).await?;
        self.plugin(name)
    }

    async fn regrant(&self, name: &PluginName, grants: &[String]) -> Result<(), Error> {
        let (mut installed, revision) = self.installed(name)?.ok_or_else(|| no_plugin(name))?;
        known(&installed.active.inspection, grants)?;
        installed.active.granted = installed.active.inspection.asks.select(grants);
        let component = self.components.get(&installed.active.inspection.digest)?;
        let plugin = self.host.load(&component, &installed.active).await?;
        self.record(name, &installed, Expect::Revision(revision))?;
        self.serve(name, plugin);
        Ok(())
    }

    /// Lifts back-off and quarantine.
    ///
    /// # Errors
    /// `not-found`.
    pub fn release_plugin(&self, name: &PluginName) -> Result<PluginDetail, Error> {
        self.loaded_plugin(name)?.release();
        self.plugin(name)
    }

    /// Removes a plugin that no storage uses.
    ///
    /// # Errors
    /// `in-use` naming the storages; `not-found`.
    pub async fn remove_plugin(&self, name: &PluginName) -> Result<(), Error> {
        let _change = self.changes.lock().await;
        let (installed, revision) = self.installed(name)?.ok_or_else(|| no_plugin(name))?;
        let users = self.users(name)?;
        if !users.is_empty() {
            let message = format!(
                "plugin {name} serves storage {}; remove these first (their data stays)",
                users.join(", ")
            );
            return Err(Error::new(Code::InUse, message).with_by(users));
        }
        let path = format!("plugins/{name}");
        self.store
            .transact(&[Change::remove(path).expecting(Expect::Revision(revision))])?;
        self.loaded
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name.as_str());
        for version in [Some(installed.active), installed.previous]
            .into_iter()
            .flatten()
        {
            self.components.remove(&version.inspection.digest);
            self.host.forget(&version.inspection.digest);
        }
        Ok(())
    }

    /// All installed plugins, by name.
    ///
    /// # Errors
    /// As the store says.
    pub fn plugins(&self) -> Result<Vec<PluginSummary>, Error> {
        let mut all = Vec::new();
        for (path, _) in self.store.list("plugins")? {
            let name: PluginName = path.trim_start_matches("plugins/").parse()?;
            let detail = self.plugin(&name)?;
            let inspection = detail.installed.active.inspection;
            all.push(PluginSummary {
                name: name.to_string(),
                version: inspection.version,
                kind: inspection.kind,
                digest: inspection.digest,
                state: detail.failure.unwrap_or(detail.statistics.state),
                used_by: detail.used_by,
            });
        }
        Ok(all)
    }

    /// Everything of one plugin.
    ///
    /// # Errors
    /// `not-found`.
    pub fn plugin(&self, name: &PluginName) -> Result<PluginDetail, Error> {
        let (installed, _) = self.installed(name)?.ok_or_else(|| no_plugin(name))?;
        let loaded = self.loaded_plugin(name);
        Ok(PluginDetail {
            installed,
            statistics: loaded.as_ref().map(|p| p.statistics()).unwrap_or_default(),
            failure: loaded.err().map(|e| e.message),
            used_by: self.users(name)?,
        })
    }

    pub(crate) async fn load_plugins(&self) -> Result<(), Error> {
        for (path, record) in self.store.list("plugins")? {
            let name = path.trim_start_matches("plugins/").to_owned();
            let loaded = self.load(&record.value).await;
            if let Err(e) = &loaded {
                tracing::error!(target: "alarm", plugin = %name, "can't be loaded: {e}");
            }
            self.loaded
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(name, loaded);
        }
        Ok(())
    }

    async fn load(&self, record: &serde_json::Value) -> Result<Arc<Plugin>, Error> {
        let installed: Installed = parse(record)?;
        let component = self.components.get(&installed.active.inspection.digest)?;
        self.host.load(&component, &installed.active).await
    }

    pub(crate) fn loaded_plugin(&self, name: &PluginName) -> Result<Arc<Plugin>, Error> {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        loaded
            .get(name.as_str())
            .cloned()
            .unwrap_or_else(|| Err(no_plugin(name)))
    }

    fn serve(&self, name: &PluginName, plugin: Arc<Plugin>) {
        self.loaded
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.to_string(), Ok(plugin));
        // Storages bind to the new version at their next call.
        self.mounted()
            .retain(|_, m| m.record.plugin != name.as_str());
    }

    pub(crate) fn installed(&self, name: &PluginName) -> Result<Option<(Installed, u64)>, Error> {
        match self.store.get(&format!("plugins/{name}"))? {
            None => Ok(None),
            Some(record) => Ok(Some((parse(&record.value)?, record.revision))),
        }
    }

    fn record(
        &self,
        name: &PluginName,
        installed: &Installed,
        expect: Expect,
    ) -> Result<(), Error> {
        let value = serde_json::to_value(installed).map_err(|e| Error::internal(e.to_string()))?;
        self.store
            .transact(&[Change::put(format!("plugins/{name}"), value).expecting(expect)])?;
        Ok(())
    }

    fn discard(&self, old: &Version, kept: &Installed) {
        let digest = &old.inspection.digest;
        let still = [Some(&kept.active), kept.previous.as_ref()];
        if !still
            .into_iter()
            .flatten()
            .any(|v| v.inspection.digest == *digest)
        {
            self.components.remove(digest);
            self.host.forget(digest);
        }
    }

    /// The trust list.
    ///
    /// # Errors
    /// As the store says.
    pub fn trusted(&self) -> Result<Vec<TrustedSigner>, Error> {
        self.store
            .list("trust")?
            .iter()
            .map(|(_, record)| parse(&record.value))
            .collect()
    }

    /// Takes signatures of this key from now on.
    ///
    /// # Errors
    /// `invalid` where it is no minisign public key.
    pub fn trust(&self, signer: TrustedSigner) -> Result<TrustedSigner, Error> {
        // The rules for a plugin's name are fit for a signer's, too.
        let name: PluginName = signer.name.parse().map_err(|mut e: Error| {
            e.field = Some("name".to_owned());
            e
        })?;
        let key = TrustedKey {
            name: signer.name.clone(),
            public_key: signer.public_key.clone(),
        };
        let signer = TrustedSigner {
            id: key.id()?,
            ..signer
        };
        let value = serde_json::to_value(&signer).map_err(|e| Error::internal(e.to_string()))?;
        self.store
            .transact(&[Change::put(format!("trust/{name}"), value)])?;
        Ok(signer)
    }

    /// Takes a key's signatures no more. What is installed stays.
    ///
    /// # Errors
    /// `not-found`.
    pub fn distrust(&self, name: &PluginName) -> Result<(), Error> {
        let path = format!("trust/{name}");
        if self.store.get(&path)?.is_none() {
            return Err(Error::not_found(format!("signer {name} in the trust list")));
        }
        self.store.transact(&[Change::remove(path)])?;
        Ok(())
    }

    fn trusted_keys(&self) -> Result<Vec<TrustedKey>, Error> {
        let signers = self.trusted()?;
        Ok(signers
            .into_iter()
            .map(|s| TrustedKey {
                name: s.name,
                public_key: s.public_key,
            })
            .collect())
    }
}

/// The version with these grants, if they are all it needs.
fn granted(inspection: Inspection, grants: &[String]) -> Result<Version, Error> {
    known(&inspection, grants)?;
    let missing: Vec<String> = inspection
        .asks
        .required_ids()
        .into_iter()
        .filter(|id| !grants.contains(id))
        .collect();
    if !missing.is_empty() {
        let message = format!(
            "plugin {} {} asks for what was not granted: {}; nothing was installed",
            inspection.name,
            inspection.version,
            missing.join(", ")
        );
        return Err(Error::new(Code::Denied, message).with_by(inspection.asks.ids()));
    }
    let granted = inspection.asks.select(grants);
    Ok(Version {
        inspection,
        granted,
    })
}

/// The upgraded version: what was granted stays granted, what is new must be in `grants`.
fn regranted(inspection: Inspection, old: &Version, grants: &[String]) -> Result<Version, Error> {
    known(&inspection, grants)?;
    let required = inspection.asks.required_ids();
    let mut wanted = grants.to_vec();
    let mut missing = Vec::new();
    for id in inspection.asks.ids() {
        let alone = inspection.asks.select(std::slice::from_ref(&id));
        let more = alone.beyond(&old.granted);
        if more.is_empty() {
            wanted.push(id);
        } else if !grants.contains(&id) && required.contains(&id) {
            missing.push(id);
        }
    }
    if !missing.is_empty() {
        let more = inspection.asks.beyond(&old.granted).join("; ");
        let message = format!(
            "{} {} asks for more than {} was granted ({more}); grant it with {}; nothing was changed",
            inspection.name,
            inspection.version,
            old.inspection.version,
            missing
                .iter()
                .map(|id| format!("--grant '{id}'"))
                .collect::<Vec<_>>()
                .join(" ")
        );
        return Err(Error::new(Code::Denied, message).with_by(missing));
    }
    let granted = inspection.asks.select(&wanted);
    Ok(Version {
        inspection,
        granted,
    })
}

fn known(inspection: &Inspection, grants: &[String]) -> Result<(), Error> {
    let ids = inspection.asks.ids();
    match grants.iter().find(|g| !ids.contains(g)) {
        None => Ok(()),
        Some(unknown) => Err(Error::invalid(
            "grant",
            format!(
                "plugin {} doesn't ask for `{unknown}`; it asks for: {}",
                inspection.name,
                if ids.is_empty() {
                    "nothing".to_owned()
                } else {
                    ids.join(", ")
                }
            ),
        )),
    }
}

pub(crate) fn no_plugin(name: &PluginName) -> Error {
    Error::new(
        Code::NotFound,
        format!("there is no plugin {name}; `cairn plugin list` shows what is installed"),
    )
}

/// A record of the store as its type.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(value: &serde_json::Value) -> Result<T, Error> {
    T::deserialize(value).map_err(|e| {
        Error::new(
            Code::Corrupt,
            format!("a record of the store can't be read by this version: {e}"),
        )
    })
}
