//! Copies of a snapshot from one storage to another.

use cairn_bed::{seconds, wait_until};
use serde_json::{Value, json};

use crate::bench::{Bench, format_of};
use crate::pausing::{Moment, Pausing};

/// The whole snapshot, then what changed; never over what was written to the copy.
pub fn copies_are_whole_then_incremental_and_never_over_writes(b: &Bench) {
    b.second();
    b.ok("volume create s:d --size 8M --guest 100");
    b.write("s:d", 1);
    b.ok("volume snapshot s:d one");
    let copied = b.ok("volume copy s:d one t:r");
    let first = b.newest("s:d");
    assert_eq!(
        copied["snapshot"]["guid"],
        first.as_str(),
        "one identity on both sides"
    );
    b.refused("volume copy s:d one t:r", 6, "already-exists");
    b.write("s:d", 2);
    b.ok("volume snapshot s:d two");
    b.ok(&format!("volume copy s:d two t:r --base {first}"));
    assert_eq!(b.snapshots("t:r"), ["one", "two"]);
    assert_eq!(b.newest("t:r"), b.newest("s:d"));
    assert!(b.holds("t:r", "", 2));
    assert!(b.holds("t:r", "--snapshot one", 1));
    // A replica that was started from may hold writes: an increment would lose them.
    b.write("t:r", 9);
    // The source ran later than the copy: it isn't refused for its age.
    b.ok("volume attach s:d --epoch 5000");
    b.ok("volume detach s:d");
    let base = b.newest("s:d");
    b.ok("volume snapshot s:d three");
    let problem = b.refused(
        &format!("volume copy s:d three t:r --base {base}"),
        6,
        "blocked",
    );
    assert_eq!(problem["by"], json!(["written"]));
    assert!(b.holds("t:r", "", 9), "what was written there stays");
    b.refused("volume copy s:d three t:r --base 12345", 5, "not-found");
}

/// A copy that a kill cut off is seen by nobody; the next one goes on where it was, or starts anew.
pub fn an_interrupted_copy_goes_on_or_starts_anew(b: &Bench) {
    b.second();
    b.ok("volume create s:d --size 8M --format raw");
    b.fill("s:d", 6);
    b.ok("volume snapshot s:d one");
    let moments = b.backend.moments();
    let pausing = Pausing::start(b.backend.as_ref(), moments.program, moments.copying).unwrap();
    let daemon = b.daemon();
    std::thread::scope(|scope| {
        let copy = scope.spawn(|| daemon.cairn("volume copy s:d one t:r").unwrap().status);
        pausing.reached().unwrap();
        b.daemon().kill();
        assert_ne!(copy.join().unwrap(), 0, "nobody answered it");
    });
    drop(pausing);
    b.daemon().boot().unwrap();
    assert_eq!(
        b.ok("volume list t"),
        json!([]),
        "what is half there is no volume"
    );
    let resumes = b.dialect("OpenZFS") && matches!(moments.copying, Moment::Amid(..));
    if resumes {
        let token = || {
            let left = b.daemon().get("storage/t/transfers").unwrap();
            left[0]["resume_token"].is_string().then_some(left)
        };
        let left = wait_until("what came is kept with a token", seconds(60), token).unwrap();
        assert_eq!(left[0]["volume"], "r");
    }
    let copied = b.ok("volume copy s:d one t:r");
    assert_eq!(b.newest("t:r"), b.newest("s:d"));
    let bytes = copied["bytes"].as_u64().unwrap();
    if resumes {
        assert!(
            (1 << 20..5 << 20).contains(&bytes),
            "only the rest went over: {copied}"
        );
    } else {
        assert!(bytes >= 6 << 20, "it was sent anew: {copied}");
    }
    assert_eq!(b.daemon().get("storage/t/transfers").unwrap(), json!([]));
    assert_eq!(same(b), "same");
}

/// Whether disk and copy have the same bytes.
fn same(b: &Bench) -> String {
    let (one, other) = (
        b.attach("s:d", "--read-only"),
        b.attach("t:r", "--read-only"),
    );
    let compare = format!(
        "qemu-img compare -U -f {} -F {} {one} {other} >/dev/null && echo same || echo differ",
        format_of(&one),
        format_of(&other)
    );
    let said = b.place().sh(&compare).unwrap();
    b.ok("volume detach s:d");
    b.ok("volume detach t:r");
    said.trim().to_owned()
}

/// A target that fills up ends the copy; nothing of it stays, and the daemon goes on.
pub fn a_copy_that_does_not_fit_leaves_nothing(b: &Bench) {
    b.ok(&format!(
        "storage add {}",
        b.backend.add_small("small").unwrap()
    ));
    b.ok("volume create s:d --size 8M");
    b.fill("s:d", 6);
    b.ok("volume snapshot s:d one");
    b.refused("volume copy s:d one small:r", 1, "no-space");
    let listed: Value = b.ok("volume list small");
    assert_eq!(listed, json!([]));
    assert_eq!(b.backend.left("small").unwrap(), "");
    assert_eq!(b.names(), ["d"]);
}
