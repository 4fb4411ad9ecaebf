//! Removing a volume: all of it or nothing.
//!
//! ZFS removes a dataset with its snapshots one after another, the dataset last, and only then finds that
//! something holds it open: an opened zvol, a mount in another namespace. So on OpenZFS the snapshots are
//! first handed to a clone that nobody can open, and come back where the dataset can't go:
//!
//! ```text
//! volume --content unset--> leftover --promote stand-in--> bare dataset --destroy--> stand-in --destroy -r--> gone
//!   ^                                                         | busy
//!   +---- content set, stand-in destroyed <--promote back-----+
//! ```
//! A removal that is cut off leaves a leftover, a stand-in or both; the next removal or creation under the
//! name finishes them off. zfs-fuse has no zvols, and its mounts are asked first.

use cairn_sdk::plugin::Error;

use crate::loaded::{Loaded, Point};
use crate::place::{Place, REMOVED};
use crate::plan;
use crate::record::Record;
use crate::words::content_word;
use crate::zfs;

/// Removes a volume that nothing keeps. It stops being one first.
pub(crate) fn remove(place: &Place, loaded: &Loaded) -> Result<(), Error> {
    refuse_kept(place, loaded)?;
    let record = &loaded.record;
    place.unmount(&record.path)?;
    let newest = loaded.points.last();
    let newest = newest.filter(|_| place.dialect().is_ok_and(|d| d.is_open()));
    let what = format!("removing volume {}", record.name);
    if newest.is_some() {
        // Clones outside of the storage keep their snapshots; this only looks.
        zfs::run(&what, &plan::words(["destroy", "-n", "-r", &record.path]))?;
    }
    zfs::run(
        &what,
        &plan::words(["inherit", "cairn:content", &record.path]),
    )?;
    let removed = match newest {
        Some(newest) => by_stand_in(place, record, newest),
        None => place.destroy_tree(&record.path),
    };
    if removed.is_err() {
        place.set(
            &record.path,
            &[("cairn:content", content_word(record.content).to_owned())],
        )?;
    }
    removed
}

/// Removes what a creation or a removal that was cut off left under a volume's name.
pub(crate) fn clear(place: &Place, name: &str) -> Result<(), Error> {
    place.destroy_tree(&place.path(name))?;
    place.destroy_tree(&place.removed(name))
}

/// Removes a dataset that has snapshots, `newest` the last.
fn by_stand_in(place: &Place, record: &Record, newest: &Point) -> Result<(), Error> {
    let what = format!("removing volume {}", record.name);
    let stand_in = place.removed(&record.name);
    place.make_holder(REMOVED)?;
    place.destroy_tree(&stand_in)?;
    let line = plan::stand_in(&record.path, &newest.name, &stand_in, record.zvol);
    zfs::run(&what, &line)?;
    if let Err(e) = zfs::run(&what, &plan::words(["promote", &stand_in])) {
        place.destroy_tree(&stand_in)?;
        return Err(e);
    }
    if let Err(e) = zfs::run(&what, &plan::words(["destroy", &record.path])) {
        zfs::run(
            &format!("giving volume {} its snapshots back", record.name),
            &plan::words(["promote", &record.path]),
        )?;
        place.destroy_tree(&stand_in)?;
        return Err(e);
    }
    place.destroy_tree(&stand_in)
}

fn refuse_kept(place: &Place, loaded: &Loaded) -> Result<(), Error> {
    let record = &loaded.record;
    let name = &record.name;
    if record.protected {
        return Err(Error::blocked(
            vec!["protected".to_owned()],
            format!(
                "volume {name} is protected; lift it with `cairn volume set --protected false`"
            ),
        ));
    }
    record.refuse_attached()?;
    let clones = place.dependants(name, None)?;
    if !clones.is_empty() {
        let message = format!(
            "clones stand on volume {name}: {}; remove them, or swap one with it",
            clones.join(", ")
        );
        return Err(Error::blocked(clones, message));
    }
    let is_held = |p: &&crate::loaded::Point| p.tag_count > 0 || !p.tags.is_empty();
    let held = loaded.points.iter().filter(is_held);
    let held: Vec<String> = held.map(|p| format!("{name}@{}", p.name)).collect();
    if !held.is_empty() {
        let message = format!("snapshots of volume {name} are held: {}", held.join(", "));
        return Err(Error::blocked(held, message));
    }
    if !loaded.children.is_empty() {
        let message = format!(
            "there are datasets below volume {name} that are not this storage's: {}",
            loaded.children.join(", ")
        );
        return Err(Error::blocked(loaded.children.clone(), message));
    }
    Ok(())
}
