//! Needs root, /dev/fuse and zfs-fuse: the bed's own zfs-fuse nodes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use cairn_bed::{ZfsFuse, seconds, skip};

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
        .sh("zfs create tank/a && zfs snapshot tank/a@s")
        .unwrap();
    assert_eq!(b.place().sh("zfs list -H -o name").unwrap(), "tank\n");
    let guid = "zpool list -H -o guid tank";
    assert_ne!(a.place().sh(guid).unwrap(), b.place().sh(guid).unwrap());
    // Nor does a daemon that starts later find them, nor this machine.
    let c = ZfsFuse::start().unwrap();
    assert_eq!(c.place().sh("zpool list -H -o name").unwrap(), "");
    assert!(!std::path::Path::new("/run/pools").exists());
}

#[test]
fn an_increment_goes_from_one_node_to_another() {
    if let Some(reason) = ZfsFuse::missing() {
        return skip(&reason);
    }
    let (a, b) = (ZfsFuse::start().unwrap(), ZfsFuse::start().unwrap());
    for node in [&a, &b] {
        node.create_pool("tank", POOL_BYTES).unwrap();
    }
    let (from, to) = (a.place(), b.place());
    from.sh("zfs create tank/a && echo one >/run/pools/tank/a/f && zfs snapshot tank/a@1")
        .unwrap();
    from.sh("echo two >/run/pools/tank/a/f && zfs snapshot tank/a@2")
        .unwrap();
    for send in ["zfs send tank/a@1", "zfs send -i @1 tank/a@2"] {
        let sent = from.run(send, seconds(60)).unwrap();
        assert_eq!((sent.status, &*sent.stderr), (0, &b""[..]));
        let received = to
            .run_with_stdin("zfs receive -F tank/a", &sent.stdout, seconds(60))
            .unwrap();
        assert_eq!(
            received.status,
            0,
            "{}",
            String::from_utf8_lossy(&received.stderr)
        );
    }
    assert_eq!(to.sh("cat /run/pools/tank/a/f").unwrap(), "two\n");
    let guid = "zfs get -H -o value guid tank/a@2";
    assert_eq!(from.sh(guid).unwrap(), to.sh(guid).unwrap());
}
