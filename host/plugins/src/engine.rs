//! The engines: one lane for all plugins, and one of its own for fencing, so that no storage can
//! take what fencing needs. Each has its pool of instances, and a clock that ticks only while calls
//! run (an idle daemon wakes nobody). Fencing has threads of its own, too.
//!
//! A lane has as many places as its pool can hold instances, each as large as one may be: an instance
//! with a place never finds the pool empty. Instances that are kept warm give theirs up to calls.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, Thread};

use cairn_core::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, component::Linker,
};

use crate::bindings;
use crate::bound::Bound;
use crate::limits::{
    CORES_MAX, FENCING_INSTANCES_MAX, INSTANCES_MAX, MEMORIES_MAX, MEMORY_MAX_MIB, STACK_MAX_BYTES,
    TABLE_MAX_ELEMENTS, TABLES_MAX, TICK,
};
use crate::state::CallState;
use crate::threads::Threads;

/// An engine with everything that is lent to its components.
pub(crate) struct Lane {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<CallState>,
    ticker: Ticker,
    threads: Option<Threads>,
    places: Arc<Semaphore>,
    /// Those who may keep instances warm.
    keepers: Mutex<Vec<Weak<Bound>>>,
}

impl Lane {
    /// The lane of storage and policy plugins.
    pub(crate) fn general() -> Result<Self, Error> {
        Self::new("plugin-clock", INSTANCES_MAX, None)
    }

    /// The lane of fencing plugins.
    pub(crate) fn fencing() -> Result<Self, Error> {
        Self::new(
            "fencing-clock",
            FENCING_INSTANCES_MAX,
            Some(Threads::start()?),
        )
    }

    fn new(name: &str, instances: u32, threads: Option<Threads>) -> Result<Self, Error> {
        let engine = engine(instances).map_err(|e| {
            Error::internal(format!(
                "the plugin engine can't be made on this machine: {e:#}"
            ))
        })?;
        let linker = linker(&engine)
            .map_err(|e| Error::internal(format!("the plugin engine lacks an interface: {e:#}")))?;
        let ticker = Ticker::start(name, engine.clone())?;
        Ok(Self {
            engine,
            linker,
            ticker,
            threads,
            places: Arc::new(Semaphore::new(instances as usize)),
            keepers: Mutex::default(),
        })
    }

    /// A place for an instance, if need be that of one kept warm; `None` where calls have them all.
    pub(crate) fn place(&self) -> Option<OwnedSemaphorePermit> {
        loop {
            if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
                return Some(place);
            }
            let keepers = self.keepers();
            if !keepers
                .iter()
                .filter_map(Weak::upgrade)
                .any(|k| k.give_up())
            {
                return None;
            }
        }
    }

    /// Remembers that this one may keep instances warm.
    pub(crate) fn keeper(&self, bound: &Arc<Bound>) {
        let mut keepers = self.keepers();
        keepers.retain(|k| k.strong_count() > 0);
        keepers.push(Arc::downgrade(bound));
    }

    fn keepers(&self) -> MutexGuard<'_, Vec<Weak<Bound>>> {
        self.keepers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a call on the lane's own threads, if it has such.
    pub(crate) async fn apart<T: Send + 'static>(
        &self,
        call: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        match &self.threads {
            Some(threads) => threads.run(call).await,
            None => call.await,
        }
    }

    /// Keeps the clock ticking while it lives.
    pub(crate) fn tick(&self) -> Ticking {
        self.ticker.hold()
    }
}

fn engine(instances: u32) -> wasmtime::Result<Engine> {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(instances)
        .total_core_instances(instances * CORES_MAX)
        .total_memories(instances * MEMORIES_MAX)
        .total_tables(instances * TABLES_MAX)
        .total_stacks(instances * 2)
        .max_core_instances_per_component(CORES_MAX)
        .max_memories_per_component(MEMORIES_MAX)
        .max_tables_per_component(TABLES_MAX)
        .max_component_instance_size(4 << 20)
        .max_core_instance_size(4 << 20)
        .max_memory_size((MEMORY_MAX_MIB as usize) << 20)
        .table_elements(TABLE_MAX_ELEMENTS)
        .max_unused_warm_slots(instances.min(16))
        .linear_memory_keep_resident(256 << 10)
        .table_keep_resident(64 << 10);
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .epoch_interruption(true)
        .max_wasm_stack(STACK_MAX_BYTES)
        .async_stack_size(4 * STACK_MAX_BYTES)
        // Reserving less than 4 GiB a memory keeps the pool's address space small; the cost is a
        // bounds check, which is nothing beside the commands a plugin runs.
        .memory_reservation(u64::from(MEMORY_MAX_MIB) << 20)
        .memory_guard_size(64 << 10)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config)
}

fn linker(engine: &Engine) -> wasmtime::Result<Linker<CallState>> {
    use bindings::cairn::host::{
        clock, commands, context, files, http, log, notices, random, scratch, secrets,
    };
    use wasmtime::component::HasSelf;
    let mut linker = Linker::new(engine);
    // WASI is linked for components that were built with it, and it is empty: no files, no
    // sockets, no environment.
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    context::add_to_linker::<_, HasSelf<CallState>>(&mut linker, |s| s)?;
    commands::add_to_linker::<_, HasSelf<CallState>>(&mut linker, |s| s)?;
    files::add_to_linker::<_, HasSelf<CallState>>(&mut linker, |s| s)?;
    http::add_to_linker::<_, HasSelf<CallState>>(&mut linker, |s| s)?;
    secrets::add_to_linker::<_, HasSelf<CallState>>(&mut linker, |s| s)?;
    scratch::add_to_linker::<_, HasSelf<CallState>>(&mut linker, |s| s)?;
    log::add_to_linker::<_, HasSelf<CallState>>(&mut linker, |s| s)?;
    notices::add_to_linker::<_, HasSelf<CallState>>(&mut linker, |s| s)?;
    clock::add_to_linker::<_, HasSelf<CallState>>(&mut linker, |s| s)?;
    random::add_to_linker::<_, HasSelf<CallState>>(&mut linker, |s| s)?;
    Ok(linker)
}

/// A thread that raises the engine's epoch every [`TICK`] while calls run, and sleeps otherwise.
struct Ticker {
    calls: Arc<AtomicU64>,
    thread: Thread,
}

impl Ticker {
    fn start(name: &str, engine: Engine) -> Result<Self, Error> {
        let calls = Arc::new(AtomicU64::new(0));
        // The thread ends with the process or when it is the last that knows the engine's calls.
        let seen = Arc::downgrade(&calls);
        let handle = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                while let Some(calls) = seen.upgrade() {
                    if calls.load(Ordering::Acquire) == 0 {
                        drop(calls);
                        thread::park();
                    } else {
                        drop(calls);
                        thread::sleep(TICK);
                        engine.increment_epoch();
                    }
                }
            })
            .map_err(|e| Error::internal(format!("no thread for the plugin clock: {e}")))?;
        Ok(Self {
            calls,
            thread: handle.thread().clone(),
        })
    }

    fn hold(&self) -> Ticking {
        if self.calls.fetch_add(1, Ordering::AcqRel) == 0 {
            self.thread.unpark();
        }
        Ticking(Arc::clone(&self.calls))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        // Let the thread see that it is alone.
        self.calls = Arc::new(AtomicU64::new(0));
        self.thread.unpark();
    }
}

/// The clock ticks while this lives.
pub(crate) struct Ticking(Arc<AtomicU64>);

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
