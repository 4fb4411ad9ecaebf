//! Components on disk, named by digest: `plugins/sha256-HEX.wasm`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use cairn_core::{Code, Error};

pub(crate) struct Components {
    dir: PathBuf,
}

impl Components {
    pub(crate) fn open(dir: &Path) -> Result<Self, Error> {
        fs::create_dir_all(dir).map_err(|e| failed("made", dir, &e))?;
        Ok(Self {
            dir: dir.to_owned(),
        })
    }

    /// Keeps a component, whole, before anything refers to it.
    pub(crate) fn put(&self, digest: &str, component: &[u8]) -> Result<(), Error> {
        let path = self.path(digest);
        let part = path.with_extension("part");
        let written = (|| {
            let mut file = fs::File::create(&part)?;
            file.write_all(component)?;
            file.sync_all()?;
            fs::rename(&part, &path)?;
            fs::File::open(&self.dir)?.sync_all()
        })();
        written.map_err(|e| {
            let _ = fs::remove_file(&part);
            failed("kept", &path, &e)
        })
    }

    pub(crate) fn get(&self, digest: &str) -> Result<Vec<u8>, Error> {
        let path = self.path(digest);
        fs::read(&path).map_err(|e| failed("read", &path, &e))
    }

    pub(crate) fn remove(&self, digest: &str) {
        // What stays behind costs space, nothing else.
        let _ = fs::remove_file(self.path(digest));
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.dir.join(format!("{}.wasm", digest.replace(':', "-")))
    }
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> Error {
    let full = error.kind() == std::io::ErrorKind::StorageFull;
    let code = if full { Code::NoSpace } else { Code::Internal };
    Error::new(code, format!("{} can't be {what}: {error}", path.display()))
}
