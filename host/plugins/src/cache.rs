//! Compiled components on disk, in a folder that only the daemon can write. A file is named by the
//! component's digest and the engine's fingerprint (version, settings, processor), so another
//! engine never opens it. Loading maps the file: its cost is milliseconds, whatever its size. What was
//! compiled for an inspection alone is marked as such, and there is one at most: it spares an install that
//! follows the compiling.
//!
//! This is the crate's one place with `unsafe`: wasmtime runs what such a file holds as machine
//! code, so the folder is made with mode 0700 and refused if others can write to it. And malloc is asked
//! to give memory back.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use cairn_core::Error;
use wasmtime::{Engine, component::Component};

/// What the names of components begin with that were only inspected.
const INSPECTED: &str = "inspected-";

pub(crate) struct Cache {
    dir: PathBuf,
    /// Numbers files that are being written, so that no two have one name.
    parts: AtomicU64,
}

/// What a compiled component is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// To be looked at.
    Inspect,
    /// To be called.
    Load,
}

impl Cache {
    /// Makes the folder if it isn't there.
    ///
    /// # Errors
    /// `internal` if it can't be made, or if anyone but this user can write to it.
    pub(crate) fn open(dir: &Path) -> Result<Self, Error> {
        let failed = |e: std::io::Error| {
            Error::internal(format!(
                "the folder of compiled plugins {} can't be used: {e}",
                dir.display()
            ))
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(failed)?;
        let facts = fs::symlink_metadata(dir).map_err(failed)?;
        let me = rustix::process::geteuid().as_raw();
        if !facts.is_dir() || facts.uid() != me || facts.mode() & 0o022 != 0 {
            return Err(Error::internal(format!(
                "{} must be a directory that only this user can write to: it holds machine code. \
                 Run `chmod 700` on it, or remove it; it will be made anew",
                dir.display()
            )));
        }
        let cache = Self {
            dir: dir.to_owned(),
            parts: AtomicU64::new(0),
        };
        // What an earlier run left in the middle, or inspected.
        cache.remove(|name| name.starts_with(INSPECTED) || !name.ends_with(".cwasm"));
        Ok(cache)
    }

    /// The component with this digest, from the folder or compiled now. Takes seconds when it
    /// compiles: call it where blocking is allowed.
    pub(crate) fn component(
        &self,
        engine: &Engine,
        digest: &str,
        bytes: &[u8],
        to: Use,
    ) -> Result<Component, Error> {
        let name = format!("{}-{:016x}.cwasm", file_part(digest), fingerprint(engine));
        let (loaded, inspected) = (
            self.dir.join(&name),
            self.dir.join(format!("{INSPECTED}{name}")),
        );
        if to == Use::Load {
            // Not there unless it was just inspected.
            let _ = fs::rename(&inspected, &loaded);
        }
        if let Some(component) = load(engine, &loaded).or_else(|| load(engine, &inspected)) {
            return Ok(component);
        }
        let path = match to {
            Use::Load => loaded,
            Use::Inspect => inspected,
        };
        if to == Use::Inspect {
            self.remove(|name| name.starts_with(INSPECTED));
        }
        let component = Component::new(engine, bytes)
            .map_err(|e| Error::invalid("component", format!("it can't be compiled: {e:#}")))?;
        if let Err(e) = self.save(&component, &path) {
            tracing::warn!(path = %path.display(), "a compiled plugin can't be kept: {e}");
            return Ok(component);
        }
        // From its file it takes no memory but what is run.
        let kept = load(engine, &path).unwrap_or(component);
        give_back();
        Ok(kept)
    }

    fn save(&self, component: &Component, path: &Path) -> std::io::Result<()> {
        let code = component.serialize().map_err(std::io::Error::other)?;
        let part = path.with_extension(format!(
            "part{}-{}",
            std::process::id(),
            self.parts.fetch_add(1, Ordering::Relaxed)
        ));
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&part)?;
        file.write_all(&code)?;
        // Whole on disk before it gets its name: half a file must never be run.
        file.sync_all()?;
        fs::rename(&part, path)
    }

    /// Removes what was compiled from this digest, for any engine.
    pub(crate) fn forget(&self, digest: &str) {
        let part = file_part(digest);
        self.remove(|name| name.trim_start_matches(INSPECTED).starts_with(&part));
    }

    fn remove(&self, unwanted: impl Fn(&str) -> bool) {
        let Ok(entries) = fs::read_dir(&self.dir) else {
            return;
        };
        for entry in entries.flatten() {
            if unwanted(&entry.file_name().to_string_lossy()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

#[allow(unsafe_code)]
fn load(engine: &Engine, path: &Path) -> Option<Component> {
    if !path.exists() {
        return None;
    }
    // SAFETY: the file was written by this daemon, whole (renamed after fsync), into a folder that
    // only its user can write to, which `open` checked; wasmtime itself checks version and settings.
    match unsafe { Component::deserialize_file(engine, path) } {
        Ok(component) => Some(component),
        Err(e) => {
            tracing::warn!(path = %path.display(), "a compiled plugin is compiled anew: {e:#}");
            None
        }
    }
}

/// Gives memory that compiling took back to the system: some 30 MiB, which malloc would keep for a
/// next time that seldom comes.
#[allow(unsafe_code)]
fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes no pointer and may be called at any time, from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

fn file_part(digest: &str) -> String {
    digest.replace(':', "-")
}

fn fingerprint(engine: &Engine) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}
