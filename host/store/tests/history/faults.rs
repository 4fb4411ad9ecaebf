//! Random faults: cuts one way and both, messages that come too late, members that die and come back.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IteratorRandom;
use rand::{Rng, SeedableRng};

use crate::clients::Round;

/// How often each fault was made.
pub(crate) type Made = BTreeMap<&'static str, u64>;

/// Makes faults until the round is over, then mends all.
pub(crate) async fn trouble(round: Arc<Round>, members: u64, seed: u64) -> Made {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut made = Made::new();
    let mut down = BTreeSet::new();
    let cluster = &round.cluster;
    while !round.over.load(Ordering::Relaxed) {
        let a = rng.random_range(1..=members);
        let b = (1..=members)
            .filter(|b| *b != a)
            .choose(&mut rng)
            .unwrap_or(a);
        let others = (1..=members).filter(|b| *b != a);
        let fault = match rng.random_range(0..100) {
            0..15 => {
                cluster.net.cut(a, b);
                "link cut"
            }
            15..30 => {
                cluster.net.cut_one_way(a, b);
                "link cut one way"
            }
            30..45 => {
                let leader = cluster.stores().iter().find(|s| s.leads()).map(|s| s.id());
                let leader = leader.unwrap_or(a);
                let rest = (1..=members).filter(|b| *b != leader);
                rest.for_each(|b| cluster.net.cut(leader, b));
                "leader cut off"
            }
            45..55 => {
                others.for_each(|b| cluster.net.cut(a, b));
                "member cut off"
            }
            55..65 => {
                others.for_each(|b| cluster.net.hold(a, b));
                "member stalled"
            }
            65..80 if down.insert(a) => {
                cluster.kill(a).await;
                "member killed"
            }
            _ => {
                cluster.net.heal();
                for id in std::mem::take(&mut down) {
                    cluster.start(id).await;
                }
                "all mended"
            }
        };
        *made.entry(fault).or_default() += 1;
        tokio::time::sleep(Duration::from_millis(rng.random_range(50..1_200))).await;
    }
    cluster.net.heal();
    for id in down {
        cluster.start(id).await;
    }
    made
}
