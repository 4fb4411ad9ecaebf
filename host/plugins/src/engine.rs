//! The engines: one lane for all plugins, and one of its own for fencing, so that no storage can
//! take what fencing needs. Each has its pool of instances, and a clock that ticks only while calls
//! run (an idle daemon wakes nobody). Fencing has threads of its own, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, Thread};

use cairn_core::Error;
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, component::Linker,
};

use crate::bindings;
use crate::limits::{
    FENCING_INSTANCES_MAX, INSTANCES_MAX, MEMORY_MAX_MIB, PARTS_MAX, STACK_MAX_BYTES,
    TABLE_MAX_ELEMENTS, TICK,
};
use crate::state::CallState;
use crate::threads::Threads;

/// An engine with everything that is lent to its components.
pub(crate) struct Lane {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<CallState>,
    ticker: Ticker,
    threads: Option<Threads>,
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
        })
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
        .total_core_instances(instances * 8)
        .total_memories(instances * 4)
        .total_tables(instances * 8)
        .total_stacks(instances * 2)
        .max_core_instances_per_component(PARTS_MAX as u32)
        .max_memories_per_component(PARTS_MAX as u32)
        .max_tables_per_component(PARTS_MAX as u32)
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
