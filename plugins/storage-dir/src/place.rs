//! The configuration, and where things lie under the directory.

use cairn_sdk::host::{self, Directory};
use cairn_sdk::plugin::Error;
use cairn_sdk::storage::Format;
use serde::Deserialize;

/// The file that makes a directory a storage.
pub(crate) const MARKER: &str = ".cairn-storage";
pub(crate) const VOLUMES: &str = "volumes";
pub(crate) const TRANSFER: &str = "transfer";

#[derive(Debug, Deserialize)]
pub(crate) struct Config {
    pub(crate) path: String,
    pub(crate) format: String,
    pub(crate) preallocation: String,
    pub(crate) shared: bool,
}

/// The storage's directory.
pub(crate) struct Place {
    pub(crate) config: Config,
    pub(crate) dir: Directory,
}

impl Place {
    /// The directory, if it is the storage's. One that lacks the marker is not written to: it may be
    /// the empty mount point of a file system that isn't mounted.
    pub(crate) fn open() -> Result<Self, Error> {
        let place = Self::unchecked()?;
        if place.marker()?.is_none() {
            return Err(Error::unavailable(format!(
                "{} holds no storage (no {MARKER} in it): is its file system mounted?",
                place.config.path
            )));
        }
        Ok(place)
    }

    pub(crate) fn unchecked() -> Result<Self, Error> {
        let config: Config = host::config()?;
        let dir = Directory::new(config.path.clone());
        Ok(Self { config, dir })
    }

    /// What the marker says, if it is there.
    pub(crate) fn marker(&self) -> Result<Option<String>, Error> {
        match self.dir.read(MARKER) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned())),
            Err(host::FileError::NotFound) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    pub(crate) fn default_format(&self) -> Format {
        if self.config.format == "raw" {
            Format::Raw
        } else {
            Format::Qcow2
        }
    }

    /// An absolute path, as commands and guests take it.
    pub(crate) fn absolute(&self, relative: &str) -> String {
        format!("{}/{relative}", self.config.path)
    }
}

/// The folder of a volume.
pub(crate) fn folder(volume: &str) -> String {
    format!("{VOLUMES}/{volume}")
}

/// A file of a volume.
pub(crate) fn file(volume: &str, name: &str) -> String {
    format!("{VOLUMES}/{volume}/{name}")
}

/// Names that the contract allows. The host checks them, too; here they become parts of paths.
pub(crate) fn check_volume_name(name: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    let first = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if first && name.len() <= 128 && name.chars().all(plain) {
        return Ok(());
    }
    Err(Error::invalid(
        "name",
        "a volume's name is 1 to 128 of a-z 0-9 . _ -, beginning with a letter or digit",
    ))
}
