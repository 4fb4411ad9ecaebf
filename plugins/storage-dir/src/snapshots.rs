//! Snapshots: a frozen layer each. The volume must not be open for writing: a guest that runs takes
//! its snapshots through QEMU.

use cairn_sdk::host;
use cairn_sdk::plugin::Error;
use cairn_sdk::storage::{Holds, Snapshot, Snapshots};

use crate::StorageDir;
use crate::clones::dependants_of;
use crate::identity::new_guid;
use crate::image;
use crate::meta::{Frozen, Meta};
use crate::place::{Place, file};

impl Snapshots for StorageDir {
    fn create(volumes: Vec<String>, name: String) -> Result<Vec<Snapshot>, Error> {
        let place = Place::open()?;
        let metas: Vec<Meta> = volumes
            .iter()
            .map(|volume| Meta::need(&place, volume))
            .collect::<Result<_, _>>()?;
        let there: Vec<String> = metas
            .iter()
            .filter(|m| m.snapshot(&name).is_ok())
            .map(|m| format!("{}@{name}", m.name))
            .collect();
        if !there.is_empty() && there.len() < metas.len() {
            return Err(Error::already_exists(format!(
                "some are there already: {}",
                there.join(", ")
            )));
        }
        if there.is_empty() {
            for meta in &metas {
                if meta.is_tree() {
                    return Err(Error::unsupported(format!(
                        "volume {} is a plain directory: it has no snapshots",
                        meta.name
                    )));
                }
                meta.refuse_attached()?;
            }
            take_all(&place, &metas, &name)?;
        }
        volumes
            .iter()
            .map(|volume| {
                let meta = Meta::need(&place, volume)?;
                meta.as_snapshot(&place, meta.snapshot(&name)?)
            })
            .collect()
    }

    fn list(volume: String) -> Result<Vec<Snapshot>, Error> {
        let place = Place::open()?;
        let meta = Meta::need(&place, &volume)?;
        meta.snapshots
            .iter()
            .map(|frozen| meta.as_snapshot(&place, frozen))
            .collect()
    }

    fn delete(volume: String, name: String) -> Result<(), Error> {
        let place = Place::open()?;
        let Some(mut meta) = Meta::load(&place, &volume)? else {
            return Ok(());
        };
        let Some(at) = meta.snapshots.iter().position(|s| s.name == name) else {
            return Ok(());
        };
        refuse_held(&meta, &name)?;
        let clones = dependants_of(&place, &volume, Some(&name))?;
        if !clones.is_empty() {
            let message = format!(
                "clones stand on {volume}@{name}: {}; remove or flatten them",
                clones.join(", ")
            );
            return Err(Error::blocked(clones, message));
        }
        meta.refuse_attached()?;
        let below = match at
            .checked_sub(1)
            .and_then(|below| meta.snapshots.get(below))
        {
            Some(below) => Some(below.layer.clone()),
            None => meta
                .parent
                .as_ref()
                .map(|p| format!("../{}/{}", p.volume, p.layer)),
        };
        let above = meta
            .snapshots
            .get(at + 1)
            .map_or(&meta.active, |s| &s.layer)
            .clone();
        // The layer above takes over what it showed through; it is whole at every moment of this.
        image::rebase(&place, &volume, &above, below.as_deref())?;
        meta.snapshots.remove(at);
        meta.save(&place)?;
        meta.sweep(&place)
    }

    fn rollback(volume: String, name: String, epoch: u64) -> Result<(), Error> {
        let place = Place::open()?;
        let mut meta = Meta::need(&place, &volume)?;
        meta.refuse_stale(epoch)?;
        let frozen = meta.snapshot(&name)?.clone();
        let newer: Vec<String> = meta
            .snapshots
            .iter()
            .rev()
            .take_while(|s| s.name != name)
            .map(|s| format!("{volume}@{}", s.name))
            .collect();
        if !newer.is_empty() {
            let message = format!(
                "newer snapshots stand in the way: {}; remove them first",
                newer.join(", ")
            );
            return Err(Error::blocked(newer, message));
        }
        meta.refuse_attached()?;
        let layer = meta.next_layer();
        image::overlay(&place, &volume, &layer, &frozen.layer, frozen.size_bytes)?;
        meta.active = layer;
        meta.size_bytes = frozen.size_bytes;
        meta.save(&place)?;
        meta.sweep(&place)
    }
}

/// Takes a snapshot of each; what was taken is undone where one fails.
fn take_all(place: &Place, metas: &[Meta], name: &str) -> Result<(), Error> {
    let mut taken: Vec<&Meta> = Vec::new();
    for meta in metas {
        if let Err(e) = take(place, meta.clone(), name) {
            for before in taken {
                // The old layer is still as it was; only the record went ahead.
                before.save(place)?;
                before.sweep(place)?;
            }
            return Err(e);
        }
        taken.push(meta);
    }
    Ok(())
}

fn take(place: &Place, mut meta: Meta, name: &str) -> Result<(), Error> {
    let layer = meta.next_layer();
    if let Err(e) = image::overlay(place, &meta.name, &layer, &meta.active, meta.size_bytes) {
        let _ = place.dir.remove(&file(&meta.name, &layer));
        return Err(e);
    }
    freeze(&mut meta, name, new_guid(), layer);
    meta.save(place)
}

/// Makes the active layer a snapshot, and `layer` the active one.
pub(crate) fn freeze(meta: &mut Meta, name: &str, guid: String, layer: String) {
    let order = meta.snapshots.last().map_or(1, |s| s.order + 1);
    meta.snapshots.push(Frozen {
        name: name.to_owned(),
        guid,
        created_ms: host::clock::wall_ms(),
        order,
        size_bytes: meta.size_bytes,
        layer: std::mem::replace(&mut meta.active, layer),
        holds: Vec::new(),
    });
}

fn refuse_held(meta: &Meta, name: &str) -> Result<(), Error> {
    let holds: Vec<String> = meta
        .snapshot(name)?
        .holds
        .iter()
        .map(|tag| format!("hold:{tag}"))
        .collect();
    if holds.is_empty() {
        return Ok(());
    }
    let message = format!(
        "snapshot {}@{name} is held: {}",
        meta.name,
        holds.join(", ")
    );
    Err(Error::blocked(holds, message))
}

impl Holds for StorageDir {
    fn hold(volume: String, snapshot: String, tag: String) -> Result<(), Error> {
        let place = Place::open()?;
        let mut meta = Meta::need(&place, &volume)?;
        meta.snapshot(&snapshot)?;
        change_holds(&mut meta, &snapshot, |holds| {
            if !holds.contains(&tag) {
                holds.push(tag);
            }
        });
        meta.save(&place)
    }

    fn release(volume: String, snapshot: String, tag: String) -> Result<(), Error> {
        let place = Place::open()?;
        let Some(mut meta) = Meta::load(&place, &volume)? else {
            return Ok(());
        };
        change_holds(&mut meta, &snapshot, |holds| {
            holds.retain(|held| *held != tag)
        });
        meta.save(&place)
    }
}

fn change_holds(meta: &mut Meta, snapshot: &str, change: impl FnOnce(&mut Vec<String>)) {
    if let Some(frozen) = meta.snapshots.iter_mut().find(|s| s.name == snapshot) {
        change(&mut frozen.holds);
    }
}
