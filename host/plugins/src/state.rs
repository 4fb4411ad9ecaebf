//! What one call of a plugin can reach: its instance's configuration and grants, its limits, and
//! what it has used of them.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cairn_core::grant::CommandGrant;
use cairn_core::plugin::{Asks, FileAccess};
use tokio::sync::Semaphore;
use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::lend::http::HttpClient;
use crate::lend::{CallLog, context};
use crate::limits::{CORES_MAX, MEMORIES_MAX, RESOURCES_MAX, TABLE_MAX_ELEMENTS, TABLES_MAX};
use crate::text::clipped;

/// A configured instance of a plugin: a storage or a fencing device.
#[derive(Debug, Clone, Default)]
pub struct Instance {
    /// Its name; empty while a plugin is inspected.
    pub name: String,
    /// The configuration with defaults, without secrets; a JSON object.
    pub config: serde_json::Value,
    /// The secret fields of the configuration.
    pub secrets: BTreeMap<String, String>,
}

/// What an instance may use: a plugin's grants with the instance's configuration filled in.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    pub(crate) commands: HashMap<String, CommandGrant>,
    pub(crate) directories: Vec<(String, FileAccess)>,
    pub(crate) http: Vec<(String, Vec<String>)>,
    pub(crate) secrets: Vec<String>,
}

impl Grants {
    /// Fills the configuration in. A form that can't be read was refused at install, so it is
    /// simply not granted here.
    pub(crate) fn resolve(granted: &Asks, config: &serde_json::Value) -> Self {
        let commands = granted.commands.iter().filter_map(|ask| {
            CommandGrant::compile(ask, config)
                .ok()
                .map(|g| (ask.command.clone(), g))
        });
        let directories = granted.files.iter().filter_map(|ask| {
            fill(&ask.directory, config).map(|directory| (directory, ask.access))
        });
        let http = granted
            .http
            .iter()
            .filter_map(|ask| fill(&ask.host, config).map(|host| (host, ask.methods.clone())));
        Self {
            commands: commands.collect(),
            directories: directories.collect(),
            http: http.collect(),
            secrets: granted.secrets.iter().map(|s| s.name.clone()).collect(),
        }
    }
}

/// `text` with each `{config.KEY}` replaced; `None` where a value is missing or empty.
fn fill(text: &str, config: &serde_json::Value) -> Option<String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{config.") {
        let (key, tail) = after.split_once('}')?;
        let value = match config.get(key)? {
            serde_json::Value::String(s) if !s.is_empty() => s.clone(),
            serde_json::Value::Number(n) => n.to_string(),
            _ => return None,
        };
        filled.push_str(before);
        filled.push_str(&value);
        rest = tail;
    }
    filled.push_str(rest);
    Some(filled)
}

/// What all plugins share on a node.
#[derive(Debug)]
pub(crate) struct Here {
    /// The node's name.
    pub(crate) node: String,
    pub(crate) http: HttpClient,
    /// The daemon's own folder, which is lent to nobody.
    pub(crate) data: PathBuf,
}

/// An instance with its resolved grants and its small memory; shared by all calls of it.
pub(crate) struct Binding {
    pub(crate) plugin: String,
    pub(crate) here: Arc<Here>,
    pub(crate) instance: Arc<Instance>,
    pub(crate) grants: Grants,
    pub(crate) scratch: Mutex<HashMap<String, Vec<u8>>>,
    /// Places for file operations at once.
    pub(crate) files: Arc<Semaphore>,
}

impl Binding {
    /// `text` without any secret of the instance in it. The longest are taken out first: one may be a
    /// part of another.
    pub(crate) fn redact(&self, text: &str) -> String {
        let mut secrets: Vec<&String> = self.instance.secrets.values().collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets
            .into_iter()
            .filter(|secret| !secret.is_empty())
            .fold(text.to_owned(), |text, secret| {
                text.replace(secret.as_str(), "********")
            })
    }

    /// A plugin's text as others may see it: without secrets, and only then cut to size, or a part of
    /// one might be left at the cut.
    pub(crate) fn shown(&self, text: &str, most: usize) -> String {
        clipped(&self.redact(text), most).to_owned()
    }

    pub(crate) fn scratch(&self) -> std::sync::MutexGuard<'_, HashMap<String, Vec<u8>>> {
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state of one store: what the host's functions see.
pub(crate) struct CallState {
    pub(crate) binding: Arc<Binding>,
    pub(crate) deadline: Instant,
    pub(crate) memory: MemoryLimit,
    pub(crate) log: Arc<CallLog>,
    pub(crate) notices: u32,
    pub(crate) commands_run: u64,
    /// What the host waited for in vain.
    pub(crate) stalled: Option<String>,
    wasi: WasiCtx,
    table: ResourceTable,
}

impl CallState {
    pub(crate) fn new(binding: Arc<Binding>, limit: Duration, memory: MemoryLimit) -> Self {
        let log = CallLog::new(Arc::clone(&binding));
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        Self {
            binding,
            deadline: Instant::now() + limit,
            memory,
            notices: 0,
            commands_run: 0,
            stalled: None,
            wasi: context(&log),
            log,
            table,
        }
    }

    /// Makes a used store ready for the next call of the same binding. Its WASI resources stay: the
    /// component may have kept handles of them.
    pub(crate) fn renew(&mut self, limit: Duration) {
        self.memory.refused = false;
        self.deadline = Instant::now() + limit;
        self.notices = 0;
        self.commands_run = 0;
        self.stalled = None;
    }

    /// What is left of the call's time.
    pub(crate) fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

impl Drop for CallState {
    fn drop(&mut self) {
        // The last words of a component that broke down may have no line's end.
        self.log.end();
    }
}

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// Caps linear memory and tables of one instance, and remembers the most it had.
pub(crate) struct MemoryLimit {
    pub(crate) max_bytes: usize,
    used_bytes: usize,
    pub(crate) high_water: Arc<AtomicU64>,
    pub(crate) refused: bool,
}

impl MemoryLimit {
    pub(crate) fn new(max_bytes: usize, high_water: Arc<AtomicU64>) -> Self {
        Self {
            max_bytes,
            used_bytes: 0,
            high_water,
            refused: false,
        }
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let used = self
            .used_bytes
            .saturating_sub(current)
            .saturating_add(desired);
        if used > self.max_bytes {
            self.refused = true;
            return Ok(false);
        }
        self.used_bytes = used;
        self.high_water.fetch_max(used as u64, Ordering::Relaxed);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_MAX_ELEMENTS)
    }

    fn instances(&self) -> usize {
        CORES_MAX as usize
    }

    fn tables(&self) -> usize {
        TABLES_MAX as usize
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX as usize
    }
}
