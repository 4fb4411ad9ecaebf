//! Secret files: mode 0600 in a folder of mode 0700, replaced whole or not at all.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use crate::error::IdentityError;

/// A file of ours is a few KiB; one beyond this isn't ours.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Writes `folder/name` so that after a crash the old or the new content is there, on disk.
pub(crate) fn write(folder: &Path, name: &str, content: &[u8]) -> Result<(), IdentityError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(failed("create", folder))?;
    std::fs::set_permissions(folder, Permissions::from_mode(0o700))
        .map_err(failed("close to others", folder))?;
    let part = folder.join(format!("{name}.part"));
    write_synced(&part, content).map_err(failed("write", &part))?;
    let whole = folder.join(name);
    std::fs::rename(&part, &whole).map_err(failed("replace", &whole))?;
    File::open(folder)
        .and_then(|dir| dir.sync_all())
        .map_err(failed("sync", folder))
}

fn write_synced(path: &Path, content: &[u8]) -> std::io::Result<()> {
    // A part left by a crash could have another mode or owner: start anew.
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Reads `folder/name`, and closes it to others where it wasn't, saying so.
pub(crate) fn read(folder: &Path, name: &str) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    let path = folder.join(name);
    let mut file = File::open(&path).map_err(failed("open", &path))?;
    let about = file.metadata().map_err(failed("read", &path))?;
    if about.len() > MAX_FILE_BYTES {
        let why = format!("{} bytes are too many", about.len());
        return Err(IdentityError::Damaged { path, why });
    }
    let mode = about.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        tracing::warn!(
            "{} could be read by others (mode {mode:o}); it is now closed to them, but its keys may be known",
            path.display()
        );
        file.set_permissions(Permissions::from_mode(0o600))
            .map_err(failed("close to others", &path))?;
    }
    let mut content = Zeroizing::new(Vec::new());
    file.read_to_end(&mut content)
        .map_err(failed("read", &path))?;
    Ok(content)
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> IdentityError {
    let path = path.to_owned();
    move |source| IdentityError::Io {
        action,
        path,
        source,
    }
}
