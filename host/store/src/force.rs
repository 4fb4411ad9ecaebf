//! An operator's override: one member goes on alone, though the majority is lost.
//!
//! What this member has is kept, also entries that weren't committed yet: some of them may have been
//! acknowledged. What the others committed without it is lost, and that is why a person must ask for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use openraft::storage::{RaftLogStorage, RaftStateMachine};
use openraft::{CommittedLeaderId, LogId, RaftLogReader, Vote};

use crate::limits::LOG_CACHE_BYTES;
use crate::log::Log;
use crate::machine::{Machine, blocking};
use crate::types::{Member, Membership};
use crate::{Cipher, StoreError};

/// Makes the stopped store in `dir` one whose only member is `me`. Its log is set aside.
///
/// # Errors
/// `Damaged`, `Io`; the store is as it was then.
pub async fn go_on_alone(
    dir: &Path,
    me: u64,
    member: Member,
    cipher: Arc<dyn Cipher>,
) -> Result<(), StoreError> {
    let opened = dir.to_owned();
    let (mut log, mut machine) = blocking(move || {
        let (machine, _) = Machine::open(&opened, cipher)?;
        Ok((Log::open(&opened.join("log"), LOG_CACHE_BYTES)?, machine))
    })
    .await?;
    let failed = |e: openraft::StorageError<u64>| StoreError::Stopped(e.to_string());
    let applied = machine
        .state
        .position()
        .applied
        .map_or(0, |at| at.index + 1);
    let rest = log.try_get_log_entries(applied..).await.map_err(failed)?;
    let last = rest
        .last()
        .map(|entry| entry.log_id)
        .or(machine.state.position().applied);
    machine.apply(rest).await.map_err(failed)?;

    let vote = log.read_vote().await.map_err(failed)?;
    let term = vote
        .map_or(0, |v| v.leader_id.term)
        .max(last.map_or(0, |at| at.leader_id.term))
        + 1;
    let at = LogId::new(
        CommittedLeaderId::new(term, me),
        last.map_or(0, |at| at.index) + 1,
    );
    let alone =
        openraft::Membership::new(vec![BTreeSet::from([me])], BTreeMap::from([(me, member)]));
    machine
        .state
        .pass(at, Some(Membership::new(Some(at), alone)))?;
    machine.make_snapshot().await?;
    drop((log, machine));

    let (old, aside) = (dir.join("log"), free_name(dir));
    fs::rename(&old, &aside).map_err(StoreError::io(format!(
        "{} can't be set aside",
        old.display()
    )))?;
    let new = old.clone();
    let mut log = blocking(move || Log::open(&new, LOG_CACHE_BYTES)).await?;
    log.save_vote(&Vote::new(term, me)).await.map_err(failed)?;
    log.purge(at).await.map_err(failed)
}

fn free_name(dir: &Path) -> std::path::PathBuf {
    let free = (1..1_000)
        .map(|n| dir.join(format!("log.before-force-{n}")))
        .find(|p| !p.exists());
    free.unwrap_or_else(|| dir.join("log.before-force"))
}
