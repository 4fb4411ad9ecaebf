//! The command line with a real daemon: start and end of `serve`, its socket and HTTPS, and a person's
//! consent on a terminal. What needs a plugin takes it from `CAIRN_PLUGINS`, which `./x test` sets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub
)]

mod run;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use cairn_bed::{missing, not_root, seconds, skip, wait_until};
use run::{Said, cairn, command};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a daemon may take to end; calls under way may take 10 s of it.
const END_LIMIT: Duration = seconds(30);

/// A daemon of its own; it ends with this, and with a test that is killed.
struct Daemon {
    data: TempDir,
    process: Child,
    ready: String,
}

impl Daemon {
    fn start(words: &[&str]) -> Self {
        Self::start_in(&[], words)
    }

    fn start_in(environment: &[(&str, &str)], words: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut process = command("setpriv")
            .args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_cairn")])
            .args(["serve", "--port", "0", "--node", "n1", "--data"])
            .arg(data.path())
            .args(words)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(data.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        // Ends with the daemon, too: then the line is empty.
        let mut out = BufReader::new(process.stdout.take().unwrap());
        out.read_line(&mut ready).unwrap();
        process.stdout = Some(out.into_inner());
        Self {
            data,
            process,
            ready,
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.data.path().join("log")).unwrap()
    }

    fn file(&self, name: &str) -> String {
        self.data.path().join(name).display().to_string()
    }

    fn cairn(&self, words: &[&str]) -> Said {
        let data = self.data.path().display().to_string();
        cairn(&[&["--data", &data], words].concat())
    }

    /// Asks it to end, as systemd and Ctrl-C do, and gives its exit code and what else it printed.
    fn end(&mut self, signal: &str) -> (Option<i32>, String) {
        let pid = self.process.id().to_string();
        let sent = command("kill").args(["-s", signal, &pid]).status();
        assert!(sent.unwrap().success());
        let mut ended = || self.process.try_wait().unwrap();
        let status = wait_until("the daemon ends", END_LIMIT, &mut ended).unwrap();
        let mut rest = String::new();
        let mut out = self.process.stdout.take().unwrap();
        out.read_to_string(&mut rest).unwrap();
        (status.code(), rest)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A plugin that asks for two things, or the reason to skip.
fn plugin() -> Result<String, String> {
    let folder = std::env::var_os("CAIRN_PLUGINS");
    let folder = folder.ok_or("CAIRN_PLUGINS is not set: run this by ./x test api")?;
    let path = PathBuf::from(folder).join("storage_dir.wasm");
    if path.exists() {
        Ok(path.display().to_string())
    } else {
        Err(format!("{} is not built", path.display()))
    }
}

#[test]
fn a_daemon_says_when_it_is_ready_and_ends_when_asked() {
    for signal in ["TERM", "INT"] {
        let mut d = Daemon::start(&[]);
        let start = "cairn: node n1 is ready at https://127.0.0.1:";
        assert!(d.ready.starts_with(start), "{}{}", d.ready, d.log());
        assert!(
            d.ready.trim_end().ends_with(&d.file("cairn.sock")),
            "{}",
            d.ready
        );
        let said = d.cairn(&["plugin", "list"]);
        let nothing = "no plugin is installed; `cairn plugin install FILE` installs one\n";
        assert_eq!(
            (said.status, said.stdout.as_str()),
            (0, nothing),
            "{said:?}"
        );
        assert_eq!(d.end(signal), (Some(0), String::new()), "{}", d.log());
        assert_eq!(d.cairn(&["plugin", "list"]).status, 1);
    }
}

/// Where rustls looks for CA certificates, and there are none: as on a machine without any.
const NO_CERTIFICATES: [(&str, &str); 2] = [
    ("SSL_CERT_FILE", "/nonexistent/certificates"),
    ("SSL_CERT_DIR", "/nonexistent"),
];

#[test]
fn a_machine_without_ca_certificates_has_a_daemon_too() {
    let mut d = Daemon::start_in(&NO_CERTIFICATES, &[]);
    assert!(
        d.ready.starts_with("cairn: node n1 is ready"),
        "{}",
        d.log()
    );
    assert!(d.log().contains("plugins can't use HTTPS"), "{}", d.log());
    let run = |words: &[&str]| {
        let mut cairn = command(env!("CARGO_BIN_EXE_cairn"));
        cairn.args(words).envs(NO_CERTIFICATES);
        cairn.output().unwrap()
    };
    let data = d.data.path().display().to_string();
    let listed = run(&["--data", &data, "plugin", "list"]);
    assert_eq!(listed.status.code(), Some(0), "{listed:?}");
    let server = ["--server", "https://127.0.0.1:1", "--token", "x"];
    let refused = run(&[&server[..], &["plugin", "list"]].concat());
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("--ca FILE"), "{said}");
    assert_eq!(d.end("TERM").0, Some(0), "{}", d.log());
}

#[test]
fn one_data_folder_has_one_daemon() {
    let d = Daemon::start(&["--json"]);
    let ready: Value = serde_json::from_str(&d.ready).unwrap();
    assert_eq!(ready["node"], "n1");
    assert_eq!(ready["socket"], json!(d.file("cairn.sock")));
    let said = d.cairn(&["serve", "--port", "0"]);
    assert_eq!(said.status, 6, "{said:?}");
    assert!(said.stderr.contains("another cairn daemon"), "{said:?}");
    assert_eq!(
        d.cairn(&["storage", "list", "--json"]).document(),
        json!([])
    );
}

#[test]
fn https_takes_only_the_token_and_only_its_certificate() {
    let d = Daemon::start(&["--json"]);
    let ready: Value = serde_json::from_str(&d.ready).unwrap();
    let url = ready["https"][0].as_str().unwrap();
    let (ca, token) = (
        d.file("ca.pem"),
        fs::read_to_string(d.file("token")).unwrap(),
    );
    let token = token.trim();
    for (words, status, part) in [
        (
            vec!["--ca", &ca, "--token", token],
            0,
            "no storage is configured",
        ),
        (vec!["--ca", &ca, "--token", "wrong"], 4, "--token"),
        (vec!["--ca", &ca], 4, "--token"),
        (vec!["--token", token], 1, "another certificate"),
        (
            vec!["--ca", "/no/such.pem", "--token", token],
            2,
            "/no/such.pem",
        ),
    ] {
        let said = cairn(&[&["storage", "list", "--server", url], words.as_slice()].concat());
        assert_eq!(said.status, status, "{words:?}: {said:?}");
        assert!(
            format!("{}{}", said.stdout, said.stderr).contains(part),
            "{words:?}: {said:?}"
        );
    }
    let words = ["storage", "list", "--server", url, "--ca", &ca, "--json"];
    let problem = cairn(&words).document();
    assert_eq!(
        (problem["status"].as_u64(), problem["code"].as_str()),
        (Some(401), Some("denied")),
        "as the server said it: {problem}"
    );
    let plain = url.replace("https:", "http:");
    let said = cairn(&["storage", "list", "--token", token, "--server", &plain]);
    assert_eq!(
        said.status, 2,
        "the token must not go in the clear: {said:?}"
    );
}

#[test]
fn another_user_is_told_so() {
    if let Some(reason) = not_root() {
        return skip(&reason);
    }
    let d = Daemon::start(&[]);
    // The way to the data folder is open, and the folder itself is not.
    let outside = tempfile::tempdir().unwrap();
    fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let binary = outside.path().join("cairn");
    fs::copy(env!("CARGO_BIN_EXE_cairn"), &binary).unwrap();
    let output = command("setpriv")
        .args(["--reuid", "65534", "--clear-groups"])
        .arg(&binary)
        .args(["plugin", "list", "--data"])
        .arg(d.data.path())
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("this user may not use"), "{stderr}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let d = Daemon::start(&[]);
    let list = || {
        let mut command = command(env!("CARGO_BIN_EXE_cairn"));
        command.args(["plugin", "trust", "list", "--data"]);
        command.arg(d.data.path()).stderr(Stdio::piped());
        command
    };
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let child = list().stdout(writer).spawn().unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""));

    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let child = list().stdout(full).spawn().unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.starts_with("error: "), "{stderr}");
}

#[test]
fn the_command_that_grants_is_ready_to_copy() {
    let file = match plugin() {
        Ok(file) => file,
        Err(reason) => return skip(&reason),
    };
    let d = Daemon::start(&[]);
    let said = d.cairn(&["plugin", "install", &file]);
    assert_eq!((said.status, said.stdout.as_str()), (4, ""), "{said:?}");
    let why = "  command:qemu-img: to make, resize, merge and copy disk images";
    assert!(said.stderr.contains(why), "{said:?}");
    let command_line = said.stderr.lines().find_map(|l| l.strip_prefix("run: "));
    let command_line = command_line.unwrap_or_else(|| panic!("{said:?}"));
    assert_eq!(d.cairn(&["plugin", "list", "--json"]).document(), json!([]));
    // As from another folder than the tester's, by a shell.
    let output = command("sh").args(["-c", command_line]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (output.status.code(), stderr.as_str()),
        (Some(0), ""),
        "{command_line}"
    );
    let shown = d.cairn(&["plugin", "show", "storage-dir"]).stdout;
    assert!(shown.contains("granted: command:qemu-img\n"), "{shown}");
    assert!(shown.contains(" files:{config.path}\n"), "{shown}");

    let said = d.cairn(&["plugin", "grant", "storage-dir"]);
    assert_eq!(said.status, 2, "nothing named takes nothing away: {said:?}");
    let said = d.cairn(&["plugin", "grant", "storage-dir", "--nothing"]);
    assert!(
        said.stdout.contains("not granted: command:qemu-img\n"),
        "{said:?}"
    );
    let said = d.cairn(&["plugin", "upgrade", &file]);
    assert_eq!(
        said.stdout,
        "this very component is installed; nothing is changed\n"
    );
}

#[test]
fn on_a_terminal_a_person_is_asked() {
    let file = match plugin() {
        Ok(file) => file,
        Err(reason) => return skip(&reason),
    };
    if let Some(reason) = missing(&["script"]) {
        return skip(&reason);
    }
    let d = Daemon::start(&[]);
    let data = d.data.path().display();
    let line = format!(
        "{} --data {data} plugin install {file}",
        env!("CARGO_BIN_EXE_cairn")
    );
    for (answer, status, end) in [
        ("", 4, "nothing was granted and nothing was installed"),
        ("n", 4, "nothing was granted and nothing was installed"),
        ("y", 0, "is installed"),
    ] {
        let script = format!("echo {answer} | script -qec '{line}' /dev/null");
        let output = command("timeout")
            .args(["120", "bash", "-c", &script])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(status), "{said}");
        assert!(
            said.contains("files:{config.path}, for reading and writing"),
            "{said}"
        );
        assert!(
            said.contains("Grant all of this and install it? [y/N]"),
            "{said}"
        );
        assert!(said.contains(end), "{said}");
    }
    // Nobody is asked where a program reads: the terminal is of no use to it.
    let script = format!("script -qec '{line} --json' /dev/null </dev/null");
    let output = command("timeout")
        .args(["120", "bash", "-c", &script])
        .output()
        .unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        document["installed"]["active"]["inspection"]["name"],
        "storage-dir"
    );
}

#[test]
fn inspecting_needs_no_daemon() {
    let file = match plugin() {
        Ok(file) => file,
        Err(reason) => return skip(&reason),
    };
    let said = cairn(&["plugin", "inspect", &file, "--json", "--data", "/no/daemon"]).document();
    assert!(said["digest"].as_str().unwrap().starts_with("sha256:"));
    let imports = said["imports"].as_array().unwrap();
    let lent = |i: &Value| i.as_str().unwrap().starts_with("cairn:host/");
    assert!(
        !imports.is_empty() && imports.iter().all(lent),
        "{imports:?}"
    );
    assert!(
        said["exports"]
            .as_array()
            .unwrap()
            .contains(&json!("cairn:storage/volumes@1.0.0"))
    );
    assert_eq!(said["asks"]["commands"][0]["command"], "qemu-img");
    assert_eq!(said["config_schema"]["type"], "object");
    assert_eq!(said["signature"], json!({"state": "none"}));
    let refused = cairn(&[
        "plugin",
        "inspect",
        &file,
        "--signature",
        &file,
        "--data",
        "/no/daemon",
    ]);
    assert_eq!(refused.status, 2, "no signature: {refused:?}");
}

#[test]
fn a_volume_shrinks_only_when_told_to_and_what_stands_on_it_is_named() {
    let file = match plugin() {
        Ok(file) => file,
        Err(reason) => return skip(&reason),
    };
    if let Some(reason) = missing(&["qemu-img"]) {
        return skip(&reason);
    }
    let d = Daemon::start(&[]);
    let volumes = tempfile::tempdir().unwrap();
    let path = volumes.path().display().to_string();
    let ok = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        d.cairn(&[words.as_slice(), &["--json"]].concat())
            .document()
    };
    let grants = [
        "--grant",
        "command:qemu-img",
        "--grant",
        "files:{config.path}",
    ];
    let said = d.cairn(&[&["plugin", "install", file.as_str()], grants.as_slice()].concat());
    assert_eq!(said.status, 0, "{said:?}");
    ok(&format!("storage add dir s --path {path}"));
    ok("volume create s:disk --size 64M --format qcow2");
    let said = d.cairn(&["volume", "resize", "s:disk", "32M"]);
    assert_eq!((said.status, said.stdout.as_str()), (2, ""), "{said:?}");
    let parts = ["`--shrink`", "67108864 bytes"];
    assert!(parts.iter().all(|p| said.stderr.contains(p)), "{said:?}");
    let problem = ok("volume resize s:disk 32M");
    assert_eq!(
        (problem["code"].as_str(), problem["field"].as_str()),
        (Some("invalid"), Some("size"))
    );
    assert_eq!(ok("volume resize s:disk 64M")["size_bytes"], 64 << 20);
    assert_eq!(ok("volume show s:disk")["size_bytes"], 64 << 20);

    ok("volume snapshot s:disk golden");
    assert_eq!(ok("volume dependants s:disk"), json!([]));
    ok("volume clone s:disk golden copy");
    assert_eq!(
        ok("volume dependants s:disk --snapshot golden"),
        json!(["copy"])
    );
    let said = d.cairn(&["volume", "dependants", "s:disk"]);
    assert_eq!(said.stdout, "VOLUME\ncopy\n");

    assert_eq!(ok("storage transfers s"), json!([]));
    let said = d.cairn(&["storage", "transfers", "s"]);
    assert_eq!(said.stdout, "no interrupted transfer left anything\n");
    let gone = d.cairn(&["storage", "abandon", "s", "no-such-ticket"]);
    assert_eq!(gone.status, 0, "nothing there is success: {gone:?}");
}
