//! The storage contract as the host calls it: one method a function, core's types in and out. Each
//! fails with what the function's table in `wit/storage` says, or `unsupported` where the plugin
//! doesn't export the interface.

use std::sync::Arc;
use std::time::Duration;

use cairn_core::Error;
use cairn_core::storage::{
    AttachRequest, Attachment, Capabilities, Content, Finding, HealthFact, Holder, Partial,
    ReceivePlan, ReceiveRequest, SendPlan, SendRequest, Snapshot, StorageStatus, StreamEnd,
    TransferFormats, Volume, VolumeChanges, VolumeSpec,
};

use crate::bindings::cairn::storage::types;
use crate::bindings::exports::cairn::storage::{transfer, volumes};
use crate::bound::Bound;
use crate::call::Plugin;
use crate::convert;
use crate::limits::{ASK_DEADLINE, CHANGE_DEADLINE, COPY_DEADLINE, FACTS_MAX, STATUS_DEADLINE};
use crate::state::Instance;
use crate::typed::{self, call};

/// A storage: a plugin tied to a configuration.
#[derive(Clone)]
pub struct StorageCalls {
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) bound: Arc<Bound>,
}

impl Plugin {
    /// The plugin as the storage that `instance` configures.
    #[must_use]
    pub fn storage(self: &Arc<Self>, instance: Arc<Instance>) -> StorageCalls {
        StorageCalls {
            plugin: Arc::clone(self),
            bound: self.bind(instance),
        }
    }
}

#[allow(missing_docs, clippy::missing_errors_doc)] // each is documented in wit/storage
impl StorageCalls {
    /// Does the plugin export this interface: `snapshots`?
    #[must_use]
    pub fn offers(&self, interface: &str) -> bool {
        self.plugin.version().inspection.offers(interface)
    }

    /// The plugin that is called.
    #[must_use]
    pub fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    fn volume(&self, volume: types::Volume) -> Volume {
        convert::volume(&self.bound, volume)
    }

    fn lacks(&self, interface: &str) -> Error {
        typed::lacks(&self.plugin, &self.bound, "storage", interface)
    }

    /// Looks deeply at the configuration; no findings where the plugin has no `configuration`.
    pub async fn check(&self) -> Result<Vec<Finding>, Error> {
        if !self.offers("configuration") {
            return Ok(Vec::new());
        }
        let findings = call!(self, ASK_DEADLINE, configuration.check())?;
        let findings = findings.into_iter().take(FACTS_MAX);
        Ok(findings.map(|f| convert::finding(&self.bound, f)).collect())
    }

    pub async fn added(&self) -> Result<(), Error> {
        if !self.offers("configuration") {
            return Ok(());
        }
        call!(self, CHANGE_DEADLINE, configuration.added())
    }

    pub async fn changed(&self, previous: &serde_json::Value) -> Result<(), Error> {
        if !self.offers("configuration") {
            return Ok(());
        }
        let previous = previous.to_string();
        call!(self, CHANGE_DEADLINE, configuration.changed(&previous))
    }

    pub async fn removed(&self) -> Result<(), Error> {
        if !self.offers("configuration") {
            return Ok(());
        }
        call!(self, CHANGE_DEADLINE, configuration.removed())
    }

    /// Facts; none where the plugin has no `health`.
    pub async fn health(&self) -> Result<Vec<HealthFact>, Error> {
        if !self.offers("health") {
            return Ok(Vec::new());
        }
        let facts = call!(self, STATUS_DEADLINE, health.report())?;
        let facts = facts.into_iter().take(FACTS_MAX);
        Ok(facts.map(|f| convert::fact(&self.bound, f)).collect())
    }

    pub async fn capabilities(&self) -> Result<Capabilities, Error> {
        call!(self, ASK_DEADLINE, backend.capabilities())
            .map(|r| convert::capabilities(&self.bound, r))
    }

    pub async fn identity(&self) -> Result<String, Error> {
        call!(self, ASK_DEADLINE, backend.identity())
    }

    pub async fn activate(&self) -> Result<(), Error> {
        call!(self, CHANGE_DEADLINE, backend.activate())
    }

    pub async fn deactivate(&self) -> Result<(), Error> {
        call!(self, CHANGE_DEADLINE, backend.deactivate())
    }

    pub async fn status(&self) -> Result<StorageStatus, Error> {
        call!(self, STATUS_DEADLINE, backend.status()).map(|r| convert::status(&self.bound, r))
    }

    pub async fn create(&self, spec: &VolumeSpec) -> Result<Volume, Error> {
        let spec = convert::spec(spec)?;
        call!(self, CHANGE_DEADLINE, volumes.create(&spec)).map(|v| self.volume(v))
    }

    pub async fn get(&self, name: &str) -> Result<Volume, Error> {
        call!(self, ASK_DEADLINE, volumes.get(name)).map(|v| self.volume(v))
    }

    /// One page, sorted by name, and where to go on.
    pub async fn list(
        &self,
        guest: Option<u32>,
        content: Option<Content>,
        after: Option<String>,
        limit: u32,
    ) -> Result<(Vec<Volume>, Option<String>), Error> {
        let request = volumes::PageRequest {
            guest,
            content: content.map(Into::into),
            after,
            limit,
        };
        let request = &request;
        let page = call!(self, ASK_DEADLINE, volumes.list(request))?;
        Ok((
            page.volumes.into_iter().map(|v| self.volume(v)).collect(),
            page.next,
        ))
    }

    pub async fn delete(&self, name: &str) -> Result<(), Error> {
        call!(self, CHANGE_DEADLINE, volumes.delete(name))
    }

    pub async fn rename(&self, name: &str, to: &str, guest: Option<u32>) -> Result<Volume, Error> {
        call!(self, CHANGE_DEADLINE, volumes.rename(name, to, guest)).map(|v| self.volume(v))
    }

    pub async fn set_attributes(
        &self,
        name: &str,
        changes: &VolumeChanges,
    ) -> Result<Volume, Error> {
        let changes = volumes::Changes {
            notes: changes.notes.clone(),
            protected: changes.protected,
            guest: changes.guest,
        };
        let changes = &changes;
        call!(self, CHANGE_DEADLINE, volumes.set_attributes(name, changes)).map(|v| self.volume(v))
    }

    pub async fn attach(&self, name: &str, request: &AttachRequest) -> Result<Attachment, Error> {
        let request = convert::attach_request(request);
        let request = &request;
        call!(self, CHANGE_DEADLINE, volumes.attach(name, request)).map(convert::attachment)
    }

    pub async fn detach(
        &self,
        name: &str,
        node: &str,
        epoch: u64,
        force: bool,
    ) -> Result<(), Error> {
        let request = volumes::DetachRequest {
            node: node.to_owned(),
            epoch,
            force,
        };
        let request = &request;
        call!(self, CHANGE_DEADLINE, volumes.detach(name, request))
    }

    pub async fn holders(&self, name: &str) -> Result<Vec<Holder>, Error> {
        let holders = call!(self, ASK_DEADLINE, volumes.holders(name))?;
        Ok(holders.into_iter().map(convert::holder).collect())
    }

    pub async fn grow(&self, name: &str, size_bytes: u64) -> Result<Volume, Error> {
        call!(self, CHANGE_DEADLINE, resize.grow(name, size_bytes)).map(|v| self.volume(v))
    }

    pub async fn shrink(&self, name: &str, size_bytes: u64) -> Result<Volume, Error> {
        call!(self, CHANGE_DEADLINE, shrinking.shrink(name, size_bytes)).map(|v| self.volume(v))
    }

    pub async fn trim(&self, name: &str) -> Result<Option<u64>, Error> {
        call!(self, COPY_DEADLINE, trim.trim(name))
    }

    pub async fn set_limit(&self, name: &str, limit_bytes: Option<u64>) -> Result<(), Error> {
        call!(self, CHANGE_DEADLINE, quota.set_limit(name, limit_bytes))
    }

    pub async fn snapshot(&self, volumes: &[String], name: &str) -> Result<Vec<Snapshot>, Error> {
        let taken = call!(self, CHANGE_DEADLINE, snapshots.create(volumes, name))?;
        Ok(taken.into_iter().map(convert::snapshot).collect())
    }

    pub async fn snapshots(&self, volume: &str) -> Result<Vec<Snapshot>, Error> {
        let found = call!(self, ASK_DEADLINE, snapshots.list(volume))?;
        Ok(found.into_iter().map(convert::snapshot).collect())
    }

    pub async fn delete_snapshot(&self, volume: &str, name: &str) -> Result<(), Error> {
        call!(self, COPY_DEADLINE, snapshots.delete(volume, name))
    }

    pub async fn rollback(&self, volume: &str, name: &str, epoch: u64) -> Result<(), Error> {
        call!(
            self,
            CHANGE_DEADLINE,
            snapshots.rollback(volume, name, epoch)
        )
    }

    pub async fn hold(&self, volume: &str, snapshot: &str, tag: &str) -> Result<(), Error> {
        call!(self, CHANGE_DEADLINE, holds.hold(volume, snapshot, tag))
    }

    pub async fn release_hold(&self, volume: &str, snapshot: &str, tag: &str) -> Result<(), Error> {
        call!(self, CHANGE_DEADLINE, holds.release(volume, snapshot, tag))
    }

    pub async fn clone_linked(
        &self,
        volume: &str,
        snapshot: &str,
        spec: &VolumeSpec,
    ) -> Result<Volume, Error> {
        let spec = convert::spec(spec)?;
        let spec = &spec;
        call!(self, CHANGE_DEADLINE, clones.linked(volume, snapshot, spec)).map(|v| self.volume(v))
    }

    pub async fn dependants(
        &self,
        volume: &str,
        snapshot: Option<String>,
    ) -> Result<Vec<String>, Error> {
        let snapshot = snapshot.as_deref();
        call!(self, ASK_DEADLINE, clones.dependants(volume, snapshot))
    }

    pub async fn set_template(&self, name: &str, template: bool) -> Result<Volume, Error> {
        call!(
            self,
            CHANGE_DEADLINE,
            templates.set_template(name, template)
        )
        .map(|v| self.volume(v))
    }

    pub async fn flatten(&self, name: &str) -> Result<Volume, Error> {
        call!(self, COPY_DEADLINE, flattening.flatten(name)).map(|v| self.volume(v))
    }

    pub async fn swap(&self, name: &str) -> Result<Volume, Error> {
        call!(self, CHANGE_DEADLINE, origins.swap(name)).map(|v| self.volume(v))
    }

    pub async fn transfer_formats(&self) -> Result<TransferFormats, Error> {
        let report = call!(self, ASK_DEADLINE, transfer.formats())?;
        Ok(TransferFormats {
            offered: report.offered,
            accepted: report.accepted,
            resumable: report.resumable,
        })
    }

    pub async fn send(&self, request: &SendRequest) -> Result<SendPlan, Error> {
        let request = transfer::SendRequest {
            volume: request.volume.clone(),
            snapshot: request.snapshot.clone(),
            base: request.base.clone(),
            format: request.format.clone(),
            resume_token: request.resume_token.clone(),
        };
        let request = &request;
        let plan = call!(self, COPY_DEADLINE, transfer.send(request))?;
        Ok(SendPlan {
            stream: convert::stream(plan.stream),
            estimated_bytes: plan.estimated_bytes,
        })
    }

    pub async fn receive(&self, request: &ReceiveRequest) -> Result<ReceivePlan, Error> {
        let request = transfer::ReceiveRequest {
            spec: convert::spec(&request.spec)?,
            snapshot: request.snapshot.clone(),
            guid: request.guid.clone(),
            base: request.base.clone(),
            format: request.format.clone(),
            epoch: request.epoch,
            resume: request.resume,
        };
        let request = &request;
        let plan = call!(self, CHANGE_DEADLINE, transfer.receive(request))?;
        Ok(ReceivePlan {
            stream: convert::stream(plan.stream),
            ticket: plan.ticket,
        })
    }

    pub async fn publish(&self, ticket: &str) -> Result<Snapshot, Error> {
        call!(self, COPY_DEADLINE, transfer.publish(ticket)).map(convert::snapshot)
    }

    pub async fn abandon(&self, ticket: &str) -> Result<(), Error> {
        call!(self, CHANGE_DEADLINE, transfer.abandon(ticket))
    }

    pub async fn pending(&self) -> Result<Vec<Partial>, Error> {
        let pending = call!(self, ASK_DEADLINE, transfer.pending())?;
        Ok(pending
            .into_iter()
            .map(|p| Partial {
                ticket: p.ticket,
                volume: p.volume,
                resume_token: p.resume_token,
                received_bytes: p.received_bytes,
            })
            .collect())
    }

    pub async fn promote(&self, volume: &str, guid: &str, epoch: u64) -> Result<Volume, Error> {
        call!(self, CHANGE_DEADLINE, transfer.promote(volume, guid, epoch)).map(|v| self.volume(v))
    }

    /// Where a snapshot's canonical content comes from, for hashing.
    pub async fn scrub(&self, volume: &str, snapshot: &str) -> Result<StreamEnd, Error> {
        call!(self, COPY_DEADLINE, scrub.content(volume, snapshot)).map(convert::stream)
    }

    /// The next bytes of the plugin's own stream; empty at the end.
    pub(crate) async fn read_stream(&self, stream: u64, limit: u32) -> Result<Vec<u8>, Error> {
        call!(self, ASK_DEADLINE, byte_streams.read(stream, limit))
    }

    pub(crate) async fn write_stream(&self, stream: u64, bytes: &[u8]) -> Result<(), Error> {
        call!(self, ASK_DEADLINE, byte_streams.write(stream, bytes))
    }

    pub(crate) async fn close_stream(&self, stream: u64, complete: bool) -> Result<(), Error> {
        call!(self, ASK_DEADLINE, byte_streams.close(stream, complete))
    }

    /// How long a call that asks may take; for those who wait for it.
    #[must_use]
    pub fn ask_deadline() -> Duration {
        ASK_DEADLINE
    }
}
