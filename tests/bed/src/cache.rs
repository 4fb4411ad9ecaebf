//! The folder of what takes long to make: `$CAIRN_CACHE`, or `~/.cache/cairn`. Things in it are
//! held by a shared lock while in use, so that none is deleted under another test.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Under this name lies, in each thing of the cache, the file that its users hold.
const IN_USE: &str = ".in-use";

/// A thing of the cache that stays as long as this lives.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) dir: PathBuf,
    _lock: File,
}

/// The folder `name` of the cache, made if need be.
pub(crate) fn folder(name: &str) -> Result<PathBuf> {
    let cache = match std::env::var_os("CAIRN_CACHE") {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(std::env::var_os("HOME").context(
            "neither CAIRN_CACHE nor HOME is set: set CAIRN_CACHE to a folder for built images",
        )?)
        .join(".cache/cairn"),
    };
    let dir = cache.join(name);
    fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    Ok(dir.canonicalize()?)
}

/// Waits for, and takes, the right to make things in `folder`; it ends with the file.
pub(crate) fn lock(folder: &Path) -> Result<File> {
    let file = File::create(folder.join(".lock"))?;
    file.lock()?;
    Ok(file)
}

/// Keeps the thing in `dir` from being deleted. Taken while its folder's lock is held.
pub(crate) fn hold(dir: PathBuf) -> Result<Held> {
    let file = File::create(dir.join(IN_USE))?;
    file.lock_shared()?;
    Ok(Held { dir, _lock: file })
}

/// Deletes the things of `folder` that `old` picks by name and nobody holds. The folder's lock
/// is held.
pub(crate) fn discard(folder: &Path, old: impl Fn(&str) -> bool) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let is_old = old(&entry.file_name().to_string_lossy());
        if !is_old || !entry.file_type()?.is_dir() {
            continue;
        }
        let dir = entry.path();
        let unused = File::create(dir.join(IN_USE)).is_ok_and(|file| file.try_lock().is_ok());
        if unused {
            fs::remove_dir_all(&dir).with_context(|| dir.display().to_string())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_held_is_not_deleted() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["new", "old", "held"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let held = hold(folder.path().join("held")).unwrap();
        discard(folder.path(), |name| name != "new").unwrap();
        let there = |name: &str| folder.path().join(name).exists();
        assert_eq!(
            (there("new"), there("old"), there("held")),
            (true, false, true)
        );
        drop(held);
        discard(folder.path(), |name| name != "new").unwrap();
        assert!(!there("held"));
    }
}
