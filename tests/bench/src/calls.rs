//! A call of an exported function that does nothing, through the host's public face, with all that a
//! call passes: queue, places, deadline, statistics. And loading a plugin from the compiled cache.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use cairn_core::plugin::Version;
use cairn_plugins::{Instance, PluginHost, StorageCalls};
use serde_json::json;

use crate::report::{Figure, Report, Times};

const WARM_CALLS: usize = 50_000;
const FRESH_CALLS: usize = 10_000;
const LOADS: usize = 50;
/// Calls that nobody counts: caches fill, the processor wakes up.
const UNCOUNTED: usize = 500;

const WARM_MOST: Duration = Duration::from_micros(5);
const FRESH_MOST: Duration = Duration::from_micros(80);
const LOAD_MOST: Duration = Duration::from_millis(5);

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    // On a worker, as the daemon's handlers run.
    let task = runtime.spawn(async {
        let mut report = Report::default();
        all(&mut report).await.map(|()| report)
    });
    report.append(runtime.block_on(task)??);
    Ok(())
}

async fn all(report: &mut Report) -> Result<()> {
    let cache = tempfile::tempdir()?;
    let host = host(cache.path())?;
    let warm = times(&calls(&host, true).await?, WARM_CALLS).await?;
    report.held(
        "a call that does nothing, warm instance, median",
        warm.median(),
        Figure::Time(WARM_MOST),
    );
    report.told("  99th percentile", warm.quantile(0.99));
    let fresh = times(&calls(&host, false).await?, FRESH_CALLS).await?;
    report.held(
        "a call that does nothing, fresh instance, median",
        fresh.median(),
        Figure::Time(FRESH_MOST),
    );
    report.told("  99th percentile", fresh.quantile(0.99));
    for file in ["storage_dir.wasm", "storage_zfs.wasm"] {
        let loads = loads(&host, file).await?;
        report.held(
            &format!("{file} loaded from the compiled cache, median"),
            loads.median(),
            Figure::Time(LOAD_MOST),
        );
    }
    Ok(())
}

fn host(cache: &std::path::Path) -> Result<Arc<PluginHost>> {
    PluginHost::new(&cache.join("compiled"), "n1").map_err(|e| anyhow!("{e}"))
}

fn component(file: &str) -> Result<Vec<u8>> {
    let path: PathBuf = cairn_storage_tests::plugins()?.join(file);
    std::fs::read(&path).with_context(|| format!("{}", path.display()))
}

/// What a component is, granted all it asks for.
async fn version(host: &Arc<PluginHost>, component: &[u8]) -> Result<Version> {
    let inspection = host.inspect(component).await.map_err(|e| anyhow!("{e}"))?;
    let granted = inspection.asks.clone();
    Ok(Version {
        inspection,
        granted,
    })
}

/// A storage whose `activate` does nothing.
async fn calls(host: &Arc<PluginHost>, reuse: bool) -> Result<StorageCalls> {
    let component = component("test/hostile_plugins.wasm")?;
    let mut version = version(host, &component).await?;
    version.inspection.reuse_instances = reuse;
    let plugin = host.load(&component, &version).await;
    Ok(plugin
        .map_err(|e| anyhow!("{e}"))?
        .storage(Arc::new(Instance {
            name: "s".to_owned(),
            config: json!({"mode": "ok", "path": "/nowhere"}),
            ..Instance::default()
        })))
}

async fn times(storage: &StorageCalls, count: usize) -> Result<Times> {
    let mut times = Times::new()?;
    for call in 0..count + UNCOUNTED {
        let began = Instant::now();
        let done = storage.activate().await;
        let took = began.elapsed();
        done.map_err(|e| anyhow!("{e}"))?;
        if call >= UNCOUNTED {
            times.add(took);
        }
    }
    Ok(times)
}

async fn loads(host: &Arc<PluginHost>, file: &str) -> Result<Times> {
    let component = component(file)?;
    // Inspecting leaves it in the cache.
    let version = version(host, &component).await?;
    let mut times = Times::new()?;
    for _ in 0..LOADS {
        let began = Instant::now();
        let loaded = host.load(&component, &version).await;
        let took = began.elapsed();
        drop(loaded.map_err(|e| anyhow!("{e}"))?);
        times.add(took);
    }
    Ok(times)
}
