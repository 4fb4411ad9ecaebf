//! Histories of random clients under random faults are linearizable; a stale read is caught.
//!
//! Runs for a minute; `CAIRN_HISTORY_SECONDS=600` makes it longer. `CAIRN_HISTORY_SEED=N` repeats what the
//! clients do and which faults are made; how tasks and threads are scheduled isn't repeated.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod clients;
#[path = "../cluster/mod.rs"]
mod cluster;
mod faults;
mod model;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clients::{Round, client};
use cluster::{Cluster, until};
use faults::{Made, trouble};
use model::{Came, Did, Step, check};

const MEMBERS: u64 = 3;
const CLIENTS: u64 = 16;
const KEYS: usize = 5;
/// A history stays short enough for the check, and long enough for some faults.
const ROUND: Duration = Duration::from_secs(5);

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn histories_under_faults_are_linearizable() {
    let seed = setting("CAIRN_HISTORY_SEED").unwrap_or_else(rand::random);
    let lasts = Duration::from_secs(setting("CAIRN_HISTORY_SECONDS").unwrap_or(60));
    println!("CAIRN_HISTORY_SEED={seed}");
    let cluster = Arc::new(Cluster::new(MEMBERS).await);
    let started = Instant::now();
    let (mut rounds, mut steps, mut unknown, mut made) = (0, 0, 0, Made::new());
    let mut checking = Duration::ZERO;
    while started.elapsed() < lasts {
        let round = new_round(&cluster, rounds, true);
        let (history, faults) = play(&round, seed.wrapping_add(rounds << 16)).await;
        rounds += 1;
        steps += history.len();
        unknown += history.iter().filter(|s| is_unknown(s)).count();
        faults
            .into_iter()
            .for_each(|(fault, n)| *made.entry(fault).or_default() += n);
        let begun = Instant::now();
        let found = tokio::task::spawn_blocking(move || check(&history))
            .await
            .unwrap();
        checking += begun.elapsed();
        if let Err(why) = found {
            panic!("seed {seed}, round {}: {why}", rounds - 1);
        }
    }
    println!(
        "{rounds} rounds, {steps} steps, {unknown} of unknown outcome, checked in {checking:?}; faults: {made:?}"
    );
    assert!(steps > 100, "hardly anything was done: {steps} steps");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planted_stale_read_is_caught() {
    let cluster = Arc::new(Cluster::new(MEMBERS).await);
    let round = new_round(&cluster, 0, false);
    let (leader, others) = cluster.leader().await;
    let (stale, fresh) = (&others[0], &others[1]);
    cluster.net.cut(stale.id(), leader.id());
    cluster.net.cut(stale.id(), fresh.id());
    let write = |value| cairn_store::Change::put(round.path(0), serde_json::json!(value));
    let step = |called, member: &cairn_store::Store, did| Step {
        key: 0,
        called,
        returned: round.tick(),
        client: 1,
        member: member.id(),
        did,
    };
    let called = round.tick();
    let at = leader.transact(&[write(1)]).await.unwrap();
    let written = step(
        called,
        &leader,
        Did::Change {
            expect: cairn_store::Expect::Any,
            value: Some(1),
            came: Came::Done(at),
        },
    );
    let called = round.tick();
    let read = round.read(stale, 0).await.unwrap().unwrap();
    let refused = check(&[written.clone(), step(called, stale, read)]).unwrap_err();
    assert!(refused.contains("not linearizable"), "{refused}");

    cluster.net.heal();
    let called = round.tick();
    stale.sync().await.unwrap();
    let read = round.read(stale, 0).await.unwrap().unwrap();
    check(&[written, step(called, stale, read)]).unwrap();
}

/// The same clients and faults, and nothing planted but that no read waits: the check must see it.
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_never_sync_are_caught() {
    let cluster = Arc::new(Cluster::new(MEMBERS).await);
    for number in 0..12 {
        let round = new_round(&cluster, number, false);
        let (history, _) = play(&round, number).await;
        if check(&history).is_err() {
            return;
        }
    }
    panic!("stale reads passed for a minute");
}

fn new_round(cluster: &Arc<Cluster>, number: u64, syncs: bool) -> Arc<Round> {
    Arc::new(Round {
        cluster: Arc::clone(cluster),
        number,
        keys: KEYS,
        syncs,
        clock: AtomicU64::default(),
        over: AtomicBool::new(false),
    })
}

fn is_unknown(step: &Step) -> bool {
    matches!(
        step.did,
        Did::Change {
            came: Came::Unknown(_),
            ..
        }
    )
}

/// Clients and faults for a while; then all is mended, and each member reads all.
async fn play(round: &Arc<Round>, seed: u64) -> (Vec<Step>, Made) {
    let clients: Vec<_> = (1..=CLIENTS)
        .map(|id| tokio::spawn(client(Arc::clone(round), id, seed + id)))
        .collect();
    let faults = tokio::spawn(trouble(Arc::clone(round), MEMBERS, seed));
    tokio::time::sleep(ROUND).await;
    round.over.store(true, Ordering::Relaxed);
    let made = faults.await.unwrap();
    let mut history = Vec::new();
    for client in clients {
        history.extend(client.await.unwrap().unwrap());
    }
    let cluster = &round.cluster;
    for store in cluster.stores() {
        until("all are quorate again", || store.quorum().quorate).await;
        for key in 0..KEYS {
            let called = round.tick();
            if let Some(did) = round.read(&store, key).await.unwrap() {
                history.push(Step {
                    key,
                    called,
                    returned: round.tick(),
                    client: 0,
                    member: store.id(),
                    did,
                });
            }
        }
    }
    (history, made)
}
