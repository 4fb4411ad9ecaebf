//! Whatever way a test ends, nothing is left: no process, no mount, no file. Each kind of place is
//! held by a program that is then ended in three ways. Needs root; zfs-fuse and virtual machines
//! need what the bed needs for them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use cairn_bed::{Bed, Signal, ZfsFuse, image, missing, not_root, seconds, skip, wait_until};
use rustix::process::{Pid, kill_process};

/// How long what was held may take to go, in seconds.
const END_LIMIT_S: u64 = 60;

#[test]
fn nothing_is_left_of_a_program_of_this_machine() {
    match not_root().or_else(|| missing(&["setpriv", "pkill"])) {
        Some(reason) => skip(&reason),
        None => ends_whole("local"),
    }
}

#[test]
fn nothing_is_left_of_zfs_fuse() {
    match ZfsFuse::missing() {
        Some(reason) => skip(&reason),
        None => ends_whole("zfs-fuse"),
    }
}

#[test]
fn nothing_is_left_of_virtual_machines() {
    if let Some(reason) = Bed::missing() {
        return skip(&reason);
    }
    image::ensure().unwrap();
    ends_whole("vm");
}

fn ends_whole(kind: &str) {
    ends(kind, |holder| drop(holder.stdin.take()));
    ends(kind, |holder| signal(holder, Signal::TERM));
    ends(kind, |holder| signal(holder, Signal::KILL));
}

fn signal(holder: &mut Child, signal: Signal) {
    kill_process(Pid::from_child(holder), signal).unwrap();
}

/// The place's processes are known by the TMPDIR that only they have, in their environment or on
/// their command line.
fn ends(kind: &str, end: impl FnOnce(&mut Child)) {
    let tmp = tempfile::Builder::new().prefix("ends-").tempdir().unwrap();
    let mut holder = Command::new(env!("CARGO_BIN_EXE_cairn-bed"))
        .args(["hold", kind])
        .env("TMPDIR", tmp.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(holder.stdout.take().unwrap())
        .read_line(&mut said)
        .unwrap();
    assert_eq!(said, "held\n");
    // The holder, and at least what it holds.
    assert!(
        processes_of(tmp.path()).len() >= 3,
        "{:?}",
        processes_of(tmp.path())
    );
    end(&mut holder);
    holder.wait().unwrap();
    let mut left = Vec::new();
    let gone = wait_until(
        "the place's processes are gone",
        seconds(END_LIMIT_S),
        || {
            left = processes_of(tmp.path());
            left.is_empty()
        },
    );
    gone.unwrap_or_else(|error| panic!("{kind}: {error}: {left:#?}"));
    // Files of this machine are the test's to remove; the bed's are not.
    let _ = fs::remove_file(tmp.path().join("program.log"));
    let files: Vec<_> = fs::read_dir(tmp.path()).unwrap().collect();
    assert!(files.is_empty(), "{kind}: left behind: {files:?}");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(
        !mounts.contains(&*tmp.path().to_string_lossy()),
        "{kind}: {mounts}"
    );
}

/// Process number and command line of all that know the directory `tmp`.
fn processes_of(tmp: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let read = |name| fs::read(entry.path().join(name)).unwrap_or_default();
        let (environment, line) = (read("environ"), read("cmdline"));
        let known = [&environment, &line]
            .iter()
            .any(|text| String::from_utf8_lossy(text).contains(&*tmp.to_string_lossy()));
        if known {
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            found.push(format!("{} {line}", entry.file_name().to_string_lossy()));
        }
    }
    found
}
