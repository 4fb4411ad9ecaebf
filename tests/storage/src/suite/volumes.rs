//! Volumes by themselves.

use cairn_bed::{Signal, seconds, wait_until};
use serde_json::json;

use crate::bench::Bench;

/// Creating again what is there is success if it is equal.
pub fn create_is_idempotent_and_names_the_difference(b: &Bench) {
    let create = "volume create s:vm-100-disk-0 --size 64M --guest 100";
    let made = b.ok(create);
    assert_eq!(made["size_bytes"], 64 << 20);
    assert_eq!(b.ok(create)["name"], "vm-100-disk-0");
    let other = "volume create s:vm-100-disk-0 --size 65M --guest 100";
    let problem = b.refused(other, 6, "already-exists");
    assert!(
        problem["detail"].as_str().unwrap().contains("size"),
        "{problem}"
    );
    b.refused("volume create s:big --size 0", 2, "invalid");
    b.refused("volume create s:odd --size 1M --format vmdk", 2, "invalid");
    assert_eq!(b.names(), ["vm-100-disk-0"]);
    b.ok("volume remove s:vm-100-disk-0");
    b.ok("volume remove s:vm-100-disk-0");
    b.refused("volume show s:vm-100-disk-0", 5, "not-found");
}

/// A disk is rounded up to the reported step and keeps what is written; a tree holds files.
pub fn disks_and_file_trees(b: &Bench) {
    b.ok("volume create s:raw --size 2000000 --format raw");
    let step = b.capability("size_step_bytes").as_u64().unwrap();
    let size = b.ok("volume show s:raw")["size_bytes"].as_u64().unwrap();
    assert_eq!(size, 2_000_000_u64.next_multiple_of(step));
    let attached = b.ok("volume attach s:raw");
    let kind = if b.dialect("OpenZFS") {
        "block-device"
    } else {
        "file"
    };
    assert_eq!(attached["attachment"]["kind"], kind);
    b.write("s:raw", 7);
    assert!(b.holds("s:raw", "", 7));
    b.ok("volume create s:tree --size 0 --format directory --content rootdir");
    let attached = b.ok("volume attach s:tree");
    assert_eq!(attached["attachment"]["kind"], "directory");
    b.mark("s:tree", "here");
    assert_eq!(b.marked("s:tree"), "here");
}

/// A protected volume stays; names change and sizes grow.
pub fn protection_names_and_sizes(b: &Bench) {
    b.ok("volume create s:a --size 8M");
    b.write("s:a", 3);
    b.ok("volume set s:a --protected true --notes 'the ledger'");
    let problem = b.refused("volume remove s:a", 6, "blocked");
    assert_eq!(problem["by"], json!(["protected"]));
    assert_eq!(b.ok("volume rename s:a b")["notes"], "the ledger");
    b.ok("volume rename s:a b");
    assert_eq!(b.ok("volume resize s:b 16M")["size_bytes"], 16 << 20);
    b.ok("volume resize s:b 16M");
    b.refused("volume resize s:b 8M", 2, "invalid");
    assert!(!b.can("shrinking"), "then this test must shrink");
    b.refused("volume resize s:b 8M --shrink", 1, "unsupported");
    assert!(b.holds("s:b", "", 3), "growing keeps the content");
    let long = "x".repeat(128);
    b.ok(&format!("volume create s:{long} --size 1M"));
    assert_eq!(b.names(), ["b".to_owned(), long]);
    let longer = format!("volume create s:{} --size 1M", "x".repeat(129));
    assert_eq!(b.daemon().cairn(&longer).unwrap().status, 2);
    let tree = "volume create s:tree --size 4M --format directory --content rootdir";
    if b.can("quota") {
        b.ok(tree);
        assert_eq!(b.ok("volume resize s:tree 8M")["size_bytes"], 8 << 20);
        b.refused("volume resize s:tree 4M", 2, "invalid");
    } else {
        b.refused(tree, 2, "invalid");
    }
}

/// Whoever comes with an older epoch gives up.
pub fn an_older_epoch_is_refused(b: &Bench) {
    b.ok("volume create s:d --size 8M");
    let first = b.ok("volume attach s:d --epoch 5");
    assert_eq!(
        b.ok("volume attach s:d --epoch 5"),
        first,
        "again is the same"
    );
    let problem = b.refused("volume attach s:d --epoch 4", 6, "stale-epoch");
    assert_eq!(problem["by"], json!(["5"]));
    b.refused("volume detach s:d --epoch 4", 6, "stale-epoch");
    b.refused("volume remove s:d", 6, "in-use");
    b.ok("volume detach s:d");
    assert!(b.ok("volume attach s:d")["epoch"].as_u64().unwrap() > 5);
}

/// Four at once make one volume.
pub fn two_creates_at_once_make_one_volume(b: &Bench) {
    let daemon = b.daemon();
    let results: Vec<i32> = std::thread::scope(|scope| {
        let run = || daemon.cairn("volume create s:d --size 8M").unwrap().status;
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(results, [0; 4]);
    assert_eq!(b.names(), ["d"]);
}

/// What a process has open is neither detached nor removed, and a refused removal costs no snapshot. A file
/// of a directory can be removed while it is open: there nothing is to be noticed.
pub fn what_is_open_is_noticed(b: &Bench) {
    b.ok("volume create s:d --size 8M --format raw");
    b.write("s:d", 1);
    b.ok("volume snapshot s:d one");
    b.write("s:d", 2);
    b.ok("volume snapshot s:d two");
    let path = b.attach("s:d", "");
    let log = b.daemon().data().join("opener");
    let opener = b
        .place()
        .start(&format!("exec 9<{path}; echo open; exec sleep 600"), &log);
    let opener = opener.unwrap();
    let open = || b.place().read(&log).is_ok_and(|said| said == b"open\n");
    wait_until("it is open", seconds(60), || open().then_some(())).unwrap();
    let notices = b.dialect("ZFS") || b.dialect("zfs");
    if notices {
        b.refused("volume detach s:d", 6, "in-use");
        b.ok("volume detach s:d --force");
        let problem = b.refused("volume remove s:d", 6, "in-use");
        assert_eq!(
            b.snapshots("s:d"),
            ["one", "two"],
            "nothing is lost: {problem}"
        );
    }
    opener.kill(Signal::KILL).unwrap();
    wait_until("it is closed", seconds(60), || {
        (!opener.alive()).then_some(())
    })
    .unwrap();
    b.ok("volume detach s:d");
    assert!(b.holds("s:d", "--snapshot one", 1));
    assert!(b.holds("s:d", "", 2));
    b.ok("volume remove s:d");
    assert_eq!(b.backend.left("s").unwrap(), "");
    b.ok("volume create s:d --size 8M");
    assert!(b.snapshots("s:d").is_empty());
}

/// Options are checked by the plugin's schema, and what is used stays.
pub fn configurations_and_removal_are_checked(b: &Bench) {
    let [wrong, field, gone] = b.backend.bad_options();
    let add = b.backend.add("x");
    let kind = add.split(' ').next().unwrap().to_owned();
    let problem = b.refused(&format!("storage add {kind} x {wrong}"), 2, "invalid");
    assert_eq!(problem["field"], field);
    b.refused(&format!("storage add {kind} x {gone}"), 1, "unavailable");
    b.refused("storage add ceph x --pool p", 5, "not-found");
    let [good, fixed] = b.backend.changes();
    b.refused(&format!("storage set s {fixed}"), 2, "invalid");
    b.ok(&format!("storage set s {good}"));
    b.ok("volume create s:d --size 8M");
    let plugin = format!("storage-{kind}");
    b.refused(&format!("plugin remove {plugin}"), 6, "in-use");
    b.ok("volume attach s:d");
    b.refused("storage remove s", 6, "in-use");
    b.ok("volume detach s:d");
    b.ok("storage remove s");
    b.refused("storage show s", 5, "not-found");
}
