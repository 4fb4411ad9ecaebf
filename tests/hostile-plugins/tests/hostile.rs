//! Each misbehaviour of a plugin ends in a clear error in bounded time, and the daemon serves the next
//! call.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::time::{Duration, Instant};

use cairn_bed::Place;
use cairn_storage_tests::Daemon;
use tempfile::TempDir;

/// A call's own limit is 60 s; nothing here may take much longer.
const BOUND: Duration = Duration::from_secs(100);

struct Bench {
    daemon: Daemon,
    dir: TempDir,
}

impl Bench {
    fn new() -> Self {
        let daemon = Daemon::start(&Place::local()).unwrap();
        daemon.install("test/hostile_plugins.wasm").unwrap();
        Self {
            daemon,
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// A storage with this mode is asked for a volume; the problem must have this code, and what is
    /// said of it must hold `part`.
    fn ends(&self, mode: &str, status: i32, code: &str, part: &str) {
        let path = self.dir.path().display();
        self.daemon
            .ok(&format!(
                "storage add hostile {mode} --path {path} --mode {mode}"
            ))
            .unwrap();
        let began = Instant::now();
        let problem = self
            .daemon
            .refused(&format!("volume create {mode}:v --size 1"), status, code)
            .unwrap();
        assert!(began.elapsed() < BOUND, "{mode} took {:?}", began.elapsed());
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(part), "{mode}: {detail}");
        assert!(!detail.contains("root:"), "{mode} tells secrets: {detail}");
        let listed = self.daemon.ok(&format!("volume list {mode}")).unwrap();
        assert_eq!(
            listed[0]["name"], "still-here",
            "{mode}: the next call is served"
        );
    }
}

#[test]
fn code_that_goes_wild_is_ended() {
    let b = Bench::new();
    b.ends("memory", 1, "plugin-failed", "more memory than its 16 MiB");
    b.ends("recurse", 1, "plugin-failed", "recursion");
    b.ends("trap", 1, "plugin-failed", "must not be reached");
    b.ends("loop", 1, "timed-out", "passed its limit of 60 s");
}

#[test]
fn commands_beyond_the_grant_are_not_run() {
    let b = Bench::new();
    b.ends(
        "bad-arguments",
        4,
        "denied",
        "matches none of the argument forms",
    );
    b.ends(
        "more-arguments",
        4,
        "denied",
        "matches none of the argument forms",
    );
    b.ends("ungranted-command", 4, "denied", "`cat` is not granted");
    b.ends("path-command", 4, "denied", "is not granted");
}

#[test]
fn commands_are_bounded_in_output_and_time() {
    let b = Bench::new();
    b.ends("output-bomb", 1, "plugin-failed", "printed more than");
    b.ends("slow-command", 1, "timed-out", "took too long");
    let left = Place::local()
        .run("pgrep -x -a sleep", cairn_bed::seconds(10))
        .unwrap();
    let left = String::from_utf8_lossy(&left.stdout).into_owned();
    assert!(
        !left.contains("sleep 1000"),
        "it ends with its call: {left}"
    );
}

#[test]
fn files_outside_the_directory_stay_closed() {
    let b = Bench::new();
    std::os::unix::fs::symlink("/etc/shadow", b.dir.path().join("link")).unwrap();
    for mode in ["path-dotdot", "path-absolute", "path-symlink", "path-proc"] {
        b.ends(mode, 4, "denied", "leads out of the granted directory");
    }
    b.ends("other-directory", 4, "denied", "`/etc` is not granted");
}

#[test]
fn a_deep_tree_is_removed_without_many_descriptors() {
    let b = Bench::new();
    let deep = b.dir.path().join("deep");
    let levels: std::path::PathBuf = (0..1_500).map(|_| "d").collect();
    std::fs::create_dir_all(deep.join(&levels)).unwrap();
    std::fs::write(deep.join(&levels).join("file"), "x").unwrap();
    let path = b.dir.path().display();
    b.daemon
        .ok(&format!(
            "storage add hostile s --path {path} --mode remove-deep"
        ))
        .unwrap();
    b.daemon.ok("volume create s:v --size 1").unwrap();
    assert!(!deep.exists());
}

#[test]
fn the_daemons_own_folder_is_not_lent() {
    let b = Bench::new();
    let data = b.daemon.data().display().to_string();
    b.daemon
        .ok(&format!(
            "storage add hostile s --path {data} --mode remove-deep"
        ))
        .unwrap();
    let problem = b
        .daemon
        .refused("volume create s:v --size 1", 4, "denied")
        .unwrap();
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("the daemon's own"), "{detail}");
}

#[test]
fn secrets_and_servers_need_a_grant_and_no_secret_is_told() {
    let b = Bench::new();
    b.ends("secret-ungranted", 4, "denied", "`token` is not granted");
    b.ends(
        "http-ungranted",
        4,
        "denied",
        "http://127.0.0.1:1 is not granted",
    );
    let path = b.dir.path().display().to_string();
    let file = b.dir.path().join("password");
    std::fs::write(&file, "correct horse battery staple\n").unwrap();
    let add = format!(
        "storage add hostile s --path {path} --mode secret-told --password-file {}",
        file.display()
    );
    let added = b.daemon.ok(&add).unwrap();
    assert_eq!(added["secrets_set"], serde_json::json!(["password"]));
    let problem = b
        .daemon
        .refused("volume create s:v --size 1", 1, "plugin-failed")
        .unwrap();
    assert_eq!(problem["detail"], "the password is ********");
    let told = [
        b.daemon.log(),
        added.to_string(),
        b.daemon.ok("storage show s").unwrap().to_string(),
    ];
    assert!(told.iter().all(|text| !text.contains("battery staple")));
    assert!(told[0].contains("the password is ********"));
}

#[test]
fn floods_are_cut() {
    let b = Bench::new();
    let path = b.dir.path().display().to_string();
    b.daemon
        .ok(&format!(
            "storage add hostile flood --path {path} --mode flood-log"
        ))
        .unwrap();
    b.daemon.ok("volume create flood:v --size 1").unwrap();
    let log = b.daemon.log();
    assert!(log.contains("more than 1000 lines in one call"));
    assert!(log.lines().count() < 2_000);
    b.daemon
        .ok(&format!(
            "storage add hostile huge --path {path} --mode huge-answer"
        ))
        .unwrap();
    let said = b.daemon.cairn("volume create huge:v --size 1").unwrap();
    assert_eq!(said.status, 1);
    assert!(said.json["detail"].as_str().unwrap().len() < 10_000);
    assert_eq!(
        b.daemon.ok("volume list huge").unwrap()[0]["name"],
        "still-here"
    );
}

#[test]
fn a_gigabyte_is_not_answered() {
    let b = Bench::new();
    // Its memory's cap ends it before it can answer.
    b.ends(
        "gigabyte",
        1,
        "plugin-failed",
        "more memory than its 16 MiB",
    );
    // What it claims to answer isn't in its memory, so nothing is read.
    b.ends("gigabyte-claimed", 1, "plugin-failed", "out of bounds");
    let shown = b.daemon.ok("plugin show storage-hostile").unwrap();
    let most = shown["statistics"]["memory_high_water_bytes"].as_u64();
    assert!(most.unwrap() <= 16 << 20, "{shown}");
}

#[test]
fn a_plugin_that_keeps_failing_is_set_aside_until_released() {
    let b = Bench::new();
    let path = b.dir.path().display().to_string();
    b.daemon
        .ok(&format!("storage add hostile t --path {path} --mode trap"))
        .unwrap();
    let quarantined = cairn_bed::wait_until("it is set aside", cairn_bed::seconds(90), || {
        let said = b.daemon.cairn("volume create t:v --size 1").unwrap();
        (said.json["code"] == "quarantined").then_some(said.json)
    });
    let problem = quarantined.unwrap();
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("cairn plugin release")
    );
    b.daemon.refused("volume list t", 1, "quarantined").unwrap();
    b.daemon
        .ok(&format!("storage add hostile fine --path {path} --mode ok"))
        .unwrap();
    b.daemon.ok("volume create fine:v --size 1").unwrap();
    b.daemon.ok("plugin release storage-hostile").unwrap();
    b.daemon.ok("volume list t").unwrap();
}

#[test]
fn components_that_are_no_plugins_are_explained() {
    let dir = tempfile::tempdir().unwrap();
    let b = Bench::new();
    let cases = [
        ("module", "(module)", "core WebAssembly module"),
        (
            "empty",
            "(component)",
            "doesn't export `cairn:plugin/identity@1.0.0`",
        ),
        (
            "unknown",
            r#"(component (import "acme:thing/x@1.0.0" (instance (export "f" (func)))))"#,
            "none of this host's interfaces",
        ),
        (
            "future",
            r#"(component (import "cairn:host/commands@2.0.0" (instance (export "run" (func)))))"#,
            "this host has `cairn:host/commands@1.0.0`",
        ),
        (
            "mistyped",
            r#"(component (import "cairn:host/random@1.0.0" (instance (export "bytes" (func (param "length" string))))))"#,
            "doesn't have the shape of this host's contract",
        ),
        (
            "sockets",
            r#"(component (import "wasi:http/outgoing-handler@0.2.0" (instance (export "f" (func)))))"#,
            "they are empty",
        ),
    ];
    for (name, text, part) in cases {
        let path = dir.path().join(format!("{name}.wasm"));
        std::fs::write(&path, wat::parse_str(text).unwrap()).unwrap();
        let problem = b
            .daemon
            .refused(&format!("plugin inspect {}", path.display()), 2, "invalid")
            .unwrap();
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(part), "{name}: {detail}");
    }
}
