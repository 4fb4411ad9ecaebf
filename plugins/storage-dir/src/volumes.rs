//! Volumes: make, list, attach, remove.

use cairn_sdk::host::{self, log};
use cairn_sdk::plugin::Error;
use cairn_sdk::storage::{
    AttachRequest, Attachment, Changes, DetachRequest, Format, Holder, Page, PageRequest, Purpose,
    Volume, VolumeSpec, Volumes,
};

use crate::StorageDir;
use crate::backend::STEP_BYTES;
use crate::clones::dependants_of;
use crate::image;
use crate::meta::{Attached, Meta, content_word, format_word, readable};
use crate::place::{Place, check_volume_name, file, folder};

const NOTES_MAX_BYTES: usize = 64 << 10;
const TREE: &str = "tree";

impl Volumes for StorageDir {
    fn create(spec: VolumeSpec) -> Result<Volume, Error> {
        check_volume_name(&spec.name)?;
        let place = Place::open()?;
        let size = checked_size(&spec)?;
        if let Some(there) = Meta::load(&place, &spec.name)? {
            differs(&there, &spec, size)?;
            return there.volume(&place);
        }
        let mut meta = blank(&spec, size);
        // What a crash may have left is no volume yet.
        place.dir.remove_tree(&folder(&spec.name))?;
        let made = fill(&place, &mut meta);
        if let Err(e) = made.and_then(|()| meta.save(&place)) {
            let _ = place.dir.remove_tree(&folder(&spec.name));
            return Err(e);
        }
        meta.volume(&place)
    }

    fn get(name: String) -> Result<Volume, Error> {
        let place = Place::open()?;
        Meta::need(&place, &name)?.volume(&place)
    }

    fn list(request: PageRequest) -> Result<Page, Error> {
        let place = Place::open()?;
        let wanted = |meta: &Meta| {
            request.guest.is_none_or(|guest| meta.guest == Some(guest))
                && request
                    .content
                    .is_none_or(|content| meta.content == content_word(content))
                && request
                    .after
                    .as_ref()
                    .is_none_or(|after| meta.name > *after)
        };
        let limit = request.limit as usize;
        // A damaged record costs its own volume only; the health report names it.
        let (found, damaged) = readable(&place)?;
        for damage in damaged {
            log::write(log::Level::Error, &damage.error.message);
        }
        let found: Vec<Meta> = found.into_iter().filter(wanted).collect();
        let more = found.len() > limit;
        let volumes: Vec<Volume> = found
            .iter()
            .take(limit)
            .map(|meta| meta.volume(&place))
            .collect::<Result<_, _>>()?;
        let next = volumes.last().filter(|_| more).map(|v| v.name.clone());
        Ok(Page { volumes, next })
    }

    fn delete(name: String) -> Result<(), Error> {
        check_volume_name(&name)?;
        let place = Place::open()?;
        let Some(meta) = Meta::load(&place, &name)? else {
            return Ok(place.dir.remove_tree(&folder(&name))?);
        };
        if meta.protected {
            return Err(Error::blocked(
                vec!["protected".to_owned()],
                format!(
                    "volume {name} is protected; lift it with `cairn volume set --protected false`"
                ),
            ));
        }
        if !meta.attached.is_empty() {
            let holders: Vec<String> = meta
                .attached
                .iter()
                .map(|a| format!("node {}", a.node))
                .collect();
            let message = format!(
                "volume {name} is attached on {}; detach it first",
                holders.join(", ")
            );
            return Err(Error::in_use(holders, message));
        }
        let clones = dependants_of(&place, &name, None)?;
        if !clones.is_empty() {
            let message = format!(
                "clones stand on volume {name}: {}; remove or flatten them",
                clones.join(", ")
            );
            return Err(Error::blocked(clones, message));
        }
        let held: Vec<String> = meta
            .snapshots
            .iter()
            .filter(|s| !s.holds.is_empty())
            .map(|s| format!("{name}@{}", s.name))
            .collect();
        if !held.is_empty() {
            let message = format!("snapshots of volume {name} are held: {}", held.join(", "));
            return Err(Error::blocked(held, message));
        }
        meta.forget(&place)?;
        Ok(place.dir.remove_tree(&folder(&name))?)
    }

    fn rename(name: String, new_name: String, guest: Option<u32>) -> Result<Volume, Error> {
        check_volume_name(&new_name)?;
        let place = Place::open()?;
        let mut meta = match (Meta::load(&place, &name)?, Meta::load(&place, &new_name)?) {
            (Some(_), Some(_)) => {
                return Err(Error::already_exists(format!(
                    "volume {new_name} is there as well as {name}"
                )));
            }
            (Some(meta), None) => {
                meta.refuse_attached()?;
                let clones = dependants_of(&place, &name, None)?;
                if !clones.is_empty() {
                    let message = format!(
                        "clones name volume {name} as their source: {}",
                        clones.join(", ")
                    );
                    return Err(Error::blocked(clones, message));
                }
                place.dir.remove_tree(&folder(&new_name))?;
                place.dir.rename(&folder(&name), &folder(&new_name))?;
                meta
            }
            (None, Some(there)) => there,
            (None, None) => return Err(Error::not_found(format!("volume {name}"))),
        };
        meta.name = new_name;
        if let Some(guest) = guest {
            meta.guest = owner(guest);
        }
        meta.save(&place)?;
        meta.volume(&place)
    }

    fn set_attributes(name: String, changes: Changes) -> Result<Volume, Error> {
        let place = Place::open()?;
        let mut meta = Meta::need(&place, &name)?;
        if let Some(notes) = changes.notes {
            if notes.len() > NOTES_MAX_BYTES {
                return Err(Error::invalid("notes", "they may have at most 64 KiB"));
            }
            meta.notes = notes;
        }
        meta.protected = changes.protected.unwrap_or(meta.protected);
        if let Some(guest) = changes.guest {
            meta.guest = owner(guest);
        }
        meta.save(&place)?;
        meta.volume(&place)
    }

    fn attach(name: String, request: AttachRequest) -> Result<Attachment, Error> {
        let place = Place::open()?;
        let mut meta = Meta::need(&place, &name)?;
        meta.refuse_stale(request.epoch)?;
        let path = match &request.snapshot {
            Some(snapshot) if !request.read_only => {
                return Err(Error::invalid(
                    "read-only",
                    format!("snapshot {snapshot} can only be read"),
                ));
            }
            Some(snapshot) => meta.snapshot(snapshot)?.layer.clone(),
            None if meta.is_tree() => TREE.to_owned(),
            None => meta.active.clone(),
        };
        if meta.template && !request.read_only {
            return Err(Error::invalid(
                "read-only",
                format!("volume {name} is a template: it can only be read"),
            ));
        }
        let wanted = Attached {
            node: request.node.clone(),
            epoch: request.epoch,
            read_only: request.read_only,
            snapshot: request.snapshot.clone(),
        };
        let others: Vec<String> = meta
            .attached
            .iter()
            .filter(|a| !a.read_only && a.node != request.node)
            .map(|a| format!("node {}", a.node))
            .collect();
        if !others.is_empty() && !request.read_only && request.purpose != Purpose::MigratingIn {
            let message = format!(
                "volume {name} is attached for writing on {}",
                others.join(", ")
            );
            return Err(Error::in_use(others, message));
        }
        if !meta.attached.contains(&wanted) {
            meta.attached.retain(|a| {
                a.node != request.node
                    || a.read_only != request.read_only
                    || a.snapshot != request.snapshot
            });
            meta.attached.push(wanted);
            meta.epoch = meta.epoch.max(request.epoch);
            meta.replica = meta.replica && request.read_only;
            meta.save(&place)?;
        }
        let path = place.absolute(&file(&name, &path));
        Ok(if meta.is_tree() {
            Attachment::Directory(path)
        } else {
            Attachment::File(path)
        })
    }

    fn detach(name: String, request: DetachRequest) -> Result<(), Error> {
        let place = Place::open()?;
        let Some(mut meta) = Meta::load(&place, &name)? else {
            return Ok(());
        };
        let mine = |a: &Attached| a.node == request.node;
        if !request.force
            && let Some(newer) = meta
                .attached
                .iter()
                .find(|a| mine(a) && a.epoch > request.epoch)
        {
            return Err(Error::stale_epoch(request.epoch, newer.epoch));
        }
        let before = meta.attached.len();
        meta.attached.retain(|a| !mine(a));
        if meta.attached.len() != before {
            meta.save(&place)
        } else {
            Ok(())
        }
    }

    fn holders(name: String) -> Result<Vec<Holder>, Error> {
        let place = Place::open()?;
        let meta = Meta::need(&place, &name)?;
        let holder = |a: Attached| Holder {
            node: a.node,
            epoch: a.epoch,
            read_only: a.read_only,
            snapshot: a.snapshot,
        };
        Ok(meta.attached.into_iter().map(holder).collect())
    }
}

fn owner(guest: u32) -> Option<u32> {
    Some(guest).filter(|g| *g != 0)
}

fn checked_size(spec: &VolumeSpec) -> Result<u64, Error> {
    match (spec.format, spec.size_bytes) {
        (Format::Vmdk, _) => Err(Error::invalid(
            "format",
            "this storage has raw, qcow2 and directory",
        )),
        (Format::Directory, 0) => Ok(0),
        (Format::Directory, _) => Err(Error::invalid(
            "size",
            "a plain directory can't keep to a size; give 0 for none",
        )),
        (_, 0) => Err(Error::invalid("size", "a disk must have a size")),
        (_, size) => size
            .checked_next_multiple_of(STEP_BYTES)
            .ok_or_else(|| Error::invalid("size", "it is too large")),
    }
}

/// Refuses a volume that is there and isn't what is asked for.
fn differs(there: &Meta, spec: &VolumeSpec, size: u64) -> Result<(), Error> {
    let mut differences = Vec::new();
    let mut compare = |what: &str, has: String, asked: String| {
        if has != asked {
            differences.push(format!("{what} {has}, not {asked}"));
        }
    };
    compare("size", there.size_bytes.to_string(), size.to_string());
    compare(
        "format",
        there.format.clone(),
        format_word(spec.format).to_owned(),
    );
    compare(
        "content",
        there.content.clone(),
        content_word(spec.content).to_owned(),
    );
    compare(
        "guest",
        format!("{:?}", there.guest),
        format!("{:?}", spec.guest),
    );
    if differences.is_empty() {
        return Ok(());
    }
    Err(Error::already_exists(format!(
        "volume {} is there with {}",
        spec.name,
        differences.join(", ")
    )))
}

/// A volume of this spec before it has its first layer.
pub(crate) fn blank(spec: &VolumeSpec, size: u64) -> Meta {
    Meta {
        version: 1,
        name: spec.name.clone(),
        content: content_word(spec.content).to_owned(),
        format: format_word(spec.format).to_owned(),
        size_bytes: size,
        guest: spec.guest,
        created_ms: host::clock::wall_ms(),
        notes: String::new(),
        protected: false,
        template: false,
        epoch: 0,
        attached: Vec::new(),
        active: String::new(),
        next: 1,
        snapshots: Vec::new(),
        parent: None,
        replica: false,
    }
}

fn fill(place: &Place, meta: &mut Meta) -> Result<(), Error> {
    place.dir.make_directory(&folder(&meta.name))?;
    match meta.format.as_str() {
        "directory" => place
            .dir
            .make_directory(&file(&meta.name, TREE))
            .map_err(Error::from),
        "raw" => {
            meta.active = "1.raw".to_owned();
            meta.next = 2;
            Ok(place
                .dir
                .create_sparse(&file(&meta.name, &meta.active), meta.size_bytes)?)
        }
        _ => {
            meta.active = meta.next_layer();
            image::create(place, &meta.name, &meta.active, meta.size_bytes)
        }
    }
}
