//! Volumes: list, change, rename, remove. Making and attaching them have modules of their own.

use cairn_sdk::plugin::Error;
use cairn_sdk::storage::{
    AttachRequest, Attachment, Changes, DetachRequest, Holder, Page, PageRequest, Volume,
    VolumeSpec, Volumes,
};

use crate::StorageZfs;
use crate::place::{Found, Place, guest_value};
use crate::plan;
use crate::words::{check_volume_name, encoded};
use crate::{attach, create, remove, zfs};

/// OpenZFS takes 8,192 bytes a property, zfs-fuse 1,024; a little is left for the encoding's mark.
const NOTES_MAX_BYTES_OPEN: usize = 8_000;
const NOTES_MAX_BYTES_FUSE: usize = 1_000;

impl Volumes for StorageZfs {
    fn create(spec: VolumeSpec) -> Result<Volume, Error> {
        create::create(&spec)
    }

    fn get(name: String) -> Result<Volume, Error> {
        Ok(Place::open()?.need(&name)?.record.volume())
    }

    fn list(request: PageRequest) -> Result<Page, Error> {
        let mut found: Vec<Volume> = Vec::new();
        for record in Place::open()?.all()? {
            let wanted = request
                .guest
                .is_none_or(|guest| record.guest == Some(guest))
                && request
                    .content
                    .is_none_or(|content| record.content == content)
                && request
                    .after
                    .as_ref()
                    .is_none_or(|after| record.name > *after);
            if wanted {
                found.push(record.volume());
            }
        }
        let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|v| v.name.clone());
        Ok(Page {
            volumes: found,
            next,
        })
    }

    fn delete(name: String) -> Result<(), Error> {
        let place = Place::open()?;
        match place.find(&name)? {
            Found::Foreign => Ok(()),
            Found::Nothing | Found::Leftover => remove::clear(&place, &name),
            Found::Volume(loaded) => remove::remove(&place, &loaded),
        }
    }

    fn rename(name: String, new_name: String, guest: Option<u32>) -> Result<Volume, Error> {
        check_volume_name(&new_name)?;
        let place = Place::open()?;
        let Some(old) = place.load(&name)? else {
            // Only the new name is there: it happened before.
            let there = place.load(&new_name)?;
            let there = there.ok_or_else(|| Error::not_found(format!("volume {name}")))?;
            return Ok(there.record.volume());
        };
        match place.find(&new_name)? {
            Found::Nothing => {}
            Found::Leftover => remove::clear(&place, &new_name)?,
            Found::Foreign => return Err(create::foreign(&place, &new_name)),
            Found::Volume(_) => {
                return Err(Error::already_exists(format!(
                    "volume {new_name} is there as well as {name}"
                )));
            }
        }
        old.record.refuse_attached()?;
        let path = place.path(&name);
        if guest.is_some() {
            place.set(&path, &[("cairn:guest", guest_value(guest))])?;
        }
        place.unmount(&path)?;
        let line = plan::words(["rename", &path, &place.path(&new_name)]);
        zfs::run(&format!("renaming volume {name}"), &line)?;
        Ok(place.need(&new_name)?.record.volume())
    }

    fn set_attributes(name: String, changes: Changes) -> Result<Volume, Error> {
        let place = Place::open()?;
        let loaded = place.need(&name)?;
        let mut properties = Vec::new();
        if let Some(notes) = &changes.notes {
            properties.push(("cairn:notes", notes_value(&place, notes)?));
        }
        if let Some(protected) = changes.protected {
            properties.push(("cairn:protected", u8::from(protected).to_string()));
        }
        if let Some(guest) = changes.guest {
            properties.push(("cairn:guest", guest_value(Some(guest))));
        }
        if !properties.is_empty() {
            place.set(&loaded.record.path, &properties)?;
        }
        Ok(place.need(&name)?.record.volume())
    }

    fn attach(name: String, request: AttachRequest) -> Result<Attachment, Error> {
        attach::attach(&name, &request)
    }

    fn detach(name: String, request: DetachRequest) -> Result<(), Error> {
        attach::detach(&name, &request)
    }

    fn holders(name: String) -> Result<Vec<Holder>, Error> {
        Ok(Place::open()?.need(&name)?.record.holders)
    }
}

fn notes_value(place: &Place, notes: &str) -> Result<String, Error> {
    let max = if place.dialect()?.is_open() {
        NOTES_MAX_BYTES_OPEN
    } else {
        NOTES_MAX_BYTES_FUSE
    };
    let value = encoded(notes);
    if value.len() <= max {
        return Ok(value);
    }
    Err(Error::invalid(
        "notes",
        format!(
            "this storage keeps them in a ZFS property, which takes {max} bytes; these need {}",
            value.len()
        ),
    ))
}
