//! A new version that asks for more: what was granted stays, what is new is named and not granted.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::fs;
use std::path::{Path, PathBuf};

use cairn_bed::Place;
use cairn_storage_tests::{Daemon, plugins};
use serde_json::{Value, json};

fn component() -> PathBuf {
    plugins().unwrap().join("test/hostile_plugins.wasm")
}

/// The same plugin with a text that it says of itself written over by another of the same length.
fn saying(dir: &Path, text: &str, other: &str) -> PathBuf {
    assert_eq!(text.len(), other.len());
    let mut bytes = fs::read(component()).unwrap();
    let places: Vec<usize> = bytes
        .windows(text.len())
        .enumerate()
        .filter(|(_, window)| *window == text.as_bytes())
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty(), "{text} is not in the component");
    for at in places {
        bytes[at..at + other.len()].copy_from_slice(other.as_bytes());
    }
    let path = dir.join(format!("{}.wasm", other.len()));
    fs::write(&path, bytes).unwrap();
    path
}

fn echo(shown: &Value) -> Value {
    let granted = shown["installed"]["active"]["granted"]["commands"].as_array();
    let found = granted.unwrap().iter().find(|c| c["command"] == "echo");
    found.map_or(Value::Null, |c| c["arguments"].clone())
}

#[test]
fn an_optional_ask_that_grew_keeps_its_old_part() {
    let d = Daemon::start(&Place::local()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let installed = d.install("test/hostile_plugins.wasm").unwrap();
    assert_eq!(
        echo(&installed),
        json!(["kept", "an-old-form-of-arguments"])
    );
    assert_eq!(installed["not_granted"], json!([]));
    let next = saying(
        dir.path(),
        "an-old-form-of-arguments",
        "another-form-of-argument",
    );
    let upgraded = d.ok(&format!("plugin upgrade {}", next.display())).unwrap();
    assert_eq!(echo(&upgraded), json!(["kept"]));
    assert_eq!(
        upgraded["not_granted"],
        json!(["command:echo another-form-of-argument"])
    );
    let back = d.ok("plugin rollback storage-hostile").unwrap();
    assert_eq!(echo(&back), json!(["kept", "an-old-form-of-arguments"]));
    let next = next.display();
    let granted = d
        .ok(&format!("plugin upgrade {next} --grant command:echo"))
        .unwrap();
    assert_eq!(echo(&granted), json!(["kept", "another-form-of-argument"]));
    assert_eq!(granted["not_granted"], json!([]));
}

#[test]
fn a_needed_ask_that_grew_refuses_and_prints_the_command_that_grants() {
    let d = Daemon::start(&Place::local()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    d.install("test/hostile_plugins.wasm").unwrap();
    let next = saying(dir.path(), "{number}", "x{word}y");
    let before = d.ok("plugin show storage-hostile").unwrap();
    let upgrade = format!("plugin upgrade {}", next.display());
    let problem = d.refused(&upgrade, 4, "denied").unwrap();
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("command:sleep x{word}y"), "{detail}");
    assert_eq!(
        d.ok("plugin show storage-hostile").unwrap()["installed"],
        before["installed"],
        "nothing was changed"
    );
    let command = problem["command"].as_str().unwrap();
    d.place().sh(command).unwrap();
    let after = d.ok("plugin show storage-hostile").unwrap();
    assert_eq!(
        after["installed"]["previous"]["inspection"]["digest"],
        before["installed"]["active"]["inspection"]["digest"]
    );
    assert_eq!(after["not_granted"], json!([]));
}
