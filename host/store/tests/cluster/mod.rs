//! Stores of one cluster in one process, on real disks, with a network that can be cut.

// Each test program uses its part of this.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cairn_store::{
    CallError, Cipher, Member, Options, Rpc, Store, StoreError, Timing, Transport, Witness,
};
use futures::future::BoxFuture;
use tempfile::TempDir;

/// How long a condition is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Not secret: turns the bytes round, so that what isn't opened can't be read by accident.
pub(crate) struct Turned;

impl Cipher for Turned {
    fn seal(&self, usage: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        let sealed = plain.iter().map(|b| !b);
        Some(usage.iter().copied().chain(sealed).collect())
    }

    fn open(&self, usage: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let sealed = sealed.strip_prefix(usage)?;
        Some(sealed.iter().map(|b| !b).collect())
    }
}

#[derive(Default)]
struct Wires {
    stores: BTreeMap<u64, Arc<Store>>,
    witness: Option<Arc<Witness>>,
    /// From, to.
    cut: BTreeSet<(u64, u64)>,
    /// From, to: what is sent arrives after healing, when nobody waits for it any more.
    held: BTreeSet<(u64, u64)>,
}

/// The network between the stores.
#[derive(Clone, Default)]
pub(crate) struct Net {
    wires: Arc<Mutex<Wires>>,
}

impl Net {
    /// Messages from one to another are lost; answers still come.
    pub(crate) fn cut_one_way(&self, from: u64, to: u64) {
        self.wires.lock().unwrap().cut.insert((from, to));
    }

    pub(crate) fn cut(&self, a: u64, b: u64) {
        self.cut_one_way(a, b);
        self.cut_one_way(b, a);
    }

    /// Messages both ways wait until healing, as with a process or a machine that is stopped for a while.
    pub(crate) fn hold(&self, a: u64, b: u64) {
        let mut wires = self.wires.lock().unwrap();
        wires.held.extend([(a, b), (b, a)]);
    }

    async fn released(&self, from: u64, to: u64) {
        while self.wires.lock().unwrap().held.contains(&(from, to)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn target(&self, to: u64) -> Option<Target> {
        let wires = self.wires.lock().unwrap();
        if to == WITNESS {
            return wires.witness.clone().map(Target::Witness);
        }
        wires.stores.get(&to).cloned().map(Target::Store)
    }

    pub(crate) fn heal(&self) {
        let mut wires = self.wires.lock().unwrap();
        wires.cut.clear();
        wires.held.clear();
    }
}

/// The witness's id.
pub(crate) const WITNESS: u64 = 9;

enum Target {
    Store(Arc<Store>),
    Witness(Arc<Witness>),
}

impl Target {
    async fn handle(&self, from: u64, rpc: Rpc, body: Bytes) -> Result<Bytes, StoreError> {
        match self {
            Self::Store(store) => store.handle(from, rpc, body).await,
            Self::Witness(witness) => witness.handle(from, rpc, body).await,
        }
    }
}

struct Wire {
    from: u64,
    net: Net,
}

impl Transport for Wire {
    fn call(
        &self,
        to: u64,
        rpc: Rpc,
        body: Bytes,
        limit: Duration,
    ) -> BoxFuture<'static, Result<Bytes, CallError>> {
        let (from, net) = (self.from, self.net.clone());
        let waits = net.clone();
        let passes = move |a, b| !net.wires.lock().unwrap().cut.contains(&(a, b));
        Box::pin(async move {
            let target = waits.target(to);
            target.ok_or_else(|| CallError::Unreachable("it is down".to_owned()))?;
            if !passes(from, to) {
                return Err(CallError::Unreachable("the link is cut".to_owned()));
            }
            // Runs on even if nobody waits any more, as on another machine.
            let answer = tokio::spawn(async move {
                waits.released(from, to).await;
                let down = || StoreError::Stopped("it is down".to_owned());
                let target = waits.target(to).ok_or_else(down)?;
                let answer = target.handle(from, rpc, body).await;
                drop(target);
                waits.released(to, from).await;
                answer
            });
            let answer = tokio::time::timeout(limit, answer).await;
            let answer = answer.map_err(|_| CallError::NoAnswer("too late".to_owned()))?;
            if !passes(to, from) {
                return Err(CallError::NoAnswer("the answer is lost".to_owned()));
            }
            let answer = answer.map_err(|e| CallError::NoAnswer(e.to_string()))?;
            answer.map_err(|e| CallError::Refused(e.to_string()))
        })
    }
}

/// The stores, by id from 1 on.
pub(crate) struct Cluster {
    pub(crate) net: Net,
    dir: TempDir,
}

impl Cluster {
    /// A cluster of `count` voters.
    pub(crate) async fn new(count: u64) -> Self {
        let cluster = Self {
            net: Net::default(),
            dir: tempfile::tempdir().unwrap(),
        };
        cluster.start(1).await.found(member(1)).await.unwrap();
        for id in 2..=count {
            cluster.start(id).await;
        }
        until("the first leads", || cluster.store(1).leads()).await;
        for id in 2..=count {
            cluster.store(1).set_member(id, member(id)).await.unwrap();
        }
        for id in 2..=count {
            until("a member has caught up", || cluster.caught_up(id)).await;
        }
        cluster
            .store(1)
            .set_voters((1..=count).collect())
            .await
            .unwrap();
        for id in 1..=count {
            until("all are quorate", || {
                cluster.store(id).quorum().votes == usize::try_from(count).unwrap()
            })
            .await;
        }
        cluster
    }

    fn caught_up(&self, id: u64) -> bool {
        self.store(1)
            .member_state(id)
            .lag
            .is_some_and(|lag| lag == 0)
    }

    pub(crate) fn dir(&self, id: u64) -> PathBuf {
        self.dir.path().join(id.to_string())
    }

    pub(crate) async fn try_start(&self, id: u64) -> Result<Arc<Store>, cairn_store::StoreError> {
        let transport = Arc::new(Wire {
            from: id,
            net: self.net.clone(),
        });
        let options = Options {
            dir: self.dir(id),
            me: id,
            cipher: Arc::new(Turned),
            transport,
            timing: Timing::default(),
        };
        let store = Store::open(options).await?;
        self.net
            .wires
            .lock()
            .unwrap()
            .stores
            .insert(id, Arc::clone(&store));
        Ok(store)
    }

    pub(crate) async fn start(&self, id: u64) -> Arc<Store> {
        self.try_start(id).await.unwrap()
    }

    pub(crate) async fn start_witness(&self) -> Arc<Witness> {
        let transport = Arc::new(Wire {
            from: WITNESS,
            net: self.net.clone(),
        });
        let witness = Witness::open(self.dir(WITNESS), WITNESS, transport, Timing::default())
            .await
            .unwrap();
        self.net.wires.lock().unwrap().witness = Some(Arc::clone(&witness));
        witness
    }

    /// Two nodes and a witness.
    pub(crate) async fn with_witness() -> Self {
        let cluster = Self::new(2).await;
        cluster.start_witness().await;
        let (leader, _) = cluster.leader().await;
        let member = Member {
            witness: true,
            ..member(WITNESS)
        };
        leader.set_member(WITNESS, member).await.unwrap();
        until("the witness has caught up", || {
            leader.member_state(WITNESS).lag == Some(0)
        })
        .await;
        leader.set_voters([1, 2, WITNESS].into()).await.unwrap();
        for id in 1..=2 {
            until("all are quorate", || cluster.store(id).quorum().votes == 3).await;
        }
        cluster
    }

    pub(crate) async fn kill_witness(&self) {
        let witness = self.net.wires.lock().unwrap().witness.take().unwrap();
        witness.stop().await;
        let weak = Arc::downgrade(&witness);
        drop(witness);
        until("the witness is let go", || weak.strong_count() == 0).await;
    }

    /// Ends one as a crash does: nothing more is sent or answered. What is synced stays.
    pub(crate) async fn kill(&self, id: u64) {
        let store = self.net.wires.lock().unwrap().stores.remove(&id).unwrap();
        store.stop().await;
        let weak = Arc::downgrade(&store);
        drop(store);
        until("the store is let go", || weak.strong_count() == 0).await;
    }

    pub(crate) fn store(&self, id: u64) -> Arc<Store> {
        Arc::clone(&self.net.wires.lock().unwrap().stores[&id])
    }

    pub(crate) fn stores(&self) -> Vec<Arc<Store>> {
        self.net
            .wires
            .lock()
            .unwrap()
            .stores
            .values()
            .cloned()
            .collect()
    }

    /// The leader that has a majority, and the others.
    pub(crate) async fn leader(&self) -> (Arc<Store>, Vec<Arc<Store>>) {
        let mut found = None;
        until("one leads", || {
            found = self.stores().into_iter().find(|s| s.leads());
            found.is_some()
        })
        .await;
        let leader = found.unwrap();
        let others = self
            .stores()
            .into_iter()
            .filter(|s| s.id() != leader.id())
            .collect();
        (leader, others)
    }
}

pub(crate) fn member(id: u64) -> Member {
    Member {
        name: format!("n{id}"),
        ..Member::default()
    }
}

pub(crate) async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is() {
        assert!(started.elapsed() < PATIENCE, "waited too long: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The way to nobody.
struct NoWay;

impl Transport for NoWay {
    fn call(
        &self,
        _: u64,
        _: Rpc,
        _: Bytes,
        _: Duration,
    ) -> BoxFuture<'static, Result<Bytes, CallError>> {
        Box::pin(async { Err(CallError::Unreachable("it is alone".to_owned())) })
    }
}

/// The only member of a cluster, in a folder that the test keeps.
pub(crate) async fn open_alone(dir: &Path, cipher: impl Cipher) -> Result<Arc<Store>, StoreError> {
    let options = Options {
        dir: dir.to_owned(),
        me: 1,
        cipher: Arc::new(cipher),
        transport: Arc::new(NoWay),
        timing: Timing::default(),
    };
    Store::open(options).await
}
