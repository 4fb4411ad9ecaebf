//! Removes a directory with all in it. It goes down by paths from the granted directory, not by
//! handles from one level to the next, so that a deep tree costs neither stack nor descriptors.

use std::path::{Path, PathBuf};

use cap_std::fs::{Dir, MetadataExt};

use super::granted::failed;
use crate::bindings::cairn::host::files::FileError;

/// Removes the directory at `path`. Another file system mounted in it stops it.
pub(super) fn remove_tree(dir: &Dir, path: &Path) -> Result<(), FileError> {
    let device = dir.dir_metadata().map_err(failed)?.dev();
    let mut left = vec![path.to_owned()];
    while let Some(next) = left.last() {
        let inner = emptied_of_files(dir, next, device)?;
        if inner.is_empty() {
            dir.remove_dir(next).map_err(failed)?;
            left.pop();
        } else {
            left.extend(inner);
        }
    }
    Ok(())
}

/// Removes the files of a directory, and names the directories in it.
fn emptied_of_files(dir: &Dir, path: &Path, device: u64) -> Result<Vec<PathBuf>, FileError> {
    let inner = dir.open_dir(path).map_err(failed)?;
    if inner.dir_metadata().map_err(failed)?.dev() != device {
        return Err(FileError::Failed(format!(
            "{} is another file system mounted there; unmount it first",
            path.display()
        )));
    }
    let mut directories = Vec::new();
    for entry in inner.entries().map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            directories.push(path.join(entry.file_name()));
        } else {
            inner.remove_file(entry.file_name()).map_err(failed)?;
        }
    }
    Ok(directories)
}
