//! Loads the folder of WIT packages, whatever order they depend on each other in.

use std::fs;
use std::path::{Path, PathBuf};

use wit_parser::{Resolve, UnresolvedPackageGroup};

use crate::Error;

/// How deep under the folder a package may lie (`wit/storage/v1` is 2).
const MAX_DEPTH: usize = 3;

/// Loads every WIT package under `folder` into one [`Resolve`].
///
/// A package is a folder that holds `.wit` files; `deps` folders are left out, since here the
/// packages stand beside each other.
pub fn load_contracts(folder: &Path) -> Result<Resolve, Error> {
    let fail = |reason: String| Error::Contracts {
        folder: folder.to_path_buf(),
        reason,
    };
    let mut packages = Vec::new();
    find_packages(folder, 0, &mut packages).map_err(|e| fail(e.to_string()))?;
    if packages.is_empty() {
        return Err(fail("it holds no folder with .wit files".into()));
    }
    packages.sort();
    let groups = packages
        .iter()
        .map(UnresolvedPackageGroup::parse_dir)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| fail(format!("{e:#}")))?;
    push_in_order(groups).map_err(fail)
}

fn find_packages(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut holds_wit = false;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if depth < MAX_DEPTH && path.file_name().is_some_and(|name| name != "deps") {
                find_packages(&path, depth + 1, found)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "wit") {
            holds_wit = true;
        }
    }
    if holds_wit {
        found.push(folder.to_path_buf());
    }
    Ok(())
}

/// Pushes each package after those it names. Stops with the parser's own error about the first
/// one left when none can be pushed: it names the missing package, or a ring of packages.
fn push_in_order(mut groups: Vec<UnresolvedPackageGroup>) -> Result<Resolve, String> {
    let mut resolve = Resolve::default();
    while !groups.is_empty() {
        let ready = groups.iter().position(|group| {
            group
                .main
                .foreign_deps
                .keys()
                .all(|name| resolve.package_names.contains_key(name))
        });
        let group = groups.remove(ready.unwrap_or(0));
        if let Err(error) = resolve.push_group(group) {
            return Err(resolve.render_error(&anyhow::Error::from(error)));
        }
    }
    Ok(resolve)
}
