//! Copies of a snapshot from one storage of this node to another, whole or since a base that both
//! have. The plugins describe the stream's two ends; the host moves the bytes.

use cairn_core::names::{SnapshotName, StorageName, VolumeName};
use cairn_core::storage::{
    Partial, ReceivePlan, ReceiveRequest, SendPlan, SendRequest, VolumeSpec,
};
use cairn_core::{Code, Error};
use cairn_plugins::StorageCalls;

use crate::Node;
use crate::records::{Copied, CopyRequest};
use crate::volumes::is_missing;

impl Node {
    /// Copies a snapshot. What was half received after a failure is removed again; what a daemon that was
    /// killed left is gone on with, where the formats can.
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
        let (format, resumable) = common_format(storage, &from_calls, &target, &to_calls).await?;
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
        let left = if resumable {
            left_of(&to_calls, &to).await?
        } else {
            None
        };
        let (source, sink) = ends(&from_calls, send, &to_calls, receive, left).await?;
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

/// The source's best format that the target takes, and whether both can go on with an interrupted stream.
async fn common_format(
    from: &StorageName,
    from_calls: &StorageCalls,
    to: &StorageName,
    to_calls: &StorageCalls,
) -> Result<(String, bool), Error> {
    let offers = from_calls.transfer_formats().await?;
    let takes = to_calls.transfer_formats().await?;
    let common = offers.offered.iter().find(|f| takes.accepted.contains(f));
    let format = common.cloned().ok_or_else(|| {
        Error::new(
            Code::Unsupported,
            format!(
                "storage {from} sends {}, and {to} takes {}: they share no stream format",
                offers.offered.join(", "),
                takes.accepted.join(", ")
            ),
        )
    })?;
    Ok((format, offers.resumable && takes.resumable))
}

/// What an interrupted transfer to a volume left, if it can go on.
async fn left_of(calls: &StorageCalls, volume: &VolumeName) -> Result<Option<Partial>, Error> {
    let all = calls.pending().await?;
    let mut ours = all.into_iter().filter(|p| p.volume == volume.as_str());
    Ok(ours.find(|p| p.resume_token.is_some()))
}

/// The stream's two ends: going on with what is left where that is of this very snapshot, or anew.
async fn ends(
    from: &StorageCalls,
    mut send: SendRequest,
    to: &StorageCalls,
    mut receive: ReceiveRequest,
    left: Option<Partial>,
) -> Result<(SendPlan, ReceivePlan), Error> {
    if let Some(left) = left {
        receive.resume = true;
        let sink = to.receive(&receive).await?;
        receive.resume = false;
        if sink.ticket == left.ticket {
            send.resume_token = left.resume_token;
            match from.send(&send).await {
                Ok(source) => return Ok((source, sink)),
                Err(e) => tracing::info!("an interrupted transfer is sent anew: {e}"),
            }
            send.resume_token = None;
        }
        to.abandon(&sink.ticket).await?;
    }
    let source = from.send(&send).await?;
    let sink = to.receive(&receive).await?;
    Ok((source, sink))
}
