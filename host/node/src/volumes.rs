//! Volumes, snapshots and clones. Calls on one volume are made one after another.

use std::str::FromStr;

use cairn_core::names::{SnapshotName, StorageName, VolumeName};
use cairn_core::storage::{
    AttachRequest, Content, Purpose, Snapshot, Volume, VolumeChanges, VolumeSpec,
};
use cairn_core::{Code, Error};
use cairn_plugins::StorageCalls;
use cairn_store::{Change, Expect, StoreError};

use crate::Node;
use crate::records::{Attached, VolumeDetail, VolumePage};

/// Most volumes of one page.
const PAGE_MAX: u32 = 10_000;

impl Node {
    /// Makes an empty volume; one that is there and equal is success.
    ///
    /// # Errors
    /// As `volumes.create` in wit/storage.
    pub async fn create_volume(
        &self,
        storage: &StorageName,
        mut spec: VolumeSpec,
    ) -> Result<Volume, Error> {
        VolumeName::from_str(&spec.name)?;
        let (calls, capabilities) = self.active(storage).await?;
        if !capabilities.contents.contains(&spec.content) {
            return Err(Error::invalid(
                "content",
                format!(
                    "storage {storage} doesn't hold {:?}; it holds {:?}",
                    spec.content, capabilities.contents
                )
                .to_lowercase(),
            ));
        }
        let format = spec
            .format
            .or_else(|| capabilities.formats.first().copied());
        match format {
            Some(format) if capabilities.formats.contains(&format) => spec.format = Some(format),
            _ => {
                return Err(Error::invalid(
                    "format",
                    format!(
                        "storage {storage} has the formats {:?}",
                        capabilities.formats
                    )
                    .to_lowercase(),
                ));
            }
        }
        let _lock = self
            .volume_locks
            .lock(&format!("{storage}:{}", spec.name))
            .await;
        calls.create(&spec).await
    }

    /// A page of volumes, sorted by name.
    ///
    /// # Errors
    /// As `volumes.list` in wit/storage.
    pub async fn volumes(
        &self,
        storage: &StorageName,
        guest: Option<u32>,
        content: Option<Content>,
        after: Option<String>,
        limit: Option<u32>,
    ) -> Result<VolumePage, Error> {
        let (calls, _) = self.active(storage).await?;
        let limit = limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
        let (volumes, next) = calls.list(guest, content, after, limit).await?;
        Ok(VolumePage { volumes, next })
    }

    /// A volume and who has it attached.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn volume(
        &self,
        storage: &StorageName,
        name: &VolumeName,
    ) -> Result<VolumeDetail, Error> {
        let (calls, _) = self.active(storage).await?;
        let volume = calls.get(name.as_str()).await?;
        let holders = calls.holders(name.as_str()).await?;
        Ok(VolumeDetail { volume, holders })
    }

    /// Changes notes, protection, owner.
    ///
    /// # Errors
    /// As `volumes.set-attributes` in wit/storage.
    pub async fn set_volume(
        &self,
        storage: &StorageName,
        name: &VolumeName,
        changes: &VolumeChanges,
    ) -> Result<Volume, Error> {
        let (calls, _) = self.active(storage).await?;
        let _lock = self.lock_volume(storage, name).await;
        calls.set_attributes(name.as_str(), changes).await
    }

    /// Removes a volume with its snapshots; nothing there is success.
    ///
    /// # Errors
    /// As `volumes.delete` in wit/storage.
    pub async fn remove_volume(
        &self,
        storage: &StorageName,
        name: &VolumeName,
    ) -> Result<(), Error> {
        let (calls, _) = self.active(storage).await?;
        let _lock = self.lock_volume(storage, name).await;
        calls.delete(name.as_str()).await
    }

    /// Gives a volume another name.
    ///
    /// # Errors
    /// As `volumes.rename` in wit/storage.
    pub async fn rename_volume(
        &self,
        storage: &StorageName,
        name: &VolumeName,
        to: &VolumeName,
        guest: Option<u32>,
    ) -> Result<Volume, Error> {
        let (calls, _) = self.active(storage).await?;
        let names = vec![format!("{storage}:{name}"), format!("{storage}:{to}")];
        let _locks = self.volume_locks.lock_all(names).await;
        calls.rename(name.as_str(), to.as_str(), guest).await
    }

    /// Sets the size: larger, or with `shrink` smaller (what lies past it is lost).
    ///
    /// # Errors
    /// `invalid` where it would shrink and `shrink` isn't said; else as `resize` and `shrinking` in
    /// wit/storage.
    pub async fn resize_volume(
        &self,
        storage: &StorageName,
        name: &VolumeName,
        size_bytes: u64,
        shrink: bool,
    ) -> Result<Volume, Error> {
        let (calls, _) = self.active(storage).await?;
        let _lock = self.lock_volume(storage, name).await;
        if shrink {
            return calls.shrink(name.as_str(), size_bytes).await;
        }
        let now = calls.get(name.as_str()).await?.size_bytes;
        if size_bytes < now {
            return Err(shrinks(&calls, now));
        }
        calls.grow(name.as_str(), size_bytes).await
    }

    /// Attaches a volume to this node, under the next epoch where none is given.
    ///
    /// # Errors
    /// As `volumes.attach` in wit/storage.
    pub async fn attach_volume(
        &self,
        storage: &StorageName,
        name: &VolumeName,
        epoch: Option<u64>,
        read_only: bool,
        snapshot: Option<SnapshotName>,
    ) -> Result<Attached, Error> {
        let (calls, _) = self.active(storage).await?;
        let _lock = self.lock_volume(storage, name).await;
        let epoch = match epoch {
            Some(epoch) => epoch,
            None => {
                let seen = calls.get(name.as_str()).await?.epoch;
                self.next_epoch(storage, name, seen).await?
            }
        };
        let request = AttachRequest {
            node: self.name.clone(),
            epoch,
            read_only: read_only || snapshot.is_some(),
            snapshot: snapshot.map(String::from),
            purpose: Purpose::Run,
        };
        let attachment = calls.attach(name.as_str(), &request).await?;
        Ok(Attached { attachment, epoch })
    }

    /// Raises the volume's epoch in the store, before anything is started under it.
    async fn next_epoch(
        &self,
        storage: &StorageName,
        name: &VolumeName,
        seen: u64,
    ) -> Result<u64, Error> {
        let path = format!("epochs/{storage}/{name}");
        loop {
            let there = self.store().get(&path)?;
            let last = there.as_ref().and_then(|r| r.value.as_u64()).unwrap_or(0);
            let next = last.max(seen) + 1;
            let expect = there.map_or(Expect::Absent, |r| Expect::Revision(r.revision));
            let change = Change::put(path.as_str(), next.into()).expecting(expect);
            match self.store().transact(&[change]).await {
                Ok(_) => return Ok(next),
                // Another node took it: the next one is ours.
                Err(StoreError::Conflict { .. }) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Detaches a volume from this node. Not attached is success.
    ///
    /// # Errors
    /// As `volumes.detach` in wit/storage.
    pub async fn detach_volume(
        &self,
        storage: &StorageName,
        name: &VolumeName,
        epoch: Option<u64>,
        force: bool,
    ) -> Result<(), Error> {
        let (calls, _) = self.active(storage).await?;
        let _lock = self.lock_volume(storage, name).await;
        let epoch = match epoch {
            Some(epoch) => epoch,
            None => calls.get(name.as_str()).await?.epoch,
        };
        calls.detach(name.as_str(), &self.name, epoch, force).await
    }

    /// Takes one snapshot of each volume under one name.
    ///
    /// # Errors
    /// As `snapshots.create` in wit/storage.
    pub async fn take_snapshot(
        &self,
        storage: &StorageName,
        volumes: &[VolumeName],
        name: &SnapshotName,
    ) -> Result<Vec<Snapshot>, Error> {
        if volumes.is_empty() {
            return Err(Error::invalid("volumes", "name at least one volume"));
        }
        let (calls, _) = self.active(storage).await?;
        let names = volumes.iter().map(|v| format!("{storage}:{v}")).collect();
        let _locks = self.volume_locks.lock_all(names).await;
        let volumes: Vec<String> = volumes.iter().map(ToString::to_string).collect();
        calls.snapshot(&volumes, name.as_str()).await
    }

    /// The snapshots of a volume, oldest first.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn snapshots(
        &self,
        storage: &StorageName,
        name: &VolumeName,
    ) -> Result<Vec<Snapshot>, Error> {
        let (calls, _) = self.active(storage).await?;
        calls.snapshots(name.as_str()).await
    }

    /// Removes a snapshot; nothing there is success.
    ///
    /// # Errors
    /// As `snapshots.delete` in wit/storage.
    pub async fn remove_snapshot(
        &self,
        storage: &StorageName,
        name: &VolumeName,
        snapshot: &SnapshotName,
    ) -> Result<(), Error> {
        let (calls, _) = self.active(storage).await?;
        let _lock = self.lock_volume(storage, name).await;
        calls
            .delete_snapshot(name.as_str(), snapshot.as_str())
            .await
    }

    /// Makes a volume what it was at a snapshot.
    ///
    /// # Errors
    /// As `snapshots.rollback` in wit/storage.
    pub async fn rollback_volume(
        &self,
        storage: &StorageName,
        name: &VolumeName,
        snapshot: &SnapshotName,
    ) -> Result<(), Error> {
        let (calls, _) = self.active(storage).await?;
        let _lock = self.lock_volume(storage, name).await;
        let epoch = calls.get(name.as_str()).await?.epoch;
        calls
            .rollback(name.as_str(), snapshot.as_str(), epoch)
            .await
    }

    /// Adds or takes away a tag that keeps a snapshot from being removed.
    ///
    /// # Errors
    /// As `holds` in wit/storage.
    pub async fn hold_snapshot(
        &self,
        storage: &StorageName,
        name: &VolumeName,
        snapshot: &SnapshotName,
        tag: &str,
        hold: bool,
    ) -> Result<(), Error> {
        // The rules for a snapshot's name are those of a tag, but shorter.
        if tag.len() > 64 || SnapshotName::from_str(tag).is_err() {
            return Err(Error::invalid(
                "tag",
                "it must be 1 to 64 letters, digits, `.`, `_`, `:` and `-`",
            ));
        }
        let (calls, _) = self.active(storage).await?;
        let _lock = self.lock_volume(storage, name).await;
        if hold {
            calls.hold(name.as_str(), snapshot.as_str(), tag).await
        } else {
            calls
                .release_hold(name.as_str(), snapshot.as_str(), tag)
                .await
        }
    }

    /// Makes a linked clone of a snapshot; format and content are its source's.
    ///
    /// # Errors
    /// As `clones.linked` in wit/storage.
    pub async fn clone_volume(
        &self,
        storage: &StorageName,
        source: &VolumeName,
        snapshot: &SnapshotName,
        to: &VolumeName,
        guest: Option<u32>,
        size_bytes: Option<u64>,
    ) -> Result<Volume, Error> {
        let (calls, _) = self.active(storage).await?;
        let names = vec![format!("{storage}:{source}"), format!("{storage}:{to}")];
        let _locks = self.volume_locks.lock_all(names).await;
        let from = calls.get(source.as_str()).await?;
        let spec = VolumeSpec {
            name: to.to_string(),
            content: from.content,
            format: Some(from.format),
            size_bytes: size_bytes.unwrap_or(0),
            guest,
            hints: Default::default(),
        };
        calls
            .clone_linked(source.as_str(), snapshot.as_str(), &spec)
            .await
    }

    /// Volumes that stand on this one, or on one snapshot of it.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn dependants(
        &self,
        storage: &StorageName,
        name: &VolumeName,
        snapshot: Option<SnapshotName>,
    ) -> Result<Vec<String>, Error> {
        let (calls, _) = self.active(storage).await?;
        calls
            .dependants(name.as_str(), snapshot.map(String::from))
            .await
    }

    /// Makes a volume a template, or an ordinary one again.
    ///
    /// # Errors
    /// As `templates` in wit/storage.
    pub async fn set_template(
        &self,
        storage: &StorageName,
        name: &VolumeName,
        template: bool,
    ) -> Result<Volume, Error> {
        let (calls, _) = self.active(storage).await?;
        let _lock = self.lock_volume(storage, name).await;
        calls.set_template(name.as_str(), template).await
    }

    /// Makes a linked clone independent of its source.
    ///
    /// # Errors
    /// As `flattening` in wit/storage.
    pub async fn flatten_volume(
        &self,
        storage: &StorageName,
        name: &VolumeName,
    ) -> Result<Volume, Error> {
        let (calls, _) = self.active(storage).await?;
        let _lock = self.lock_volume(storage, name).await;
        calls.flatten(name.as_str()).await
    }

    async fn lock_volume(
        &self,
        storage: &StorageName,
        name: &VolumeName,
    ) -> tokio::sync::OwnedMutexGuard<()> {
        self.volume_locks.lock(&format!("{storage}:{name}")).await
    }
}

/// Losing data must be said, not guessed from a number.
fn shrinks(calls: &StorageCalls, now_bytes: u64) -> Error {
    let way = if calls.offers("shrinking") {
        "add `--shrink` (in the API `shrink: true`) to make it smaller; what lies past the new size is lost"
            .to_owned()
    } else {
        let inspection = &calls.plugin().version().inspection;
        let (name, version) = (&inspection.name, &inspection.version);
        format!(
            "`--shrink` would be needed, and plugin {name} {version} can't make volumes smaller"
        )
    };
    let rule = format!("it is smaller than the volume, which has {now_bytes} bytes; {way}");
    Error::invalid("size", rule)
}

/// A code that says "there is no such thing as this", for callers that treat it as done.
pub(crate) fn is_missing(error: &Error) -> bool {
    error.code == Code::NotFound
}
