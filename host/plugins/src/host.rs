//! The plugin host: inspects components and loads them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_core::plugin::{Asks, Inspection, Kind, Version};
use cairn_core::{Code, Error};
use sha2::{Digest, Sha256};
use wasmtime::component::Component;

use crate::bindings::exports::cairn::plugin::identity;
use crate::cache::{Cache, Use};
use crate::call::Plugin;
use crate::check;
use crate::description;
use crate::engine::Lane;
use crate::failure::bounded;
use crate::lend::http::HttpClient;
use crate::limits::DESCRIBE_DEADLINE;
use crate::state::{Here, Instance};

/// Inspects and loads plugins for one node.
pub struct PluginHost {
    general: Arc<Lane>,
    fencing: Arc<Lane>,
    cache: Cache,
    here: Arc<Here>,
}

impl PluginHost {
    /// A host that keeps compiled components in `cache_dir` (made with mode 0700). The folder that
    /// holds it is the daemon's own, which no plugin is lent.
    ///
    /// # Errors
    /// `internal` where the machine can't run it, saying why.
    pub fn new(cache_dir: &Path, node: &str) -> Result<Arc<Self>, Error> {
        // Made here, so that it has a real path below.
        let cache = Cache::open(cache_dir)?;
        Ok(Arc::new(Self {
            general: Arc::new(Lane::general()?),
            fencing: Arc::new(Lane::fencing()?),
            cache,
            here: Arc::new(Here {
                node: node.to_owned(),
                http: HttpClient::new()?,
                data: own_folder(cache_dir),
            }),
        }))
    }

    /// Reads what a component is, granting it nothing: it runs only to describe itself.
    ///
    /// # Errors
    /// `invalid` with a sentence for its author where it can't be a plugin.
    pub async fn inspect(self: &Arc<Self>, component: &[u8]) -> Result<Inspection, Error> {
        let (digest, compiled) = self
            .compiled(&self.general, component, Use::Inspect, |_| Ok(()))
            .await?;
        let shape = check::shape(&self.general, &compiled);
        let pre = check::link(&self.general, &compiled, &shape)?;
        let exports = check::exports(&pre, &shape, None)?;
        let blank = description::blank(&digest, component.len(), &shape)?;
        let version = Version {
            inspection: blank,
            granted: Asks::default(),
        };
        let plugin = Plugin::new(
            version,
            Arc::clone(&self.general),
            pre,
            exports,
            Arc::clone(&self.here),
        );
        let (description, schema) = describe(&plugin).await?;
        let blank = plugin.version().inspection.clone();
        // Compiling the patterns in it takes its time.
        let inspection =
            blocking(move || description::inspection(&blank, description, &schema)).await?;
        // Now that its kind is known: does it export what such a plugin must?
        let pre = check::link(&self.general, &compiled, &shape)?;
        check::exports(&pre, &shape, Some(inspection.kind))?;
        Ok(inspection)
    }

    /// Loads a version to be called: from the compiled cache, or compiled now.
    ///
    /// # Errors
    /// `corrupt` where the component isn't the one that was inspected, or as `inspect`.
    pub async fn load(
        self: &Arc<Self>,
        component: &[u8],
        version: &Version,
    ) -> Result<Arc<Plugin>, Error> {
        let lane = match version.inspection.kind {
            Kind::Fencing => &self.fencing,
            Kind::Storage | Kind::Policy => &self.general,
        };
        let inspection = version.inspection.clone();
        let right = move |found: &str| same(&inspection, found);
        let (_, compiled) = self.compiled(lane, component, Use::Load, right).await?;
        let shape = check::shape(lane, &compiled);
        let pre = check::link(lane, &compiled, &shape)?;
        let exports = check::exports(&pre, &shape, Some(version.inspection.kind))?;
        Ok(Plugin::new(
            version.clone(),
            Arc::clone(lane),
            pre,
            exports,
            Arc::clone(&self.here),
        ))
    }

    /// Removes what was compiled from this component.
    pub fn forget(&self, digest: &str) {
        self.cache.forget(digest);
    }

    /// The component and its digest, once `right` has passed that. All of it takes its time, so it is
    /// done where blocking is allowed.
    async fn compiled(
        self: &Arc<Self>,
        lane: &Arc<Lane>,
        component: &[u8],
        to: Use,
        right: impl FnOnce(&str) -> Result<(), Error> + Send + 'static,
    ) -> Result<(String, Component), Error> {
        let (host, engine) = (Arc::clone(self), lane.engine.clone());
        let bytes = component.to_owned();
        blocking(move || {
            if to == Use::Inspect {
                check::is_component(&bytes)?;
            }
            let digest = digest(&bytes);
            right(&digest)?;
            let compiled = host.cache.component(&engine, &digest, &bytes, to)?;
            Ok((digest, compiled))
        })
        .await
    }
}

/// Runs what takes its time on a thread for such.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Error::internal(format!("reading a plugin was cut off: {e}")))?
}

fn same(inspection: &Inspection, found: &str) -> Result<(), Error> {
    let wanted = &inspection.digest;
    if found == *wanted {
        return Ok(());
    }
    Err(Error::new(
        Code::Corrupt,
        format!(
            "the component of plugin {} has digest {found}, recorded is {wanted}; install it again",
            inspection.name
        ),
    ))
}

/// The folder that holds the cache, by its real path: what a plugin is granted is compared with it.
fn own_folder(cache_dir: &Path) -> PathBuf {
    let real = cache_dir.canonicalize();
    let real = real.as_deref().unwrap_or(cache_dir);
    real.parent().unwrap_or(real).to_owned()
}

/// `sha256:` and 64 hex digits.
#[must_use]
pub fn digest(component: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(component)))
}

async fn describe(plugin: &Arc<Plugin>) -> Result<(identity::Description, String), Error> {
    let bound = plugin.bind(Arc::new(Instance {
        config: serde_json::json!({}),
        ..Instance::default()
    }));
    let Some(indices) = &plugin.exports().identity else {
        return Err(Error::internal(
            "a plugin without identity passed the check",
        ));
    };
    let mut started = plugin
        .start(&bound, "identity.describe", DESCRIBE_DEADLINE)
        .await?;
    let left = started.left();
    let live = &mut started.live;
    let outcome = bounded(left, async {
        let guest = indices.load(&mut live.store, &live.instance)?;
        let description = guest.call_describe(&mut live.store).await?;
        let schema = guest.call_config_schema(&mut live.store).await?;
        Ok(Ok((description, schema)))
    })
    .await;
    started.end(outcome)
}
