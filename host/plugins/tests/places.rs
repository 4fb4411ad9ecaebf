//! Each storage has places, a queue and instances of its own: what one does costs no other.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub
)]

mod played;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_core::Code;
use cairn_plugins::limits::{INSTANCES_MAX, QUEUE_MAX};
use played::{Played, instance, spec, storage};
use serde_json::json;

/// The limit of `status` is 5 s, with what it takes to start and to end.
const STATUS_BOUND: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_serves_one_storage_alone() {
    let (played, dir) = (Played::new(), tempfile::tempdir().unwrap());
    let warm = |v: &mut cairn_core::plugin::Version| v.inspection.reuse_instances = true;
    let plugin = played.load_as("hostile_plugins.wasm", warm).await;
    let path = dir.path().display().to_string();
    let config = |mode: &str| json!({"mode": mode, "path": path});
    let mut other = instance("other", config("recall"));
    Arc::make_mut(&mut other).secrets.clear();
    let (one, other) = (
        plugin.storage(instance("one", config("remember"))),
        plugin.storage(other),
    );
    one.create(&spec()).await.unwrap();
    let told = other.create(&spec()).await.unwrap_err();
    assert_eq!(told.message, "it remembers None");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn warm_instances_give_up_their_places_to_calls() {
    let (played, dir) = (Played::new(), tempfile::tempdir().unwrap());
    let warm = |v: &mut cairn_core::plugin::Version| v.inspection.reuse_instances = true;
    let plugin = played.load_as("hostile_plugins.wasm", warm).await;
    let mut storages = Vec::new();
    for number in 0..INSTANCES_MAX + 2 {
        let storage = storage(&plugin, &format!("s{number}"), "ok", dir.path());
        storage.status().await.unwrap();
        storages.push(storage);
    }
    for storage in &storages {
        storage.status().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storage_that_hangs_fills_its_own_queue() {
    let (played, dir) = (Played::new(), tempfile::tempdir().unwrap());
    let plugin = played.load("hostile_plugins.wasm").await;
    let hung = storage(&plugin, "hung", "slow-command", dir.path());
    let sibling = storage(&plugin, "sibling", "ok", dir.path());
    let calls: Vec<_> = (0..QUEUE_MAX)
        .map(|_| {
            let hung = hung.clone();
            tokio::spawn(async move { hung.create(&spec()).await })
        })
        .collect();
    while plugin.statistics().in_flight < QUEUE_MAX as u64 {
        tokio::task::yield_now().await;
    }
    let refused = hung.create(&spec()).await.unwrap_err();
    assert_eq!(refused.code, Code::Overloaded, "{refused}");
    assert!(refused.message.contains("calls waiting"), "{refused}");
    assert_eq!(sibling.create(&spec()).await.unwrap().name, "v");
    calls.iter().for_each(tokio::task::JoinHandle::abort);
    for call in calls {
        assert!(call.await.unwrap_err().is_cancelled());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_never_ends_is_ended() {
    let (played, dir) = (Played::new(), tempfile::tempdir().unwrap());
    let plugin = played.load("hostile_plugins.wasm").await;
    let storage = storage(&plugin, "s", "start-loop", dir.path());
    let began = Instant::now();
    let error = storage.status().await.unwrap_err();
    assert_eq!(error.code, Code::TimedOut, "{error}");
    assert!(began.elapsed() < STATUS_BOUND, "{:?}", began.elapsed());
}
