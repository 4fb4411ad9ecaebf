//! `wit/wit.lock`: a hash for each published interface and world. A published one never changes;
//! growth is a new interface, or a new version of its package beside the old one.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use cairn_componentize::load_contracts;
use sha2::{Digest, Sha256};

use crate::wit_shape::shapes;
use crate::workspace::Workspace;

const FILE: &str = "wit.lock";
const HEADER: &str = "\
# The shape of every published interface and world. `./x check` fails if one changes or goes away;
# `./x wit-lock --add` adds new ones. A line that is here is never edited.
";

/// Names to hashes, as `sha256:<64 hex digits>`.
type Hashes = BTreeMap<String, String>;

/// How the contracts differ from the lock.
#[derive(Debug, PartialEq, Eq)]
enum Difference {
    Changed(String),
    Gone(String),
    New(String),
}

/// `./x wit-lock`.
pub(crate) fn run(workspace: &Workspace, add: bool) -> Result<ExitCode> {
    let folder = workspace.contracts();
    if add {
        for name in add_new(&folder)? {
            println!("locked {name}");
        }
    }
    check(workspace)?;
    println!("the contracts are as locked");
    Ok(ExitCode::SUCCESS)
}

/// Fails with a sentence for each difference.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    check_folder(&workspace.contracts())
}

fn check_folder(folder: &Path) -> Result<()> {
    let found = differences(&read(folder)?, &hashes(folder)?);
    if found.is_empty() {
        return Ok(());
    }
    bail!("{}", sentences(&found).join("\n"))
}

/// Adds what is not locked yet and returns it. Lines that are there stay as they are.
fn add_new(folder: &Path) -> Result<Vec<String>> {
    let mut locked = read(folder)?;
    let mut added = Vec::new();
    for (name, hash) in hashes(folder)? {
        if !locked.contains_key(&name) {
            locked.insert(name.clone(), hash);
            added.push(name);
        }
    }
    if !added.is_empty() {
        write(folder, &locked)?;
    }
    Ok(added)
}

/// A sentence for each published contract that is not as it was, and one for all new ones.
fn sentences(found: &[Difference]) -> Vec<String> {
    let mut sentences = Vec::new();
    let mut new = Vec::new();
    for difference in found {
        match difference {
            Difference::Changed(name) => sentences.push(format!(
                "{name} is published and has changed: put it back, and make what is new an \
                 interface of its own or a new version of the package"
            )),
            Difference::Gone(name) => sentences.push(format!(
                "{name} is published and has gone from wit/: put it back"
            )),
            Difference::New(name) => new.push(name.as_str()),
        }
    }
    if !new.is_empty() {
        sentences.push(format!(
            "not locked yet: {}. When that is ready to be published, run ./x wit-lock --add",
            new.join(", ")
        ));
    }
    sentences
}

fn differences(locked: &Hashes, present: &Hashes) -> Vec<Difference> {
    let mut found = Vec::new();
    for (name, hash) in locked {
        match present.get(name) {
            None => found.push(Difference::Gone(name.clone())),
            Some(now) if now != hash => found.push(Difference::Changed(name.clone())),
            Some(_) => {}
        }
    }
    let new = present.keys().filter(|name| !locked.contains_key(*name));
    found.extend(new.map(|name| Difference::New(name.clone())));
    found
}

fn hashes(folder: &Path) -> Result<Hashes> {
    let shapes = shapes(&load_contracts(folder)?)?;
    let hash = |shape: &str| format!("sha256:{}", hex::encode(Sha256::digest(shape)));
    Ok(shapes
        .into_iter()
        .map(|(name, shape)| (name, hash(&shape)))
        .collect())
}

/// An absent file locks nothing.
fn read(folder: &Path) -> Result<Hashes> {
    let path = folder.join(FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Hashes::new()),
        Err(error) => return Err(error).context(format!("can't read {}", path.display())),
    };
    let mut locked = Hashes::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, hash)) = line.split_once(' ') else {
            bail!(
                "{}:{}: expected `NAME sha256:HASH`",
                path.display(),
                index + 1
            );
        };
        if locked.insert(name.to_owned(), hash.to_owned()).is_some() {
            bail!("{}:{}: {name} is locked twice", path.display(), index + 1);
        }
    }
    Ok(locked)
}

fn write(folder: &Path, locked: &Hashes) -> Result<()> {
    let mut text = HEADER.to_owned();
    for (name, hash) in locked {
        text.push_str(&format!("{name} {hash}\n"));
    }
    let path = folder.join(FILE);
    fs::write(&path, text).with_context(|| format!("can't write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPES: &str = "package t:types@1.0.0;
        interface errors { variant error { full, other(string) } }";
    const STORAGE: &str = "package t:storage@1.0.0;
        interface volumes {
            use t:types/errors@1.0.0.{error};
            record volume { name: string, size: u64 }
            create: func(name: string, size: u64) -> result<volume, error>;
            remove: func(name: string) -> result<_, error>;
        }
        world storage { export volumes; }";

    /// A folder of contracts, locked.
    fn locked() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), TYPES, STORAGE);
        let added = add_new(folder.path()).unwrap();
        assert_eq!(
            added,
            [
                "t:storage/storage@1.0.0",
                "t:storage/volumes@1.0.0",
                "t:types/errors@1.0.0"
            ]
        );
        check_folder(folder.path()).unwrap();
        folder
    }

    fn put(folder: &Path, types: &str, storage: &str) {
        for (name, text) in [("types", types), ("storage", storage)] {
            fs::create_dir_all(folder.join(name)).unwrap();
            fs::write(folder.join(name).join("a.wit"), text).unwrap();
        }
    }

    fn complaint(types: &str, storage: &str) -> String {
        let folder = locked();
        put(folder.path(), types, storage);
        let complaint = check_folder(folder.path()).unwrap_err().to_string();
        // Adding never papers over it.
        add_new(folder.path()).unwrap();
        check_folder(folder.path()).unwrap_err();
        complaint
    }

    #[test]
    fn every_kind_of_change_is_found_and_named() {
        for (from, to) in [
            ("size: u64)", "size: u32)"),
            ("size: u64)", "bytes: u64)"),
            ("name: string, size: u64 }", "size: u64, name: string }"),
            ("size: u64 }", "size: u64, used: u64 }"),
            ("remove: func", "remove: async func"),
            ("result<_, error>", "result<volume, error>"),
            ("remove: func(name: string)", "delete: func(name: string)"),
        ] {
            assert!(STORAGE.contains(from), "{from}");
            let complaint = complaint(TYPES, &STORAGE.replacen(from, to, 1));
            assert!(
                complaint.contains("t:storage/volumes@1.0.0 is published"),
                "{from}: {complaint}"
            );
        }
    }

    #[test]
    fn a_changed_type_is_found_where_it_is_defined() {
        let complaint = complaint(&TYPES.replace("full,", "full, gone,"), STORAGE);
        assert!(complaint.starts_with("t:types/errors@1.0.0 is published and has changed"));
        assert_eq!(complaint.lines().count(), 1);
    }

    #[test]
    fn a_changed_world_is_found() {
        let complaint = complaint(TYPES, &STORAGE.replace("export volumes", "import volumes"));
        assert!(complaint.contains("t:storage/storage@1.0.0 is published and has changed"));
    }

    #[test]
    fn an_interface_that_went_away_is_found() {
        let complaint = complaint(TYPES, &STORAGE.replace("volumes", "disks"));
        assert!(complaint.contains("t:storage/volumes@1.0.0 is published and has gone"));
        assert!(complaint.contains("not locked yet: t:storage/disks@1.0.0."));
    }

    #[test]
    fn comments_layout_and_the_order_of_functions_are_free() {
        let folder = locked();
        let commented = STORAGE
            .replace("record", "/// What it is.\n record")
            .replace("create: func", "/// Makes one.\n   create:   func");
        put(folder.path(), &format!("/// Errors.\n{TYPES}"), &commented);
        check_folder(folder.path()).unwrap();

        let remove = "remove: func(name: string) -> result<_, error>;";
        let moved = STORAGE
            .replace(remove, "")
            .replace("create:", &format!("{remove} create:"));
        put(folder.path(), TYPES, &moved);
        check_folder(folder.path()).unwrap();
    }

    #[test]
    fn what_is_new_is_added_below_what_stays() {
        let folder = locked();
        let before = fs::read_to_string(folder.path().join(FILE)).unwrap();
        let grown = format!("{STORAGE} interface resize {{ grow: func(size: u64); }}");
        put(folder.path(), TYPES, &grown);
        let complaint = check_folder(folder.path()).unwrap_err().to_string();
        assert!(
            complaint.contains("not locked yet: t:storage/resize@1.0.0."),
            "{complaint}"
        );
        assert_eq!(add_new(folder.path()).unwrap(), ["t:storage/resize@1.0.0"]);
        check_folder(folder.path()).unwrap();
        let after = fs::read_to_string(folder.path().join(FILE)).unwrap();
        assert!(
            before
                .lines()
                .all(|line| after.lines().any(|other| other == line))
        );
    }

    #[test]
    fn a_broken_lock_is_no_lock() {
        let folder = locked();
        let path = folder.path().join(FILE);
        fs::write(&path, "t:types/errors@1.0.0\n").unwrap();
        assert!(
            check_folder(folder.path())
                .unwrap_err()
                .to_string()
                .contains("wit.lock:1")
        );
        fs::write(&path, "a sha256:0\na sha256:1\n").unwrap();
        assert!(
            check_folder(folder.path())
                .unwrap_err()
                .to_string()
                .contains("locked twice")
        );
    }

    #[test]
    fn a_package_needs_a_version() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(
            folder.path().join("a.wit"),
            "package t:a; interface i { f: func(); }",
        )
        .unwrap();
        assert!(
            hashes(folder.path())
                .unwrap_err()
                .to_string()
                .contains("has no version")
        );
    }
}
