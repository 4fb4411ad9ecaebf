//! openraft's state machine: applies what is committed, makes and takes snapshots.

use std::path::Path;
use std::sync::Arc;

use openraft::storage::{RaftStateMachine, Snapshot};
use openraft::{OptionalSend, RaftSnapshotBuilder};
use tokio::fs::File;

use crate::change::Answer;
use crate::snapshot::Snapshots;
use crate::state::{Frozen, State};
use crate::types::{At, EntryOf, Membership, Meta, Payload, StorageError, Types};
use crate::watch::Hub;
use crate::{Cipher, StoreError};

/// The state with its snapshots and watchers.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) state: Arc<State>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) snapshots: Snapshots,
    cipher: Arc<dyn Cipher>,
}

impl Machine {
    /// Opens state and snapshots below `dir`. A state that is damaged, or older than the snapshot, is
    /// rebuilt from it. The second answer says what was wrong.
    pub(crate) fn open(
        dir: &Path,
        cipher: Arc<dyn Cipher>,
    ) -> Result<(Self, Option<String>), StoreError> {
        let snapshots = Snapshots::open(&dir.join("snapshot"))?;
        let (state, damage) = State::open(&dir.join("state"))?;
        let machine = Self {
            state: Arc::new(state),
            hub: Arc::default(),
            snapshots,
            cipher,
        };
        if let Some(meta) = machine.snapshots.meta()?
            && meta.last_log_id > machine.state.position().applied
        {
            machine.snapshots.check(&machine.snapshots.current())?;
            machine.load()?;
        }
        machine.hub.start(machine.state.revision());
        Ok((machine, damage))
    }

    /// A snapshot of what is applied now.
    pub(crate) async fn make_snapshot(&mut self) -> Result<(), StoreError> {
        let mut builder = self.get_snapshot_builder().await;
        builder
            .build_snapshot()
            .await
            .map(drop)
            .map_err(|e| StoreError::Stopped(e.to_string()))
    }

    fn load(&self) -> Result<(), StoreError> {
        self.state
            .load(self.snapshots.pairs(Arc::clone(&self.cipher))?)?;
        self.state.flush()
    }

    fn apply_one(&self, entry: EntryOf) -> Result<Answer, StoreError> {
        let at = entry.log_id;
        match entry.payload {
            Payload::Blank => self.state.pass(at, None).map(|()| Answer::Nothing),
            Payload::Membership(members) => {
                let membership = Membership::new(Some(at), members);
                self.state
                    .pass(at, Some(membership))
                    .map(|()| Answer::Nothing)
            }
            Payload::Normal(sealed) => {
                let applied = self.state.apply(at, &sealed.open(&*self.cipher)?)?;
                self.hub.publish(applied.events);
                Ok(applied.answer)
            }
        }
    }

    fn install(&self, meta: &Meta) -> Result<(), StoreError> {
        let received = self.snapshots.receiving();
        let found = self.snapshots.check(&received)?;
        if found.last_log_id != meta.last_log_id {
            return Err(StoreError::Damaged(
                "a snapshot isn't the one that was announced".to_owned(),
            ));
        }
        self.snapshots.keep(&received)?;
        self.load()?;
        self.hub.start(self.state.revision());
        Ok(())
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<At>, Membership), StorageError> {
        let position = self.state.position();
        Ok((position.applied, position.membership))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Answer>, StorageError>
    where
        I: IntoIterator<Item = EntryOf> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let applied = entries.into_iter().map(|entry| self.apply_one(entry));
        applied.collect::<Result<_, _>>().map_err(StoreError::fatal)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            frozen: Some(self.state.freeze()),
            machine: self.clone(),
        }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<File>, StorageError> {
        begin_receiving(&self.snapshots)
            .await
            .map_err(StoreError::fatal)
    }

    async fn install_snapshot(&mut self, meta: &Meta, file: Box<File>) -> Result<(), StorageError> {
        drop(file);
        let (machine, meta) = (self.clone(), meta.clone());
        blocking(move || machine.install(&meta))
            .await
            .map_err(StoreError::fatal)
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, StorageError> {
        current(&self.snapshots).await.map_err(StoreError::fatal)
    }
}

/// Writes a snapshot of the moment it was made.
pub(crate) struct Builder {
    frozen: Option<Frozen>,
    machine: Machine,
}

impl RaftSnapshotBuilder<Types> for Builder {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, StorageError> {
        let machine = self.machine.clone();
        let frozen = self.frozen.take().unwrap_or_else(|| machine.state.freeze());
        let position = frozen.position.clone();
        let meta = meta_of(position.applied, position.membership);
        let snapshots = machine.snapshots.clone();
        let built = blocking(move || {
            machine.state.flush()?;
            snapshots.write(frozen, &meta, &machine.cipher)
        });
        built.await.map_err(StoreError::fatal)?;
        let snapshot = current(&self.machine.snapshots)
            .await
            .map_err(StoreError::fatal)?;
        snapshot.ok_or_else(|| {
            StoreError::Damaged("a snapshot that was just written is gone".to_owned()).fatal()
        })
    }
}

fn meta_of(applied: Option<At>, membership: Membership) -> Meta {
    let snapshot_id = match &applied {
        Some(at) => format!(
            "{}-{}-{}",
            at.leader_id.term, at.leader_id.node_id, at.index
        ),
        None => "empty".to_owned(),
    };
    Meta {
        last_log_id: applied,
        last_membership: membership,
        snapshot_id,
    }
}

pub(crate) async fn begin_receiving(snapshots: &Snapshots) -> Result<Box<File>, StoreError> {
    let path = snapshots.receiving();
    let mut options = File::options();
    let file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .await;
    file.map(Box::new)
        .map_err(StoreError::io(format!("{} can't be made", path.display())))
}

pub(crate) async fn current(snapshots: &Snapshots) -> Result<Option<Snapshot<Types>>, StoreError> {
    let Some(meta) = snapshots.meta()? else {
        return Ok(None);
    };
    let path = snapshots.current();
    let file = File::open(&path)
        .await
        .map_err(StoreError::io(format!("{} can't be read", path.display())))?;
    Ok(Some(Snapshot {
        meta,
        snapshot: Box::new(file),
    }))
}

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| StoreError::Stopped(format!("work on a snapshot failed: {e}")))?
}
