//! `meta.json`: what is recorded of a volume, and the volume it describes.

use cairn_sdk::host::{FileError, FileKind};
use cairn_sdk::plugin::{Cause, Error};
use cairn_sdk::storage::{Content, Format, Snapshot, SnapshotRef, Volume};
use serde::{Deserialize, Serialize};

use crate::place::{Place, VOLUMES, file};

const META: &str = "meta.json";

/// A volume as recorded.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// Of this record's form.
    pub(crate) version: u32,
    pub(crate) name: String,
    pub(crate) content: String,
    /// As it was made; a raw volume goes on as qcow2 after its first snapshot.
    pub(crate) format: String,
    pub(crate) size_bytes: u64,
    pub(crate) guest: Option<u32>,
    pub(crate) created_ms: u64,
    pub(crate) notes: String,
    pub(crate) protected: bool,
    pub(crate) template: bool,
    pub(crate) epoch: u64,
    pub(crate) attached: Vec<Attached>,
    /// The layer that is written: `3.qcow2`; empty for a file tree.
    pub(crate) active: String,
    /// The number of the next layer.
    pub(crate) next: u32,
    /// Oldest first.
    pub(crate) snapshots: Vec<Frozen>,
    /// The snapshot of another volume that the oldest layer stands on.
    pub(crate) parent: Option<Parent>,
    /// It was received and not written since: the next increment fits.
    pub(crate) replica: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Attached {
    pub(crate) node: String,
    pub(crate) epoch: u64,
    pub(crate) read_only: bool,
    pub(crate) snapshot: Option<String>,
}

/// A snapshot and its layer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Frozen {
    pub(crate) name: String,
    pub(crate) guid: String,
    pub(crate) created_ms: u64,
    pub(crate) order: u64,
    pub(crate) size_bytes: u64,
    pub(crate) layer: String,
    pub(crate) holds: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Parent {
    pub(crate) volume: String,
    pub(crate) snapshot: String,
    pub(crate) layer: String,
}

impl Meta {
    pub(crate) fn load(place: &Place, name: &str) -> Result<Option<Self>, Error> {
        crate::place::check_volume_name(name)?;
        let bytes = match place.dir.read(&file(name, META)) {
            Ok(bytes) => bytes,
            Err(FileError::NotFound | FileError::NotADirectory) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let mut meta: Self = serde_json::from_slice(&bytes).map_err(|e| {
            Error::corrupt(format!(
                "{} can't be read: {e}; put it back from a backup, or remove the volume's folder",
                place.absolute(&file(name, META))
            ))
        })?;
        // A rename that was cut off leaves the old name in the record; the folder's counts.
        name.clone_into(&mut meta.name);
        Ok(Some(meta))
    }

    pub(crate) fn need(place: &Place, name: &str) -> Result<Self, Error> {
        Self::load(place, name)?.ok_or_else(|| Error::not_found(format!("volume {name}")))
    }

    /// Makes what is recorded true: the commit point of every change.
    pub(crate) fn save(&self, place: &Place) -> Result<(), Error> {
        let text = serde_json::to_vec_pretty(self).map_err(|e| Error::internal(e.to_string()))?;
        Ok(place.dir.write(&file(&self.name, META), &text)?)
    }

    /// Makes it no volume any more; what is left is swept.
    pub(crate) fn forget(&self, place: &Place) -> Result<(), Error> {
        Ok(place.dir.remove(&file(&self.name, META))?)
    }

    /// Removes layers that nothing names: leftovers of what was cut off.
    pub(crate) fn sweep(&self, place: &Place) -> Result<(), Error> {
        for entry in place.dir.list(&crate::place::folder(&self.name))? {
            let named = entry.name == META
                || entry.name == self.active
                || self.snapshots.iter().any(|s| s.layer == entry.name);
            if !named && entry.metadata.kind == FileKind::File {
                place.dir.remove(&file(&self.name, &entry.name))?;
            }
        }
        Ok(())
    }

    pub(crate) fn is_tree(&self) -> bool {
        self.format == "directory"
    }

    /// Names the next layer, which is always qcow2.
    pub(crate) fn next_layer(&mut self) -> String {
        let layer = format!("{}.qcow2", self.next);
        self.next += 1;
        layer
    }

    pub(crate) fn snapshot(&self, name: &str) -> Result<&Frozen, Error> {
        self.snapshots
            .iter()
            .find(|s| s.name == name)
            .ok_or_else(|| Error::not_found(format!("snapshot {}@{name}", self.name)))
    }

    pub(crate) fn refuse_attached(&self) -> Result<(), Error> {
        let writers: Vec<String> = self
            .attached
            .iter()
            .filter(|a| !a.read_only)
            .map(|a| format!("node {}", a.node))
            .collect();
        if writers.is_empty() {
            return Ok(());
        }
        let message = format!(
            "volume {} is attached for writing on {}",
            self.name,
            writers.join(", ")
        );
        Err(Error::in_use(writers, message))
    }

    pub(crate) fn refuse_stale(&self, epoch: u64) -> Result<(), Error> {
        if epoch < self.epoch {
            Err(Error::stale_epoch(epoch, self.epoch))
        } else {
            Ok(())
        }
    }

    pub(crate) fn volume(&self, place: &Place) -> Result<Volume, Error> {
        let stat = |layer: &str| place.dir.stat(&file(&self.name, layer));
        let used = if self.is_tree() {
            None
        } else {
            let mut used = stat(&self.active)?.map_or(0, |m| m.allocated_bytes);
            for snapshot in &self.snapshots {
                used += stat(&snapshot.layer)?.map_or(0, |m| m.allocated_bytes);
            }
            Some(used)
        };
        Ok(Volume {
            name: self.name.clone(),
            content: content(&self.content),
            format: self.seen_format(),
            size_bytes: self.size_bytes,
            used_bytes: used,
            parent: self.parent.as_ref().map(|p| SnapshotRef {
                volume: p.volume.clone(),
                snapshot: p.snapshot.clone(),
            }),
            guest: self.guest,
            created_ms: Some(self.created_ms),
            notes: self.notes.clone(),
            protected: self.protected,
            template: self.template,
            epoch: self.epoch,
            properties: vec![("layers".to_owned(), (self.snapshots.len() + 1).to_string())],
        })
    }

    /// The format of what a guest opens now.
    pub(crate) fn seen_format(&self) -> Format {
        if self.is_tree() {
            Format::Directory
        } else {
            layer_format(&self.active)
        }
    }

    pub(crate) fn as_snapshot(&self, place: &Place, frozen: &Frozen) -> Result<Snapshot, Error> {
        let used = place
            .dir
            .stat(&file(&self.name, &frozen.layer))?
            .map(|m| m.allocated_bytes);
        Ok(Snapshot {
            volume: self.name.clone(),
            name: frozen.name.clone(),
            guid: frozen.guid.clone(),
            created_ms: frozen.created_ms,
            order: frozen.order,
            size_bytes: frozen.size_bytes,
            used_bytes: used,
            holds: frozen.holds.clone(),
        })
    }
}

/// Every volume, sorted by name. Folders without a record are half made or half removed. Fails on a damaged
/// record: for what must not overlook a volume.
pub(crate) fn all(place: &Place) -> Result<Vec<Meta>, Error> {
    let (found, damaged) = readable(place)?;
    let first = damaged.into_iter().next();
    first.map_or(Ok(found), |damage| Err(damage.error))
}

/// A record that can't be read.
#[derive(Debug)]
pub(crate) struct Damage {
    pub(crate) volume: String,
    pub(crate) error: Error,
}

/// Every volume whose record can be read, and what is wrong with the others.
pub(crate) fn readable(place: &Place) -> Result<(Vec<Meta>, Vec<Damage>), Error> {
    let (mut found, mut damaged) = (Vec::new(), Vec::new());
    for entry in place.dir.list(VOLUMES)? {
        if crate::place::check_volume_name(&entry.name).is_err() {
            continue;
        }
        match Meta::load(place, &entry.name) {
            Ok(meta) => found.extend(meta),
            Err(e) if matches!(e.cause, Cause::Corrupt(_)) => damaged.push(Damage {
                volume: entry.name,
                error: e,
            }),
            Err(e) => return Err(e),
        }
    }
    Ok((found, damaged))
}

pub(crate) fn layer_format(layer: &str) -> Format {
    if layer.ends_with(".raw") {
        Format::Raw
    } else {
        Format::Qcow2
    }
}

const CONTENTS: [(&str, Content); 6] = [
    ("images", Content::Images),
    ("rootdir", Content::Rootdir),
    ("iso", Content::Iso),
    ("templates", Content::Templates),
    ("backup", Content::Backup),
    ("snippets", Content::Snippets),
];

pub(crate) fn content(word: &str) -> Content {
    CONTENTS
        .iter()
        .find(|(w, _)| *w == word)
        .map_or(Content::Images, |(_, c)| *c)
}

pub(crate) fn content_word(content: Content) -> &'static str {
    CONTENTS
        .iter()
        .find(|(_, c)| *c == content)
        .map_or("images", |(w, _)| w)
}

pub(crate) fn format_word(format: Format) -> &'static str {
    match format {
        Format::Raw => "raw",
        Format::Qcow2 => "qcow2",
        Format::Vmdk => "vmdk",
        Format::Directory => "directory",
    }
}
