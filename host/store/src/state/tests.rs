use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use openraft::{CommittedLeaderId, LogId};
use serde_json::json;

use super::apply::Applied;
use super::*;
use crate::change::{Action, Change, Command, Expect, Task};
use crate::limits::{ANSWERS_KEPT, VALUE_MAX_BYTES};

struct Bench {
    dir: tempfile::TempDir,
    state: Arc<State>,
    index: u64,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (state, _) = State::open(&dir.path().join("state")).unwrap();
        Self {
            dir,
            state: Arc::new(state),
            index: 0,
        }
    }

    fn task(&mut self, request: u128, task: Task) -> Applied {
        self.index += 1;
        let at = LogId::new(CommittedLeaderId::new(1, 1), self.index);
        self.state.apply(at, &Command { request, task }).unwrap()
    }

    fn change(&mut self, change: Change) -> Answer {
        let request = u128::from(self.index) + 1_000;
        self.task(request, Task::Transact(vec![change])).answer
    }

    fn pairs(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        self.state
            .db
            .iter()
            .map(|p| p.unwrap())
            .map(|(k, v)| (k.to_vec(), v.to_vec()))
            .collect()
    }

    fn reopen(&mut self) -> Option<String> {
        let path = self.dir.path().join("state");
        let other = tempfile::tempdir().unwrap();
        let (dummy, _) = State::open(&other.path().join("state")).unwrap();
        drop(std::mem::replace(&mut self.state, Arc::new(dummy)));
        let (state, why) = State::open(&path).unwrap();
        self.state = Arc::new(state);
        why
    }
}

#[test]
fn a_record_is_read_back_whatever_its_size() {
    let mut b = Bench::new();
    for size in [0, 10, 60 << 10, (60 << 10) + 1, VALUE_MAX_BYTES - 2] {
        let value = json!("x".repeat(size));
        b.change(Change::put("a/b", value.clone()));
        assert_eq!(b.state.get("a/b").unwrap().unwrap().value, value);
        b.change(Change::put("a/c", value));
        b.change(Change::remove("a/c"));
        assert_eq!(b.state.list("a").unwrap().len(), 1);
    }
    assert_eq!(b.state.bytes(), VALUE_MAX_BYTES as u64);
    b.change(Change::remove("a/b"));
    assert_eq!(b.state.bytes(), 0);
    assert!(
        b.pairs().keys().all(|k| k[0] == b'a' || k[0] == b'm'),
        "pieces are left"
    );
}

#[test]
fn a_transaction_is_all_or_nothing_and_only_success_counts() {
    let mut b = Bench::new();
    let first = b.change(Change::put("a", json!(1)));
    assert_eq!(first, Answer::Done(1));
    let wrong = vec![
        Change::put("b", json!(1)),
        Change::put("a", json!(2)).expecting(Expect::Revision(7)),
    ];
    let applied = b.task(1, Task::Transact(wrong));
    let expected = Answer::Conflict {
        path: "a".to_owned(),
        expected: Some(7),
        found: Some(1),
    };
    assert_eq!(applied.answer, expected);
    assert!(applied.events.is_empty());
    assert!(b.state.get("b").unwrap().is_none());
    assert_eq!(b.state.revision(), 1);
    let absent = Change::new_check("a").expecting(Expect::Absent);
    assert!(matches!(b.change(absent), Answer::Conflict { .. }));
}

impl Change {
    fn new_check(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            expect: Expect::Any,
            action: Action::Check,
        }
    }
}

#[test]
fn a_change_that_is_sent_twice_happens_once_also_after_a_restart() {
    let mut b = Bench::new();
    let add = Task::Transact(vec![Change::put("a", json!(1)).expecting(Expect::Absent)]);
    assert_eq!(b.task(7, add.clone()).answer, Answer::Done(1));
    assert_eq!(b.task(7, add.clone()).answer, Answer::Done(1));
    b.state.flush().unwrap();
    assert_eq!(b.reopen(), None);
    assert_eq!(b.task(7, add).answer, Answer::Done(1));
    for n in 0..=ANSWERS_KEPT as u128 {
        b.task(
            100 + n,
            Task::Grant {
                lease: 1,
                ttl_ms: 1,
            },
        );
    }
    assert_eq!(
        b.pairs().keys().filter(|k| k[0] == b'a').count(),
        ANSWERS_KEPT
    );
}

#[test]
fn what_hangs_on_a_lease_goes_with_it() {
    let mut b = Bench::new();
    let hold = Change::hold("lock/a", json!(1), 5);
    assert_eq!(b.change(hold.clone()), Answer::NoLease(5));
    b.task(
        1,
        Task::Grant {
            lease: 5,
            ttl_ms: 100,
        },
    );
    assert_eq!(
        b.state.leases().unwrap(),
        [Lease {
            id: 5,
            ttl: std::time::Duration::from_millis(100)
        }]
    );
    b.change(hold);
    b.change(Change::hold("lock/b", json!(1), 5));
    b.change(Change::put("lock/b", json!(2)));
    let ended = b.task(2, Task::Revoke { lease: 5 });
    let paths: Vec<_> = ended
        .events
        .iter()
        .map(|e| (e.path.as_str(), e.value.is_some()))
        .collect();
    assert_eq!(paths, [("lock/a", false)]);
    assert!(
        b.state.get("lock/b").unwrap().is_some(),
        "it was let go before"
    );
    assert!(b.state.leases().unwrap().is_empty());
}

#[test]
fn a_frozen_state_is_that_of_one_moment_while_changes_go_on() {
    let mut b = Bench::new();
    for n in 0..200 {
        b.change(Change::put(format!("k/{n:03}"), json!(n)));
    }
    let before = b.pairs();
    let mut frozen = b.state.freeze();
    let mut seen = BTreeMap::new();
    let mut n = 0;
    loop {
        let pairs = frozen.next(200).unwrap().unwrap();
        if pairs.is_empty() {
            break;
        }
        seen.extend(pairs);
        b.change(Change::put(
            format!("k/{:03}", (n * 37) % 200),
            json!("new"),
        ));
        b.change(Change::remove(format!("k/{:03}", (n * 53) % 200)));
        b.change(Change::put(format!("k/{n:03}x"), json!("added")));
        n += 1;
    }
    assert!(n > 20);
    assert_eq!(seen, before);
}

#[test]
fn a_damaged_state_is_set_aside_and_said() {
    let mut b = Bench::new();
    for n in 0..50 {
        b.change(Change::put(format!("k/{n}"), json!("v".repeat(1_000))));
    }
    b.state.flush().unwrap();
    assert_eq!(b.reopen(), None);
    assert_eq!(b.state.list("k").unwrap().len(), 50);
    // One record's bytes are changed beneath the store.
    let key = record::head_key("k/7");
    let mut head = b.state.db.get(&key).unwrap().unwrap().to_vec();
    let last = head.len() - 10;
    head[last] ^= 1;
    b.state.db.insert(key, head).unwrap();
    b.state.flush().unwrap();
    let why = b.reopen().unwrap();
    assert!(why.contains("k/7"), "{why}");
    assert!(b.state.list("").unwrap().is_empty());
    assert!(b.dir.path().join("state.damaged-1").exists());
}

#[test]
fn a_damaged_file_is_found_before_the_state_is_used() {
    let mut b = Bench::new();
    for n in 0..500 {
        b.change(Change::put(format!("k/{n}"), json!("v".repeat(1_000))));
    }
    b.state.flush().unwrap();
    b.reopen();
    let file = b.dir.path().join("state/db");
    let mut bytes = fs::read(&file).unwrap();
    let half = bytes.len() / 2;
    for byte in &mut bytes[half..half + 4_096] {
        *byte ^= 0x55;
    }
    let whole = b.state.list("k").unwrap().len();
    assert_eq!(whole, 500);
    // Written over while closed.
    let path = b.dir.path().join("state");
    let other = tempfile::tempdir().unwrap();
    let (dummy, _) = State::open(&other.path().join("state")).unwrap();
    drop(std::mem::replace(&mut b.state, Arc::new(dummy)));
    fs::write(&file, bytes).unwrap();
    let (state, why) = State::open(&path).unwrap();
    let found = state.list("k").unwrap().len();
    assert!(
        why.is_some() || found == 500,
        "{found} records, and nothing said"
    );
}
