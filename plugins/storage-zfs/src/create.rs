//! Making an empty volume. One command makes a zvol or a file tree whole; a disk that is a file takes
//! three, and becomes a volume by the last.

use cairn_sdk::plugin::Error;
use cairn_sdk::storage::{Format, Hints, Volume, VolumeSpec};

use crate::place::{Found, Place, guest_value};
use crate::plan;
use crate::record::Record;
use crate::words::{check_volume_name, content_word, format_word};
use crate::{remove, zfs};

const BLOCK_MIN_BYTES: u64 = 512;
const BLOCK_MAX_BYTES: u64 = 128 << 10;

/// How a volume will lie.
struct Layout {
    size_bytes: u64,
    block_bytes: u64,
    thin: bool,
    zvol: bool,
}

/// As `volumes.create` of the contract.
pub(crate) fn create(spec: &VolumeSpec) -> Result<Volume, Error> {
    check_volume_name(&spec.name)?;
    let place = Place::open()?;
    let layout = layout(&place, spec)?;
    match place.find(&spec.name)? {
        Found::Volume(there) => {
            differs(&there.record, spec, layout.size_bytes)?;
            return Ok(there.record.volume());
        }
        Found::Foreign => return Err(foreign(&place, &spec.name)),
        Found::Leftover => remove::clear(&place, &spec.name)?,
        Found::Nothing => {}
    }
    if let Err(e) = make(&place, spec, &layout) {
        // What is left is no volume; the next try would remove it, too.
        if matches!(place.find(&spec.name), Ok(Found::Leftover)) {
            let _ = place.destroy_tree(&place.path(&spec.name));
        }
        return Err(e);
    }
    Ok(place.need(&spec.name)?.record.volume())
}

/// The refusal of a name that a dataset of someone else has.
pub(crate) fn foreign(place: &Place, name: &str) -> Error {
    Error::already_exists(format!(
        "dataset {} is there and is no volume of this storage; take another name",
        place.path(name)
    ))
}

fn layout(place: &Place, spec: &VolumeSpec) -> Result<Layout, Error> {
    let block_bytes = block(&spec.hints, place.config.block_bytes())?;
    if spec.hints.encrypted == Some(true) {
        return Err(Error::unsupported(
            "this storage makes no encrypted volumes; encrypt the pool's dataset instead",
        ));
    }
    let size_bytes = match (spec.format, spec.size_bytes) {
        (Format::Directory, size) => size,
        (Format::Raw, 0) => return Err(Error::invalid("size", "a disk must have a size")),
        (Format::Raw, size) => rounded(size, block_bytes)?,
        _ => {
            return Err(Error::invalid(
                "format",
                "this storage has raw and directory",
            ));
        }
    };
    Ok(Layout {
        size_bytes,
        block_bytes,
        thin: spec.hints.thin.unwrap_or(place.config.thin),
        zvol: spec.format == Format::Raw && place.dialect()?.is_open(),
    })
}

fn block(hints: &Hints, default: u64) -> Result<u64, Error> {
    let Some(block) = hints.block_size.map(u64::from) else {
        return Ok(default);
    };
    if block.is_power_of_two() && (BLOCK_MIN_BYTES..=BLOCK_MAX_BYTES).contains(&block) {
        return Ok(block);
    }
    Err(Error::invalid(
        "block-size",
        "it is a power of two from 512 to 131072",
    ))
}

/// A size as a multiple of a step.
pub(crate) fn rounded(size_bytes: u64, step_bytes: u64) -> Result<u64, Error> {
    size_bytes
        .checked_next_multiple_of(step_bytes)
        .filter(|size| *size <= crate::backend::VOLUME_MAX_BYTES)
        .ok_or_else(|| Error::invalid("size", "it is too large"))
}

/// What is recorded of a new volume, besides its content.
pub(crate) fn metadata(spec: &VolumeSpec, size_bytes: u64) -> Vec<(&'static str, String)> {
    vec![
        ("cairn:format", format_word(spec.format).to_owned()),
        ("cairn:size", size_bytes.to_string()),
        ("cairn:guest", guest_value(spec.guest)),
    ]
}

/// The record that makes it a volume.
pub(crate) fn commit(spec: &VolumeSpec) -> (&'static str, String) {
    ("cairn:content", content_word(spec.content).to_owned())
}

fn make(place: &Place, spec: &VolumeSpec, layout: &Layout) -> Result<(), Error> {
    let path = place.path(&spec.name);
    let what = format!("making volume {}", spec.name);
    let mut properties: Vec<(&str, String)> = Vec::new();
    let as_file = spec.format == Format::Raw && !layout.zvol;
    if as_file {
        properties.push(("atime", "off".to_owned()));
    }
    if place.config.compression != "inherit" {
        properties.push(("compression", place.config.compression.clone()));
    }
    if as_file {
        properties.push(("recordsize", layout.block_bytes.to_string()));
    }
    if spec.format == Format::Directory && layout.size_bytes != 0 {
        properties.push(("refquota", layout.size_bytes.to_string()));
    }
    if !layout.thin && !layout.zvol && layout.size_bytes != 0 {
        properties.push(("refreservation", layout.size_bytes.to_string()));
    }
    properties.extend(metadata(spec, layout.size_bytes));
    if layout.zvol {
        properties.push(commit(spec));
        let line = plan::create_zvol(
            &path,
            layout.size_bytes,
            layout.block_bytes,
            layout.thin,
            &properties,
        );
        return zfs::run(&what, &line).map(drop);
    }
    if !as_file {
        properties.push(commit(spec));
    }
    zfs::run(&what, &plan::create_filesystem(&path, &properties))?;
    if as_file {
        place.set_disk_length(&path, layout.size_bytes, true)?;
        place.unmount(&path)?;
        place.set(&path, &[commit(spec)])?;
    }
    Ok(())
}

/// Refuses a volume that is there and isn't what is asked for.
fn differs(there: &Record, spec: &VolumeSpec, size_bytes: u64) -> Result<(), Error> {
    let pairs = [
        ("size", there.size_bytes.to_string(), size_bytes.to_string()),
        (
            "format",
            format_word(there.format).to_owned(),
            format_word(spec.format).to_owned(),
        ),
        (
            "content",
            content_word(there.content).to_owned(),
            content_word(spec.content).to_owned(),
        ),
        ("guest", guest_value(there.guest), guest_value(spec.guest)),
    ];
    let different: Vec<String> = pairs
        .iter()
        .filter(|(_, has, asked)| has != asked)
        .map(|(what, has, asked)| format!("{what} {has}, not {asked}"))
        .collect();
    if different.is_empty() {
        return Ok(());
    }
    Err(Error::already_exists(format!(
        "volume {} is there with {}",
        spec.name,
        different.join(", ")
    )))
}
