//! A volume with its snapshots, as one look at its dataset shows them.

use cairn_sdk::plugin::Error;
use cairn_sdk::storage::Snapshot;

use crate::dataset::Dataset;
use crate::record::{NONE, Record};

/// A snapshot.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Point {
    pub(crate) name: String,
    pub(crate) guid: String,
    /// The transaction group it was taken in: rises with each snapshot of the pool.
    pub(crate) order: u64,
    created_ms: u64,
    pub(crate) size_bytes: u64,
    used_bytes: Option<u64>,
    /// Tags that this plugin has put on it.
    pub(crate) tags: Vec<String>,
    /// Tags on it, whoever has put them there.
    pub(crate) tag_count: u64,
}

impl Point {
    pub(crate) fn of(dataset: &Dataset, volume: &Record) -> Option<Self> {
        let size = match volume.format {
            _ if volume.zvol => dataset.number("volsize"),
            _ => dataset.own("size").and_then(|v| v.parse().ok()),
        };
        let tags = dataset.own("holds").filter(|v| *v != NONE);
        let tags = tags.map(|v| v.split(',').map(str::to_owned).collect());
        Some(Self {
            name: dataset.snapshot()?.to_owned(),
            guid: dataset.native("guid")?.to_owned(),
            order: dataset.number("createtxg").unwrap_or(0),
            created_ms: dataset.number("creation").unwrap_or(0).saturating_mul(1000),
            size_bytes: size.unwrap_or(volume.size_bytes),
            used_bytes: dataset.number("used"),
            tags: tags.unwrap_or_default(),
            tag_count: dataset.number("userrefs").unwrap_or(0),
        })
    }

    pub(crate) fn snapshot(&self, volume: &str, holds: Vec<String>) -> Snapshot {
        Snapshot {
            volume: volume.to_owned(),
            name: self.name.clone(),
            guid: self.guid.clone(),
            created_ms: self.created_ms,
            order: self.order,
            size_bytes: self.size_bytes,
            used_bytes: self.used_bytes,
            holds,
        }
    }
}

/// A volume with all its snapshots.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    pub(crate) record: Record,
    /// Oldest first, with the one that isn't published yet.
    pub(crate) points: Vec<Point>,
    /// Datasets below it, which nobody but an administrator makes.
    pub(crate) children: Vec<String>,
}

impl Loaded {
    /// From a volume's dataset and what is right below it.
    pub(crate) fn of(datasets: &[Dataset], pool: &str) -> Result<Option<Self>, Error> {
        let Some((first, below)) = datasets.split_first() else {
            return Ok(None);
        };
        let Some(record) = Record::of(first, pool)? else {
            return Ok(None);
        };
        let (snapshots, children): (Vec<&Dataset>, Vec<&Dataset>) =
            below.iter().partition(|d| d.is_snapshot());
        let mut points: Vec<Point> = snapshots
            .iter()
            .filter_map(|d| Point::of(d, &record))
            .collect();
        points.sort_by_key(|p| p.order);
        Ok(Some(Self {
            record,
            points,
            children: children.iter().map(|d| d.path.clone()).collect(),
        }))
    }

    /// Snapshots that count: without one that is still arriving.
    pub(crate) fn published(&self) -> impl DoubleEndedIterator<Item = &Point> {
        let arriving = self.record.receiving.as_ref().map(|r| r.snapshot.as_str());
        self.points
            .iter()
            .filter(move |p| Some(p.name.as_str()) != arriving)
    }

    pub(crate) fn point(&self, name: &str) -> Result<&Point, Error> {
        let found = self.published().find(|p| p.name == name);
        found.ok_or_else(|| Error::not_found(format!("snapshot {}@{name}", self.record.name)))
    }

    /// `volume@snapshot` of the snapshots after `order`, newest first.
    pub(crate) fn newer_than(&self, order: u64) -> Vec<String> {
        let newer = self.published().rev().filter(|p| p.order > order);
        newer
            .map(|p| format!("{}@{}", self.record.name, p.name))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::parse;
    use crate::dataset::tests::FUSE;

    #[test]
    fn a_volume_of_zfs_fuse() {
        let loaded = Loaded::of(&parse(FUSE), "tank/vms").unwrap().unwrap();
        assert_eq!(loaded.record.name, "a");
        assert_eq!(loaded.record.size_bytes, 1 << 20);
        assert!(loaded.record.has_disk_file() && loaded.record.mounted);
        assert_eq!(loaded.points.len(), 1);
        assert_eq!(loaded.point("s1").unwrap().guid, "17253260759376172795");
        assert_eq!(loaded.point("s1").unwrap().created_ms, 1_795_401_308_000);
        assert_eq!(loaded.children, ["tank/vms/a/kid"]);
        assert!(Loaded::of(&parse(FUSE), "tank").unwrap().is_none());
    }

    #[test]
    fn what_arrives_is_hidden() {
        let text = format!("{FUSE}tank/vms/a@s2\tguid\t5\t-\ntank/vms/a@s2\tcreatetxg\t20\t-\n");
        let hidden = text.replacen(
            "tank/vms/a\ttype",
            "tank/vms/a\tcairn:receiving\ts2,5,1048576,3\tlocal\ntank/vms/a\ttype",
            1,
        );
        let seen = Loaded::of(&parse(&text), "tank/vms").unwrap().unwrap();
        assert_eq!(seen.newer_than(15), ["a@s2"]);
        let loaded = Loaded::of(&parse(&hidden), "tank/vms").unwrap().unwrap();
        assert_eq!(loaded.points.len(), 2);
        assert!(loaded.point("s2").is_err() && loaded.newer_than(15).is_empty());
        assert_eq!(loaded.record.receiving.unwrap().value(), "s2,5,1048576,3");
    }
}
