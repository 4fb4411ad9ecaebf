//! One entry of the log changes the state: the same on every node.

use std::sync::Arc;

use serde_json::Value;

use super::record::{self, Head, Write};
use super::{Inner, POSITION, Position, State, position_bytes};
use crate::StoreError;
use crate::change::{Action, Answer, Change, Command, Expect, Task};
use crate::limits::{ANSWERS_KEPT, STORE_MAX_BYTES};
use crate::types::{At, Membership, encode};

/// A record that changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The revision of the change.
    pub revision: u64,
    /// Where.
    pub path: String,
    /// The new value; none if it was removed.
    pub value: Option<Arc<Value>>,
}

/// What an entry did.
pub(crate) struct Applied {
    pub(crate) answer: Answer,
    pub(crate) events: Vec<Event>,
}

/// What one command will write.
struct Plan {
    writes: Vec<Write>,
    events: Vec<Event>,
    size: Size,
    answer: Answer,
}

/// What the state holds: records, and bytes of their values.
#[derive(Clone, Copy)]
struct Size {
    records: u64,
    bytes: u64,
}

impl Plan {
    fn refusal(answer: Answer, size: Size) -> Self {
        Self {
            writes: Vec::new(),
            events: Vec::new(),
            size,
            answer,
        }
    }
}

impl State {
    /// An entry that is no command.
    pub(crate) fn pass(&self, at: At, membership: Option<Membership>) -> Result<(), StoreError> {
        let mut inner = self.lock();
        let mut position = inner.position.clone();
        position.applied = Some(at);
        if let Some(membership) = membership {
            position.membership = membership;
        }
        self.write(&mut inner, position, Vec::new())
    }

    /// A command. One that was applied before answers as it did then, and changes nothing.
    pub(crate) fn apply(&self, at: At, command: &Command) -> Result<Applied, StoreError> {
        let mut inner = self.lock();
        let mut position = inner.position.clone();
        position.applied = Some(at);
        if let Some(answer) = inner.answers.get(&command.request).cloned() {
            self.write(&mut inner, position, Vec::new())?;
            return Ok(Applied {
                answer,
                events: Vec::new(),
            });
        }
        let revision = position.revision + 1;
        let held = Size {
            records: position.records,
            bytes: position.bytes,
        };
        let plan = match &command.task {
            Task::Transact(changes) => self.transact(changes, revision, held)?,
            Task::Grant { lease, ttl_ms } => Plan {
                writes: vec![(
                    record::lease_key(*lease),
                    Some(ttl_ms.to_be_bytes().to_vec()),
                )],
                events: Vec::new(),
                size: held,
                answer: Answer::Done(revision),
            },
            Task::Revoke { lease } => self.revoke(*lease, revision, held)?,
        };
        let mut writes = plan.writes;
        if matches!(plan.answer, Answer::Done(_)) {
            position.revision = revision;
        }
        writes.extend(inner.remember(at.index, command.request, &plan.answer)?);
        (position.records, position.bytes) = (plan.size.records, plan.size.bytes);
        self.write(&mut inner, position, writes)?;
        Ok(Applied {
            answer: plan.answer,
            events: plan.events,
        })
    }

    fn transact(&self, changes: &[Change], revision: u64, held: Size) -> Result<Plan, StoreError> {
        let mut plan = Plan::refusal(Answer::Done(revision), held);
        for change in changes {
            let head = record::head(&self.db, &change.path)?;
            if let Some(refusal) = unexpected(change, head.as_ref()) {
                return Ok(Plan::refusal(refusal, held));
            }
            if let Action::Put {
                lease: Some(lease), ..
            } = &change.action
                && !self.db.contains_key(record::lease_key(*lease))?
            {
                return Ok(Plan::refusal(Answer::NoLease(*lease), held));
            }
            plan.add(change, head.as_ref(), revision)?;
        }
        if plan.size.bytes > STORE_MAX_BYTES && plan.size.bytes > held.bytes {
            return Ok(Plan::refusal(Answer::Full { bytes: held.bytes }, held));
        }
        Ok(plan)
    }

    fn revoke(&self, lease: u64, revision: u64, held: Size) -> Result<Plan, StoreError> {
        let mut plan = Plan::refusal(Answer::Done(revision), held);
        plan.writes.push((record::lease_key(lease), None));
        let prefix = record::holds_prefix(lease);
        for key in self.db.scan_prefix(&prefix).keys() {
            let key = key?;
            let path =
                String::from_utf8_lossy(key.get(prefix.len()..).unwrap_or_default()).into_owned();
            let head = record::head(&self.db, &path)?;
            plan.add(&Change::remove(path), head.as_ref(), revision)?;
        }
        Ok(plan)
    }

    fn write(
        &self,
        inner: &mut Inner,
        position: Position,
        mut writes: Vec<Write>,
    ) -> Result<(), StoreError> {
        writes.push((POSITION.to_vec(), Some(position_bytes(&position)?)));
        let mut batch = sled::Batch::default();
        for (key, value) in &writes {
            match value {
                Some(value) => batch.insert(key.as_slice(), value.as_slice()),
                None => batch.remove(key.as_slice()),
            }
        }
        let frozen = self.keep_old(writes.iter().map(|(key, _)| key.as_slice()))?;
        self.db.apply_batch(batch)?;
        drop(frozen);
        inner.position = position;
        Ok(())
    }
}

impl Plan {
    fn add(
        &mut self,
        change: &Change,
        head: Option<&Head>,
        revision: u64,
    ) -> Result<(), StoreError> {
        let path = change.path.clone();
        if let (Some(head), Action::Put { .. } | Action::Remove) = (head, &change.action) {
            self.writes.extend(record::remove(&change.path, head));
            self.size.records -= 1;
            self.size.bytes -= head.bytes;
        }
        let value = match &change.action {
            Action::Check => return Ok(()),
            Action::Remove if head.is_none() => return Ok(()),
            Action::Remove => None,
            Action::Put { value, lease } => {
                let writes = record::put(&path, value, revision, *lease)?;
                self.writes.extend(writes);
                self.size.records += 1;
                self.size.bytes += value_bytes(value);
                Some(Arc::new(value.clone()))
            }
        };
        self.events.push(Event {
            revision,
            path,
            value,
        });
        Ok(())
    }
}

impl Inner {
    /// The writes that keep an answer, and forget the oldest.
    fn remember(
        &mut self,
        index: u64,
        request: u128,
        answer: &Answer,
    ) -> Result<Vec<Write>, StoreError> {
        let mut writes = vec![(answer_key(index), Some(encode(&(request, answer))?))];
        self.answers.insert(request, answer.clone());
        self.answered.push_back((index, request));
        while self.answered.len() > ANSWERS_KEPT {
            if let Some((index, request)) = self.answered.pop_front() {
                self.answers.remove(&request);
                writes.push((answer_key(index), None));
            }
        }
        Ok(writes)
    }
}

fn answer_key(index: u64) -> Vec<u8> {
    [&b"a"[..], &index.to_be_bytes()].concat()
}

/// The conflict, if a record isn't as expected.
fn unexpected(change: &Change, head: Option<&Head>) -> Option<Answer> {
    let found = head.map(|h| h.revision);
    let (fits, expected) = match change.expect {
        Expect::Any => (true, None),
        Expect::Absent => (found.is_none(), None),
        Expect::Revision(revision) => (found == Some(revision), Some(revision)),
    };
    (!fits).then(|| Answer::Conflict {
        path: change.path.clone(),
        expected,
        found,
    })
}

/// Bytes of a value as JSON.
pub(crate) fn value_bytes(value: &Value) -> u64 {
    serde_json::to_vec(value).map_or(0, |json| json.len() as u64)
}
