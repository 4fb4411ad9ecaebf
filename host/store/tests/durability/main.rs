//! Nothing is acknowledged before a majority has synced it, and nothing after a sync has failed.
//!
//! Needs a C compiler: a shim is preloaded into a child process, which is this program again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

#[path = "../cluster/mod.rs"]
mod cluster;
mod trace;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_store::{Change, Store, StoreError};
use cluster::{Cluster, Turned, member, open_alone, until};
use serde_json::json;
use trace::{Line, Trace};

/// Builds the shim, and runs `part` of this program with it preloaded.
fn child(dir: &Path, part: &str, settings: &[(&str, &str)]) -> Child {
    let shim = dir.join("shim.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/durability/shim.c");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
        .args([&shim, &source])
        .arg("-ldl")
        .status()
        .expect("cc, a C compiler, is needed");
    assert!(built.success());
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", part, "--nocapture"])
        .env("LD_PRELOAD", &shim)
        .env("CAIRN_TRACE", dir.join("trace"))
        .env("CAIRN_DIR", dir)
        .env("TMPDIR", dir)
        .envs(settings.iter().copied())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn run(dir: &Path, part: &str, settings: &[(&str, &str)]) -> Trace {
    let status = child(dir, part, settings).wait().unwrap();
    assert!(status.success(), "{part} failed: {status}");
    Trace::read(&dir.join("trace"))
}

fn dir_of_child() -> PathBuf {
    PathBuf::from(std::env::var_os("CAIRN_DIR").expect("only run by another test"))
}

/// One line into the trace.
fn note(line: &str) {
    let path = std::env::var_os("CAIRN_TRACE").unwrap();
    let mut trace = std::fs::File::options()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    trace.write_all(format!("{line}\n").as_bytes()).unwrap();
}

async fn put(store: &Store, number: u64) -> Result<(), StoreError> {
    let change = Change::put(format!("marks/{number}"), json!(format!("mark-{number}.")));
    store.transact(&[change]).await?;
    note(&format!("acked {number}"));
    Ok(())
}

#[test]
fn an_acknowledged_change_was_synced_by_a_majority() {
    let dir = tempfile::tempdir().unwrap();
    let trace = run(dir.path(), "part_three_members", &[]);
    let acked = trace.assert_acked_after_syncs(2);
    assert_eq!(acked, 300);
    println!(
        "{acked} changes, {} syncs",
        trace.count(|l| matches!(l, Line::Synced(_)))
    );
}

#[test]
fn a_member_whose_sync_failed_is_no_part_of_a_majority_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let trace = run(dir.path(), "part_three_members", &[("CAIRN_FAIL", "3:40")]);
    assert_eq!(trace.count(|l| *l == Line::Failed(3)), 1);
    assert_eq!(trace.assert_acked_after_syncs(2), 300);
    assert_eq!(
        trace.after_failure(|l| *l == Line::Synced(3)),
        0,
        "it goes on after a failure"
    );
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_until_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let trace = run(
        dir.path(),
        "part_alone_until_it_stops",
        &[("CAIRN_FAIL", "1:40")],
    );
    let acked = trace.assert_acked_after_syncs(1);
    assert!(acked > 5, "{acked}");
    assert_eq!(trace.after_failure(|l| matches!(l, Line::Acked(_))), 0);
    run(dir.path(), "part_alone_reads_all", &[]);
}

#[test]
fn what_a_killed_process_left_unsynced_is_synced_before_it_counts() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = child(
        dir.path(),
        "part_alone_until_it_stops",
        &[("CAIRN_HANG", "1:40")],
    );
    let path = dir.path().join("trace");
    let hangs = || path.exists() && Trace::read(&path).count(|l| *l == Line::Hangs(1)) > 0;
    let started = Instant::now();
    while !hangs() {
        assert!(started.elapsed() < Duration::from_secs(60), "no sync hangs");
        std::thread::sleep(Duration::from_millis(10));
    }
    writer.kill().unwrap();
    writer.wait().unwrap();
    let before = Trace::read(&path);
    before.assert_acked_after_syncs(1);
    let after = run(dir.path(), "part_alone_opens", &[]).since(before.len());
    let opened = after.position(|l| *l == Line::Opened).expect("it opens");
    let synced = after.position(|l| *l == Line::Synced(1)).expect("it syncs");
    assert!(synced < opened, "{after:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a part of another test"]
async fn part_three_members() {
    let cluster = Arc::new(Cluster::new(3).await);
    let (leader, _) = cluster.leader().await;
    assert_eq!(leader.id(), 1);
    let writers = (0..6).map(|writer| {
        let leader = Arc::clone(&leader);
        tokio::spawn(async move {
            for n in 0..50 {
                put(&leader, writer * 1_000 + n).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    if std::env::var_os("CAIRN_FAIL").is_some() {
        let store = cluster.store(3);
        let mut last = Ok(0);
        let started = Instant::now();
        while !matches!(last, Err(StoreError::Stopped(_))) {
            assert!(started.elapsed() < Duration::from_secs(20), "{last:?}");
            last = store.transact(&[Change::put("a", json!(1))]).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a part of another test"]
async fn part_alone_until_it_stops() {
    let store = open_alone(&dir_of_child().join("1"), Turned).await.unwrap();
    store.found(member(1)).await.unwrap();
    let mut failure = None;
    for n in 0..100 {
        failure = put(&store, n).await.err();
        if failure.is_some() {
            break;
        }
    }
    let failure = failure.expect("no sync failed");
    assert!(matches!(failure, StoreError::Stopped(_)), "{failure}");
    for n in 1_000..1_010 {
        let refused = put(&store, n).await.unwrap_err();
        assert!(matches!(refused, StoreError::Stopped(_)), "{refused}");
    }
    assert!(store.sync().await.is_err(), "no read that decides either");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a part of another test"]
async fn part_alone_reads_all() {
    let dir = dir_of_child();
    let store = open_alone(&dir.join("1"), Turned).await.unwrap();
    until("it leads again", || store.leads()).await;
    store.sync().await.unwrap();
    for n in Trace::read(&dir.join("trace")).acked() {
        let kept = store.get(&format!("marks/{n}")).unwrap();
        assert!(kept.is_some(), "{n} was acknowledged and is lost");
    }
    put(&store, 2_000).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a part of another test"]
async fn part_alone_opens() {
    let store = open_alone(&dir_of_child().join("1"), Turned).await.unwrap();
    note("opened");
    drop(store);
}
