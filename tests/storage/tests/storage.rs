//! Storage plugins through a real daemon, on real backends: `storage-dir` on this machine's file system.
//! Needs qemu-img, and root for the test that fills a file system.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::path::PathBuf;

use cairn_bed::{Place, missing, not_root, seconds, skip, wait_until};
use cairn_storage_tests::Daemon;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A daemon with one storage, `s`, on a directory.
struct Bench {
    daemon: Daemon,
    dir: TempDir,
}

impl Bench {
    fn new() -> Option<Self> {
        if let Some(reason) = missing(&["qemu-img", "qemu-io"]) {
            skip(&reason);
            return None;
        }
        let daemon = Daemon::start(&Place::local()).unwrap();
        let dir = tempfile::Builder::new()
            .prefix("cairn-store-")
            .tempdir()
            .unwrap();
        daemon.install("storage_dir.wasm").unwrap();
        daemon
            .ok(&format!(
                "storage add dir s --path {}",
                dir.path().display()
            ))
            .unwrap();
        Some(Self { daemon, dir })
    }

    fn ok(&self, arguments: &str) -> Value {
        self.daemon.ok(arguments).unwrap()
    }

    fn refused(&self, arguments: &str, status: i32, code: &str) -> Value {
        self.daemon.refused(arguments, status, code).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let listed = self.ok("volume list s");
        listed
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v["name"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Fills the first MiB of a volume with one byte, as a guest would.
    fn write(&self, volume: &str, byte: u8) {
        let attached = self.ok(&format!("volume attach s:{volume}"));
        let (path, format) = self.open(&attached);
        let io = format!("qemu-io -f {format} -c 'write -P {byte} 0 1M' {path}");
        self.daemon.place().sh(&io).unwrap();
        self.ok(&format!("volume detach s:{volume}"));
    }

    /// Is the first MiB of a volume (or of a snapshot of it) this byte?
    fn holds(&self, volume: &str, options: &str, byte: u8) -> bool {
        let attached = self.ok(&format!("volume attach s:{volume} --read-only {options}"));
        let (path, format) = self.open(&attached);
        let io = format!("qemu-io -r -f {format} -c 'read -P {byte} 0 1M' {path}");
        let output = self.daemon.place().sh(&io).unwrap();
        self.ok(&format!("volume detach s:{volume}"));
        !output.contains("verification failed")
    }

    fn open(&self, attached: &Value) -> (PathBuf2, &'static str) {
        let path = attached["attachment"]["path"].as_str().unwrap().to_owned();
        let format = if path.ends_with(".raw") {
            "raw"
        } else {
            "qcow2"
        };
        (PathBuf2(PathBuf::from(path)), format)
    }
}

/// A path that prints itself.
struct PathBuf2(PathBuf);

impl std::fmt::Display for PathBuf2 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.display().fmt(f)
    }
}

#[test]
fn create_is_idempotent_and_names_the_difference() {
    let Some(b) = Bench::new() else { return };
    let made = b.ok("volume create s:vm-100-disk-0 --size 64M --guest 100");
    assert_eq!(made["size_bytes"], 64 << 20);
    assert_eq!(
        b.ok("volume create s:vm-100-disk-0 --size 64M --guest 100")["name"],
        "vm-100-disk-0"
    );
    let problem = b.refused(
        "volume create s:vm-100-disk-0 --size 65M --guest 100",
        6,
        "already-exists",
    );
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

#[test]
fn raw_disks_and_file_trees() {
    let Some(b) = Bench::new() else { return };
    b.ok("volume create s:raw --size 2000000 --format raw");
    assert_eq!(b.ok("volume show s:raw")["size_bytes"], 2_000_384);
    b.write("raw", 7);
    assert!(b.holds("raw", "", 7));
    b.ok("volume create s:tree --size 0 --format directory --content rootdir");
    let attached = b.ok("volume attach s:tree");
    let path = PathBuf::from(attached["attachment"]["path"].as_str().unwrap());
    assert_eq!(attached["attachment"]["kind"], "directory");
    std::fs::write(path.join("file"), "x").unwrap();
    b.refused("volume snapshot s:tree one", 1, "unsupported");
}

#[test]
fn snapshots_keep_content_and_identity() {
    let Some(b) = Bench::new() else { return };
    for volume in ["d0", "d1"] {
        b.ok(&format!("volume create s:{volume} --size 8M"));
        b.write(volume, 1);
    }
    let taken = b.ok("volume snapshot s:d0 s:d1 one");
    assert_eq!(taken.as_array().unwrap().len(), 2);
    assert_ne!(taken[0]["guid"], taken[1]["guid"]);
    assert_eq!(
        b.ok("volume snapshot s:d0 s:d1 one"),
        taken,
        "again is the same"
    );
    b.write("d0", 2);
    b.ok("volume snapshot s:d0 two");
    b.refused("volume snapshot s:d0 s:d1 two", 6, "already-exists");
    b.write("d0", 3);
    assert!(b.holds("d0", "--snapshot one", 1));
    assert!(b.holds("d0", "--snapshot two", 2));
    assert!(b.holds("d0", "", 3));
    let problem = b.refused("volume rollback s:d0 one", 6, "blocked");
    assert_eq!(problem["by"], json!(["d0@two"]));
    // Taking one out of the middle leaves the others as they are.
    b.ok("volume remove-snapshot s:d0 one");
    b.ok("volume remove-snapshot s:d0 one");
    assert!(b.holds("d0", "--snapshot two", 2));
    b.ok("volume rollback s:d0 two");
    assert!(b.holds("d0", "", 2));
    assert_eq!(b.ok("volume snapshots s:d0").as_array().unwrap().len(), 1);
}

#[test]
fn holds_clones_and_templates_stand_in_the_way() {
    let Some(b) = Bench::new() else { return };
    b.ok("volume create s:base --size 8M");
    b.write("base", 5);
    b.ok("volume snapshot s:base gold");
    b.ok("volume hold s:base gold replica");
    b.ok("volume hold s:base gold replica");
    let problem = b.refused("volume remove-snapshot s:base gold", 6, "blocked");
    assert_eq!(problem["by"], json!(["hold:replica"]));
    b.ok("volume release s:base gold replica");
    let clone = b.ok("volume clone s:base gold linked --guest 101");
    assert_eq!(
        clone["parent"],
        json!({"volume": "base", "snapshot": "gold"})
    );
    assert_eq!(
        b.ok("volume clone s:base gold linked --guest 101")["name"],
        "linked"
    );
    assert!(b.holds("linked", "", 5));
    b.write("linked", 6);
    assert!(b.holds("base", "", 5), "the source is untouched");
    for command in [
        "volume remove s:base",
        "volume remove-snapshot s:base gold",
        "volume rename s:base other",
    ] {
        assert_eq!(
            b.refused(command, 6, "blocked")["by"],
            json!(["linked"]),
            "{command}"
        );
    }
    b.ok("volume template s:base");
    b.refused("volume attach s:base", 2, "invalid");
    b.ok("volume flatten s:linked");
    b.ok("volume template s:base --undo");
    b.ok("volume remove s:base");
    assert!(b.holds("linked", "", 6), "it stands alone");
}

#[test]
fn protection_names_and_sizes() {
    let Some(b) = Bench::new() else { return };
    b.ok("volume create s:a --size 8M");
    b.ok("volume set s:a --protected true --notes 'the ledger'");
    assert_eq!(
        b.refused("volume remove s:a", 6, "blocked")["by"],
        json!(["protected"])
    );
    assert_eq!(b.ok("volume rename s:a b")["notes"], "the ledger");
    b.ok("volume rename s:a b");
    assert_eq!(b.ok("volume resize s:b 16M")["size_bytes"], 16 << 20);
    b.refused("volume resize s:b 8M", 1, "unsupported");
    b.refused("volume resize s:b 8M --shrink", 1, "unsupported");
    let long = "x".repeat(128);
    b.ok(&format!("volume create s:{long} --size 1M"));
    assert_eq!(b.names(), ["b".to_owned(), long]);
    let said = b
        .daemon
        .cairn(&format!("volume create s:{} --size 1M", "x".repeat(129)))
        .unwrap();
    assert_eq!(said.status, 2);
}

#[test]
fn an_older_epoch_is_refused() {
    let Some(b) = Bench::new() else { return };
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

#[test]
fn transfers_are_whole_then_incremental_and_never_over_writes() {
    let Some(b) = Bench::new() else { return };
    let other = tempfile::tempdir().unwrap();
    b.ok(&format!(
        "storage add dir t --path {}",
        other.path().display()
    ));
    b.ok("volume create s:d --size 8M --guest 100");
    b.write("d", 1);
    b.ok("volume snapshot s:d one");
    let copied = b.ok("volume copy s:d one t:r");
    let guid = b.ok("volume snapshots s:d")[0]["guid"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(copied["snapshot"]["guid"], guid.as_str());
    b.refused("volume copy s:d one t:r", 6, "already-exists");
    b.write("d", 2);
    b.ok("volume snapshot s:d two");
    b.ok(&format!("volume copy s:d two t:r --base {guid}"));
    assert_eq!(b.ok("volume snapshots t:r").as_array().unwrap().len(), 2);
    let replica = b.ok("volume attach t:r --read-only");
    let path = replica["attachment"]["path"].as_str().unwrap().to_owned();
    let io = b
        .daemon
        .place()
        .sh(&format!("qemu-io -r -f qcow2 -c 'read -P 2 0 1M' {path}"))
        .unwrap();
    assert!(!io.contains("verification failed"), "{io}");
    b.ok("volume detach t:r");
    // A replica that was started from may hold writes: an increment would lose them.
    b.ok("volume attach t:r");
    b.ok("volume detach t:r");
    b.ok("volume attach s:d --epoch 50");
    b.ok("volume detach s:d");
    b.ok("volume snapshot s:d three");
    let newest = b.ok("volume snapshots s:d")[1]["guid"]
        .as_str()
        .unwrap()
        .to_owned();
    let problem = b.refused(
        &format!("volume copy s:d three t:r --base {newest}"),
        6,
        "blocked",
    );
    assert_eq!(problem["by"], json!(["written"]));
}

#[test]
fn a_half_made_volume_is_completed() {
    let Some(mut b) = Bench::new() else { return };
    // What a crash between the image and the record leaves: a folder with a layer and no record.
    let folder = b.dir.path().join("volumes/d");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("1.qcow2"), "half").unwrap();
    assert!(b.names().is_empty());
    b.daemon.kill();
    b.daemon.boot().unwrap();
    b.ok("volume create s:d --size 8M");
    assert_eq!(b.names(), ["d"]);
    assert!(b.holds("d", "", 0));
}

#[test]
fn two_creates_at_once_make_one_volume() {
    let Some(b) = Bench::new() else { return };
    let results: Vec<i32> = std::thread::scope(|scope| {
        let run = || {
            b.daemon
                .cairn("volume create s:d --size 8M")
                .unwrap()
                .status
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(results, [0; 4]);
    assert_eq!(b.names(), ["d"]);
}

#[test]
fn a_storage_that_is_gone_says_so_and_comes_back() {
    let Some(b) = Bench::new() else { return };
    b.ok("volume create s:d --size 8M");
    let away = b.dir.path().with_extension("away");
    std::fs::rename(b.dir.path(), &away).unwrap();
    b.refused("volume list s", 1, "unavailable");
    let gone = || (b.ok("storage status s")["state"] == "unavailable").then_some(());
    wait_until("the storage is shown as unavailable", seconds(30), gone).unwrap();
    // An empty directory in its place is what an unmounted file system looks like: not written to.
    std::fs::create_dir(b.dir.path()).unwrap();
    b.refused("volume create s:e --size 8M", 1, "unavailable");
    assert_eq!(std::fs::read_dir(b.dir.path()).unwrap().count(), 0);
    std::fs::remove_dir(b.dir.path()).unwrap();
    std::fs::rename(&away, b.dir.path()).unwrap();
    assert_eq!(b.names(), ["d"]);
}

#[test]
fn another_directory_in_its_place_is_noticed() {
    let Some(mut b) = Bench::new() else { return };
    std::fs::write(b.dir.path().join(".cairn-storage"), "another").unwrap();
    b.daemon.kill();
    b.daemon.boot().unwrap();
    b.refused("volume list s", 1, "wrong-backend");
}

#[test]
fn a_full_file_system_leaves_nothing_behind() {
    let Some(b) = Bench::new() else { return };
    if let Some(reason) = not_root() {
        return skip(&reason);
    }
    let small = Mount::tmpfs("1M");
    b.ok(&format!(
        "storage add dir small --path {} --preallocation falloc",
        small.0.path().display()
    ));
    b.refused("volume create small:d --size 64M", 1, "no-space");
    let left: Vec<_> = std::fs::read_dir(small.0.path().join("volumes"))
        .unwrap()
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// A small file system, unmounted on drop.
struct Mount(TempDir);

impl Mount {
    fn tmpfs(size: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let command = format!(
            "mount -t tmpfs -o size={size} tmpfs {}",
            dir.path().display()
        );
        Place::local().sh(&command).unwrap();
        Self(dir)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Place::local().sh(&format!("umount {}", self.0.path().display()));
    }
}

#[test]
fn configurations_and_removal_are_checked() {
    let Some(b) = Bench::new() else { return };
    let problem = b.refused("storage add dir x --path relative", 2, "invalid");
    assert_eq!(problem["field"], "path");
    b.refused(
        "storage add dir x --path /no/such/directory",
        1,
        "unavailable",
    );
    b.refused("storage add ceph x --pool p", 5, "not-found");
    b.refused("storage set s --path /elsewhere", 2, "invalid");
    b.ok("storage set s --format raw");
    assert_eq!(b.ok("volume create s:d --size 8M")["format"], "raw");
    b.refused("plugin remove storage-dir", 6, "in-use");
    b.ok("volume attach s:d");
    b.refused("storage remove s", 6, "in-use");
    b.ok("volume detach s:d");
    b.ok("storage remove s");
    b.ok("plugin remove storage-dir");
}
