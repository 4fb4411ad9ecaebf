//! Which directories and files a plugin may use, and the threads that do it: a file system that doesn't
//! answer holds a thread for as long as it likes, so each instance has few of them, and a call doesn't
//! wait past its deadline.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cairn_core::plugin::FileAccess;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};

use crate::bindings::cairn::host::files::FileError;
use crate::state::{Binding, Here};
use crate::text::clipped;

/// Directories that are the kernel's or the whole system, never a plugin's.
const NEVER: [&str; 4] = ["/proc", "/sys", "/dev", "/run/user"];

/// The file system didn't answer in time.
pub(crate) struct Stalled;

/// What a file of a stream is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opened {
    /// To be read; it must be there.
    Source,
    /// To be written; made if it isn't there.
    Sink,
}

impl Binding {
    /// Runs `action` on the granted directory, where blocking is allowed, and waits for it this long.
    pub(crate) async fn within<T: Send + 'static>(
        &self,
        left: Duration,
        directory: String,
        needs: FileAccess,
        action: impl FnOnce(&Dir) -> Result<T, FileError> + Send + 'static,
    ) -> Result<Result<T, FileError>, Stalled> {
        if let Err(denied) = self.granted(&directory, needs) {
            return Ok(Err(denied));
        }
        let (places, here) = (Arc::clone(&self.files), Arc::clone(&self.here));
        let work = async {
            let place = places.acquire_owned().await;
            let work = tokio::task::spawn_blocking(move || {
                // Free only when the thread is, however long after the call.
                let _place = place;
                action(&lent(&directory, &here)?)
            });
            work.await
                .unwrap_or_else(|e| Err(FileError::Failed(e.to_string())))
        };
        tokio::time::timeout(left, work).await.map_err(|_| Stalled)
    }

    /// Opens a whole file or block device for a stream. `path` is absolute and lies in a granted
    /// directory, which no symbolic link leads out of.
    pub(crate) async fn open(
        &self,
        left: Duration,
        path: &str,
        to: Opened,
    ) -> Result<Result<fs::File, FileError>, Stalled> {
        let needs = match to {
            Opened::Source => FileAccess::Read,
            Opened::Sink => FileAccess::ReadWrite,
        };
        let mut refusal = FileError::Denied(format!(
            "`{}` lies in no directory that plugin {} was granted",
            clipped(path, 200),
            self.plugin
        ));
        for (directory, _) in &self.grants.directories {
            let (root, whole) = (directory.clone(), PathBuf::from(path));
            let found = self.within(left, directory.clone(), needs, move |dir| {
                let Some(inner) = inside(&root, &whole) else {
                    return Ok(None);
                };
                opened(dir, &inner, to).map(Some)
            });
            match found.await? {
                Ok(Some(file)) => return Ok(Ok(file)),
                Ok(None) => {}
                Err(e) if Path::new(path).starts_with(directory) => refusal = e,
                Err(_) => {}
            }
        }
        Ok(Err(refusal))
    }

    fn granted(&self, directory: &str, needs: FileAccess) -> Result<(), FileError> {
        let shown = clipped(directory, 200);
        let found = self.grants.directories.iter().find(|(d, _)| d == directory);
        let Some((_, access)) = found else {
            return Err(FileError::Denied(format!(
                "the directory `{shown}` is not granted to plugin {}",
                self.plugin
            )));
        };
        if needs == FileAccess::ReadWrite && *access == FileAccess::Read {
            return Err(FileError::Denied(format!(
                "`{shown}` is granted for reading only"
            )));
        }
        let path = Path::new(directory);
        let odd = path
            .components()
            .any(|c| matches!(c, Component::ParentDir | Component::CurDir));
        if !path.is_absolute() || odd || never(path) {
            return Err(unlendable(directory));
        }
        Ok(())
    }
}

/// The directory's handle, unless it leads, by a symbolic link, to where no plugin may go.
fn lent(directory: &str, here: &Here) -> Result<Dir, FileError> {
    let real = fs::canonicalize(directory).map_err(failed)?;
    if never(&real) || real.starts_with(&here.data) || here.data.starts_with(&real) {
        return Err(unlendable(directory));
    }
    Dir::open_ambient_dir(&real, ambient_authority()).map_err(failed)
}

fn never(path: &Path) -> bool {
    path == Path::new("/") || NEVER.iter().any(|n| path.starts_with(n))
}

fn unlendable(directory: &str) -> FileError {
    FileError::Denied(format!(
        "`{}` can't be lent to a plugin: it is, leads to or holds what is the system's or the daemon's own",
        clipped(directory, 200)
    ))
}

/// The path as seen from the directory, by its name or by where that leads.
fn inside(directory: &str, path: &Path) -> Option<PathBuf> {
    let real = fs::canonicalize(directory).unwrap_or_default();
    let inner = path
        .strip_prefix(directory)
        .or_else(|_| path.strip_prefix(real));
    inner.ok().map(Path::to_owned)
}

fn opened(dir: &Dir, path: &Path, to: Opened) -> Result<fs::File, FileError> {
    let mut options = OpenOptions::new();
    match to {
        Opened::Source => options.read(true),
        Opened::Sink => options.write(true).create(true).truncate(false).mode(0o600),
    };
    // A pipe would make the opening wait for its other end.
    options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    let file = dir.open_with(path, &options).map_err(failed)?.into_std();
    let kind = file.metadata().map_err(failed)?.file_type();
    if kind.is_file() || kind.is_block_device() {
        return Ok(file);
    }
    Err(FileError::Denied(
        "a stream's end must be a file or a block device".to_owned(),
    ))
}

pub(crate) fn failed(error: std::io::Error) -> FileError {
    match error.kind() {
        ErrorKind::NotFound => FileError::NotFound,
        ErrorKind::AlreadyExists => FileError::AlreadyExists,
        ErrorKind::DirectoryNotEmpty => FileError::NotEmpty,
        ErrorKind::NotADirectory => FileError::NotADirectory,
        ErrorKind::IsADirectory => FileError::IsADirectory,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => FileError::NoSpace,
        ErrorKind::ReadOnlyFilesystem => FileError::ReadOnly,
        // This is also what cap-std answers to a path that leads out of the directory.
        ErrorKind::PermissionDenied => FileError::Denied(format!(
            "{error}: the path leads out of the granted directory, or the daemon may not use it"
        )),
        _ => FileError::Failed(error.to_string()),
    }
}
