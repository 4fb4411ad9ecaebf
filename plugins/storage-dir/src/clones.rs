//! Linked clones, templates, and making a clone stand alone.

use cairn_sdk::plugin::Error;
use cairn_sdk::storage::{Clones, Flattening, Templates, Volume, VolumeSpec};

use crate::StorageDir;
use crate::image;
use crate::meta::{Meta, Parent, all, content_word};
use crate::place::{Place, check_volume_name, folder};
use crate::volumes::blank;

impl Clones for StorageDir {
    fn linked(volume: String, snapshot: String, spec: VolumeSpec) -> Result<Volume, Error> {
        check_volume_name(&spec.name)?;
        let place = Place::open()?;
        let source = Meta::need(&place, &volume)?;
        let frozen = source.snapshot(&snapshot)?;
        let parent = Parent {
            volume: volume.clone(),
            snapshot: snapshot.clone(),
            layer: frozen.layer.clone(),
        };
        let size = spec.size_bytes.max(frozen.size_bytes);
        if spec.size_bytes != 0 && spec.size_bytes < frozen.size_bytes {
            return Err(Error::invalid(
                "size",
                format!("it is smaller than its source's {}", frozen.size_bytes),
            ));
        }
        if let Some(there) = Meta::load(&place, &spec.name)? {
            if there.parent.as_ref() == Some(&parent) && there.guest == spec.guest {
                return there.volume(&place);
            }
            return Err(Error::already_exists(format!(
                "volume {} is there and no such clone",
                spec.name
            )));
        }
        place.dir.remove_tree(&folder(&spec.name))?;
        place.dir.make_directory(&folder(&spec.name))?;
        let mut meta = blank(&spec, size);
        meta.content = content_word(spec.content).to_owned();
        meta.format = "qcow2".to_owned();
        meta.active = meta.next_layer();
        let backing = format!("../{volume}/{}", parent.layer);
        meta.parent = Some(parent);
        let made = image::overlay(&place, &meta.name, &meta.active, &backing, size);
        if let Err(e) = made.and_then(|()| meta.save(&place)) {
            let _ = place.dir.remove_tree(&folder(&meta.name));
            return Err(e);
        }
        meta.volume(&place)
    }

    fn dependants(volume: String, snapshot: Option<String>) -> Result<Vec<String>, Error> {
        let place = Place::open()?;
        let meta = Meta::need(&place, &volume)?;
        if let Some(snapshot) = &snapshot {
            meta.snapshot(snapshot)?;
        }
        dependants_of(&place, &volume, snapshot.as_deref())
    }
}

/// Volumes that stand on a volume, or on one snapshot of it.
pub(crate) fn dependants_of(
    place: &Place,
    volume: &str,
    snapshot: Option<&str>,
) -> Result<Vec<String>, Error> {
    let stands = |meta: &Meta| {
        let parent = meta.parent.as_ref().filter(|p| p.volume == volume);
        parent.is_some_and(|p| snapshot.is_none_or(|s| p.snapshot == s))
    };
    Ok(all(place)?
        .into_iter()
        .filter(stands)
        .map(|meta| meta.name)
        .collect())
}

impl Templates for StorageDir {
    fn set_template(name: String, template: bool) -> Result<Volume, Error> {
        let place = Place::open()?;
        let mut meta = Meta::need(&place, &name)?;
        if meta.template != template {
            meta.refuse_attached()?;
            let clones = dependants_of(&place, &name, None)?;
            if !template && !clones.is_empty() {
                let message = format!("clones stand on template {name}: {}", clones.join(", "));
                return Err(Error::blocked(clones, message));
            }
            meta.template = template;
            meta.save(&place)?;
        }
        meta.volume(&place)
    }
}

impl Flattening for StorageDir {
    fn flatten(name: String) -> Result<Volume, Error> {
        let place = Place::open()?;
        let mut meta = Meta::need(&place, &name)?;
        if meta.parent.is_some() {
            meta.refuse_attached()?;
            let oldest = meta.snapshots.first().map_or(&meta.active, |s| &s.layer);
            image::rebase(&place, &name, oldest, None)?;
            meta.parent = None;
            meta.save(&place)?;
        }
        meta.volume(&place)
    }
}
