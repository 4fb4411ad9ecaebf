//! Snapshots, rolling back, and holds. A hold is one of ZFS's own, with its tag noted beside it: zfs-fuse
//! can't list tags.

use cairn_sdk::plugin::Error;
use cairn_sdk::storage::{Holds, Snapshot, Snapshots};

use crate::StorageZfs;
use crate::attached;
use crate::loaded::{Loaded, Point};
use crate::place::{Place, nothing};
use crate::plan;
use crate::refusal::Refusal;
use crate::words::check_snapshot_name;
use crate::zfs;

/// Our tags in ZFS begin with this: a tag of the contract may begin with `-`.
const TAG_MARK: &str = "cairn_";
/// All tags of a snapshot are one property.
const TAGS_MAX_BYTES: usize = 1_000;

impl Snapshots for StorageZfs {
    fn create(volumes: Vec<String>, name: String) -> Result<Vec<Snapshot>, Error> {
        check_snapshot_name(&name)?;
        let place = Place::open()?;
        let all: Vec<Loaded> = volumes
            .iter()
            .map(|volume| place.need(volume))
            .collect::<Result<_, _>>()?;
        let there: Vec<String> = all
            .iter()
            .filter(|l| l.points.iter().any(|p| p.name == name))
            .map(|l| format!("{}@{name}", l.record.name))
            .collect();
        if there.is_empty() {
            take(&place, &all, &name)?;
        } else if there.len() < all.len() {
            return Err(Error::already_exists(format!(
                "some are there already: {}",
                there.join(", ")
            )));
        }
        volumes
            .iter()
            .map(|volume| {
                let loaded = place.need(volume)?;
                let point = loaded.point(&name)?;
                Ok(point.snapshot(volume, holds(&place, &loaded, point)?))
            })
            .collect()
    }

    fn list(volume: String) -> Result<Vec<Snapshot>, Error> {
        let place = Place::open()?;
        let loaded = place.need(&volume)?;
        loaded
            .published()
            .map(|point| Ok(point.snapshot(&volume, holds(&place, &loaded, point)?)))
            .collect()
    }

    fn delete(volume: String, name: String) -> Result<(), Error> {
        let place = Place::open()?;
        let Some(loaded) = place.load(&volume)? else {
            return Ok(());
        };
        let Ok(point) = loaded.point(&name) else {
            return Ok(());
        };
        refuse_held(&place, &loaded, point)?;
        let clones = place.dependants(&volume, Some(&name))?;
        if !clones.is_empty() {
            let message = format!(
                "clones stand on {volume}@{name}: {}; remove them, or swap one with it",
                clones.join(", ")
            );
            return Err(Error::blocked(clones, message));
        }
        let readers = loaded.record.holders.iter();
        let readers = attached::names(readers.filter(|h| h.snapshot.as_deref() == Some(&name)));
        if !readers.is_empty() {
            let message = format!(
                "snapshot {volume}@{name} is attached on {}",
                readers.join(", ")
            );
            return Err(Error::in_use(readers, message));
        }
        destroy(&loaded, &name)
    }

    fn rollback(volume: String, name: String, epoch: u64) -> Result<(), Error> {
        let place = Place::open()?;
        let loaded = place.need(&volume)?;
        loaded.record.refuse_stale(epoch)?;
        let point = loaded.point(&name)?;
        let newer = loaded.newer_than(point.order);
        if !newer.is_empty() {
            let message = format!(
                "newer snapshots stand in the way: {}; remove them first",
                newer.join(", ")
            );
            return Err(Error::blocked(newer, message));
        }
        loaded.record.refuse_attached()?;
        if loaded.record.receiving.is_some() {
            return Err(Error::in_use(
                vec!["transfer".to_owned()],
                format!("volume {volume} is receiving; publish or abandon it first"),
            ));
        }
        roll(&place, &loaded, point)
    }
}

/// Goes back to a snapshot that is the newest, and records what that means.
pub(crate) fn roll(place: &Place, loaded: &Loaded, point: &Point) -> Result<(), Error> {
    let path = &loaded.record.path;
    place.unmount(path)?;
    let line = plan::words(["rollback", &format!("{path}@{}", point.name)]);
    zfs::run(
        &format!("rolling volume {} back", loaded.record.name),
        &line,
    )?;
    let mut properties = vec![("cairn:clean", point.guid.clone())];
    if loaded.record.has_disk_file() {
        properties.push(("cairn:size", point.size_bytes.to_string()));
    }
    place.set(path, &properties)
}

/// Removes a snapshot; gone already is success.
pub(crate) fn destroy(loaded: &Loaded, name: &str) -> Result<(), Error> {
    let line = plan::words(["destroy", &format!("{}@{name}", loaded.record.path)]);
    let what = format!("removing snapshot {}@{name}", loaded.record.name);
    zfs::tolerate(&what, &line, &[Refusal::NotThere]).map(drop)
}

/// Takes a snapshot of each, at one moment where the tools can; elsewhere what was taken goes again
/// where one fails.
fn take(place: &Place, all: &[Loaded], name: &str) -> Result<(), Error> {
    let volumes: Vec<(String, Option<u64>)> = all
        .iter()
        .map(|l| {
            (
                l.record.path.clone(),
                Some(l.record.size_bytes).filter(|_| l.record.has_disk_file()),
            )
        })
        .collect();
    let lines = plan::snapshot(&place.dialect()?, &volumes, name);
    for (done, line) in lines.iter().enumerate() {
        if let Err(e) = zfs::run(&format!("taking snapshot {name}"), line) {
            for before in all.iter().take(done) {
                destroy(before, name)?;
            }
            return Err(e);
        }
    }
    Ok(())
}

/// All tags on a snapshot: ours by the note, others' by asking, where the tools can say.
fn holds(place: &Place, loaded: &Loaded, point: &Point) -> Result<Vec<String>, Error> {
    let ours = u64::try_from(point.tags.len()).unwrap_or(u64::MAX);
    if point.tag_count <= ours {
        return Ok(point.tags.clone());
    }
    let mut tags = point.tags.clone();
    if place.dialect()?.is_open() {
        let path = format!("{}@{}", loaded.record.path, point.name);
        let text = zfs::run("reading holds", &plan::words(["holds", "-H", &path]))?;
        let listed = text.lines().filter_map(|line| line.split('\t').nth(1));
        let listed = listed.map(|tag| tag.strip_prefix(TAG_MARK).unwrap_or(tag).to_owned());
        tags.extend(listed.filter(|tag| !point.tags.contains(tag)));
    } else {
        tags.extend((ours..point.tag_count).map(|_| "unknown".to_owned()));
    }
    Ok(tags)
}

fn refuse_held(place: &Place, loaded: &Loaded, point: &Point) -> Result<(), Error> {
    let tags = holds(place, loaded, point)?;
    if tags.is_empty() {
        return Ok(());
    }
    let tags: Vec<String> = tags.iter().map(|tag| format!("hold:{tag}")).collect();
    let message = format!(
        "snapshot {}@{} is held: {}",
        loaded.record.name,
        point.name,
        tags.join(", ")
    );
    Err(Error::blocked(tags, message))
}

impl Holds for StorageZfs {
    fn hold(volume: String, snapshot: String, tag: String) -> Result<(), Error> {
        let place = Place::open()?;
        let loaded = place.need(&volume)?;
        let mut tags = loaded.point(&snapshot)?.tags.clone();
        if !tags.contains(&tag) {
            tags.push(tag.clone());
        }
        let value = tags_value(&tags);
        if value.len() > TAGS_MAX_BYTES {
            return Err(Error::invalid(
                "tag",
                "the snapshot has too many holds to record one more",
            ));
        }
        let path = format!("{}@{snapshot}", loaded.record.path);
        let line = plan::words(["hold", &format!("{TAG_MARK}{tag}"), &path]);
        zfs::tolerate(
            &format!("holding {volume}@{snapshot}"),
            &line,
            &[Refusal::TagExists],
        )?;
        place.set(&path, &[("cairn:holds", value)])
    }

    fn release(volume: String, snapshot: String, tag: String) -> Result<(), Error> {
        let place = Place::open()?;
        let Some(loaded) = place.load(&volume)? else {
            return Ok(());
        };
        let Ok(point) = loaded.point(&snapshot) else {
            return Ok(());
        };
        let path = format!("{}@{snapshot}", loaded.record.path);
        let line = plan::words(["release", &format!("{TAG_MARK}{tag}"), &path]);
        let fine = [Refusal::NoTag, Refusal::NotThere];
        zfs::tolerate(&format!("releasing {volume}@{snapshot}"), &line, &fine)?;
        if !point.tags.contains(&tag) {
            return Ok(());
        }
        let left: Vec<String> = point.tags.iter().filter(|t| **t != tag).cloned().collect();
        place.set(&path, &[("cairn:holds", tags_value(&left))])
    }
}

fn tags_value(tags: &[String]) -> String {
    if tags.is_empty() {
        return nothing();
    }
    tags.join(",")
}
