//! The plugin host: inspects components and loads them.

use std::path::Path;
use std::sync::Arc;

use cairn_core::names::PluginName;
use cairn_core::plugin::{Asks, Inspection, Kind, Signature, Version};
use cairn_core::schema::Schema;
use cairn_core::{Code, Error, grant};
use sha2::{Digest, Sha256};
use wasmtime::component::Component;

use crate::bindings::exports::cairn::plugin::identity;
use crate::cache::Cache;
use crate::call::{Plugin, bounded};
use crate::check::{self, Shape};
use crate::convert;
use crate::engine::Lane;
use crate::lend::http::HttpClient;
use crate::limits::DESCRIBE_DEADLINE;
use crate::state::Instance;

/// Inspects and loads plugins for one node.
pub struct PluginHost {
    general: Arc<Lane>,
    fencing: Arc<Lane>,
    cache: Cache,
    node: String,
    http: HttpClient,
}

impl PluginHost {
    /// A host that keeps compiled components in `cache_dir` (made with mode 0700).
    ///
    /// # Errors
    /// `internal` where the machine can't run it, saying why.
    pub fn new(cache_dir: &Path, node: &str) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Self {
            general: Arc::new(Lane::general()?),
            fencing: Arc::new(Lane::fencing()?),
            cache: Cache::open(cache_dir)?,
            node: node.to_owned(),
            http: HttpClient::new()?,
        }))
    }

    /// Reads what a component is, granting it nothing: it runs only to describe itself.
    ///
    /// # Errors
    /// `invalid` with a sentence for its author where it can't be a plugin.
    pub async fn inspect(self: &Arc<Self>, component: &[u8]) -> Result<Inspection, Error> {
        check::is_component(component)?;
        let digest = digest(component);
        let compiled = self.compile(&self.general, &digest, component).await?;
        let shape = check::shape(&self.general, &compiled);
        let pre = check::link(&self.general, &compiled, &shape)?;
        let exports = check::exports(&pre, &shape, None)?;
        let blank = blank(&digest, component.len(), &shape)?;
        let version = Version {
            inspection: blank,
            granted: Asks::default(),
        };
        let plugin = Plugin::new(
            version,
            Arc::clone(&self.general),
            pre,
            exports,
            &self.node,
            self.http.clone(),
        );
        let (description, schema) = describe(&plugin).await?;
        let inspection = inspection(&plugin.version().inspection, description, &schema)?;
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
        let found = digest(component);
        let wanted = &version.inspection.digest;
        if found != *wanted {
            return Err(Error::new(
                Code::Corrupt,
                format!(
                    "the component of plugin {} has digest {found}, recorded is {wanted}; install it again",
                    version.inspection.name
                ),
            ));
        }
        let lane = match version.inspection.kind {
            Kind::Fencing => &self.fencing,
            Kind::Storage | Kind::Policy => &self.general,
        };
        let compiled = self.compile(lane, &found, component).await?;
        let shape = check::shape(lane, &compiled);
        let pre = check::link(lane, &compiled, &shape)?;
        let exports = check::exports(&pre, &shape, Some(version.inspection.kind))?;
        let (node, http) = (&self.node, self.http.clone());
        Ok(Plugin::new(
            version.clone(),
            Arc::clone(lane),
            pre,
            exports,
            node,
            http,
        ))
    }

    /// Removes what was compiled from this component.
    pub fn forget(&self, digest: &str) {
        self.cache.forget(digest);
    }

    async fn compile(
        self: &Arc<Self>,
        lane: &Arc<Lane>,
        digest: &str,
        component: &[u8],
    ) -> Result<Component, Error> {
        let (host, engine) = (Arc::clone(self), lane.engine.clone());
        let (digest, bytes) = (digest.to_owned(), component.to_owned());
        tokio::task::spawn_blocking(move || host.cache.component(&engine, &digest, &bytes))
            .await
            .map_err(|e| Error::internal(format!("compiling was cut off: {e}")))?
    }
}

/// `sha256:` and 64 hex digits.
#[must_use]
pub fn digest(component: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(component)))
}

async fn describe(plugin: &Arc<Plugin>) -> Result<(identity::Description, String), Error> {
    let binding = plugin.bind(Arc::new(Instance {
        config: serde_json::json!({}),
        ..Instance::default()
    }));
    let Some(indices) = &plugin.exports().identity else {
        return Err(Error::internal(
            "a plugin without identity passed the check",
        ));
    };
    let mut started = plugin
        .start(&binding, "identity.describe", DESCRIBE_DEADLINE)
        .await?;
    let live = &mut started.live;
    let outcome = bounded(DESCRIBE_DEADLINE, async {
        let guest = indices.load(&mut live.store, &live.instance)?;
        let description = guest.call_describe(&mut live.store).await?;
        let schema = guest.call_config_schema(&mut live.store).await?;
        Ok(Ok((description, schema)))
    })
    .await;
    started.end(outcome)
}

/// What is known of a component before it has described itself.
fn blank(digest: &str, size: usize, shape: &Shape) -> Result<Inspection, Error> {
    Ok(Inspection {
        name: "unknown".parse::<PluginName>()?,
        version: String::new(),
        kind: Kind::Storage,
        summary: String::new(),
        author: String::new(),
        license: String::new(),
        homepage: String::new(),
        digest: digest.to_owned(),
        size_bytes: size as u64,
        imports: shape.imports.clone(),
        exports: shape.exports.clone(),
        asks: Asks::default(),
        reuse_instances: false,
        memory_mib: 0,
        config_schema: serde_json::Value::Null,
        signature: Signature::None,
    })
}

fn inspection(
    blank: &Inspection,
    said: identity::Description,
    schema: &str,
) -> Result<Inspection, Error> {
    let about = |field: &str, e: Error| {
        Error::invalid(
            "component",
            format!(
                "what the plugin says of itself is not valid: its {field}: {}",
                e.message
            ),
        )
    };
    let name = said
        .name
        .parse::<PluginName>()
        .map_err(|e| about("name", e))?;
    let asks = convert::asks(said.asks);
    for ask in &asks.commands {
        grant::check_forms(ask).map_err(|e| about("asks", e))?;
    }
    let schema = Schema::parse(schema).map_err(|e| about("config schema", e))?;
    let semver = said.version.split('.').count() == 3 && said.version.len() <= 64;
    if !semver {
        return Err(about(
            "version",
            Error::invalid("version", "it must be a semantic version like 1.2.3"),
        ));
    }
    Ok(Inspection {
        name,
        version: said.version,
        kind: convert::kind(said.kind),
        summary: said.summary,
        author: said.author,
        license: said.license,
        homepage: said.homepage,
        asks,
        reuse_instances: said.run.reuse_instances,
        memory_mib: said.run.memory_mib,
        config_schema: schema.document().clone(),
        ..blank.clone()
    })
}
