//! One record as it must behave, and the check of a history against it.
//!
//! A change whose outcome isn't known is open to the end of the history: it took place at any time after
//! its call, or (at the very end, where nobody looks) never.

use std::collections::BTreeMap;

use cairn_store::Expect;
use todc_utils::{Action, History, Specification, WGLChecker};

/// What a client did to one record, and what came of it.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) key: usize,
    /// Ticks of one clock for all clients.
    pub(crate) called: u64,
    pub(crate) returned: u64,
    #[allow(dead_code)] // shown when a check fails
    pub(crate) client: u64,
    #[allow(dead_code)] // the same
    pub(crate) member: u64,
    pub(crate) did: Did,
}

#[derive(Debug, Clone)]
pub(crate) enum Did {
    /// Value and revision.
    Read(Option<(u64, u64)>),
    /// Sets a value, none to remove.
    Change {
        expect: Expect,
        value: Option<u64>,
        came: Came,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Came {
    Done(u64),
    Conflict,
    /// It may have happened; with the revision, if somebody read what it wrote.
    Unknown(Option<u64>),
}

/// The record, and the highest revision it has had.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Held {
    revision: u64,
    /// Its value, and its revision if that is known.
    value: Option<(u64, Option<u64>)>,
}

struct OneRecord;

impl Specification for OneRecord {
    type State = Held;
    type Operation = Did;

    fn init() -> Held {
        Held::default()
    }

    fn apply(did: &Did, held: &Held) -> (bool, Held) {
        let next = match did {
            Did::Read(seen) => held.read(*seen),
            Did::Change {
                expect,
                value,
                came,
            } => held.change(*expect, *value, *came),
        };
        (next.is_some(), next.unwrap_or_default())
    }
}

impl Held {
    fn read(&self, seen: Option<(u64, u64)>) -> Option<Self> {
        match (seen, self.value) {
            (None, None) => Some(self.clone()),
            (Some((seen, at)), Some((value, revision))) if seen == value => match revision {
                Some(revision) => (revision == at).then(|| self.clone()),
                None => self.moved(at, Some((value, Some(at)))),
            },
            _ => None,
        }
    }

    fn change(&self, expect: Expect, value: Option<u64>, came: Came) -> Option<Self> {
        let fits = match expect {
            Expect::Any => true,
            Expect::Absent => self.value.is_none(),
            Expect::Revision(at) => self.value.is_some_and(|(_, held)| held == Some(at)),
        };
        match came {
            Came::Conflict => (!fits).then(|| self.clone()),
            Came::Unknown(_) if !fits => Some(self.clone()),
            Came::Unknown(None) => Some(Self {
                revision: self.revision,
                value: value.map(|v| (v, None)),
            }),
            Came::Unknown(Some(at)) => self.moved(at, value.map(|v| (v, Some(at)))),
            Came::Done(at) if fits => self.moved(at, value.map(|v| (v, Some(at)))),
            Came::Done(_) => None,
        }
    }

    /// Revisions only go up.
    fn moved(&self, revision: u64, value: Option<(u64, Option<u64>)>) -> Option<Self> {
        (revision > self.revision).then_some(Self { revision, value })
    }
}

/// Checks each record's history for itself, which is the same as all at once. Says what fails.
pub(crate) fn check(steps: &[Step]) -> Result<(), String> {
    let mut revisions = BTreeMap::new();
    let mut keys: BTreeMap<usize, Vec<Step>> = BTreeMap::new();
    for step in steps {
        if let Did::Change {
            came: Came::Done(at),
            ..
        } = step.did
            && let Some(other) = revisions.insert(at, step)
        {
            return Err(format!(
                "two changes have one revision:\n{step:?}\n{other:?}"
            ));
        }
        keys.entry(step.key).or_default().push(step.clone());
    }
    for mut steps in keys.into_values() {
        name_revisions(&mut steps);
        if !WGLChecker::<OneRecord>::is_linearizable(History::from_actions(actions(&steps))) {
            steps.sort_by_key(|s| s.called);
            let lines: Vec<_> = steps.iter().map(|s| format!("{s:?}")).collect();
            return Err(format!("not linearizable:\n{}", lines.join("\n")));
        }
    }
    Ok(())
}

/// Values are unique: who read one tells the revision of the change that wrote it.
fn name_revisions(steps: &mut [Step]) {
    let read: BTreeMap<u64, u64> = steps
        .iter()
        .filter_map(|s| match s.did {
            Did::Read(seen) => seen,
            Did::Change { .. } => None,
        })
        .collect();
    for step in steps {
        if let Did::Change {
            value: Some(value),
            came: came @ Came::Unknown(None),
            ..
        } = &mut step.did
        {
            *came = Came::Unknown(read.get(value).copied());
        }
    }
}

/// Calls and responses in their order; a process a step, as one of unknown outcome never ends.
fn actions(steps: &[Step]) -> Vec<(usize, Action<Did>)> {
    let mut ticks = Vec::new();
    for (process, step) in steps.iter().enumerate() {
        let open = matches!(
            step.did,
            Did::Change {
                came: Came::Unknown(_),
                ..
            }
        );
        let returned = if open { u64::MAX } else { step.returned };
        ticks.push((step.called, process, Action::Call(step.did.clone())));
        ticks.push((returned, process, Action::Response(step.did.clone())));
    }
    ticks.sort_by_key(|(tick, process, _)| (*tick, *process));
    ticks.into_iter().map(|(_, p, a)| (p, a)).collect()
}
