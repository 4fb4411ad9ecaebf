//! This machine as a place. Needs `setpriv` and `pkill`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use cairn_bed::{Place, Signal, TIMED_OUT_STATUS, missing, seconds, skip, wait_until};

fn local() -> Option<Place> {
    match missing(&["setpriv", "pkill", "setsid"]) {
        Some(reason) => {
            skip(&reason);
            None
        }
        None => Some(Place::local()),
    }
}

#[test]
fn a_command_has_a_status_and_two_outputs() {
    let Some(place) = local() else { return };
    let output = place.run("cat; echo err >&2; exit 7", seconds(20)).unwrap();
    assert_eq!(
        (output.status, &*output.stdout, &*output.stderr),
        (7, &b""[..], &b"err\n"[..])
    );
    let output = place
        .run_with_stdin("tr a-z A-Z", b"in", seconds(20))
        .unwrap();
    assert_eq!(
        (output.status, &*output.stdout, &*output.stderr),
        (0, &b"IN"[..], &b""[..])
    );
    let output = place.run("kill -9 $$", seconds(20)).unwrap();
    assert_eq!(output.status, 128 + 9);
}

#[test]
fn a_failed_script_is_named_with_what_it_said() {
    let Some(place) = local() else { return };
    let error = place
        .sh("echo out of luck >&2; exit 3")
        .unwrap_err()
        .to_string();
    for part in ["local", "echo out of luck", "status 3: out of luck"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn time_runs_out_for_the_command_and_its_children() {
    let Some(place) = local() else { return };
    let output = place
        .run("echo begun; sleep 3612 | cat", seconds(1))
        .unwrap();
    assert_eq!(
        (output.status, &*output.stdout),
        (TIMED_OUT_STATUS, &b"begun\n"[..])
    );
    wait_until("the children have ended", seconds(20), || {
        place
            .run("pgrep -fx 'sleep 3612'", seconds(20))
            .unwrap()
            .status
            == 1
    })
    .unwrap();
}

#[test]
fn a_program_runs_until_a_signal_or_the_end() {
    let Some(place) = local() else { return };
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("logs/log");
    let script = "trap 'echo asked; exit' TERM; echo ready; while :; do sleep 0.05; done";
    let running = place.start(script, &log).unwrap();
    assert!(running.alive());
    let says = |text: &str| {
        let text = text.to_owned();
        let read = || String::from_utf8_lossy(&place.read(&log).unwrap()).contains(&text);
        wait_until(&format!("the log says {text}"), seconds(20), read).unwrap();
    };
    says("ready");
    running.kill(Signal::TERM).unwrap();
    says("asked");
    wait_until("it has ended", seconds(20), || !running.alive()).unwrap();
    assert!(running.kill(Signal::TERM).is_err());

    let running = place.start("sleep 3600 & sleep 3601", &log).unwrap();
    let pid = running.pid();
    drop(running);
    // What has ended may still wait to be reaped, as Z.
    let left = place
        .run(&format!("ps -o stat= -s {pid} | grep -v ^Z"), seconds(20))
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
}

#[test]
fn a_file_is_put_with_its_mode() {
    let Some(place) = local() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("a"), dir.path().join("it's b"));
    fs::write(&from, b"\0bytes\n").unwrap();
    fs::set_permissions(&from, fs::Permissions::from_mode(0o751)).unwrap();
    place.put(&from, &to).unwrap();
    assert_eq!(place.read(&to).unwrap(), b"\0bytes\n");
    assert_eq!(
        fs::metadata(&to).unwrap().permissions().mode() & 0o777,
        0o751
    );
    assert!(place.read(dir.path().join("none")).is_err());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}
