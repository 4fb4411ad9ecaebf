//! Small files under granted directories.

use crate::bindings::cairn::host::files;
use crate::plugin::{Cause, Error};

pub use crate::bindings::cairn::host::files::{Entry, FileError, FileKind, Metadata, SpaceReport};

/// A granted directory. Paths given to its methods are relative to it and can't leave it.
#[derive(Debug, Clone)]
pub struct Directory {
    path: String,
}

impl Directory {
    /// `path` as it was granted: an absolute path, often a configuration value.
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into() }
    }

    /// A whole file of at most 4 MiB.
    ///
    /// # Errors
    /// As the host says: not there, denied, too large.
    pub fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        files::read(&self.path, path)
    }

    /// Writes at most 4 MiB: after a crash the old or the new content is there, whole.
    ///
    /// # Errors
    /// As the host says.
    pub fn write(&self, path: &str, content: &[u8]) -> Result<(), FileError> {
        files::write(&self.path, path, content)
    }

    /// Makes an empty sparse file of this length.
    ///
    /// # Errors
    /// `already-exists`, or as the host says.
    pub fn create_sparse(&self, path: &str, size_bytes: u64) -> Result<(), FileError> {
        files::create_sparse(&self.path, path, size_bytes)
    }

    /// Sets a file's length.
    ///
    /// # Errors
    /// As the host says.
    pub fn set_size(&self, path: &str, size_bytes: u64) -> Result<(), FileError> {
        files::set_size(&self.path, path, size_bytes)
    }

    /// Facts about a path, or `None` if nothing is there.
    ///
    /// # Errors
    /// As the host says.
    pub fn stat(&self, path: &str) -> Result<Option<Metadata>, FileError> {
        match files::stat(&self.path, path) {
            Ok(metadata) => Ok(Some(metadata)),
            Err(FileError::NotFound) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Entries sorted by name.
    ///
    /// # Errors
    /// As the host says.
    pub fn list(&self, path: &str) -> Result<Vec<Entry>, FileError> {
        files::list(&self.path, path)
    }

    /// Makes a directory and its parents.
    ///
    /// # Errors
    /// As the host says.
    pub fn make_directory(&self, path: &str) -> Result<(), FileError> {
        files::make_directory(&self.path, path)
    }

    /// Removes a file or an empty directory; gone already is success.
    ///
    /// # Errors
    /// As the host says.
    pub fn remove(&self, path: &str) -> Result<(), FileError> {
        files::remove(&self.path, path)
    }

    /// Removes a directory with all in it.
    ///
    /// # Errors
    /// As the host says.
    pub fn remove_tree(&self, path: &str) -> Result<(), FileError> {
        files::remove_tree(&self.path, path)
    }

    /// Renames within the directory, durably.
    ///
    /// # Errors
    /// As the host says.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), FileError> {
        files::rename(&self.path, from, to)
    }

    /// Space of the file system that holds it.
    ///
    /// # Errors
    /// As the host says.
    pub fn space(&self) -> Result<SpaceReport, FileError> {
        files::space(&self.path)
    }

    /// Its absolute path on the node, symbolic links resolved.
    ///
    /// # Errors
    /// As the host says.
    pub fn absolute(&self) -> Result<String, FileError> {
        files::absolute(&self.path)
    }
}

impl From<FileError> for Error {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Denied(why) => Error::new(Cause::Denied(why.clone()), why),
            FileError::NotFound => Error::not_found("such file"),
            FileError::AlreadyExists => Error::already_exists("the file is there already"),
            FileError::NotEmpty => Error::internal("a directory is not empty"),
            FileError::NotADirectory => Error::internal("a path is no directory"),
            FileError::IsADirectory => Error::internal("a path is a directory"),
            FileError::TooLarge(limit) => {
                Error::internal(format!("a file passes the limit of {limit} bytes"))
            }
            FileError::NoSpace => Error::new(
                Cause::NoSpace(None),
                "no space left: free some, or add some",
            ),
            FileError::ReadOnly => Error::unavailable("the file system is read-only"),
            FileError::Failed(why) => Error::internal(why),
        }
    }
}
