//! Two stores and a witness: the table of the design, at the level of consensus.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod cluster;

use std::fs;
use std::sync::Arc;

use cairn_store::{Change, Store, StoreError};
use cluster::{Cluster, WITNESS, until};
use serde_json::{Value, json};

async fn put(store: &Store, value: Value) -> Result<u64, StoreError> {
    store.transact(&[Change::put("a", value)]).await
}

/// The leader and the other node.
async fn pair(cluster: &Cluster) -> (Arc<Store>, Arc<Store>) {
    let (leader, mut others) = cluster.leader().await;
    (leader, others.pop().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn either_node_dies_and_writes_go_on() {
    let cluster = Cluster::with_witness().await;
    for _ in 0..2 {
        let (leader, other) = pair(&cluster).await;
        let (dead, alive) = (leader.id(), other);
        drop(leader);
        cluster.kill(dead).await;
        put(&alive, json!(format!("without {dead}"))).await.unwrap();
        cluster.start(dead).await.sync().await.unwrap();
        assert_eq!(
            cluster.store(dead).get("a").unwrap().unwrap().value,
            json!(format!("without {dead}"))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_witness_dies_and_writes_go_on() {
    let cluster = Cluster::with_witness().await;
    cluster.kill_witness().await;
    for id in 1..=2 {
        put(&cluster.store(id), json!(id)).await.unwrap();
    }
    let store = cluster.store(1);
    until("it is missed", || {
        store.quorum().missing == [format!("n{WITNESS}")]
    })
    .await;
    assert!(store.quorum().quorate);
    cluster.start_witness().await;
    until("it is back", || store.quorum().missing.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_see_only_the_witness_keep_their_leader() {
    let cluster = Cluster::with_witness().await;
    let (leader, other) = pair(&cluster).await;
    cluster.net.cut(1, 2);
    until("the other isn't quorate", || !other.quorum().quorate).await;
    put(&leader, json!("kept")).await.unwrap();
    assert!(matches!(
        put(&other, json!("no")).await,
        Err(StoreError::NoQuorum { .. })
    ));
    assert!(
        leader.leads(),
        "one that can't be reached must not depose it"
    );
    cluster.net.heal();
    other.sync().await.unwrap();
    assert_eq!(other.get("a").unwrap().unwrap().value, json!("kept"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_cut_off_from_both_is_replaced() {
    let cluster = Cluster::with_witness().await;
    let (leader, other) = pair(&cluster).await;
    cluster.net.cut(leader.id(), other.id());
    cluster.net.cut(leader.id(), WITNESS);
    until("the other leads", || other.leads()).await;
    put(&other, json!("new")).await.unwrap();
    assert!(matches!(
        put(&leader, json!("no")).await,
        Err(StoreError::NoQuorum { .. })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_links_cut_and_healed() {
    let cluster = Cluster::with_witness().await;
    put(&cluster.store(1), json!("before")).await.unwrap();
    for (a, b) in [(1, 2), (1, WITNESS), (2, WITNESS)] {
        cluster.net.cut(a, b);
    }
    for id in 1..=2 {
        until("it isn't quorate", || !cluster.store(id).quorum().quorate).await;
        assert!(matches!(
            put(&cluster.store(id), json!("no")).await,
            Err(StoreError::NoQuorum { .. })
        ));
        assert_eq!(
            cluster.store(id).get("a").unwrap().unwrap().value,
            json!("before")
        );
    }
    cluster.net.heal();
    for id in 1..=2 {
        until("it is quorate", || cluster.store(id).quorum().quorate).await;
        put(&cluster.store(id), json!(id)).await.unwrap();
    }
}

/// B down, writes with W, A dies, B returns: W hands its log to B, and B leads.
#[tokio::test(flavor = "multi_thread")]
async fn the_witness_hands_its_longer_log_to_the_node_that_returns() {
    let cluster = Cluster::with_witness().await;
    let (leader, other) = pair(&cluster).await;
    let (a, b) = (leader.id(), other.id());
    drop(other);
    cluster.kill(b).await;
    for n in 0..30 {
        put(&leader, json!(n)).await.unwrap();
    }
    drop(leader);
    cluster.kill(a).await;
    let returned = cluster.start(b).await;
    until("it leads", || returned.leads()).await;
    assert_eq!(
        returned.get("a").unwrap().unwrap().value,
        json!(29),
        "an acknowledged write is lost"
    );
    put(&returned, json!("and on")).await.unwrap();
    cluster.start(a).await.sync().await.unwrap();
    assert_eq!(
        cluster.store(a).get("a").unwrap().unwrap().value,
        json!("and on")
    );
}

/// The same, where the log was cut meanwhile: the witness hands on a snapshot that it can't read.
#[tokio::test(flavor = "multi_thread")]
async fn the_witness_hands_on_a_snapshot_too_and_reads_nothing() {
    let cluster = Cluster::with_witness().await;
    let (leader, other) = pair(&cluster).await;
    let (a, b) = (leader.id(), other.id());
    drop(other);
    cluster.kill(b).await;
    put(&leader, json!("PLAINTEXT-CANARY")).await.unwrap();
    let writers = (0..64).map(|w| {
        let store = leader.clone();
        tokio::spawn(async move {
            for n in 0..130 {
                store
                    .transact(&[Change::put(format!("w/{w}"), json!(n))])
                    .await
                    .unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let kept = cluster.dir(WITNESS).join("snapshot/current");
    until("the witness has a snapshot", || fs::exists(&kept).unwrap()).await;
    for file in walk(&cluster.dir(WITNESS)) {
        let bytes = fs::read(&file).unwrap();
        let found = bytes.windows(16).any(|w| w == b"PLAINTEXT-CANARY");
        assert!(!found, "{} tells what it must not", file.display());
    }
    drop(leader);
    cluster.kill(a).await;
    fs::remove_dir_all(cluster.dir(a)).unwrap();
    let returned = cluster.start(b).await;
    until("it leads", || returned.leads()).await;
    assert_eq!(
        returned.get("a").unwrap().unwrap().value,
        json!("PLAINTEXT-CANARY")
    );
    assert_eq!(returned.list("w").unwrap().len(), 64);
    assert!(
        returned
            .list("w")
            .unwrap()
            .iter()
            .all(|(_, r)| r.value == json!(129))
    );
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    entries
        .flat_map(|p| if p.is_dir() { walk(&p) } else { vec![p] })
        .collect()
}
