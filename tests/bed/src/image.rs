//! The image of the bed's machines: Debian 12 with OpenZFS, built by the scripts in image/.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

use crate::cache::{self, Held};
use crate::cell::{Cell, Spaces};
use crate::limits::BUILD_LIMIT_S;
use crate::place::{Reach as _, quoted};
use crate::wait::seconds;

/// The scripts that make an image; one made by others is another image.
const SCRIPTS: [&str; 6] = [
    "build-image.sh",
    "build-modules.sh",
    "debian.sh",
    "guest/vmagent.py",
    "guest/vmident",
    "guest/vminit",
];
/// Those of them that make the kernel modules.
const MODULE_SCRIPTS: [&str; 2] = ["build-modules.sh", "debian.sh"];
/// How much of a failed build's log an error shows, in lines.
const LOG_TAIL_LINES: usize = 15;

/// Finds the image, or builds it: one to two minutes, or ten where `$CAIRN_VENDOR/vm` lacks the
/// kernel modules. Whoever else asks meanwhile waits. Gives its folder in the cache, with
/// `vmlinuz`, `initrd.gz` and `root.ext4`. Images of older scripts are deleted unless in use.
///
/// # Errors
/// If the cache can't be written or the build fails; then with the end of its log.
pub fn ensure() -> Result<PathBuf> {
    Ok(ensure_held()?.dir)
}

/// Like [`ensure`]; the image stays as long as what this gives.
pub(crate) fn ensure_held() -> Result<Held> {
    let folder = cache::folder("vm-image")?;
    let hash = hash(&SCRIPTS)?;
    let dir = folder.join(&hash);
    let _lock = cache::lock(&folder)?;
    cache::discard(&folder, |name| name != hash)?;
    if !dir.exists() {
        build(&folder, &dir).context("building the image of the test machines")?;
    }
    cache::hold(dir)
}

fn build(folder: &Path, dir: &Path) -> Result<()> {
    let modules = modules()?;
    let log = folder.join("build.log");
    let [path, to] = [&modules, &log].map(|path| quoted(&path.display().to_string()));
    eprintln!(
        "building the image of the test machines, some minutes; log: {}",
        log.display()
    );
    let work = tempfile::Builder::new()
        .prefix(".build-")
        .tempdir_in(folder)?;
    // In namespaces of its own, so that its mounts and programs end with this process.
    let cell = Cell::start(Spaces::Mounts, "")?;
    let script = format!(
        "exec bash {}/build-image.sh {} {path} >{to} 2>&1",
        quoted(&scripts().display().to_string()),
        quoted(&work.path().display().to_string()),
    );
    let status = cell
        .host("build".to_owned())
        .run(&script, &[], seconds(BUILD_LIMIT_S))?
        .status;
    if status != 0 {
        let text = fs::read_to_string(&log).unwrap_or_default();
        let from = text.lines().count().saturating_sub(LOG_TAIL_LINES);
        let tail: Vec<&str> = text.lines().skip(from).collect();
        bail!(
            "status {status}; {} ends with:\n{}",
            log.display(),
            tail.join("\n")
        );
    }
    fs::rename(work.keep(), dir)?;
    Ok(())
}

/// Where kernel and ZFS modules are, or will be built: what lies beside the repository is used
/// if it is there.
fn modules() -> Result<PathBuf> {
    let vendor = std::env::var_os("CAIRN_VENDOR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vendor"),
        PathBuf::from,
    );
    let ready = vendor.join("vm");
    if ready.join("zfs.ko.xz").exists() {
        return Ok(ready.canonicalize()?);
    }
    let folder = cache::folder("vm-modules")?;
    let hash = hash(&MODULE_SCRIPTS)?;
    cache::discard(&folder, |name| name != hash)?;
    Ok(folder.join(hash))
}

/// The digest of some of the scripts, as a folder's name.
fn hash(names: &[&str]) -> Result<String> {
    let mut digest = Sha256::new();
    for name in names {
        let path = scripts().join(name);
        let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
        digest.update(name.as_bytes());
        digest.update((bytes.len() as u64).to_le_bytes());
        digest.update(bytes);
    }
    Ok(short(digest))
}

/// The first 12 hexadecimal digits of a digest.
pub(crate) fn short(digest: Sha256) -> String {
    digest
        .finalize()
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("image")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_script_counts() {
        let mut found = Vec::new();
        for dir in ["", "guest/"] {
            for entry in fs::read_dir(scripts().join(dir)).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_file() {
                    found.push(format!("{dir}{}", entry.file_name().to_string_lossy()));
                }
            }
        }
        found.sort();
        assert_eq!(found, SCRIPTS);
    }
}
