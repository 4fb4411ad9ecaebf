//! Virtual machines with OpenZFS 2.3. Needs root, /dev/net/tun, QEMU 10 and what builds the image;
//! where that isn't built yet it takes some minutes more.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

use cairn_bed::{Bed, Node, Signal, TIMED_OUT_STATUS, seconds, skip, wait_until};

/// Larger than what goes to a machine at once, in bytes.
const FILE_BYTES: usize = (3 << 20) + 17;

fn up(count: usize) -> Option<Bed> {
    if let Some(reason) = Bed::missing() {
        skip(&reason);
        return None;
    }
    Some(Bed::up(count).unwrap())
}

#[test]
fn one_node_keeps_its_pool_over_a_power_cut() {
    let Some(bed) = up(1) else { return };
    let node = bed.node(1);
    assert!(node.sh("zfs version").unwrap().contains("zfs-2.3."));
    node.sh(
        "zpool create -o ashift=12 -O mountpoint=/tank tank mirror virtio-data-a virtio-data-b",
    )
    .unwrap();
    node.sh("zfs create tank/a && echo kept >/tank/a/f && zfs snapshot tank/a@1")
        .unwrap();
    node.sh("zfs create -V 64M tank/v && udevadm settle && mkfs.ext4 -q /dev/zvol/tank/v")
        .unwrap();
    node.sh("zfs snapshot tank/v@1 && echo new >/tank/a/f && zpool sync")
        .unwrap();
    let running = node.start("exec sleep 3600", "/var/log/sleep.log").unwrap();
    assert!(running.alive());

    node.power_cut().unwrap();
    assert!(!node.on() && !running.alive());
    let error = format!("{:#}", node.sh("true").unwrap_err());
    assert!(error.contains("n1 is off"), "{error}");
    node.boot().unwrap();

    assert!(!running.alive());
    node.sh("zpool import tank").unwrap();
    assert_eq!(
        node.sh("cat /tank/a/f /tank/a/.zfs/snapshot/1/f").unwrap(),
        "new\nkept\n"
    );
    assert_eq!(
        node.sh("zfs list -H -o name -t snapshot").unwrap(),
        "tank/a@1\ntank/v@1\n"
    );
    node.sh("udevadm settle && fsck.ext4 -fn /dev/zvol/tank/v")
        .unwrap();
    // A reset sends the machine off, where it stays; who waits for an answer is told.
    assert!(node.sh("echo b >/proc/sysrq-trigger").is_err());
    node.wait_off(seconds(60)).unwrap();
}

#[test]
fn a_node_runs_commands_and_takes_files() {
    let Some(bed) = up(1) else { return };
    let node = bed.node(1);
    outputs(node);
    files(node);
    let running = node
        .start(
            "trap 'echo asked' TERM; while :; do sleep 0.1; done",
            "/var/log/l",
        )
        .unwrap();
    running.kill(Signal::TERM).unwrap();
    let asked = || node.read("/var/log/l").unwrap() == b"asked\n";
    wait_until("the program says so", seconds(60), asked).unwrap();
    running.kill(Signal::KILL).unwrap();
    wait_until("it has ended", seconds(60), || !running.alive()).unwrap();
}

fn outputs(node: &Node) {
    let output = node
        .run("echo out; echo err >&2; exit 7", seconds(60))
        .unwrap();
    assert_eq!(
        (output.status, &*output.stdout, &*output.stderr),
        (7, &b"out\n"[..], &b"err\n"[..])
    );
    let output = node
        .run_with_stdin("tr a-z A-Z", b"in", seconds(60))
        .unwrap();
    assert_eq!(
        (output.status, &*output.stdout, &*output.stderr),
        (0, &b"IN"[..], &b""[..])
    );
    assert_eq!(
        node.run("cat; kill -9 $$", seconds(60)).unwrap().status,
        128 + 9
    );
    let output = node.run("echo begun; sleep 3600", seconds(2)).unwrap();
    assert_eq!(
        (output.status, &*output.stdout),
        (TIMED_OUT_STATUS, &b"begun\n"[..])
    );
    let begin = Instant::now();
    assert_eq!(node.sh("sleep 3600 & echo started").unwrap(), "started\n");
    assert!(begin.elapsed() < seconds(60));
    let error = format!(
        "{:#}",
        node.run("head -c 5M /dev/zero", seconds(60)).unwrap_err()
    );
    assert!(error.contains("5242880 bytes to stdout"), "{error}");
}

fn files(node: &Node) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    let bytes: Vec<u8> = (0..FILE_BYTES).map(|i| (i * i / 7) as u8).collect();
    fs::write(&path, &bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o751)).unwrap();
    node.put(&path, "/tmp/it's b").unwrap();
    assert!(
        node.read("/tmp/it's b").unwrap() == bytes,
        "the file came back changed"
    );
    assert_eq!(node.sh("stat -c %a /tmp/it*").unwrap(), "751\n");
    assert!(
        node.read("/proc/version")
            .unwrap()
            .starts_with(b"Linux version 6.12")
    );
    assert!(node.read("/tmp/none").is_err());
}

#[test]
fn three_nodes_are_cut_off_and_healed() {
    let Some(bed) = up(3) else { return };
    differ(&bed);
    let reach = |from: usize, to: usize| {
        let ping = format!("ping -c1 -W2 n{to}");
        bed.node(from).run(&ping, seconds(60)).unwrap().status == 0
    };
    assert!(reach(1, 2) && reach(2, 3) && reach(3, 1));
    bed.cut(1, 2).unwrap();
    assert!(!reach(1, 2) && !reach(2, 1) && reach(1, 3) && reach(3, 2));
    bed.isolate(3).unwrap();
    assert!(!reach(3, 1) && !reach(2, 3));
    bed.heal().unwrap();
    assert!(reach(1, 2) && reach(3, 2));
    one_way(&bed);

    bed.node(3).pause().unwrap();
    assert!(bed.node(3).on() && !reach(1, 3));
    let error = format!("{:#}", bed.node(3).sh("true").unwrap_err());
    assert!(error.contains("paused"), "{error}");
    bed.node(3).resume().unwrap();
    wait_until("n3 is back", seconds(60), || reach(1, 3)).unwrap();
    forwarded(&bed);
}

/// All three come from one saved state; what must differ does.
fn differ(bed: &Bed) {
    let pool = "zpool create tank virtio-data-a && zpool get -Hpo value guid tank";
    for command in [
        "hostname",
        "hostid",
        "cat /etc/machine-id /sys/class/net/e*/address",
        pool,
    ] {
        let mut said: Vec<String> = bed
            .nodes()
            .iter()
            .map(|node| node.sh(command).unwrap())
            .collect();
        said.sort();
        said.dedup();
        assert_eq!(said.len(), 3, "{command}: {said:?}");
    }
}

fn one_way(bed: &Bed) {
    let (a, b) = (bed.node(1), bed.node(2));
    bed.cut_one_way(1, 2).unwrap();
    let heard = a
        .start(
            "exec socat -u UDP-RECV:9001 CREATE:/run/heard",
            "/run/socat",
        )
        .unwrap();
    let listens = || {
        a.run("ss -Hlun sport = :9001 | grep -q .", seconds(60))
            .unwrap()
            .status
            == 0
    };
    wait_until("n1 listens", seconds(60), listens).unwrap();
    // No answer comes back, not even of who has the address: it is told beforehand.
    b.sh("ip neigh replace 10.99.0.1 lladdr 52:54:00:99:00:01 nud permanent dev $(ls /sys/class/net | grep ^e)")
        .unwrap();
    b.sh("echo still heard | socat -u - UDP:n1:9001").unwrap();
    let there = || {
        a.read("/run/heard")
            .is_ok_and(|bytes| bytes == b"still heard\n")
    };
    wait_until("n1 hears", seconds(60), there).unwrap();
    assert_ne!(b.run("ping -c1 -W2 n1", seconds(60)).unwrap().status, 0);
    drop(heard);
    bed.heal().unwrap();
}

fn forwarded(bed: &Bed) {
    let node = bed.node(2);
    let server =
        "mkdir -p /run/www && echo hello >/run/www/f && exec busybox httpd -f -p 80 -h /run/www";
    let _server = node.start(server, "/run/httpd").unwrap();
    let listens = || {
        node.run("ss -Hltn sport = :80 | grep -q .", seconds(60))
            .unwrap()
            .status
            == 0
    };
    wait_until("n2 listens", seconds(60), listens).unwrap();
    let port = bed.forward(2, 80).unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(seconds(60))).unwrap();
    stream.write_all(b"GET /f HTTP/1.0\r\n\r\n").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert!(said.ends_with("\r\n\r\nhello\n"), "{said}");
}
