//! `qemu-img`: one function a form, and what its complaints mean.

use cairn_sdk::host::Command;
use cairn_sdk::plugin::{Cause, Error};

use crate::meta::{format_word, layer_format};
use crate::place::{Place, file};

/// An empty qcow2 file.
pub(crate) fn create(place: &Place, volume: &str, layer: &str, size: u64) -> Result<(), Error> {
    let preallocation = format!("preallocation={}", place.config.preallocation);
    run([
        "create",
        "-q",
        "-f",
        "qcow2",
        "-o",
        &preallocation,
        &path(place, volume, layer),
        &size.to_string(),
    ])
}

/// An empty qcow2 layer on `backing`, which is named relative to the layer's own folder.
pub(crate) fn overlay(
    place: &Place,
    volume: &str,
    layer: &str,
    backing: &str,
    size: u64,
) -> Result<(), Error> {
    let format = format_word(layer_format(backing));
    let (path, size) = (path(place, volume, layer), size.to_string());
    run([
        "create", "-q", "-f", "qcow2", "-F", format, "-b", backing, &path, &size,
    ])
}

pub(crate) fn resize(place: &Place, volume: &str, layer: &str, size: u64) -> Result<(), Error> {
    let format = format_word(layer_format(layer));
    run([
        "resize",
        "-q",
        "-f",
        format,
        &path(place, volume, layer),
        &size.to_string(),
    ])
}

/// Merges what lies between a layer and `backing` into the layer; `None`: all of it.
pub(crate) fn rebase(
    place: &Place,
    volume: &str,
    layer: &str,
    backing: Option<&str>,
) -> Result<(), Error> {
    let path = path(place, volume, layer);
    match backing {
        None => run(["rebase", "-q", "-f", "qcow2", "-b", "", &path]),
        Some(backing) => {
            let format = format_word(layer_format(backing));
            run([
                "rebase", "-q", "-f", "qcow2", "-F", format, "-b", backing, &path,
            ])
        }
    }
}

/// Points a received layer at its base, without looking at the data.
pub(crate) fn repoint(place: &Place, relative: &str, backing: &str) -> Result<(), Error> {
    let format = format_word(layer_format(backing));
    run([
        "rebase",
        "-q",
        "-f",
        "qcow2",
        "-u",
        "-F",
        format,
        "-b",
        backing,
        &place.absolute(relative),
    ])
}

/// A file that holds a layer with all below it, or only what lies above `base` (another layer of
/// the volume).
pub(crate) fn export(
    place: &Place,
    volume: &str,
    layer: &str,
    base: Option<&str>,
    relative: &str,
) -> Result<(), Error> {
    let mut arguments = vec!["convert", "-q", "-O", "qcow2"];
    let base_path = base.map(|base| path(place, volume, base));
    if let (Some(base), Some(path)) = (base, &base_path) {
        arguments.extend(["-B", path, "-F", format_word(layer_format(base))]);
    }
    let (source, target) = (path(place, volume, layer), place.absolute(relative));
    place.dir.remove(relative)?;
    arguments.extend(["-f", format_word(layer_format(layer)), &source, &target]);
    run(arguments)
}

/// The first bytes of a file, whatever it is, as a file of their own: the host reads small files only.
pub(crate) fn head(place: &Place, relative: &str, copy: &str) -> Result<(), Error> {
    let (from, to) = (place.absolute(relative), place.absolute(copy));
    run([
        "dd",
        "-f",
        "raw",
        "-O",
        "raw",
        "-U",
        "bs=512",
        "count=1",
        &format!("if={from}"),
        &format!("of={to}"),
    ])
}

/// The virtual size of a qcow2 file that [`crate::header::check`] has passed.
pub(crate) fn size(place: &Place, relative: &str) -> Result<u64, Error> {
    let path = place.absolute(relative);
    let output = output(["info", "--output=json", "-U", "-f", "qcow2", &path])?;
    let document: serde_json::Value = serde_json::from_str(&output)
        .map_err(|e| Error::corrupt(format!("`qemu-img info` of {relative} can't be read: {e}")))?;
    let size = document
        .get("virtual-size")
        .and_then(serde_json::Value::as_u64);
    size.ok_or_else(|| Error::corrupt(format!("{relative} is no disk image")))
}

fn path(place: &Place, volume: &str, layer: &str) -> String {
    place.absolute(&file(volume, layer))
}

fn run<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<(), Error> {
    output(arguments).map(drop)
}

fn output<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<String, Error> {
    let output = Command::new("qemu-img").args(arguments).output()?;
    if output.success() {
        Ok(output.stdout)
    } else {
        Err(complaint(&output.stderr))
    }
}

/// What a complaint of `qemu-img` means.
fn complaint(stderr: &str) -> Error {
    let said = stderr.trim().trim_start_matches("qemu-img: ").to_owned();
    let has = |part: &str| said.contains(part);
    if has("No space left on device") || has("Disk quota exceeded") {
        return Error::new(Cause::NoSpace(None), format!("no space left: {said}"));
    }
    if has("Failed to get") && has("lock") {
        return Error::in_use(
            vec!["a process".to_owned()],
            format!("the image is open: {said}"),
        );
    }
    if has("No such file or directory") {
        return Error::corrupt(format!("a layer is missing: {said}"));
    }
    if has("Read-only file system") {
        return Error::unavailable(format!("the file system is read-only: {said}"));
    }
    Error::internal(format!("qemu-img: {said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_have_causes() {
        let full = complaint("qemu-img: error while writing: No space left on device\n");
        assert!(matches!(full.cause, Cause::NoSpace(None)));
        let open = complaint(
            "qemu-img: Could not open 'x': Failed to get \"write\" lock\nIs another process using the image [x]?",
        );
        assert!(matches!(open.cause, Cause::InUse(_)));
        assert!(matches!(
            complaint("qemu-img: what").cause,
            Cause::Internal(_)
        ));
    }
}
