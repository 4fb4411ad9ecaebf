//! What a node holds of one cluster: identity, links, and its part of the store.
//!
//! On disk: `identity/` and `store/`, with `store/member` saying whose store it is. A move to another
//! cluster is prepared in `identity.next/` and finished in one go, also after a crash: the old store is
//! set aside as `store.before-CLUSTER`, the new identity takes the old one's place.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use cairn_core::{Code, Error};
use cairn_net::{
    Clock, ClusterKey, ClusterSecrets, Identity, Links, LinksOptions, NodeId, Presented, Trust,
};
use cairn_store::{Cipher, Member, Options, Store, Timing};

use super::messages::LinksTransport;
use super::{certificate_addresses, unusable};

const IDENTITY: &str = "identity";
const NEXT: &str = "identity.next";
pub(super) const STORE: &str = "store";
const MEMBER: &str = "member";
/// Follows whose store it is, where that node founds its cluster.
const FOUNDS: &str = "founds";

pub(crate) struct Part {
    identity: RwLock<Arc<Identity>>,
    pub(crate) links: Links,
    pub(crate) store: Arc<Store>,
}

impl Part {
    /// Opens the store of an identity, and founds its cluster where both are new.
    pub(super) async fn open(
        data: &Path,
        identity: Identity,
        presented: &Presented,
        trust: &Trust,
    ) -> Result<Self, Error> {
        let cluster = trust
            .add_cluster(&identity.secrets().authority_certificate)
            .map_err(unusable)?;
        let (presented, trust) = (presented.clone(), trust.clone());
        let links = Links::new(LinksOptions {
            presented,
            trust,
            cluster,
        });
        let dir = data.join(STORE);
        let is_founder = claim_store(&dir, &identity)?;
        let key = identity.secrets().cluster_key.clone();
        let store = Store::open(Options {
            dir,
            me: identity.node().0,
            cipher: Arc::new(Sealer(key)),
            transport: Arc::new(LinksTransport(links.clone())),
            timing: Timing::default(),
        })
        .await?;
        if let Some(why) = store.rebuilt() {
            tracing::warn!(target: "alarm", "the store's state was damaged and is rebuilt from the log: {why}");
        }
        if is_founder {
            let member = Member {
                name: identity.name().to_owned(),
                ..Member::default()
            };
            store.found(member).await?;
        }
        Ok(Self {
            identity: RwLock::new(Arc::new(identity)),
            links,
            store,
        })
    }

    pub(crate) fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.identity.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The same node with a new certificate.
    pub(super) fn set_identity(&self, data: &Path, identity: Identity) -> Result<(), Error> {
        identity.save(&data.join(IDENTITY)).map_err(unusable)?;
        *self
            .identity
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(identity);
        Ok(())
    }
}

/// The cluster's key, for what a witness keeps.
pub(super) struct Sealer(pub(super) ClusterKey);

impl Cipher for Sealer {
    fn seal(&self, usage: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        self.0.seal(usage, plain).ok()
    }

    fn open(&self, usage: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        self.0.open(usage, sealed).ok()
    }
}

/// The saved identity with a fresh certificate, or one of a new cluster of one.
pub(super) fn identity(data: &Path, name: &str, clock: &Clock) -> Result<Identity, Error> {
    let dir = data.join(IDENTITY);
    if Identity::is_saved(&dir) {
        return Identity::load(&dir).map_err(|e| {
            Error::new(
                Code::Corrupt,
                format!("{e}. Without its identity this node is nobody: restore the folder"),
            )
        });
    }
    let identity = new_cluster(name, clock)?;
    identity.save(&dir).map_err(unusable)?;
    Ok(identity)
}

/// The identity of the first node of a new cluster.
pub(super) fn new_cluster(name: &str, clock: &Clock) -> Result<Identity, Error> {
    let secrets = ClusterSecrets::create(name, clock.now_s()).map_err(unusable)?;
    let addresses = certificate_addresses(&[]);
    Identity::issue_own(secrets, new_id(), name, &addresses, clock.now_s()).map_err(unusable)
}

/// Ids are random and never given twice; 53 bits, so that they pass through any JSON reader.
pub(super) fn new_id() -> NodeId {
    NodeId(rand::random::<u64>() >> 11)
}

/// Writes whose store it is, or checks it. True where that node founds its cluster.
fn claim_store(dir: &Path, identity: &Identity) -> Result<bool, Error> {
    let failed = |e| Error::internal(format!("{} can't be used: {e}", dir.display()));
    let path = dir.join(MEMBER);
    if !dir.exists() {
        fs::create_dir_all(dir).map_err(failed)?;
        fs::write(&path, member_line(identity, true)).map_err(failed)?;
    }
    let found = fs::read_to_string(&path).map_err(failed)?;
    [true, false].into_iter().find(|founds| found == member_line(identity, *founds)).ok_or_else(|| {
        let message = format!(
            "{} belongs to `{}`, and this node is `{}`: one of the two was restored from elsewhere; put back what \
             belongs together",
            dir.display(),
            found.trim(),
            member_line(identity, false).trim()
        );
        Error::new(Code::Corrupt, message)
    })
}

fn member_line(identity: &Identity, founds: bool) -> String {
    let founds = if founds {
        format!(" {FOUNDS}")
    } else {
        String::new()
    };
    format!("{} {}{founds}\n", identity.cluster(), identity.node())
}

/// Keeps the identity of a cluster that this node is about to join. From here on the move happens.
pub(super) fn prepare_join(data: &Path, next: &Identity) -> Result<(), Error> {
    next.save(&data.join(NEXT)).map_err(unusable)
}

/// The same, for a node that founds a cluster of its own.
pub(super) fn prepare_leave(data: &Path, next: &Identity) -> Result<(), Error> {
    let dir = data.join(NEXT);
    let marked = fs::create_dir_all(&dir).and_then(|()| fs::write(dir.join(FOUNDS), ""));
    marked.map_err(|e| Error::internal(format!("{} can't be written: {e}", dir.display())))?;
    next.save(&dir).map_err(unusable)
}

/// Finishes a move that was prepared; nothing where there is none.
pub(super) fn finish_move(data: &Path) -> Result<(), Error> {
    let next = data.join(NEXT);
    if !Identity::is_saved(&next) {
        return Ok(());
    }
    let identity = Identity::load(&next).map_err(unusable)?;
    let failed = |e| {
        Error::internal(format!(
            "the move to cluster {} isn't finished: {e}",
            identity.cluster()
        ))
    };
    let (store, founds) = (data.join(STORE), next.join(FOUNDS).exists());
    let member = fs::read_to_string(store.join(MEMBER)).unwrap_or_default();
    if !member.starts_with(&identity.cluster().to_string()) {
        if store.exists() {
            fs::rename(&store, aside(data, &identity)).map_err(failed)?;
        }
        fs::create_dir_all(&store).map_err(failed)?;
        fs::write(store.join(MEMBER), member_line(&identity, founds)).map_err(failed)?;
    }
    identity.save(&data.join(IDENTITY)).map_err(unusable)?;
    fs::remove_dir_all(&next).map_err(failed)
}

/// A copy of the store, which is stopped.
pub(super) fn copy_store(data: &Path) -> Result<PathBuf, Error> {
    let copy = data.join("store.forced");
    let failed = |e| {
        Error::internal(format!(
            "the store can't be copied to {}: {e}",
            copy.display()
        ))
    };
    if copy.exists() {
        fs::remove_dir_all(&copy).map_err(failed)?;
    }
    copy_dir(&data.join(STORE), &copy).map_err(failed)?;
    Ok(copy)
}

fn copy_dir(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Puts a copy in the place of the store, which is set aside.
pub(super) fn take_copy(data: &Path, copy: &Path) -> Result<(), Error> {
    let store = data.join(STORE);
    let base = data.join("store.before-force");
    let free = (2..1_000)
        .map(|n| base.with_extension(n.to_string()))
        .find(|p| !p.exists());
    let aside = if base.exists() {
        free.unwrap_or(base)
    } else {
        base
    };
    let done = fs::rename(&store, &aside).and_then(|()| fs::rename(copy, &store));
    done.map_err(|e| Error::internal(format!("the copied store can't be put in place: {e}")))
}

fn aside(data: &Path, next: &Identity) -> PathBuf {
    let base = data.join(format!("{STORE}.before-{}", next.cluster()));
    let free = (2..1_000)
        .map(|n| base.with_extension(n.to_string()))
        .find(|p| !p.exists());
    if base.exists() {
        free.unwrap_or(base)
    } else {
        base
    }
}
