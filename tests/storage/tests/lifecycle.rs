//! Plugins through their life, by a real daemon: grants, upgrade, rollback, signatures, restarts.
//! Needs minisign for the test of signatures.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::fs;
use std::path::{Path, PathBuf};

use cairn_bed::{Place, missing, skip};
use cairn_storage_tests::{Daemon, plugins};
use serde_json::json;

const GRANTS: &str = "--grant command:ls --grant command:sleep --grant command:yes --grant 'files:{config.path}' --grant secret:password";

fn component() -> PathBuf {
    plugins().unwrap().join("test/hostile_plugins.wasm")
}

/// The same plugin with another digest: a custom section that nobody reads is added.
fn another(dir: &Path, mark: u8) -> PathBuf {
    let mut bytes = fs::read(component()).unwrap();
    bytes.extend([0, 3, 1, b'x', mark]);
    let path = dir.join(format!("another-{mark}.wasm"));
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn nothing_is_granted_by_default_and_grants_can_be_changed() {
    let d = Daemon::start(&Place::local()).unwrap();
    let file = component();
    let file = file.display();
    let problem = d
        .refused(&format!("plugin install {file}"), 4, "denied")
        .unwrap();
    let command = problem["command"].as_str().unwrap();
    for part in [
        "plugin install",
        "--grant command:ls",
        "--grant 'files:{config.path}'",
        "--data",
    ] {
        assert!(command.contains(part), "{command}");
    }
    assert_eq!(d.ok("plugin list").unwrap(), json!([]));
    let some = d
        .refused(
            &format!("plugin install {file} --grant command:ls"),
            4,
            "denied",
        )
        .unwrap();
    assert!(!some["detail"].as_str().unwrap().contains("command:ls,"));
    d.refused(
        &format!("plugin install {file} --grant command:rm {GRANTS}"),
        2,
        "invalid",
    )
    .unwrap();
    d.ok(&format!("plugin install {file} {GRANTS}")).unwrap();
    d.ok(&format!("plugin install {file}")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().display();
    d.ok(&format!(
        "storage add hostile s --path {path} --mode slow-command"
    ))
    .unwrap();
    let shown = d.ok("plugin grant storage-hostile command:ls").unwrap();
    assert_eq!(
        shown["installed"]["active"]["granted"]["commands"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let denied = d
        .refused("volume create s:v --size 1", 4, "denied")
        .unwrap();
    assert!(
        denied["detail"]
            .as_str()
            .unwrap()
            .contains("`sleep` is not granted")
    );
    d.refused("plugin grant storage-hostile command:rm", 2, "invalid")
        .unwrap();
}

#[test]
fn an_upgrade_keeps_grants_and_can_be_taken_back() {
    let d = Daemon::start(&Place::local()).unwrap();
    d.ok(&format!(
        "plugin install {} {GRANTS}",
        component().display()
    ))
    .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().display();
    d.ok(&format!("storage add hostile s --path {path} --mode ok"))
        .unwrap();
    let first =
        d.ok("plugin show storage-hostile").unwrap()["installed"]["active"]["inspection"]["digest"]
            .clone();
    d.refused("plugin rollback storage-hostile", 2, "invalid")
        .unwrap();
    let next = another(dir.path(), 1);
    d.refused(
        &format!("plugin install {} {GRANTS}", next.display()),
        6,
        "already-exists",
    )
    .unwrap();
    let upgraded = d.ok(&format!("plugin upgrade {}", next.display())).unwrap();
    assert_eq!(
        upgraded["installed"]["previous"]["inspection"]["digest"],
        first
    );
    assert_eq!(
        upgraded["installed"]["active"]["granted"],
        upgraded["installed"]["previous"]["granted"]
    );
    d.ok("volume create s:v --size 1").unwrap();
    d.kill();
    d.boot().unwrap();
    let back = d.ok("plugin rollback storage-hostile").unwrap();
    assert_eq!(back["installed"]["active"]["inspection"]["digest"], first);
    d.ok("volume create s:v --size 1").unwrap();
    d.refused("plugin remove storage-hostile", 6, "in-use")
        .unwrap();
    d.ok("storage remove s").unwrap();
    d.ok("plugin remove storage-hostile").unwrap();
    d.refused("plugin show storage-hostile", 5, "not-found")
        .unwrap();
}

#[test]
fn signatures_count_only_by_trusted_keys_and_for_these_bytes() {
    if let Some(reason) = missing(&["minisign"]) {
        return skip(&reason);
    }
    let d = Daemon::start(&Place::local()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = another(dir.path(), 7);
    let at = |name: &str| dir.path().join(name).display().to_string();
    let (public, secret, signature) = (at("key.pub"), at("key.sec"), at("another-7.wasm.minisig"));
    let place = Place::local();
    place
        .sh(&format!("minisign -G -W -p {public} -s {secret}"))
        .unwrap();
    place
        .sh(&format!(
            "minisign -S -s {secret} -m {} -x {signature}",
            file.display()
        ))
        .unwrap();
    let install = format!("plugin install {} {GRANTS}", file.display());
    let problem = d.refused(&install, 4, "denied").unwrap();
    assert!(
        problem["detail"].as_str().unwrap().contains("trusted key"),
        "{problem}"
    );
    d.refused("plugin trust add signer nonsense", 2, "invalid")
        .unwrap();
    let signer = d.ok(&format!("plugin trust add signer {public}")).unwrap();
    let altered = another(dir.path(), 8);
    d.refused(
        &format!(
            "plugin install {} {GRANTS} --signature {signature}",
            altered.display()
        ),
        4,
        "denied",
    )
    .unwrap();
    let installed = d.ok(&install).unwrap();
    let found = &installed["installed"]["active"]["inspection"]["signature"];
    assert_eq!(
        *found,
        json!({"state": "trusted", "signer": "signer", "key": signer["id"]})
    );
    let key = fs::read_to_string(&public).unwrap();
    // minisign leaves leading zeros out.
    let id = signer["id"].as_str().unwrap().trim_start_matches('0');
    assert!(
        key.contains(id),
        "the id is the one minisign shows: {id}: {key}"
    );
    // A version that nobody signed doesn't follow it without a word.
    let upgrade = format!("plugin upgrade {}", altered.display());
    let problem = d.refused(&upgrade, 4, "denied").unwrap();
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("signed by signer"),
        "{problem}"
    );
    d.ok(&format!("{upgrade} --grant unsigned")).unwrap();
    d.ok("plugin trust remove signer").unwrap();
    assert_eq!(d.ok("plugin trust list").unwrap(), json!([]));
}
