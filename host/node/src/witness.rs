//! A witness: a machine that only votes, for many clusters, and can read none of them.
//!
//! It has an identity of its own, which clusters pin. A cluster comes with a token that the witness
//! printed, and brings its authority's certificate: from then on its nodes are answered. Each cluster has
//! a folder: `clusters/ID/enrolment.json`, and its sealed log and snapshot.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use cairn_core::{Code, Error};
use cairn_net::limits::TOKEN_LIFE_S;
use cairn_net::rpc::PeerHandler;
use cairn_net::secret::Secret;
use cairn_net::{
    Clock, ClusterId, JoinAttempt, JoinHandler, JoinRefusal, JoinToken, Links, LinksOptions,
    NodeId, PeerConfig, PeerRequest, PeerResponse, PeerTrust, Presented, Role, Server,
    ServerOptions, StoredToken, Trust, WitnessIdentity,
};
use cairn_store::{CallError, Rpc, Timing, Transport, Witness};
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::cluster::records::PrintedToken;
use crate::cluster::{ENROL, Enrolled, Enrolment, FORGET, LinksTransport, STORE_PATH};

/// Most clusters of one witness.
const CLUSTERS_MAX: usize = 256;
/// Between two looks whether links are still needed.
const LINKS_LOOK: Duration = Duration::from_secs(10);
/// Used tokens that are remembered, to say so.
const TOKENS_KEPT: usize = 1_000;

/// The witness of this machine.
pub struct WitnessService {
    data: PathBuf,
    identity: WitnessIdentity,
    presented: Presented,
    trust: Trust,
    clock: Clock,
    clusters: RwLock<BTreeMap<ClusterId, Arc<Served>>>,
    tokens: Mutex<Vec<StoredToken>>,
    addresses: RwLock<Vec<SocketAddr>>,
    /// Clusters come and go one at a time.
    changes: tokio::sync::Mutex<()>,
}

struct Served {
    enrolment: Enrolment,
    /// What is shown to this cluster's nodes.
    presented: Presented,
    links: Links,
    witness: Arc<Witness>,
}

/// A cluster as its witness sees it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ServedCluster {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Its nodes.
    pub members: Vec<String>,
    /// The last entry of its log.
    pub last_entry: Option<u64>,
    /// Bytes of its log on disk.
    pub log_bytes: u64,
    /// Does a leader of it speak to this witness?
    pub led: bool,
}

/// The witness as it sees itself.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WitnessReport {
    /// Its name.
    pub name: String,
    /// SHA-256 of its certificate: what clusters pin.
    pub fingerprint: String,
    /// Where it is reached.
    pub addresses: Vec<String>,
    /// The clusters it serves.
    pub clusters: Vec<ServedCluster>,
}

impl WitnessService {
    /// Opens the data folder, making it if needed, and all clusters in it. One that can't be opened is
    /// logged and left out; the others are served.
    ///
    /// # Errors
    /// `internal`, `corrupt` as the identity says.
    pub async fn open(data: &Path, name: &str) -> Result<Arc<Self>, Error> {
        let dir = data.join("clusters");
        fs::create_dir_all(&dir).map_err(failed(&dir))?;
        let clock = Clock::system();
        let identity = identity(&data.join("identity"), name, &clock)?;
        let presented = Presented::new(identity.certified_key().map_err(unusable)?);
        let service = Arc::new(Self {
            data: data.to_owned(),
            identity,
            presented,
            trust: Trust::new(clock.clone()),
            clock,
            clusters: RwLock::default(),
            tokens: Mutex::new(read_tokens(data)),
            addresses: RwLock::default(),
            changes: tokio::sync::Mutex::default(),
        });
        for entry in fs::read_dir(&dir).map_err(failed(&dir))?.flatten() {
            if let Err(e) = service.open_cluster(&entry.path()).await {
                tracing::error!(target: "alarm", folder = %entry.path().display(), "a cluster isn't served: {e}");
            }
        }
        tokio::spawn(drop_links(Arc::downgrade(&service)));
        Ok(service)
    }

    /// The server for clusters, which listens nowhere yet.
    pub fn server(self: &Arc<Self>) -> Server {
        Server::new(ServerOptions {
            presented: self.presented.clone(),
            trust: self.trust.clone(),
            peers: Arc::new(Peers(Arc::downgrade(self))),
            joins: Some(Arc::new(Joins(Arc::downgrade(self)))),
            api: None,
        })
    }

    /// Tells where clusters reach it.
    pub fn listen_on(&self, addresses: Vec<SocketAddr>) {
        *self
            .addresses
            .write()
            .unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    /// A token that lets in one cluster within the hour.
    ///
    /// # Errors
    /// `internal` where it can't be kept.
    pub fn print_token(&self) -> Result<PrintedToken, Error> {
        let expires_s = self.clock.now_s() + TOKEN_LIFE_S;
        let token = JoinToken {
            cluster: self.identity.id(),
            fingerprint: self.identity.fingerprint(),
            addresses: self
                .addresses
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
            secret: Secret::random().map_err(unusable)?,
            role: Role::Witness,
            expires_s,
        };
        let printed = token
            .print()
            .map_err(|e| Error::internal(format!("no token can be made: {e}")))?;
        let verifier = token.verifier().map_err(unusable)?;
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.push(StoredToken {
            verifier,
            role: Role::Witness,
            expires_s,
            used_by: None,
        });
        let more = tokens.len().saturating_sub(TOKENS_KEPT);
        tokens.drain(..more);
        self.write_tokens(&tokens)?;
        Ok(PrintedToken {
            token: printed.to_string(),
            expires_s,
        })
    }

    /// What it serves.
    pub fn report(&self) -> WitnessReport {
        let clusters = self.clusters.read().unwrap_or_else(PoisonError::into_inner);
        let shown = clusters.iter().map(|(id, served)| {
            let state = served.witness.state();
            ServedCluster {
                name: served.enrolment.cluster_name.clone(),
                id: id.to_string(),
                members: state.members,
                last_entry: state.last_entry,
                log_bytes: state.log_bytes,
                led: state.leader.is_some(),
            }
        });
        let addresses = self
            .addresses
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        WitnessReport {
            name: self.identity.name().to_owned(),
            fingerprint: self.identity.fingerprint().to_string(),
            addresses: addresses.iter().map(ToString::to_string).collect(),
            clusters: shown.collect(),
        }
    }

    /// Ends its part in all clusters.
    pub async fn stop(&self) {
        let served: Vec<_> = std::mem::take(
            &mut *self
                .clusters
                .write()
                .unwrap_or_else(PoisonError::into_inner),
        )
        .into_values()
        .collect();
        for served in served {
            served.witness.stop().await;
        }
    }

    fn served(&self, cluster: ClusterId) -> Option<Arc<Served>> {
        self.clusters
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&cluster)
            .cloned()
    }

    async fn open_cluster(&self, dir: &Path) -> Result<(), Error> {
        let path = dir.join("enrolment.json");
        let text = fs::read(&path).map_err(failed(&path))?;
        let enrolment: Enrolment = serde_json::from_slice(&text).map_err(|e| {
            Error::new(
                Code::Corrupt,
                format!("{} isn't readable: {e}", path.display()),
            )
        })?;
        let cluster = self
            .trust
            .add_cluster(&enrolment.authority)
            .map_err(unusable)?;
        let presented = Presented::new(certified(&enrolment)?);
        let links = Links::new(LinksOptions {
            presented: presented.clone(),
            trust: self.trust.clone(),
            cluster,
        });
        let transport = Arc::new(OnDemand {
            links: links.clone(),
            witness: OnceLock::new(),
        });
        let opened = Witness::open(
            dir.to_owned(),
            enrolment.id,
            transport.clone(),
            Timing::default(),
        )
        .await?;
        let _ = transport.witness.set(Arc::downgrade(&opened));
        let served = Arc::new(Served {
            enrolment,
            presented,
            links,
            witness: opened,
        });
        self.clusters
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(cluster, served);
        Ok(())
    }

    /// A cluster comes, or gets another id: what was kept of it under the old one goes.
    async fn enrol(&self, cluster: ClusterId, enrolment: &Enrolment) -> Result<(), Error> {
        let _one = self.changes.lock().await;
        let text =
            serde_json::to_vec_pretty(enrolment).map_err(|e| Error::internal(e.to_string()))?;
        let dir = self.dir(cluster);
        if let Some(served) = self.served(cluster)
            && served.enrolment.id == enrolment.id
        {
            // Only its certificate is new.
            write_synced(&dir.join("enrolment.json"), &text)?;
            served.presented.replace(certified(enrolment)?);
            return Ok(());
        }
        self.drop_cluster(cluster).await?;
        if self
            .clusters
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
            >= CLUSTERS_MAX
        {
            let message =
                format!("this witness serves {CLUSTERS_MAX} clusters already; set up another");
            return Err(Error::new(Code::Overloaded, message));
        }
        fs::create_dir_all(&dir).map_err(failed(&dir))?;
        write_synced(&dir.join("enrolment.json"), &text)?;
        self.open_cluster(&dir).await
    }

    async fn forget(&self, cluster: ClusterId) -> Result<(), Error> {
        let _one = self.changes.lock().await;
        self.drop_cluster(cluster).await?;
        self.trust.remove_cluster(cluster);
        Ok(())
    }

    async fn drop_cluster(&self, cluster: ClusterId) -> Result<(), Error> {
        let old = self
            .clusters
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&cluster);
        if let Some(old) = old {
            old.witness.stop().await;
        }
        let dir = self.dir(cluster);
        if dir.exists() {
            fs::remove_dir_all(&dir).map_err(failed(&dir))?;
        }
        Ok(())
    }

    fn dir(&self, cluster: ClusterId) -> PathBuf {
        self.data.join("clusters").join(cluster.to_string())
    }

    /// Uses up a token that was proved.
    fn use_token(&self, attempt: &JoinAttempt, by: &str) -> Result<(), JoinRefusal> {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let found = tokens.iter_mut().find(|t| t.verifier == attempt.verifier);
        attempt.check(found.as_deref(), self.clock.now_s())?;
        if let Some(found) = found {
            found.used_by = Some(by.to_owned());
        }
        self.write_tokens(&tokens)
            .map_err(|e| JoinRefusal::Other(e.message))
    }

    fn write_tokens(&self, tokens: &[StoredToken]) -> Result<(), Error> {
        let text = serde_json::to_vec(tokens).map_err(|e| Error::internal(e.to_string()))?;
        write_synced(&self.data.join("tokens.json"), &text)
    }

    async fn let_in(&self, attempt: JoinAttempt) -> Result<Bytes, JoinRefusal> {
        let other = |e: Error| JoinRefusal::Other(e.message);
        let enrolment: Enrolment = serde_json::from_slice(&attempt.request).map_err(|e| {
            JoinRefusal::Other(format!(
                "the two versions of Cairn don't understand each other: {e}"
            ))
        })?;
        self.use_token(&attempt, &enrolment.cluster_name)?;
        let cluster = self
            .trust
            .add_cluster(&enrolment.authority)
            .map_err(|e| other(unusable(e)))?;
        self.enrol(cluster, &enrolment).await.map_err(other)?;
        let enrolled = Enrolled {
            name: self.identity.name().to_owned(),
        };
        serde_json::to_vec(&enrolled)
            .map(Bytes::from)
            .map_err(|e| JoinRefusal::Other(e.to_string()))
    }

    async fn answer(&self, request: PeerRequest) -> PeerResponse {
        let (cluster, from) = (request.peer.name.cluster, request.peer.name.node);
        let path = request.path;
        let body = match request.body.bytes().await {
            Ok(body) => body,
            Err(e) => return e.into(),
        };
        let done = if path == ENROL {
            match serde_json::from_slice::<Enrolment>(&body) {
                Ok(enrolment) => self.enrol(cluster, &enrolment).await.map(|()| Bytes::new()),
                Err(e) => Err(Error::invalid("enrolment", e.to_string())),
            }
        } else if path == FORGET {
            self.forget(cluster).await.map(|()| Bytes::new())
        } else {
            let rpc = path.strip_prefix(STORE_PATH).and_then(Rpc::of_name);
            match (rpc, self.served(cluster)) {
                (Some(rpc), Some(served)) => served
                    .witness
                    .handle(from.0, rpc, body)
                    .await
                    .map_err(Error::from),
                _ => Err(Error::not_found("such path on a witness")),
            }
        };
        match done {
            Ok(answer) => PeerResponse::ok(answer),
            Err(e) => PeerResponse::error(e.http_status(), e.message),
        }
    }
}

fn identity(dir: &Path, name: &str, clock: &Clock) -> Result<WitnessIdentity, Error> {
    if WitnessIdentity::is_saved(dir) {
        return WitnessIdentity::load(dir).map_err(unusable);
    }
    let identity = WitnessIdentity::create(name, &[], clock.now_s()).map_err(unusable)?;
    identity.save(dir).map_err(unusable)?;
    Ok(identity)
}

fn certified(enrolment: &Enrolment) -> Result<Arc<cairn_net::CertifiedKey>, Error> {
    let Enrolment {
        authority,
        certificate,
        key,
        ..
    } = enrolment;
    cairn_net::identity::certified_key(certificate, authority, key).map_err(unusable)
}

fn unusable(error: cairn_net::IdentityError) -> Error {
    Error::internal(format!("this witness's identity: {error}"))
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.display().to_string();
    move |e| Error::internal(format!("{path}: {e}"))
}

fn read_tokens(data: &Path) -> Vec<StoredToken> {
    let text = fs::read(data.join("tokens.json")).unwrap_or_default();
    // Tokens that can't be read let nobody in: have new ones printed.
    serde_json::from_slice(&text).unwrap_or_default()
}

fn write_synced(path: &Path, content: &[u8]) -> Result<(), Error> {
    let part = path.with_extension("part");
    let written = (|| {
        let mut options = fs::OpenOptions::new();
        // It holds a key.
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&part)?;
        std::io::Write::write_all(&mut file, content)?;
        file.sync_all()?;
        fs::rename(&part, path)?;
        match path.parent() {
            Some(dir) => fs::File::open(dir)?.sync_all(),
            None => Ok(()),
        }
    })();
    written.map_err(failed(path))
}

/// Links to a cluster's nodes, made when the witness has something to say: it hardly ever has.
struct OnDemand {
    links: Links,
    witness: OnceLock<Weak<Witness>>,
}

impl Transport for OnDemand {
    fn call(
        &self,
        to: u64,
        rpc: Rpc,
        body: Bytes,
        limit: Duration,
    ) -> BoxFuture<'static, Result<Bytes, CallError>> {
        if self.links.states().is_empty()
            && let Some(witness) = self.witness.get().and_then(Weak::upgrade)
        {
            let members = witness
                .members()
                .members
                .into_iter()
                .filter(|(_, member)| !member.witness);
            let config = |addresses| PeerConfig {
                addresses,
                trust: PeerTrust::Ca,
            };
            self.links.set_peers(
                &members
                    .map(|(id, member)| (NodeId(id), config(member.addresses)))
                    .collect(),
            );
        }
        LinksTransport(self.links.clone()).call(to, rpc, body, limit)
    }
}

/// Lets go of links that aren't needed.
async fn drop_links(service: Weak<WitnessService>) {
    while let Some(service) = service.upgrade() {
        let served: Vec<_> = service
            .clusters
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect();
        for served in served {
            if !served.witness.leads() {
                served.links.set_peers(&BTreeMap::new());
            }
        }
        drop(service);
        tokio::time::sleep(LINKS_LOOK).await;
    }
}

struct Peers(Weak<WitnessService>);

impl PeerHandler for Peers {
    fn handle(&self, request: PeerRequest) -> BoxFuture<'static, PeerResponse> {
        let service = self.0.upgrade();
        Box::pin(async move {
            match service {
                Some(service) => service.answer(request).await,
                None => PeerResponse::error(503, "this witness stops"),
            }
        })
    }
}

struct Joins(Weak<WitnessService>);

impl JoinHandler for Joins {
    fn join(&self, attempt: JoinAttempt) -> BoxFuture<'_, Result<Bytes, JoinRefusal>> {
        let service = self.0.upgrade();
        Box::pin(async move {
            let service =
                service.ok_or_else(|| JoinRefusal::Other("this witness stops".to_owned()))?;
            service.let_in(attempt).await
        })
    }
}
