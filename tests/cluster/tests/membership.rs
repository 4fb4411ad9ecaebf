//! Nodes come and go: tokens, joins, clashes, removal, and what is told. Needs root, ip, nft.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use cairn_bed::{Lan, skip, wait_until};
use cairn_cluster_tests::{Member, PATIENCE, cluster, quorate, votes};

fn lan(count: u8) -> Option<Lan> {
    if let Some(reason) = Lan::missing() {
        skip(&reason);
        return None;
    }
    Some(Lan::up(count).unwrap())
}

fn message(problem: &serde_json::Value) -> String {
    problem["detail"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn three_nodes_join_by_tokens_and_two_that_die_are_named() {
    let Some(lan) = lan(3) else { return };
    let mut nodes = cluster(&lan, 3).unwrap();
    for node in &nodes {
        let status = node.status().unwrap();
        assert!(quorate(&status), "{status}");
        assert_eq!(votes(&status, "expected"), 3);
        assert_eq!(status["name"], "test");
        assert_eq!(status["nodes"].as_array().unwrap().len(), 3);
    }
    nodes[2].note("a", "from the third").unwrap();
    assert_eq!(nodes[0].noted("a").unwrap(), "from the third");
    nodes[0].kill();
    nodes[1].kill();
    let last = &nodes[2];
    last.sees("no quorum", |s| !quorate(s)).unwrap();
    let read = last.ok("config get notes/a").unwrap();
    assert_eq!(
        (read["value"].as_str(), read["current"].as_bool()),
        (Some("from the third"), Some(false))
    );
    assert!(read["age_ms"].as_u64().unwrap() > 0);
    let problem = last.refused("config set notes/a 1", 3).unwrap();
    assert_eq!(problem["status"], 503);
    assert_eq!(problem["quorum"]["needed"], 2);
    let mut missing: Vec<_> = problem["quorum"]["missing"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m.as_str().unwrap())
        .collect();
    missing.sort_unstable();
    assert_eq!(missing, ["n1", "n2"]);
    nodes[0].boot().unwrap();
    nodes[2].sees("a quorum again", quorate).unwrap();
    nodes[2].note("a", "again").unwrap();
    nodes[1].boot().unwrap();
    assert_eq!(nodes[1].noted("a").unwrap(), "again");
}

#[test]
fn each_bad_token_gets_its_own_sentence() {
    let Some(lan) = lan(3) else { return };
    let (first, second, third) = (
        Member::node(&lan, 1).unwrap(),
        Member::node(&lan, 2).unwrap(),
        Member::node(&lan, 3).unwrap(),
    );
    let unnamed = first.refused("cluster token", 6).unwrap();
    assert!(message(&unnamed).contains("cluster create"), "{unnamed}");
    first.ok("cluster create test").unwrap();
    let token = first.ok("cluster token").unwrap()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        message(&second.refused("cluster join hello", 2).unwrap()).contains("not a join token")
    );
    let cut = &token[..token.len() - 3];
    let mistyped = second.refused(&format!("cluster join {cut}"), 2).unwrap();
    second.ok(&format!("cluster join {token}")).unwrap();
    let used = third.refused(&format!("cluster join {token}"), 4).unwrap();
    assert!(message(&used).contains("used before, by n2"), "{used}");
    let again = second.refused(&format!("cluster join {token}"), 6).unwrap();
    assert!(
        message(&again).contains("in that cluster already"),
        "{again}"
    );
    let mut sentences = vec![
        message(&unnamed),
        message(&mistyped),
        message(&used),
        message(&again),
    ];
    sentences.dedup();
    assert_eq!(sentences.len(), 4);
    // Nobody can log in with what the store keeps of a token, nor read the cluster's secrets.
    let all = first.ok("config export").unwrap().to_string();
    let secret = token.rsplit('-').next().unwrap();
    assert!(
        !all.contains(&token) && !all.contains(secret) && !all.contains("PRIVATE"),
        "{all}"
    );
    assert!(!first.log().contains(&token) && !second.log().contains(&token));
}

#[test]
fn a_node_that_has_things_may_join_unless_they_clash() {
    let Some(lan) = lan(3) else { return };
    let nodes: Vec<Member> = (1..=3).map(|n| Member::node(&lan, n).unwrap()).collect();
    nodes[0].ok("cluster create test").unwrap();
    let signer = |key: &str| {
        format!(
            "config set trust/press '{{\"name\":\"press\",\"public_key\":\"{key}\",\"id\":\"1\"}}'"
        )
    };
    nodes[0].ok(&signer("A")).unwrap();
    nodes[1].ok(&signer("B")).unwrap();
    nodes[2]
        .ok("config set trust/other '{\"name\":\"other\",\"public_key\":\"C\",\"id\":\"2\"}'")
        .unwrap();
    let token = nodes[0].ok("cluster token").unwrap()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let clash = nodes[1]
        .refused(&format!("cluster join {token}"), 6)
        .unwrap();
    assert_eq!(clash["by"][0], "trust/press", "{clash}");
    // It is where it was, and the token isn't used up.
    nodes[1].note("mine", "still").unwrap();
    nodes[2].ok(&format!("cluster join {token}")).unwrap();
    assert_eq!(
        nodes[0].ok("config get trust/other").unwrap()["value"]["public_key"],
        "C"
    );
}

#[test]
fn a_node_is_removed_dead_or_alive_and_comes_back_only_by_joining_anew() {
    let Some(lan) = lan(3) else { return };
    let mut nodes = cluster(&lan, 3).unwrap();
    nodes[2].kill();
    nodes[0]
        .sees("it is missed", |s| votes(s, "total") == 2)
        .unwrap();
    let refused = nodes[0].refused("cluster remove n2", 6).unwrap();
    assert!(
        message(&refused).contains("has 2 votes and needs 2"),
        "{refused}"
    );
    nodes[0].ok("cluster remove n3").unwrap();
    nodes[0]
        .sees("two are left", |s| votes(s, "expected") == 2)
        .unwrap();
    nodes[2].boot().unwrap();
    nodes[2].refused("config set notes/a 1", 3).unwrap();
    assert!(nodes[0].refused("cluster remove n3", 5).is_ok());
    // It goes its own way, and comes back.
    nodes[1].ok("cluster leave").unwrap();
    nodes[1]
        .sees("it is alone", |s| quorate(s) && votes(s, "expected") == 1)
        .unwrap();
    nodes[0]
        .sees("it is gone", |s| quorate(s) && votes(s, "expected") == 1)
        .unwrap();
    nodes[0].admit(&nodes[1]).unwrap();
    nodes[0]
        .sees("it is back", |s| {
            votes(s, "expected") == 2 && votes(s, "total") == 2
        })
        .unwrap();
    let alone = nodes[0].refused("cluster create other", 6).unwrap();
    assert!(
        message(&alone).contains("in cluster test already"),
        "{alone}"
    );
}

#[test]
fn a_plugin_and_a_storage_of_one_node_serve_on_the_others() {
    let Some(lan) = lan(2) else { return };
    let nodes = cluster(&lan, 2).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let plugins = std::env::var("CAIRN_PLUGINS").unwrap();
    let grants = "--grant command:qemu-img --grant 'files:{config.path}'";
    nodes[0]
        .ok(&format!(
            "plugin install {plugins}/storage_dir.wasm {grants}"
        ))
        .unwrap();
    nodes[0]
        .ok(&format!(
            "storage add dir s --path {}",
            dir.path().display()
        ))
        .unwrap();
    nodes[0]
        .ok("volume create s:vm-100-disk-0 --size 16M --guest 100")
        .unwrap();
    let listed = wait_until("the plugin is here too", PATIENCE, || {
        let said = nodes[1].cairn("volume list s").ok()?;
        (said.status == 0).then_some(said.json)
    });
    let listed = listed.unwrap_or_else(|e| panic!("{e}: {:?}", nodes[1].cairn("volume list s")));
    assert_eq!(listed[0]["name"], "vm-100-disk-0");
    // Which backend it is stands there for each node.
    let backends = nodes[1].ok("config ls backends").unwrap();
    assert_eq!(backends.as_array().unwrap().len(), 2, "{backends}");
    nodes[0].ok("volume remove s:vm-100-disk-0").unwrap();
    nodes[1].ok("storage remove s").unwrap();
    assert_eq!(
        nodes[0]
            .ok("config ls backends")
            .unwrap()
            .as_array()
            .unwrap()
            .len(),
        0
    );
    nodes[1].ok("plugin remove storage-dir").unwrap();
    let gone = wait_until("it is gone here too", PATIENCE, || {
        let listed = nodes[0].ok("storage types").ok()?;
        listed.as_array()?.is_empty().then_some(())
    });
    gone.unwrap();
}

#[test]
fn a_lost_majority_is_overridden_by_its_name() {
    let Some(lan) = lan(3) else { return };
    let mut nodes = cluster(&lan, 3).unwrap();
    nodes[0].note("a", "kept").unwrap();
    let last = 2;
    nodes[last].noted("a").unwrap();
    assert!(
        message(
            &nodes[last]
                .refused("cluster force-quorum --cluster test", 6)
                .unwrap()
        )
        .contains("has its quorum")
    );
    nodes[0].kill();
    nodes[1].kill();
    nodes[last].sees("no quorum", |s| !quorate(s)).unwrap();
    nodes[last]
        .refused("cluster force-quorum --cluster other", 2)
        .unwrap();
    nodes[last]
        .ok("cluster force-quorum --cluster test")
        .unwrap();
    let status = nodes[last].status().unwrap();
    assert!(
        quorate(&status) && votes(&status, "expected") == 1,
        "{status}"
    );
    assert_eq!(status["epoch"], 1);
    assert_eq!(nodes[last].noted("a").unwrap(), "kept");
    nodes[last].note("a", "alone").unwrap();
    // The dead come back and may not disturb it.
    nodes[0].boot().unwrap();
    nodes[last].note("a", "still alone").unwrap();
    nodes[last].kill();
    nodes[last].boot().unwrap();
    assert_eq!(nodes[last].noted("a").unwrap(), "still alone");
}
