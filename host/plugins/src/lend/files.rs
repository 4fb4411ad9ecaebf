//! `cairn:host/files`: small files under granted directories. Every path is opened relative to the
//! directory's own handle (cap-std, by openat2 where the kernel has it), so neither `..` nor a
//! symbolic link leads out, whoever changes the tree meanwhile.

use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::time::UNIX_EPOCH;

use cairn_core::plugin::FileAccess;
use cap_std::fs::{Dir, Metadata as CapMetadata, MetadataExt, OpenOptions, OpenOptionsExt};

use super::granted::{Stalled, failed};
use super::tree::remove_tree;
use crate::bindings::cairn::host::files::{
    Entry, FileError, FileKind, Host, Metadata, SpaceReport,
};
use crate::limits::{ENTRIES_MAX, FILE_MAX_BYTES, HEADROOM};
use crate::state::CallState;
use crate::text::clipped;

type Answer<T> = wasmtime::Result<Result<T, FileError>>;

impl CallState {
    /// Runs `action` on the granted directory. Where the file system doesn't answer in time, the call
    /// ends as `unavailable`, whatever the plugin makes of it.
    async fn within<T: Send + 'static>(
        &mut self,
        directory: String,
        needs: FileAccess,
        action: impl FnOnce(&Dir) -> Result<T, FileError> + Send + 'static,
    ) -> Answer<T> {
        let left = self.remaining().saturating_sub(HEADROOM);
        let shown = clipped(&directory, 200).to_owned();
        match self.binding.within(left, directory, needs, action).await {
            Ok(answer) => Ok(answer),
            Err(Stalled) => {
                let why = format!("the file system of `{shown}` doesn't answer");
                self.stalled = Some(why.clone());
                Ok(Err(FileError::Failed(why)))
            }
        }
    }
}

impl Host for CallState {
    async fn read(&mut self, directory: String, path: String) -> Answer<Vec<u8>> {
        self.within(directory, FileAccess::Read, move |dir| {
            let file = dir.open(&path).map_err(failed)?;
            let mut bytes = Vec::new();
            file.take(FILE_MAX_BYTES + 1)
                .read_to_end(&mut bytes)
                .map_err(failed)?;
            if bytes.len() as u64 > FILE_MAX_BYTES {
                return Err(FileError::TooLarge(FILE_MAX_BYTES));
            }
            Ok(bytes)
        })
        .await
    }

    async fn write(&mut self, directory: String, path: String, content: Vec<u8>) -> Answer<()> {
        self.within(directory, FileAccess::ReadWrite, move |dir| {
            write(dir, &path, &content)
        })
        .await
    }

    async fn create_sparse(
        &mut self,
        directory: String,
        path: String,
        size_bytes: u64,
    ) -> Answer<()> {
        self.within(directory, FileAccess::ReadWrite, move |dir| {
            let file = dir
                .open_with(
                    &path,
                    OpenOptions::new().write(true).create_new(true).mode(0o600),
                )
                .map_err(failed)?;
            let sized = file.set_len(size_bytes).and_then(|()| file.sync_all());
            if let Err(e) = sized {
                let _ = dir.remove_file(&path);
                return Err(failed(e));
            }
            sync_parent(dir, &path)
        })
        .await
    }

    async fn set_size(&mut self, directory: String, path: String, size_bytes: u64) -> Answer<()> {
        self.within(directory, FileAccess::ReadWrite, move |dir| {
            let file = dir
                .open_with(&path, OpenOptions::new().write(true))
                .map_err(failed)?;
            file.set_len(size_bytes)
                .and_then(|()| file.sync_all())
                .map_err(failed)
        })
        .await
    }

    async fn stat(&mut self, directory: String, path: String) -> Answer<Metadata> {
        self.within(directory, FileAccess::Read, move |dir| {
            dir.symlink_metadata(&path)
                .map(|m| facts(&m))
                .map_err(failed)
        })
        .await
    }

    async fn list(&mut self, directory: String, path: String) -> Answer<Vec<Entry>> {
        self.within(directory, FileAccess::Read, move |dir| entries(dir, &path))
            .await
    }

    async fn make_directory(&mut self, directory: String, path: String) -> Answer<()> {
        self.within(directory, FileAccess::ReadWrite, move |dir| {
            dir.create_dir_all(&path).map_err(failed)?;
            sync_parent(dir, &path)
        })
        .await
    }

    async fn remove(&mut self, directory: String, path: String) -> Answer<()> {
        self.within(directory, FileAccess::ReadWrite, move |dir| {
            let removed = match dir.symlink_metadata(&path) {
                Ok(m) if m.is_dir() => dir.remove_dir(&path),
                Ok(_) => dir.remove_file(&path),
                Err(e) => Err(e),
            };
            match removed {
                Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
                Err(e) => Err(failed(e)),
                Ok(()) => sync_parent(dir, &path),
            }
        })
        .await
    }

    async fn remove_tree(&mut self, directory: String, path: String) -> Answer<()> {
        self.within(directory, FileAccess::ReadWrite, move |dir| {
            let facts = match dir.symlink_metadata(&path) {
                Ok(facts) => facts,
                Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
                Err(e) => return Err(failed(e)),
            };
            if !facts.is_dir() {
                return Err(FileError::NotADirectory);
            }
            remove_tree(dir, Path::new(&path))?;
            sync_parent(dir, &path)
        })
        .await
    }

    async fn rename(&mut self, directory: String, from: String, to: String) -> Answer<()> {
        self.within(directory, FileAccess::ReadWrite, move |dir| {
            dir.rename(&from, dir, &to).map_err(failed)?;
            sync_parent(dir, &from)?;
            sync_parent(dir, &to)
        })
        .await
    }

    async fn space(&mut self, directory: String) -> Answer<SpaceReport> {
        self.within(directory, FileAccess::Read, |dir| {
            let facts = rustix::fs::fstatvfs(dir).map_err(|e| failed(e.into()))?;
            Ok(SpaceReport {
                total_bytes: facts.f_blocks * facts.f_frsize,
                available_bytes: facts.f_bavail * facts.f_frsize,
                filesystem_id: facts.f_fsid,
                read_only: facts.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
            })
        })
        .await
    }

    async fn absolute(&mut self, directory: String) -> Answer<String> {
        let named = directory.clone();
        self.within(directory, FileAccess::Read, move |_| {
            let path = std::fs::canonicalize(&named).map_err(failed)?;
            path.into_os_string()
                .into_string()
                .map_err(|_| FileError::Failed("the directory's path is not UTF-8".to_owned()))
        })
        .await
    }
}

fn write(dir: &Dir, path: &str, content: &[u8]) -> Result<(), FileError> {
    if content.len() as u64 > FILE_MAX_BYTES {
        return Err(FileError::TooLarge(FILE_MAX_BYTES));
    }
    let part = format!("{path}.cairn-part");
    let result = (|| {
        let mut options = OpenOptions::new();
        let mut file = dir.open_with(
            &part,
            options.write(true).create(true).truncate(true).mode(0o600),
        )?;
        file.write_all(content)?;
        file.sync_all()?;
        dir.rename(&part, dir, path)
    })();
    if let Err(e) = result {
        let _ = dir.remove_file(&part);
        return Err(failed(e));
    }
    sync_parent(dir, path)
}

/// Makes a change of names in the directory that holds `path` durable.
fn sync_parent(dir: &Dir, path: &str) -> Result<(), FileError> {
    let parent = Path::new(path)
        .parent()
        .filter(|p| !p.as_os_str().is_empty());
    let handle = match parent {
        Some(parent) => dir.open_dir(parent).map_err(failed)?,
        None => dir.try_clone().map_err(failed)?,
    };
    // The handle of a cap-std directory may be of the kind that can't be synced; open it as a file.
    let file = handle.open(".").map_err(failed)?;
    file.sync_all().map_err(failed)
}

fn entries(dir: &Dir, path: &str) -> Result<Vec<Entry>, FileError> {
    let path = if path.is_empty() { "." } else { path };
    let mut found = Vec::new();
    for entry in dir.read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if found.len() >= ENTRIES_MAX {
            return Err(FileError::TooLarge(ENTRIES_MAX as u64));
        }
        // What has no UTF-8 name is none of a plugin's.
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        match entry.metadata() {
            Ok(metadata) => found.push(Entry {
                name,
                metadata: facts(&metadata),
            }),
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(failed(e)),
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn facts(metadata: &CapMetadata) -> Metadata {
    let kind = metadata.file_type();
    let modified = metadata.modified().ok().and_then(|t| {
        t.into_std()
            .duration_since(UNIX_EPOCH)
            .ok()
            .and_then(|d| u64::try_from(d.as_millis()).ok())
    });
    Metadata {
        kind: if kind.is_file() {
            FileKind::File
        } else if kind.is_dir() {
            FileKind::Directory
        } else if kind.is_symlink() {
            FileKind::Symlink
        } else {
            FileKind::Other
        },
        size_bytes: metadata.len(),
        allocated_bytes: metadata.blocks() * 512,
        modified_ms: modified.unwrap_or(0),
        mode: metadata.mode(),
    }
}
