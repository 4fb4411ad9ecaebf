//! A volume as its properties record it.

use cairn_sdk::plugin::Error;
use cairn_sdk::storage::{Content, Format, Holder, SnapshotRef, Volume};

use crate::attached;
use crate::dataset::Dataset;
use crate::words;

/// What a list of volumes needs.
pub(crate) const LIST_PROPERTIES: &str = "type,used,creation,origin,readonly,volsize,refquota,compression,\
cairn:content,cairn:format,cairn:size,cairn:guest,cairn:epoch,cairn:notes,cairn:protected,cairn:template,\
cairn:receiving";
/// What work on one volume needs besides.
pub(crate) const MORE_PROPERTIES: &str = "guid,createtxg,userrefs,mounted,mountpoint,refreservation,\
cairn:attached,cairn:clean,cairn:holds";
/// The value of a property of ours that says nothing.
pub(crate) const NONE: &str = "~";

/// A volume.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) path: String,
    pub(crate) name: String,
    pub(crate) content: Content,
    pub(crate) format: Format,
    pub(crate) zvol: bool,
    pub(crate) size_bytes: u64,
    used_bytes: Option<u64>,
    /// The snapshot it is a clone of, as `volume`, `snapshot`, if that is in the same pool dataset.
    pub(crate) parent: Option<SnapshotRef>,
    pub(crate) guest: Option<u32>,
    created_ms: Option<u64>,
    notes: String,
    pub(crate) protected: bool,
    pub(crate) template: bool,
    pub(crate) epoch: u64,
    pub(crate) read_only: bool,
    /// Its size is kept free for it.
    pub(crate) reserved: bool,
    pub(crate) mounted: bool,
    /// Where it is mounted, unless a stream has chosen that.
    pub(crate) mountpoint: Option<String>,
    pub(crate) holders: Vec<Holder>,
    /// An increment on its way.
    pub(crate) receiving: Option<Receiving>,
    /// The guid of the snapshot since which nothing was written, where known.
    pub(crate) clean: Option<String>,
    compression: String,
}

/// An increment on its way: until it is published, its snapshot is listed by nobody.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Receiving {
    pub(crate) snapshot: String,
    pub(crate) guid: String,
    pub(crate) size_bytes: u64,
    pub(crate) epoch: u64,
}

impl Receiving {
    pub(crate) fn value(&self) -> String {
        format!(
            "{},{},{},{}",
            self.snapshot, self.guid, self.size_bytes, self.epoch
        )
    }

    pub(crate) fn parse(value: &str) -> Option<Self> {
        let mut parts = value.split(',');
        Some(Self {
            snapshot: parts.next()?.to_owned(),
            guid: parts.next()?.to_owned(),
            size_bytes: parts.next()?.parse().ok()?,
            epoch: parts.next()?.parse().ok()?,
        })
    }
}

impl Record {
    /// The volume that a dataset right below `pool` is; `None` for what is no volume (yet).
    pub(crate) fn of(dataset: &Dataset, pool: &str) -> Result<Option<Self>, Error> {
        let name = dataset
            .below(pool)
            .filter(|name| words::is_volume_name(name));
        let content = dataset.own("content").and_then(words::content);
        let format = dataset.own("format").and_then(words::format);
        let (Some(name), Some(content), Some(format)) = (name, content, format) else {
            return Ok(None);
        };
        let zvol = dataset.is_zvol();
        let number = |property| dataset.own(property).and_then(|v| v.parse::<u64>().ok());
        let size = match format {
            _ if zvol => dataset.number("volsize"),
            Format::Directory => dataset.number("refquota"),
            _ => number("size"),
        };
        let flag = |property| dataset.own(property) == Some("1");
        let guest = number("guest").and_then(|g| u32::try_from(g).ok());
        Ok(Some(Self {
            path: dataset.path.clone(),
            name: name.to_owned(),
            content,
            format,
            zvol,
            size_bytes: size.unwrap_or(0),
            used_bytes: dataset.number("used"),
            parent: dataset
                .native("origin")
                .and_then(|origin| parent(origin, pool)),
            guest: guest.filter(|g| *g != 0),
            created_ms: dataset.number("creation").map(|s| s.saturating_mul(1000)),
            notes: dataset.own("notes").map(words::decoded).unwrap_or_default(),
            protected: flag("protected"),
            template: flag("template"),
            epoch: number("epoch").unwrap_or(0),
            read_only: dataset.on("readonly"),
            reserved: dataset.number("refreservation").unwrap_or(0) != 0,
            mounted: dataset.on("mounted"),
            mountpoint: dataset
                .native("mountpoint")
                .filter(|m| m.starts_with('/') && !dataset.received("mountpoint"))
                .map(str::to_owned),
            holders: attached::parse(dataset.own("attached"))?,
            receiving: dataset.own("receiving").and_then(Receiving::parse),
            clean: dataset
                .own("clean")
                .filter(|v| *v != NONE)
                .map(str::to_owned),
            compression: dataset.native("compression").unwrap_or("off").to_owned(),
        }))
    }

    pub(crate) fn volume(&self) -> Volume {
        let mut properties = vec![("compression".to_owned(), self.compression.clone())];
        let kind = if self.zvol { "zvol" } else { "filesystem" };
        properties.push(("dataset".to_owned(), format!("{kind} {}", self.path)));
        if self.read_only {
            properties.push(("readonly".to_owned(), "on".to_owned()));
        }
        Volume {
            name: self.name.clone(),
            content: self.content,
            format: self.format,
            size_bytes: self.size_bytes,
            used_bytes: self.used_bytes,
            parent: self.parent.clone(),
            guest: self.guest,
            created_ms: self.created_ms,
            notes: self.notes.clone(),
            protected: self.protected,
            template: self.template,
            epoch: self.epoch,
            properties,
        }
    }

    /// Is its disk a file in its dataset?
    pub(crate) fn has_disk_file(&self) -> bool {
        self.format == Format::Raw && !self.zvol
    }

    pub(crate) fn refuse_stale(&self, epoch: u64) -> Result<(), Error> {
        if epoch < self.epoch {
            return Err(Error::stale_epoch(epoch, self.epoch));
        }
        Ok(())
    }

    /// Refuses while someone has it attached for writing.
    pub(crate) fn refuse_writers(&self) -> Result<(), Error> {
        self.refuse_holders(self.holders.iter().filter(|h| !h.read_only))
    }

    /// Refuses while someone has it attached at all.
    pub(crate) fn refuse_attached(&self) -> Result<(), Error> {
        self.refuse_holders(&self.holders)
    }

    fn refuse_holders<'a>(
        &self,
        holders: impl IntoIterator<Item = &'a Holder>,
    ) -> Result<(), Error> {
        let names = attached::names(holders);
        if names.is_empty() {
            return Ok(());
        }
        let message = format!(
            "volume {} is attached on {}; stop what uses it, or detach it",
            self.name,
            names.join(", ")
        );
        Err(Error::in_use(names, message))
    }
}

fn parent(origin: &str, pool: &str) -> Option<SnapshotRef> {
    let (volume, snapshot) = origin
        .strip_prefix(pool)?
        .strip_prefix('/')?
        .split_once('@')?;
    words::is_volume_name(volume).then(|| SnapshotRef {
        volume: volume.to_owned(),
        snapshot: snapshot.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::parse;

    #[test]
    fn a_zvol_and_a_clone() {
        let text = "p/v/z\ttype\tvolume\t-\np/v/z\tvolsize\t4194304\tlocal\np/v/z\tcairn:content\timages\tlocal\n\
            p/v/z\tcairn:format\traw\tlocal\np/v/z\torigin\tp/v/base@gold\t-\n";
        let record = Record::of(&parse(text)[0], "p/v").unwrap().unwrap();
        assert!(record.zvol && !record.has_disk_file());
        assert_eq!(record.size_bytes, 4 << 20);
        let parent = record.parent.unwrap();
        assert_eq!(
            (parent.volume.as_str(), parent.snapshot.as_str()),
            ("base", "gold")
        );
    }
}
