//! Copies of a snapshot from one storage of this node to another, whole or since a base that both
//! have. The plugins describe the stream's two ends; the host moves the bytes.

use cairn_core::names::{SnapshotName, StorageName, VolumeName};
use cairn_core::storage::{Partial, ReceiveRequest, SendRequest, VolumeSpec};
use cairn_core::{Code, Error};

use crate::Node;
use crate::records::{Copied, CopyRequest};
use crate::volumes::is_missing;

impl Node {
    /// Copies a snapshot. What was half received after a failure is removed again.
    ///
    /// # Errors
    /// `unsupported` where the two storages share no stream format; as `transfer` in wit/storage.
    pub async fn copy_volume(
        &self,
        storage: &StorageName,
        name: &VolumeName,
        request: &CopyRequest,
    ) -> Result<Copied, Error> {
        let target: StorageName = request.to_storage.parse()?;
        let to: VolumeName = request.to_name.parse()?;
        let snapshot: SnapshotName = request.snapshot.parse()?;
        let (from_calls, _) = self.active(storage).await?;
        let (to_calls, _) = self.active(&target).await?;
        let names = vec![format!("{storage}:{name}"), format!("{target}:{to}")];
        let _locks = self.volume_locks.lock_all(names).await;
        let volume = from_calls.get(name.as_str()).await?;
        let all = from_calls.snapshots(name.as_str()).await?;
        let found = all
            .into_iter()
            .find(|s| s.name == snapshot.as_str())
            .ok_or_else(|| {
                Error::not_found(format!("snapshot {snapshot} of volume {storage}:{name}"))
            })?;
        let format = self.common_format(storage, &target).await?;
        let receive = ReceiveRequest {
            spec: VolumeSpec {
                name: to.to_string(),
                content: volume.content,
                format: Some(volume.format),
                size_bytes: volume.size_bytes,
                guest: volume.guest,
                hints: Default::default(),
            },
            snapshot: snapshot.to_string(),
            guid: found.guid.clone(),
            base: request.base.clone(),
            format: format.clone(),
            epoch: volume.epoch,
            resume: false,
        };
        let send = SendRequest {
            volume: name.to_string(),
            snapshot: snapshot.to_string(),
            base: request.base.clone(),
            format: format.clone(),
            resume_token: None,
        };
        let source = from_calls.send(&send).await?;
        let sink = to_calls.receive(&receive).await?;
        let moved = match from_calls
            .pump(&source.stream, &to_calls, &sink.stream)
            .await
        {
            Ok(bytes) => to_calls
                .publish(&sink.ticket)
                .await
                .map(|snapshot| (bytes, snapshot)),
            Err(e) => Err(e),
        };
        match moved {
            Ok((bytes, snapshot)) => Ok(Copied {
                bytes,
                format,
                snapshot,
            }),
            Err(mut e) => {
                if let Err(left) = to_calls.abandon(&sink.ticket).await {
                    e.message = format!(
                        "{}; what was half received stays as `{}` on {target}: {left}",
                        e.message, sink.ticket
                    );
                }
                Err(e)
            }
        }
    }

    async fn common_format(&self, from: &StorageName, to: &StorageName) -> Result<String, Error> {
        let (from_calls, _) = self.active(from).await?;
        let (to_calls, _) = self.active(to).await?;
        let offered = from_calls.transfer_formats().await?.offered;
        let accepted = to_calls.transfer_formats().await?.accepted;
        offered
            .iter()
            .find(|f| accepted.contains(f))
            .cloned()
            .ok_or_else(|| {
                Error::new(
                    Code::Unsupported,
                    format!(
                        "storage {from} sends {}, and {to} takes {}: they share no stream format",
                        offered.join(", "),
                        accepted.join(", ")
                    ),
                )
            })
    }

    /// What interrupted transfers left on a storage.
    ///
    /// # Errors
    /// As `transfer.pending` in wit/storage.
    pub async fn transfers(&self, storage: &StorageName) -> Result<Vec<Partial>, Error> {
        let (calls, _) = self.active(storage).await?;
        calls.pending().await
    }

    /// Removes what an interrupted transfer left; nothing there is success.
    ///
    /// # Errors
    /// As `transfer.abandon` in wit/storage.
    pub async fn abandon_transfer(&self, storage: &StorageName, ticket: &str) -> Result<(), Error> {
        let (calls, _) = self.active(storage).await?;
        match calls.abandon(ticket).await {
            Err(e) if is_missing(&e) => Ok(()),
            other => other,
        }
    }
}
