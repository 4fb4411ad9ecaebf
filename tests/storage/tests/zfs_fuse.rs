//! `storage-zfs` through a real daemon on a real zfs-fuse pool. Needs root, /dev/fuse and zfs-fuse.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use cairn_bed::{ZfsFuse, skip};
use cairn_storage_tests::Daemon;
use serde_json::{Value, json};

const POOL_BYTES: u64 = 512 << 20;

/// A daemon in the place of a zfs-fuse node, with one storage, `s`, on `tank/vms`.
struct Bench {
    daemon: Daemon,
    _node: ZfsFuse,
}

impl Bench {
    fn new() -> Option<Self> {
        if let Some(reason) = ZfsFuse::missing() {
            skip(&reason);
            return None;
        }
        let node = ZfsFuse::start().unwrap();
        node.create_pool("tank", POOL_BYTES).unwrap();
        node.place()
            .sh("zfs create tank/vms && zfs create tank/far")
            .unwrap();
        let daemon = Daemon::start(&node.place()).unwrap();
        daemon.install("storage_zfs.wasm").unwrap();
        daemon.ok("storage add zfs s --pool tank/vms").unwrap();
        Some(Self {
            daemon,
            _node: node,
        })
    }

    fn ok(&self, arguments: &str) -> Value {
        self.daemon.ok(arguments).unwrap()
    }

    fn refused(&self, arguments: &str, status: i32, code: &str) -> Value {
        self.daemon.refused(arguments, status, code).unwrap()
    }

    /// Writes a mark into a file tree, as a container would.
    fn write(&self, volume: &str, mark: &str) {
        let attached = self.ok(&format!("volume attach {volume}"));
        let path = attached["attachment"]["path"].as_str().unwrap().to_owned();
        self.daemon
            .place()
            .sh(&format!("echo {mark} >{path}/mark && sync"))
            .unwrap();
        self.ok(&format!("volume detach {volume}"));
    }

    fn mark(&self, volume: &str) -> String {
        let attached = self.ok(&format!("volume attach {volume} --read-only"));
        let path = attached["attachment"]["path"].as_str().unwrap().to_owned();
        let mark = self.daemon.place().sh(&format!("cat {path}/mark")).unwrap();
        self.ok(&format!("volume detach {volume}"));
        mark.trim().to_owned()
    }

    fn tree(&self, volume: &str) {
        self.ok(&format!(
            "volume create {volume} --size 0 --format directory --content rootdir"
        ));
    }
}

#[test]
fn volumes_are_idempotent_and_typed_in_their_refusals() {
    let Some(b) = Bench::new() else { return };
    let made = b.ok("volume create s:d --size 64M --format raw --guest 100");
    assert_eq!(
        (made["size_bytes"].as_u64(), made["guest"].as_u64()),
        (Some(64 << 20), Some(100))
    );
    assert_eq!(
        b.ok("volume create s:d --size 64M --format raw --guest 100")["name"],
        "d"
    );
    b.refused(
        "volume create s:d --size 65M --format raw --guest 100",
        6,
        "already-exists",
    );
    assert_eq!(
        b.ok("volume attach s:d --epoch 5")["attachment"]["kind"],
        "file"
    );
    assert_eq!(
        b.refused("volume attach s:d --epoch 4", 6, "stale-epoch")["by"],
        json!(["5"])
    );
    b.refused("volume remove s:d", 6, "in-use");
    b.ok("volume detach s:d");
    b.ok("volume remove s:d");
    b.ok("volume remove s:d");
    b.refused("volume show s:d", 5, "not-found");
}

#[test]
fn snapshots_clones_and_holds_are_zfs_own() {
    let Some(b) = Bench::new() else { return };
    b.tree("s:base");
    b.write("s:base", "one");
    let taken = b.ok("volume snapshot s:base first");
    assert_eq!(
        b.ok("volume snapshot s:base first")[0]["guid"],
        taken[0]["guid"]
    );
    b.write("s:base", "two");
    b.ok("volume snapshot s:base second");
    let problem = b.refused("volume rollback s:base first", 6, "blocked");
    assert_eq!(problem["by"], json!(["base@second"]));
    b.ok("volume clone s:base first copy --guest 101");
    assert_eq!(b.mark("s:copy"), "one");
    assert_eq!(
        b.refused("volume remove s:base", 6, "blocked")["by"],
        json!(["copy"])
    );
    b.ok("volume hold s:base second replica");
    let problem = b.refused("volume remove-snapshot s:base second", 6, "blocked");
    assert_eq!(problem["by"], json!(["hold:replica"]));
    b.ok("volume release s:base second replica");
    b.write("s:base", "three");
    b.ok("volume rollback s:base second");
    assert_eq!(b.mark("s:base"), "two");
}

#[test]
fn increments_arrive_and_never_over_writes() {
    let Some(b) = Bench::new() else { return };
    b.ok("storage add zfs t --pool tank/far");
    b.tree("s:d");
    b.write("s:d", "one");
    let first = b.ok("volume snapshot s:d first")[0]["guid"]
        .as_str()
        .unwrap()
        .to_owned();
    b.ok("volume copy s:d first t:r");
    assert_eq!(
        b.ok("volume snapshots t:r")[0]["guid"],
        first.as_str(),
        "one identity on both sides"
    );
    b.write("s:d", "two");
    let second = b.ok("volume snapshot s:d second")[0]["guid"]
        .as_str()
        .unwrap()
        .to_owned();
    b.ok(&format!("volume copy s:d second t:r --base {first}"));
    assert_eq!(b.ok("volume snapshots t:r").as_array().unwrap().len(), 2);
    assert_eq!(b.mark("t:r"), "two");
    b.write("t:r", "mine");
    b.ok("volume attach s:d --epoch 50");
    b.ok("volume detach s:d");
    b.ok("volume snapshot s:d third");
    let problem = b.refused(
        &format!("volume copy s:d third t:r --base {second}"),
        6,
        "blocked",
    );
    assert_eq!(problem["by"], json!(["written"]));
    assert_eq!(b.mark("t:r"), "mine", "what was written there stays");
}
