//! Snapshots, holds, clones.

use serde_json::json;

use crate::bench::Bench;

/// Snapshots of several volumes, going back, and taking one out of the middle.
pub fn snapshots_keep_content_and_identity(b: &Bench) {
    for volume in ["s:d0", "s:d1"] {
        b.ok(&format!("volume create {volume} --size 8M"));
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
    b.write("s:d0", 2);
    b.ok("volume snapshot s:d0 two");
    b.refused("volume snapshot s:d0 s:d1 two", 6, "already-exists");
    b.write("s:d0", 3);
    b.ok("volume snapshot s:d0 three");
    b.write("s:d0", 4);
    assert!(b.holds("s:d0", "--snapshot one", 1));
    assert!(b.holds("s:d0", "--snapshot two", 2));
    assert!(b.holds("s:d0", "", 4));
    let problem = b.refused("volume rollback s:d0 one", 6, "blocked");
    assert_eq!(problem["by"], json!(["d0@three", "d0@two"]), "newest first");
    // Taking one out of the middle leaves the others as they are.
    b.ok("volume remove-snapshot s:d0 two");
    b.ok("volume remove-snapshot s:d0 two");
    assert!(b.holds("s:d0", "--snapshot one", 1));
    assert_eq!(
        b.refused("volume rollback s:d0 one", 6, "blocked")["by"],
        json!(["d0@three"])
    );
    b.ok("volume rollback s:d0 three");
    assert!(b.holds("s:d0", "", 3));
    assert_eq!(b.snapshots("s:d0"), ["one", "three"]);
    b.refused("volume rollback s:d0 none", 5, "not-found");
}

/// A storage whose trees have no snapshots says so.
pub fn file_trees_have_snapshots_where_the_storage_can(b: &Bench) {
    b.ok("volume create s:tree --size 0 --format directory --content rootdir");
    b.mark("s:tree", "one");
    if b.dialect("qemu-img") {
        b.refused("volume snapshot s:tree one", 1, "unsupported");
        return;
    }
    b.ok("volume snapshot s:tree one");
    b.mark("s:tree", "two");
    b.ok("volume clone s:tree one copy --guest 101");
    assert_eq!(
        (b.marked("s:copy"), b.marked("s:tree")),
        ("one".to_owned(), "two".to_owned())
    );
    b.ok("volume rollback s:tree one");
    assert_eq!(b.marked("s:tree"), "one");
}

/// What is held or stood on can't be removed, and who does it is named.
pub fn holds_and_clones_stand_in_the_way(b: &Bench) {
    b.ok("volume create s:base --size 8M");
    b.write("s:base", 5);
    b.ok("volume snapshot s:base gold");
    b.ok("volume hold s:base gold replica");
    b.ok("volume hold s:base gold replica");
    let problem = b.refused("volume remove-snapshot s:base gold", 6, "blocked");
    assert_eq!(problem["by"], json!(["hold:replica"]));
    b.refused("volume remove s:base", 6, "blocked");
    b.ok("volume release s:base gold replica");
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
    assert!(b.holds("s:linked", "", 5));
    b.write("s:linked", 6);
    assert!(b.holds("s:base", "", 5), "the source is untouched");
    for command in ["volume remove s:base", "volume remove-snapshot s:base gold"] {
        assert_eq!(
            b.refused(command, 6, "blocked")["by"],
            json!(["linked"]),
            "{command}"
        );
    }
    b.ok("volume template s:base");
    b.refused("volume attach s:base", 2, "invalid");
    // A clone that has snapshots of its own goes with them, and its source stays.
    b.ok("volume snapshot s:linked own");
    b.ok("volume remove s:linked");
    b.ok("volume template s:base --undo");
    assert!(b.holds("s:base", "--snapshot gold", 5));
    b.ok("volume remove s:base");
    assert_eq!(b.backend.left("s").unwrap(), "");
}

/// A clone is made independent, or the storage says that it can't.
pub fn clones_stand_alone_where_the_storage_can(b: &Bench) {
    b.ok("volume create s:base --size 8M");
    b.write("s:base", 5);
    b.ok("volume snapshot s:base gold");
    b.ok("volume clone s:base gold linked --guest 101");
    if !b.can("flattening") {
        b.refused("volume flatten s:linked", 1, "unsupported");
        return;
    }
    b.ok("volume flatten s:linked");
    b.ok("volume remove s:base");
    assert!(b.holds("s:linked", "", 5), "it stands alone");
}

/// A guest that runs is snapshotted beneath, or through QEMU where the storage is QEMU's own.
pub fn an_attached_volume_is_snapshotted_where_the_storage_can(b: &Bench) {
    b.ok("volume create s:d --size 8M");
    b.write("s:d", 1);
    b.ok("volume attach s:d");
    if b.dialect("qemu-img") {
        b.refused("volume snapshot s:d one", 6, "in-use");
        b.refused("volume resize s:d 16M", 6, "in-use");
    } else {
        b.ok("volume snapshot s:d one");
        assert_eq!(b.ok("volume resize s:d 16M")["size_bytes"], 16 << 20);
        b.refused("volume rollback s:d one", 6, "in-use");
    }
    b.ok("volume detach s:d");
}
