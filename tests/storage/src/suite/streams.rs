//! Transfers by someone who means harm, and damaged records. Each is for one kind of storage, as what can be
//! crafted differs.

use serde_json::json;

use crate::bench::Bench;
use crate::pausing::{Moment, Pausing};

/// Makes, for the sender, an image that has its data in another file of the node.
const OTHER_DATA: &str =
    "$real create -q -f qcow2 -o data_file=$dir/other,data_file_raw=on \"${@: -1}\" 8M";
/// Sends properties, too.
const WITH_PROPERTIES: &str = "$real send -p \"${@:2}\"";

/// An image that has its data in another file would show that to its guest.
pub fn an_image_that_names_another_file_is_refused(b: &Bench) {
    b.second();
    b.ok("volume create s:d --size 8M");
    b.write("s:d", 1);
    b.ok("volume snapshot s:d one");
    let crafting = Moment::Instead("convert", OTHER_DATA);
    let crafted = Pausing::start(b.backend.as_ref(), "qemu-img", crafting).unwrap();
    let problem = b
        .refused("volume copy s:d one t:r", 1, "corrupt")
        .to_string();
    assert!(problem.contains("another file for its data"), "{problem}");
    assert_eq!(b.ok("volume list t"), json!([]));
    drop(crafted);
}

/// One record that can't be read costs its own volume, and is told; what must know all volumes refuses.
pub fn a_damaged_record_costs_one_volume(b: &Bench) {
    b.ok("volume create s:a --size 8M");
    b.ok("volume create s:b --size 8M");
    let left = b.backend.left("s").unwrap();
    let record = left.lines().find(|l| l.ends_with("/a/meta.json")).unwrap();
    b.place().sh(&format!("truncate -s 20 {record}")).unwrap();
    assert_eq!(b.names(), ["b"]);
    b.refused("volume show s:a", 1, "corrupt");
    b.ok("volume create s:c --size 8M");
    let shown = b.ok("storage status s").to_string();
    assert!(
        shown.contains("volume a") && shown.contains(record),
        "{shown}"
    );
    // It may stand on the one that is to go.
    b.refused("volume remove s:b", 1, "corrupt");
    assert_eq!(b.names(), ["b", "c"]);
}

/// Where a file tree is mounted, and what may be run from it, is the receiving node's to say.
pub fn a_stream_does_not_say_where_it_is_mounted(b: &Bench) {
    b.second();
    b.ok("volume create s:d --size 8M --format directory --content rootdir");
    b.mark("s:d", "one");
    let sh = |script: &str| b.place().sh(script).unwrap();
    sh(
        "zfs set mountpoint=/run/crafted tank/s/d; zfs set exec=off tank/s/d; zfs set atime=off tank/s/d",
    );
    b.ok("volume snapshot s:d one");
    let crafting = Moment::Instead("send", WITH_PROPERTIES);
    let crafted = Pausing::start(b.backend.as_ref(), "zfs", crafting).unwrap();
    b.ok("volume copy s:d one t:r");
    let first = b.newest("s:d");
    let sources =
        || sh("zfs get -H -o property,value,source atime,exec,setuid,mountpoint tank/t/r");
    let seen = sources();
    assert!(
        seen.contains("atime\toff\treceived"),
        "no properties came: {seen}"
    );
    assert_eq!(seen.matches("received").count(), 1, "{seen}");
    assert!(!seen.contains("/crafted"), "{seen}");
    // The increment's properties don't count either.
    sh("zfs set mountpoint=/run/crafted/more tank/s/d; zfs set setuid=off tank/s/d");
    b.ok("volume snapshot s:d two");
    b.ok(&format!("volume copy s:d two t:r --base {first}"));
    let seen = sources();
    assert_eq!(seen.matches("received").count(), 1, "{seen}");
    assert!(b.attach("t:r", "--read-only").ends_with("tank/t/r"));
    b.ok("volume detach t:r");
    assert_eq!(b.marked("t:r"), "one");
    drop(crafted);
    // One that came otherwise isn't mounted where its stream says.
    sh("zfs send -p tank/s/d@one | zfs receive -u tank/t/q
        zfs set cairn:format=directory tank/t/q; zfs set cairn:content=rootdir tank/t/q");
    let problem = b
        .refused("volume attach t:q --read-only", 1, "corrupt")
        .to_string();
    assert!(
        problem.contains("zfs inherit mountpoint tank/t/q"),
        "{problem}"
    );
    assert_eq!(sh("zfs get -H -o value mounted tank/t/q").trim(), "no");
}
