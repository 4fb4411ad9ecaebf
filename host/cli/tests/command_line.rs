//! What the command line says without a daemon: its help, as golden files, and its errors with their
//! exit codes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Output};

fn cairn(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cairn"));
    for variable in ["CAIRN_DATA", "CAIRN_SERVER", "CAIRN_TOKEN", "CAIRN_CA"] {
        command.env_remove(variable);
    }
    command
        .env("COLUMNS", "100")
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn help_is_as_committed() {
    let cases: [(&str, &[&str]); 9] = [
        ("cairn", &["--help"]),
        ("serve", &["serve", "--help"]),
        ("cluster", &["cluster", "--help"]),
        ("config", &["config", "--help"]),
        ("witness", &["witness", "--help"]),
        ("plugin", &["plugin", "--help"]),
        ("storage", &["storage", "--help"]),
        ("volume", &["volume", "--help"]),
        ("plugin-install", &["plugin", "install", "--help"]),
    ];
    for (name, arguments) in cases {
        let path = format!("{}/tests/help/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        let said = text(&cairn(arguments).stdout);
        if std::env::var_os("CAIRN_UPDATE").is_some() {
            std::fs::write(&path, &said).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            said, committed,
            "{path}: look at it, then run CAIRN_UPDATE=1 cargo test -p cairn"
        );
    }
}

#[test]
fn without_a_daemon_it_says_how_to_start_one() {
    let output = cairn(&["--data", "/nowhere/at/all", "volume", "list", "s"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let said = text(&output.stderr);
    assert!(
        said.contains("/nowhere/at/all/cairn.sock") && said.contains("cairn serve"),
        "{said}"
    );
    let output = cairn(&["volume", "list", "s", "--json", "--data", "/nowhere/at/all"]);
    let problem: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (problem["code"].as_str(), output.status.code()),
        (Some("unavailable"), Some(1))
    );
    assert!(output.stderr.is_empty(), "one document and nothing else");
}

#[test]
fn wrong_usage_exits_with_2() {
    for arguments in [
        &["volume", "create", "s:v"][..],
        &["volume", "create", "no-storage", "--size", "1G"],
        &["volume", "create", "s:v", "--size", "big"],
        &["volume", "create", "s:v", "--size", "1G", "--guest", "99"],
        &["volume", "snapshot", "s:v"],
        &["volume", "set", "s:v"],
        &["storage", "add"],
        &["nonsense"],
    ] {
        let output = cairn(arguments);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
        assert!(!output.stderr.is_empty(), "{arguments:?}");
        let output = cairn(&[arguments, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let problem: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(problem["code"], "invalid", "{arguments:?}: {problem}");
        assert!(output.stderr.is_empty(), "one document and nothing else");
    }
}

#[test]
fn a_file_that_is_not_there_is_not_found() {
    let output = cairn(&["plugin", "inspect", "/no/such.wasm"]);
    assert_eq!(output.status.code(), Some(5));
    assert!(text(&output.stderr).contains("/no/such.wasm"));
}

#[test]
fn a_file_without_end_is_refused() {
    let output = cairn(&["plugin", "inspect", "/dev/zero"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("64.0 MiB"));
}

#[test]
fn a_path_need_not_be_unicode() {
    let output = Command::new(env!("CARGO_BIN_EXE_cairn"))
        .args(["plugin", "inspect"])
        .arg(OsStr::from_bytes(b"/no/\xff.wasm"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
}
