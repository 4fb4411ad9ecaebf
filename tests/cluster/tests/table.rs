//! The design's table: two nodes and a witness, a row a test, and a line a row. Needs root, ip, nft.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use cairn_bed::{Lan, skip};
use cairn_cluster_tests::{Member, cluster, quorate, votes};

const A: usize = 0;
const B: usize = 1;
/// The witness's number on the LAN.
const W: u8 = 3;

struct Bench {
    lan: Lan,
    nodes: Vec<Member>,
    witness: Member,
}

impl Bench {
    /// Two nodes, A leading, and a witness.
    fn new(row: &str) -> Option<Self> {
        if let Some(reason) = Lan::missing() {
            skip(&reason);
            return None;
        }
        eprintln!("row: {row}");
        let lan = Lan::up(4).unwrap();
        let nodes = cluster(&lan, 2).unwrap();
        let witness = Member::witness(&lan, W).unwrap();
        nodes[A].add_witness(&witness).unwrap();
        for node in &nodes {
            node.sees("three votes", |s| {
                votes(s, "expected") == 3 && votes(s, "total") == 3
            })
            .unwrap();
        }
        let bench = Self {
            lan,
            nodes,
            witness,
        };
        assert_eq!(bench.leader(B), "n1");
        Some(bench)
    }

    fn leader(&self, seen_by: usize) -> String {
        let status = self.nodes[seen_by]
            .sees("a leader", |s| s["leader"].is_string())
            .unwrap();
        status["leader"].as_str().unwrap().to_owned()
    }

    fn writes(&self, node: usize, value: &str) {
        self.nodes[node].sees("quorate", quorate).unwrap();
        self.nodes[node].note("row", value).unwrap();
    }

    fn reads(&self, node: usize, value: &str) {
        self.nodes[node].sees("quorate", quorate).unwrap();
        assert_eq!(self.nodes[node].noted("row").unwrap(), value);
    }

    fn refuses(&self, node: usize) {
        self.nodes[node]
            .sees("not quorate", |s| !quorate(s))
            .unwrap();
        self.nodes[node]
            .refused("config set notes/row 0", 3)
            .unwrap();
    }

    fn alarms(&self, node: usize, what: &str) {
        let heard = |s: &serde_json::Value| s["alarms"].to_string().contains(what);
        self.nodes[node].sees("an alarm", heard).unwrap();
    }
}

#[test]
fn b_dies_and_a_and_w_go_on() {
    let Some(mut b) = Bench::new("B dies") else {
        return;
    };
    b.nodes[B].kill();
    b.writes(A, "without B");
    b.alarms(A, "node n2 isn't reached");
    b.nodes[B].boot().unwrap();
    b.reads(B, "without B");
}

#[test]
fn a_dies_and_b_is_elected_through_w() {
    let Some(mut b) = Bench::new("A dies") else {
        return;
    };
    b.nodes[A].kill();
    b.writes(B, "without A");
    assert_eq!(b.leader(B), "n2");
    b.nodes[A].boot().unwrap();
    b.reads(A, "without A");
}

#[test]
fn w_dies_and_a_and_b_go_on() {
    let Some(mut b) = Bench::new("W dies or is cut off") else {
        return;
    };
    b.witness.kill();
    b.writes(A, "without W");
    b.writes(B, "without W, too");
    b.alarms(A, "witness w3 isn't reached");
    b.witness.boot().unwrap();
    b.nodes[A]
        .sees("W is back", |s| votes(s, "total") == 3)
        .unwrap();
}

#[test]
fn a_and_b_are_cut_and_both_see_w() {
    let Some(b) = Bench::new("A-B cut, both see W") else {
        return;
    };
    b.lan.cut(1, 2).unwrap();
    b.refuses(B);
    b.writes(A, "A keeps leading");
    assert_eq!(b.leader(A), "n1");
    b.lan.heal().unwrap();
    b.reads(B, "A keeps leading");
}

#[test]
fn a_is_cut_off_from_both() {
    let Some(b) = Bench::new("A cut off from both") else {
        return;
    };
    b.lan.isolate(1).unwrap();
    b.refuses(A);
    b.writes(B, "B leads through W");
    b.lan.heal().unwrap();
    b.reads(A, "B leads through W");
}

#[test]
fn one_way_to_w_is_cut() {
    let Some(b) = Bench::new("one of A-W, B-W cut") else {
        return;
    };
    for node in [1, 2] {
        b.lan.cut(node, W).unwrap();
        b.writes(A, &format!("{node}-W cut"));
        b.reads(B, &format!("{node}-W cut"));
        b.alarms(usize::from(node) - 1, "witness w3 isn't reached");
        b.lan.heal().unwrap();
        b.nodes[usize::from(node) - 1]
            .sees("healed", |s| votes(s, "total") == 3)
            .unwrap();
    }
}

#[test]
fn all_links_are_cut_and_healed() {
    let Some(b) = Bench::new("all links cut, then healed") else {
        return;
    };
    b.writes(A, "before");
    for node in 1..=3 {
        b.lan.isolate(node).unwrap();
    }
    b.refuses(A);
    b.refuses(B);
    let read = b.nodes[B].ok("config get notes/row").unwrap();
    assert_eq!(read["value"], "before", "reads go on");
    b.lan.heal().unwrap();
    b.writes(A, "after");
    b.reads(B, "after");
}

#[test]
fn a_dies_and_later_w_dies() {
    let Some(mut b) = Bench::new("A dies, later W dies") else {
        return;
    };
    b.nodes[A].kill();
    b.writes(B, "through W");
    b.witness.kill();
    b.refuses(B);
    b.witness.boot().unwrap();
    b.writes(B, "W returned");
}

#[test]
fn w_hands_its_log_to_b() {
    let Some(mut b) = Bench::new("B down, writes with W, A dies, B returns") else {
        return;
    };
    b.nodes[B].kill();
    for n in 0..10 {
        b.writes(A, &format!("without B {n}"));
    }
    b.nodes[A].kill();
    b.nodes[B].boot().unwrap();
    b.reads(B, "without B 9");
    b.writes(B, "and on");
    b.nodes[A].boot().unwrap();
    b.reads(A, "and on");
}

#[test]
fn w_is_rolled_back_to_an_old_disk() {
    let Some(mut b) = Bench::new("W rolled back to an old disk") else {
        return;
    };
    b.witness.kill();
    let old = tempfile::tempdir().unwrap();
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        let done = std::process::Command::new("cp")
            .arg("-a")
            .arg(from)
            .arg(to)
            .status()
            .unwrap();
        assert!(done.success());
    };
    let clusters = b.witness.data().join("clusters");
    copy(&clusters, &old.path().join("clusters"));
    b.witness.boot().unwrap();
    b.nodes[A]
        .sees("W is back", |s| votes(s, "total") == 3)
        .unwrap();
    for n in 0..10 {
        b.writes(A, &format!("with W {n}"));
    }
    let before = b.nodes[A].status().unwrap()["witnesses"][0]["id"].clone();
    b.witness.kill();
    std::fs::remove_dir_all(&clusters).unwrap();
    copy(&old.path().join("clusters"), &clusters);
    b.witness.boot().unwrap();
    b.nodes[A].note("row", "after").unwrap();
    b.nodes[A]
        .sees("W is evicted and added anew, and votes", |s| {
            s["witnesses"][0]["id"] != before
                && s["witnesses"][0]["votes"] == 1
                && votes(s, "total") == 3
        })
        .unwrap();
    b.nodes[B].kill();
    b.writes(A, "with the new W alone");
}

#[test]
fn a_third_node_joins_with_the_witness_in_place_and_it_is_removed() {
    let Some(b) = Bench::new("a node joins and leaves with W in place") else {
        return;
    };
    let third = Member::node(&b.lan, 4).unwrap();
    b.nodes[A].admit(&third).unwrap();
    let three = |s: &serde_json::Value| {
        votes(s, "expected") == 3
            && s["nodes"].as_array().unwrap().len() == 3
            && s["witnesses"][0]["votes"] == 0
    };
    b.nodes[A]
        .sees("three nodes vote, and W needn't", three)
        .unwrap();
    third.ok("cluster leave").unwrap();
    b.nodes[A]
        .sees("W votes again", |s| {
            s["witnesses"][0]["votes"] == 1 && votes(s, "expected") == 3
        })
        .unwrap();
    b.nodes[A].ok("cluster witness remove w3").unwrap();
    b.nodes[A]
        .sees("two votes", |s| votes(s, "expected") == 2)
        .unwrap();
    let left = b.witness.ok("witness status").unwrap();
    assert_eq!(left["clusters"].as_array().unwrap().len(), 0, "{left}");
}
