//! Three stores: what is acknowledged stays, without a majority nothing changes, and all comes back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod cluster;

use std::fs;
use std::time::Duration;

use cairn_store::{Change, Expect, StoreError};
use cluster::{Cluster, until};
use serde_json::{Value, json};

async fn put(cluster: &Cluster, id: u64, path: &str, value: Value) -> Result<u64, StoreError> {
    cluster
        .store(id)
        .transact(&[Change::put(path, value)])
        .await
}

fn read(cluster: &Cluster, id: u64, path: &str) -> Option<Value> {
    cluster.store(id).get(path).unwrap().map(|r| r.value)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_member_keeps_what_it_acknowledged() {
    let cluster = Cluster::new(1).await;
    for n in 0..20 {
        put(&cluster, 1, "a", json!(n)).await.unwrap();
    }
    cluster.kill(1).await;
    cluster.start(1).await;
    until("it leads again", || cluster.store(1).leads()).await;
    assert_eq!(read(&cluster, 1, "a"), Some(json!(19)));
    assert_eq!(cluster.store(1).revision(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_member_takes_changes_and_all_see_them() {
    let cluster = Cluster::new(3).await;
    for id in 1..=3 {
        let revision = put(&cluster, id, &format!("from/{id}"), json!(id))
            .await
            .unwrap();
        assert_eq!(revision, id);
    }
    for id in 1..=3 {
        cluster.store(id).sync().await.unwrap();
        assert_eq!(cluster.store(id).list("from").unwrap().len(), 3);
    }
    let conflict = Change::put("from/1", json!(0)).expecting(Expect::Revision(3));
    let refused = cluster.store(2).transact(&[conflict]).await;
    assert!(
        matches!(refused, Err(StoreError::Conflict { .. })),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_leader_is_replaced_and_a_dead_majority_refused_by_name() {
    let cluster = Cluster::new(3).await;
    put(&cluster, 2, "a", json!(1)).await.unwrap();
    let (leader, others) = cluster.leader().await;
    let (first, second) = (leader.id(), others[0].id());
    let last = others[1].id();
    drop((leader, others));
    cluster.kill(first).await;
    put(&cluster, last, "a", json!(2)).await.unwrap();
    cluster.kill(second).await;
    until("the last knows", || !cluster.store(last).quorum().quorate).await;
    let refused = put(&cluster, last, "a", json!(3)).await.unwrap_err();
    let StoreError::NoQuorum {
        votes,
        expected,
        needed,
        mut missing,
    } = refused
    else {
        panic!("{refused}")
    };
    missing.sort();
    let mut named = [format!("n{first}"), format!("n{second}")];
    named.sort();
    assert_eq!(
        (votes, expected, needed, missing),
        (1, 3, 2, named.to_vec())
    );
    assert_eq!(read(&cluster, last, "a"), Some(json!(2)), "reads go on");
    cluster.start(first).await;
    until("a majority is back", || {
        cluster.store(last).quorum().quorate
    })
    .await;
    put(&cluster, last, "a", json!(4)).await.unwrap();
    cluster.store(first).sync().await.unwrap();
    assert_eq!(
        read(&cluster, first, "a"),
        Some(json!(4)),
        "what was refused never happened"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_takes_nothing_and_follows_after_healing() {
    let cluster = Cluster::new(3).await;
    put(&cluster, 1, "a", json!("before")).await.unwrap();
    let (leader, others) = cluster.leader().await;
    for other in &others {
        cluster.net.cut(leader.id(), other.id());
    }
    until("the cut leader knows", || !leader.quorum().quorate).await;
    let refused = leader.transact(&[Change::put("a", json!("cut off"))]).await;
    assert!(
        matches!(refused, Err(StoreError::NoQuorum { .. })),
        "{refused:?}"
    );
    assert!(
        leader.sync().await.is_err(),
        "no read that decides is answered"
    );
    until("the others elect one", || others.iter().any(|s| s.leads())).await;
    put(&cluster, others[0].id(), "a", json!("after"))
        .await
        .unwrap();
    cluster.net.heal();
    leader.sync().await.unwrap();
    assert_eq!(read(&cluster, leader.id(), "a"), Some(json!("after")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_made_once_though_answers_are_lost() {
    let cluster = Cluster::new(3).await;
    let (leader, others) = cluster.leader().await;
    let follower = others[0].clone();
    // The leader hears the follower, which hears the leader only through the heartbeats of consensus.
    cluster.net.cut_one_way(leader.id(), follower.id());
    let net = cluster.net.clone();
    let healing = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(600)).await;
        net.heal();
    });
    let made = follower
        .transact(&[Change::put("once", json!(1)).expecting(Expect::Absent)])
        .await;
    healing.await.unwrap();
    assert!(made.is_ok(), "{made:?}");
    follower.sync().await.unwrap();
    assert_eq!(read(&cluster, follower.id(), "once"), Some(json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_member_gets_a_snapshot_and_a_damaged_state_is_rebuilt() {
    let cluster = Cluster::new(3).await;
    cluster.kill(3).await;
    for round in 0..70 {
        let changes: Vec<_> = (0..100)
            .map(|n| Change::put(format!("k/{n}"), json!(format!("{round}-{n}"))))
            .collect();
        cluster.store(1).transact(&changes).await.unwrap();
    }
    // More entries than one snapshot covers.
    let writers = (0..64).map(|w| {
        let store = cluster.store(1);
        tokio::spawn(async move {
            for n in 0..120 {
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
    until("the log is cut", || {
        fs::exists(cluster.dir(1).join("snapshot/current")).unwrap()
    })
    .await;
    let third = cluster.start(3).await;
    third.sync().await.unwrap();
    assert_eq!(third.list("").unwrap(), cluster.store(1).list("").unwrap());
    drop(third);
    cluster.kill(3).await;
    fs::write(cluster.dir(3).join("state/db"), "not a database").unwrap();
    let third = cluster.start(3).await;
    assert!(third.rebuilt().is_some());
    third.sync().await.unwrap();
    assert_eq!(third.list("").unwrap(), cluster.store(1).list("").unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_tail_of_the_log_is_cut_and_a_damaged_middle_stops_the_store() {
    let cluster = Cluster::new(1).await;
    for n in 0..50 {
        put(&cluster, 1, "a", json!(format!("value {n}")))
            .await
            .unwrap();
    }
    cluster.kill(1).await;
    let log = cluster.dir(1).join("log");
    let newest = fs::read_dir(&log)
        .unwrap()
        .map(|f| f.unwrap().path())
        .filter(|p| p.extension().is_some())
        .max()
        .unwrap();
    let whole = fs::read(&newest).unwrap();
    fs::write(&newest, &whole[..whole.len() - 3]).unwrap();
    let store = cluster.start(1).await;
    until("it leads again", || store.leads()).await;
    put(&cluster, 1, "b", json!(1)).await.unwrap();
    drop(store);
    cluster.kill(1).await;
    let oldest = fs::read_dir(&log)
        .unwrap()
        .map(|f| f.unwrap().path())
        .filter(|p| p.extension().is_some())
        .min()
        .unwrap();
    let mut bytes = fs::read(&oldest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&oldest, bytes).unwrap();
    let Err(refused) = cluster.try_start(1).await else {
        panic!("a damaged log was taken")
    };
    assert!(
        matches!(&refused, StoreError::Damaged(why) if why.contains("join it anew")),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_disk_went_back_is_noticed() {
    let cluster = Cluster::new(3).await;
    let (leader, others) = cluster.leader().await;
    let victim = others[0].id();
    drop((leader, others));
    let old = tempfile::tempdir().unwrap();
    cluster.kill(victim).await;
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .arg(cluster.dir(victim))
        .arg(old.path())
        .status()
        .unwrap();
    assert!(copied.success());
    cluster.start(victim).await;
    let other = (1..=3).find(|id| *id != victim).unwrap();
    for n in 0..20 {
        put(&cluster, other, "a", json!(n)).await.unwrap();
    }
    cluster.store(victim).sync().await.unwrap();
    cluster.kill(victim).await;
    fs::remove_dir_all(cluster.dir(victim)).unwrap();
    fs::rename(old.path().join(victim.to_string()), cluster.dir(victim)).unwrap();
    cluster.start(victim).await;
    put(&cluster, other, "a", json!("more")).await.unwrap();
    let (leader, _) = cluster.leader().await;
    until("the leader says it", || {
        leader.member_state(victim).reverted.is_some()
    })
    .await;
    let why = leader.member_state(victim).reverted.unwrap();
    assert!(why.contains("rolled back"), "{why}");
    put(&cluster, other, "a", json!("and on")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hangs_on_a_lease_goes_when_nobody_renews_it() {
    let cluster = Cluster::new(3).await;
    let store = cluster.store(2);
    let kept = store.grant(Duration::from_secs(1)).await.unwrap();
    let lost = store.grant(Duration::from_secs(1)).await.unwrap();
    let hold = |path: &str, lease: u64| {
        [Change::hold(path, json!("mine"), lease).expecting(Expect::Absent)]
    };
    store.transact(&hold("lock/kept", kept.id)).await.unwrap();
    store.transact(&hold("lock/lost", lost.id)).await.unwrap();
    assert!(matches!(
        store.transact(&hold("lock/none", 1)).await,
        Err(StoreError::NoLease(1))
    ));
    let revision = store.revision();
    let mut watch = store.watch("lock", revision).unwrap();
    let renewing = store.clone();
    let renewer = tokio::spawn(async move {
        loop {
            renewing.renew(kept.id).await.unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    let event = watch.next().await.unwrap();
    assert_eq!((event.path.as_str(), event.value), ("lock/lost", None));
    renewer.abort();
    assert_eq!(watch.next().await.unwrap().path, "lock/kept");
    assert!(matches!(
        store.renew(kept.id).await,
        Err(StoreError::NoLease(_))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_changes_are_refused_before_they_are_proposed() {
    let cluster = Cluster::new(1).await;
    for path in ["", "/a", "a/", "a//b", "a/../b", "a b", "ä"] {
        assert!(
            matches!(
                put(&cluster, 1, path, json!(1)).await,
                Err(StoreError::Path(_))
            ),
            "{path}"
        );
    }
    let large = json!("x".repeat((1 << 20) - 1));
    let refused = put(&cluster, 1, "a", large).await.unwrap_err();
    assert!(matches!(refused, StoreError::TooLarge { .. }), "{refused}");
    put(&cluster, 1, "a", json!("x".repeat((1 << 20) - 2)))
        .await
        .unwrap();
    let twice = [Change::put("a", json!(1)), Change::remove("a")];
    assert!(matches!(
        cluster.store(1).transact(&twice).await,
        Err(StoreError::Twice(_))
    ));
    assert_eq!(cluster.store(1).revision(), 1);
}
