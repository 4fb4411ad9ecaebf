//! What goes wrong beneath or within, and the daemon serves the next call.

use cairn_bed::{seconds, wait_until};
use serde_json::json;

use crate::bench::Bench;
use crate::pausing::Pausing;

/// Killed between the effect and the answer: the same call then succeeds, and made one volume.
pub fn a_daemon_killed_before_it_answers_makes_the_volume_again(b: &Bench) {
    let create = "volume create s:d --size 8M --guest 100";
    let moments = b.backend.moments();
    let pausing = Pausing::start(b.backend.as_ref(), moments.program, moments.making).unwrap();
    let daemon = b.daemon();
    std::thread::scope(|scope| {
        let made = scope.spawn(|| daemon.cairn(create).unwrap().status);
        pausing.reached().unwrap();
        b.daemon().kill();
        assert_ne!(made.join().unwrap(), 0, "nobody answered it");
    });
    drop(pausing);
    assert_ne!(b.backend.left("s").unwrap(), "", "the effect is there");
    b.daemon().boot().unwrap();
    assert_eq!(b.ok(create)["name"], "d");
    assert_eq!(b.names(), ["d"]);
    assert!(b.holds("s:d", "", 0));
    b.ok("volume remove s:d");
    assert_eq!(b.backend.left("s").unwrap(), "");
}

/// A disk that has no room isn't half made.
pub fn no_space_leaves_nothing_behind(b: &Bench) {
    b.ok(&format!(
        "storage add {}",
        b.backend.add_small("small").unwrap()
    ));
    b.refused("volume create small:d --size 64M", 1, "no-space");
    assert_eq!(b.backend.left("small").unwrap(), "");
    assert_eq!(b.ok("volume list small"), json!([]));
    b.ok("volume create s:d --size 8M");
}

/// A pool that is exported, a directory that is gone.
pub fn a_backend_that_is_gone_says_so_and_comes_back(b: &Bench) {
    b.ok("volume create s:d --size 8M");
    b.write("s:d", 4);
    b.backend.take_away().unwrap();
    b.refused("volume list s", 1, "unavailable");
    b.refused("volume create s:e --size 8M", 1, "unavailable");
    b.refused("volume remove s:d", 1, "unavailable");
    let gone = || (b.ok("storage status s")["state"] == "unavailable").then_some(());
    wait_until("the storage is shown as unavailable", seconds(60), gone).unwrap();
    assert_eq!(
        b.ok("plugin list").as_array().unwrap().len(),
        1,
        "the daemon goes on"
    );
    b.backend.bring_back().unwrap();
    let back = || (b.daemon().cairn("volume list s").ok()?.status == 0).then_some(());
    wait_until("the storage is back", seconds(60), back).unwrap();
    assert_eq!(b.names(), ["d"]);
    assert!(b.holds("s:d", "", 4));
}

/// A pool destroyed and made anew under its name isn't taken for the one that was added.
pub fn another_backend_in_its_place_is_noticed(b: &Bench) {
    b.ok("volume create s:d --size 8M");
    b.daemon().kill();
    b.backend.replace().unwrap();
    b.daemon().boot().unwrap();
    b.refused("volume list s", 1, "wrong-backend");
    b.refused("volume create s:e --size 8M", 1, "wrong-backend");
}
