//! Fencing has a lane of its own: it answers while storages have taken every place of theirs, with
//! code that never ends and with commands that hang.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub
)]

mod played;
#[allow(dead_code)] // what the device saw is for others
mod server;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_bed::seconds;
use cairn_core::Code;
use cairn_core::fencing::{Manner, Power};
use cairn_plugins::Plugin;
use cairn_plugins::limits::{INSTANCES_MAX, RUNNING_MAX};
use played::{Played, instance, spec, storage};
use serde_json::json;
use server::Server;
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// What a fencing call may take here; its own limit is 5 s.
const BOUND: Duration = Duration::from_secs(2);
/// Calls of the device, one after another.
const ROUNDS: usize = 20;

/// Calls that don't end, as many as the storages' lane has places.
fn occupy(plugin: &Arc<Plugin>, mode: &str, dir: &TempDir) -> Vec<JoinHandle<()>> {
    let mut calls = Vec::new();
    for number in 0..INSTANCES_MAX as usize / RUNNING_MAX {
        let storage = storage(plugin, &format!("{mode}-{number}"), mode, dir.path());
        for _ in 0..RUNNING_MAX {
            let storage = storage.clone();
            calls.push(tokio::spawn(async move {
                loop {
                    let ended = storage.create(&spec()).await;
                    // The call that looks whether the lane is taken may have had the last place.
                    let again = ended.as_ref().is_err_and(|e| e.code == Code::Overloaded);
                    assert!(again, "it ended: {ended:?}");
                    tokio::task::yield_now().await;
                }
            }));
        }
    }
    calls
}

async fn fencing_answers_beside(mode: &str) {
    let (server, played, dir) = (Server::start(), Played::new(), tempfile::tempdir().unwrap());
    let device = played.load("fencing_plugin.wasm").await;
    let device = device.fencing(instance("pdu", json!({"address": server.address()})));
    let hostile = played.load("hostile_plugins.wasm").await;
    let calls = occupy(&hostile, mode, &dir);
    let one_more = storage(&hostile, "one-more", "ok", dir.path());
    let full = tokio::time::timeout(seconds(90), async {
        loop {
            // Refused only when no instance is left.
            match one_more.create(&spec()).await {
                Err(e) if e.code == Code::Overloaded => return e,
                _ => tokio::task::yield_now().await,
            }
        }
    });
    let full = full.await.expect("the lane of storages is taken");
    assert!(full.message.contains("no free instance"), "{full}");
    assert_eq!(hostile.statistics().in_flight, u64::from(INSTANCES_MAX));

    let mut longest = Duration::ZERO;
    for round in 0..ROUNDS {
        let began = Instant::now();
        if round % 2 == 0 {
            device.off("outlet", Manner::Hard).await.unwrap();
        } else {
            assert_eq!(device.status("outlet").await.unwrap(), Power::Off);
        }
        longest = longest.max(began.elapsed());
    }
    println!("beside {mode}: the longest of {ROUNDS} fencing calls took {longest:?}");
    assert!(longest < BOUND, "{longest:?}");
    assert!(
        calls.iter().all(|call| !call.is_finished()),
        "the lane of storages was taken all the while"
    );
    for call in &calls {
        call.abort();
    }
    for call in calls {
        assert!(call.await.unwrap_err().is_cancelled());
    }
    assert_eq!(one_more.create(&spec()).await.unwrap().name, "v");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fencing_answers_beside_code_that_never_ends() {
    fencing_answers_beside("loop").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fencing_answers_beside_commands_that_hang() {
    fencing_answers_beside("slow-command").await;
}
