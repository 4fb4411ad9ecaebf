//! Growing volumes, and ceilings on what they take with their snapshots.

use cairn_sdk::plugin::Error;
use cairn_sdk::storage::{Format, Quota, Resize, UsageReport, Volume};

use crate::StorageZfs;
use crate::create::rounded;
use crate::place::Place;
use crate::plan;
use crate::zfs;

const USAGE_PROPERTIES: &str = "used,usedbydataset,usedbysnapshots,usedbyrefreservation,quota";

impl Resize for StorageZfs {
    fn grow(name: String, size_bytes: u64) -> Result<Volume, Error> {
        let place = Place::open()?;
        let record = place.need(&name)?.record;
        let tree = record.format == Format::Directory;
        let size = if tree {
            size_bytes
        } else {
            rounded(size_bytes, place.config.block_bytes())?
        };
        // No quota at all is the largest size of a file tree.
        let smaller = match (tree, record.size_bytes, size) {
            (true, 0, 0) => false,
            (true, 0, _) => true,
            (true, _, 0) => false,
            (_, has, asked) => asked < has,
        };
        if smaller {
            return Err(Error::unsupported(format!(
                "volume {name} has {} bytes, and {size} is smaller: what lies past it would be lost",
                record.size_bytes
            )));
        }
        if size == record.size_bytes {
            return Ok(record.volume());
        }
        let what = format!("growing volume {name}");
        if record.has_disk_file() {
            if record.reserved {
                let pair = format!("refreservation={size}");
                zfs::run(&what, &plan::words(["set", &pair, &record.path]))?;
            }
            place.set_disk_length(&record.path, size, false)?;
            if !record.mounted {
                place.unmount(&record.path)?;
            }
            place.set(&record.path, &[("cairn:size", size.to_string())])?;
        } else {
            let property = if record.zvol { "volsize" } else { "refquota" };
            let pair = format!("{property}={size}");
            zfs::run(&what, &plan::words(["set", &pair, &record.path]))?;
        }
        Ok(place.need(&name)?.record.volume())
    }
}

impl Quota for StorageZfs {
    fn set_limit(name: String, limit_bytes: Option<u64>) -> Result<(), Error> {
        let usage = Self::usage(name.clone())?;
        if usage.limit_bytes == limit_bytes {
            return Ok(());
        }
        let used = usage.volume_bytes.saturating_add(usage.snapshots_bytes);
        if limit_bytes.is_some_and(|limit| limit < used) {
            return Err(Error::invalid(
                "limit-bytes",
                format!("volume {name} takes {used} bytes already"),
            ));
        }
        let value = limit_bytes.map_or_else(|| "none".to_owned(), |limit| limit.to_string());
        let path = Place::open()?.path(&name);
        let pair = format!("quota={value}");
        zfs::run(
            &format!("limiting volume {name}"),
            &plan::words(["set", &pair, &path]),
        )
        .map(drop)
    }

    fn usage(name: String) -> Result<UsageReport, Error> {
        let place = Place::open()?;
        let path = place.need(&name)?.record.path;
        let found = place
            .get(&path, None, USAGE_PROPERTIES)?
            .unwrap_or_default();
        let Some(dataset) = found.first() else {
            return Err(Error::not_found(format!("volume {name}")));
        };
        let number = |property| dataset.number(property).unwrap_or(0);
        Ok(UsageReport {
            limit_bytes: dataset.number("quota").filter(|quota| *quota != 0),
            volume_bytes: number("usedbydataset"),
            snapshots_bytes: number("usedbysnapshots"),
            reserved_bytes: number("usedbyrefreservation"),
        })
    }
}
