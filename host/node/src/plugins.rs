//! Plugins of this node: install, upgrade, grant, roll back, remove.
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
use cairn_core::plugin::{Inspection, Installed, Signature, Version};
use cairn_core::{Code, Error};
use cairn_plugins::{Plugin, verify};
use cairn_store::{Change, Expect};

use crate::Node;
use crate::grants::{granted, known, regranted};
use crate::records::{PluginDetail, PluginSummary};

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
        // Who made it is asked before any of it runs.
        let signature = match minisig {
            Some(minisig) => Some(verify(component, minisig, &self.trusted_keys()?)?),
            None => None,
        };
        let mut inspection = self.host.inspect(component).await?;
        if let Some(signature) = signature {
            inspection.signature = signature;
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
            if self.loaded_plugin(&name).is_err() {
                // Its file may be lost or damaged: this is the same one, whole.
                self.components.put(&inspection.digest, component)?;
                let plugin = self.host.load(component, &installed.active).await?;
                self.serve(&name, plugin);
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
        self.record(&name, &installed, Expect::Absent).await?;
        self.serve(&name, plugin);
        Ok((self.plugin(&name)?, true))
    }

    /// Replaces the active version. What was granted stays granted, as far as it is still asked for;
    /// what goes beyond is granted only where `grants` names it, and shown as not granted otherwise.
    ///
    /// # Errors
    /// `denied` naming what it needs beyond what was granted; `not-found` where it isn't installed.
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
        let grants = signed_on(&installed.active.inspection, &inspection, grants)?;
        let version = regranted(inspection, &installed.active, &grants)?;
        self.components.put(&version.inspection.digest, component)?;
        let plugin = self.host.load(component, &version).await?;
        let next = Installed {
            active: version,
            previous: Some(installed.active.clone()),
        };
        self.record(name, &next, Expect::Revision(revision)).await?;
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
        self.record(name, &next, Expect::Revision(revision)).await?;
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
        self.record(name, &installed, Expect::Revision(revision))
            .await?;
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
        self.store()
            .transact(&[Change::remove(path).expecting(Expect::Revision(revision))])
            .await?;
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
        for (path, _) in self.store().list("plugins")? {
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
        let active = &installed.active;
        Ok(PluginDetail {
            not_granted: active.inspection.asks.ungranted(&active.granted),
            installed,
            statistics: loaded.as_ref().map(|p| p.statistics()).unwrap_or_default(),
            failure: loaded.err().map(|e| e.message),
            used_by: self.users(name)?,
        })
    }

    pub(crate) async fn load_plugins(&self) -> Result<(), Error> {
        for (path, record) in self.store().list("plugins")? {
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
        match self.store().get(&format!("plugins/{name}"))? {
            None => Ok(None),
            Some(record) => Ok(Some((parse(&record.value)?, record.revision))),
        }
    }

    async fn record(
        &self,
        name: &PluginName,
        installed: &Installed,
        expect: Expect,
    ) -> Result<(), Error> {
        let value = serde_json::to_value(installed).map_err(|e| Error::internal(e.to_string()))?;
        self.store()
            .transact(&[Change::put(format!("plugins/{name}"), value).expecting(expect)])
            .await?;
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
}

/// What consents to an unsigned version after a signed one.
const UNSIGNED: &str = "unsigned";

/// A version that nobody signed doesn't follow a signed one without a word. Gives the grants without
/// that word.
fn signed_on(old: &Inspection, new: &Inspection, grants: &[String]) -> Result<Vec<String>, Error> {
    let rest: Vec<String> = grants.iter().filter(|g| *g != UNSIGNED).cloned().collect();
    if let (Signature::Trusted { signer, .. }, Signature::None) = (&old.signature, &new.signature)
        && rest.len() == grants.len()
    {
        let message = format!(
            "plugin {} {} is signed by {signer}, and this version isn't signed: give its signature with --signature, \
             or accept it without one by --grant {UNSIGNED}; nothing was changed",
            old.name, old.version
        );
        return Err(Error::new(Code::Denied, message).with_by(vec![UNSIGNED.to_owned()]));
    }
    Ok(rest)
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
