//! Linked clones, templates, and swapping a clone with its source.

use cairn_sdk::plugin::Error;
use cairn_sdk::storage::{Clones, Origins, SnapshotRef, Templates, Volume, VolumeSpec};

use crate::StorageZfs;
use crate::create::{commit, foreign, metadata, rounded};
use crate::loaded::{Loaded, Point};
use crate::place::{Found, Place};
use crate::plan;
use crate::refusal::Refusal;
use crate::words::check_volume_name;
use crate::{remove, zfs};

impl Clones for StorageZfs {
    fn linked(volume: String, snapshot: String, spec: VolumeSpec) -> Result<Volume, Error> {
        check_volume_name(&spec.name)?;
        let place = Place::open()?;
        let source = place.need(&volume)?;
        let point = source.point(&snapshot)?;
        let size = size(&place, &source, point, &spec)?;
        match place.find(&spec.name)? {
            Found::Volume(there) => {
                let parent = SnapshotRef { volume, snapshot };
                let same = there.record.parent.as_ref() == Some(&parent)
                    && there.record.guest == spec.guest
                    && there.record.size_bytes == size;
                if same {
                    return Ok(there.record.volume());
                }
                return Err(Error::already_exists(format!(
                    "volume {} is there and is no such clone",
                    spec.name
                )));
            }
            Found::Foreign => return Err(foreign(&place, &spec.name)),
            Found::Leftover => remove::clear(&place, &spec.name)?,
            Found::Nothing => {}
        }
        let made = make(&place, &source, point, &spec, size);
        if made.is_err() && matches!(place.find(&spec.name), Ok(Found::Leftover)) {
            let _ = place.destroy_tree(&place.path(&spec.name));
        }
        made?;
        Ok(place.need(&spec.name)?.record.volume())
    }

    fn dependants(volume: String, snapshot: Option<String>) -> Result<Vec<String>, Error> {
        let place = Place::open()?;
        let loaded = place.need(&volume)?;
        if let Some(snapshot) = &snapshot {
            loaded.point(snapshot)?;
        }
        place.dependants(&volume, snapshot.as_deref())
    }
}

/// The clone's size: its source's, or larger as asked.
fn size(place: &Place, source: &Loaded, point: &Point, spec: &VolumeSpec) -> Result<u64, Error> {
    if spec.format != source.record.format || spec.content != source.record.content {
        return Err(Error::invalid(
            "format",
            "format and content of a linked clone are its source's",
        ));
    }
    let is_disk = source.record.zvol || source.record.has_disk_file();
    match spec.size_bytes {
        0 => Ok(point.size_bytes),
        size if is_disk && size < point.size_bytes => Err(Error::invalid(
            "size",
            format!("it is smaller than its source's {}", point.size_bytes),
        )),
        size if is_disk => rounded(size, place.config.block_bytes()),
        size => Ok(size),
    }
}

/// Clones; one that also grows becomes a volume once it has its size.
fn make(
    place: &Place,
    source: &Loaded,
    point: &Point,
    spec: &VolumeSpec,
    size_bytes: u64,
) -> Result<(), Error> {
    let record = &source.record;
    let path = place.path(&spec.name);
    let origin = format!("{}@{}", record.path, point.name);
    let what = format!("cloning {}@{}", record.name, point.name);
    let mut properties = metadata(spec, size_bytes);
    let is_disk_file = record.has_disk_file();
    let whole = is_disk_file && size_bytes == point.size_bytes;
    if whole {
        properties.push(commit(spec));
    }
    zfs::run(
        &what,
        &plan::clone(&origin, &path, record.zvol, &properties),
    )?;
    if whole {
        return Ok(());
    }
    if is_disk_file {
        place.set_disk_length(&path, size_bytes, false)?;
        place.unmount(&path)?;
    } else if record.zvol && size_bytes != point.size_bytes {
        zfs::run(
            &what,
            &plan::words(["set", &format!("volsize={size_bytes}"), &path]),
        )?;
    } else if !record.zvol && size_bytes != 0 {
        zfs::run(
            &what,
            &plan::words(["set", &format!("refquota={size_bytes}"), &path]),
        )?;
    }
    place.set(&path, &[commit(spec)])
}

impl Templates for StorageZfs {
    fn set_template(name: String, template: bool) -> Result<Volume, Error> {
        let place = Place::open()?;
        let record = place.need(&name)?.record;
        if record.template == template {
            return Ok(record.volume());
        }
        if template {
            record.refuse_writers()?;
        } else {
            let clones = place.dependants(&name, None)?;
            if !clones.is_empty() {
                let message = format!("clones stand on template {name}: {}", clones.join(", "));
                return Err(Error::blocked(clones, message));
            }
        }
        let value = u8::from(template).to_string();
        place.set(&record.path, &[("cairn:template", value)])?;
        Ok(place.need(&name)?.record.volume())
    }
}

impl Origins for StorageZfs {
    fn swap(name: String) -> Result<Volume, Error> {
        let place = Place::open()?;
        let clone = place.need(&name)?;
        let Some(parent) = &clone.record.parent else {
            return Ok(clone.record.volume());
        };
        let source = place.need(&parent.volume)?;
        let last = source.point(&parent.snapshot)?.order;
        // The source's snapshots up to the shared one become the clone's.
        let moving = source.points.iter().filter(|p| p.order <= last);
        let twice: Vec<String> = moving
            .filter(|m| clone.points.iter().any(|p| p.name == m.name))
            .map(|m| format!("{name}@{}", m.name))
            .collect();
        if !twice.is_empty() {
            return Err(Error::already_exists(format!(
                "both have snapshots of these names: {}; remove or rename them on one side",
                twice.join(", ")
            )));
        }
        let line = plan::words(["promote", &clone.record.path]);
        zfs::tolerate(
            &format!("swapping {name} with its source"),
            &line,
            &[Refusal::NotClone],
        )?;
        Ok(place.need(&name)?.record.volume())
    }
}
