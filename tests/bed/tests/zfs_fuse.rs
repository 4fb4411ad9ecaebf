//! Needs root, /dev/fuse and zfs-fuse: the bed's own zfs-fuse nodes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use cairn_bed::{ZfsFuse, skip};

const POOL_BYTES: u64 = 128 << 20;

#[test]
fn two_nodes_have_pools_of_their_own() {
    if let Some(reason) = ZfsFuse::missing() {
        return skip(&reason);
    }
    let (a, b) = (ZfsFuse::start().unwrap(), ZfsFuse::start().unwrap());
    a.create_pool("tank", POOL_BYTES).unwrap();
    b.create_pool("tank", POOL_BYTES).unwrap();
    a.place()
        .sh("zfs create tank/a && zfs snapshot tank/a@s && zfs snapshot tank/a@t")
        .unwrap();
    let sent = a
        .place()
        .run("zfs send -i @s tank/a@t", cairn_bed::seconds(30))
        .unwrap();
    assert_eq!(sent.status, 0);
    assert!(!sent.stdout.is_empty());
    let names = b.place().sh("zfs list -H -o name").unwrap();
    assert_eq!(names.trim(), "tank");
}
