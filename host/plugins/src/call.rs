//! One call of a plugin, from the queue to the answer.
//!
//! ```text
//!  supervisor ── may it be called? ──▶ queue (bounded) ──▶ permit (few run at once)
//!      ▲                                                      │
//!      │ failed / succeeded                                   ▼
//!      └──── outcome ◀── deadline, memory cap ◀── instance: warm, or fresh from the pool
//! ```
//!
//! An answer, even a refusal, is a success of the plugin. A trap or a passed deadline throws the
//! instance away with all its memory; the supervisor then backs off and at last sets the plugin
//! aside for that storage, while its other storages go on.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cairn_core::plugin::{Statistics, Version};
use cairn_core::supervise::Supervisor;
use cairn_core::{Code, Error};
use tokio::sync::{Semaphore, SemaphorePermit};
use wasmtime::component::InstancePre;
use wasmtime::{PoolConcurrencyLimitError, Store, UpdateDeadline};

use crate::bindings::cairn::plugin::types as wit;
use crate::convert;
use crate::engine::{Lane, Ticking};
use crate::exports::Exports;
use crate::lend::http::HttpClient;
use crate::limits::{
    ANSWER_MAX_BYTES, DEADLINE_GRACE, MEMORY_DEFAULT_MIB, MEMORY_MAX_MIB, QUEUE_MAX, RUNNING_MAX,
    WARM_MAX,
};
use crate::state::{Binding, CallState, Grants, Instance, MemoryLimit};
use crate::statistics::Counters;

/// A loaded version of a plugin, ready to be called.
pub struct Plugin {
    version: Version,
    lane: Arc<Lane>,
    pre: InstancePre<CallState>,
    exports: Exports,
    node: String,
    http: HttpClient,
    queued: AtomicU64,
    warm: Mutex<Vec<Live>>,
    supervisors: Mutex<HashMap<String, Supervisor>>,
    counters: Counters,
    memory_high_water: Arc<AtomicU64>,
    started: Instant,
}

/// An instance of the component with its store.
pub(crate) struct Live {
    pub(crate) store: Store<CallState>,
    pub(crate) instance: wasmtime::component::Instance,
}

impl Plugin {
    pub(crate) fn new(
        version: Version,
        lane: Arc<Lane>,
        pre: InstancePre<CallState>,
        exports: Exports,
        node: &str,
        http: HttpClient,
    ) -> Arc<Self> {
        Arc::new(Self {
            version,
            lane,
            pre,
            exports,
            node: node.to_owned(),
            http,
            queued: AtomicU64::new(0),
            warm: Mutex::new(Vec::new()),
            supervisors: Mutex::new(HashMap::new()),
            counters: Counters::default(),
            memory_high_water: Arc::default(),
            started: Instant::now(),
        })
    }

    /// What was loaded.
    #[must_use]
    pub fn version(&self) -> &Version {
        &self.version
    }

    pub(crate) fn lane(&self) -> &Lane {
        &self.lane
    }

    pub(crate) fn exports(&self) -> &Exports {
        &self.exports
    }

    /// How it fares since it was loaded.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let mut statistics = self.counters.report();
        statistics.memory_high_water_bytes = self.memory_high_water.load(Ordering::Relaxed);
        statistics.in_flight = self.queued.load(Ordering::Relaxed);
        statistics.state = "ok".to_owned();
        for (instance, supervisor) in lock(&self.supervisors).iter() {
            if supervisor.state() != "ok" {
                statistics.state = format!("{} ({instance})", supervisor.state());
                statistics.last_failure = supervisor.last_failure().map(str::to_owned);
            }
        }
        statistics
    }

    /// Lifts back-off and quarantine of all its instances.
    pub fn release(&self) {
        lock(&self.supervisors)
            .values_mut()
            .for_each(Supervisor::release);
    }

    /// Ties the plugin to an instance's configuration.
    pub(crate) fn bind(&self, instance: Arc<Instance>) -> Arc<Binding> {
        let grants = Grants::resolve(&self.version.granted, &instance.config);
        Arc::new(Binding {
            plugin: self.version.inspection.name.to_string(),
            node: self.node.clone(),
            instance,
            grants,
            scratch: Mutex::default(),
            http: self.http.clone(),
            running: Semaphore::new(RUNNING_MAX),
        })
    }

    /// Begins a call: waits for a place and gets an instance ready. The typed call itself is made by
    /// [`Started::run`]; see the macro in `storage`.
    pub(crate) async fn start<'p>(
        &'p self,
        binding: &'p Arc<Binding>,
        function: &'static str,
        limit: Duration,
    ) -> Result<Started<'p>, Error> {
        self.may_call(&binding.instance.name)?;
        let queued = self.queue()?;
        let permit = match tokio::time::timeout(limit, binding.running.acquire()).await {
            Ok(Ok(permit)) => permit,
            _ => return Err(self.overloaded(binding, function)),
        };
        let ticking = self.lane.tick();
        let began = Instant::now();
        match self.live(binding, limit).await {
            Ok(live) => Ok(Started {
                plugin: self,
                binding,
                function,
                limit,
                began,
                live,
                _queued: queued,
                _permit: permit,
                _ticking: ticking,
            }),
            // All places of the lane are taken, which is no fault of this plugin.
            Err(e) if e.is::<PoolConcurrencyLimitError>() => Err(Error::new(
                Code::Overloaded,
                format!(
                    "{function} found no free instance: too many calls of all plugins run; try again"
                ),
            )),
            Err(e) => {
                let error = self.explain(binding, function, limit, &Failure::Trap(e), false);
                self.failed(&binding.instance.name, &error);
                self.counters
                    .record(function, began.elapsed(), 0, Some(&error));
                Err(error)
            }
        }
    }

    async fn live(&self, binding: &Arc<Binding>, limit: Duration) -> wasmtime::Result<Live> {
        let warm = lock(&self.warm).pop();
        if let Some(mut live) = warm {
            live.store.data_mut().renew(Arc::clone(binding), limit);
            live.store.set_epoch_deadline(1);
            return Ok(live);
        }
        let memory = MemoryLimit::new(self.memory_bytes(), Arc::clone(&self.memory_high_water));
        let state = CallState::new(Arc::clone(binding), limit, memory);
        let mut store = Store::new(&self.lane.engine, state);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(ANSWER_MAX_BYTES);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|context| {
            if context.data().remaining().is_zero() {
                wasmtime::bail!(DeadlinePassed)
            }
            // Others get their turn at each tick, however long the plugin computes.
            Ok(UpdateDeadline::Yield(1))
        });
        let instance = self.pre.instantiate_async(&mut store).await?;
        Ok(Live { store, instance })
    }

    fn memory_bytes(&self) -> usize {
        let wish = self.version.inspection.memory_mib;
        let mib = if wish == 0 {
            MEMORY_DEFAULT_MIB
        } else {
            wish.min(MEMORY_MAX_MIB)
        };
        (mib as usize) << 20
    }

    fn keep(&self, live: Live) {
        let mut warm = lock(&self.warm);
        if self.version.inspection.reuse_instances && warm.len() < WARM_MAX {
            warm.push(live);
        }
    }

    fn queue(&self) -> Result<Queued<'_>, Error> {
        let queued = Queued(&self.queued);
        let before = self.queued.fetch_add(1, Ordering::AcqRel);
        if before >= QUEUE_MAX as u64 {
            return Err(Error::new(
                Code::Overloaded,
                format!(
                    "plugin {} has {QUEUE_MAX} calls waiting already; try again when some are done",
                    self.version.inspection.name
                ),
            ));
        }
        Ok(queued)
    }

    fn overloaded(&self, binding: &Binding, function: &str) -> Error {
        Error::new(
            Code::Overloaded,
            format!(
                "{function} found no free place in time: {RUNNING_MAX} calls of plugin {} for {} run \
                 already; does its backend answer?",
                self.version.inspection.name, binding.instance.name
            ),
        )
    }

    fn may_call(&self, instance: &str) -> Result<(), Error> {
        let now = self.now_ms();
        lock(&self.supervisors)
            .get(instance)
            .map_or(Ok(()), |s| s.may_call(now))
    }

    fn succeeded(&self, instance: &str) {
        let now = self.now_ms();
        if let Some(supervisor) = lock(&self.supervisors).get_mut(instance) {
            supervisor.succeeded(now);
        }
    }

    fn failed(&self, instance: &str, error: &Error) {
        let now = self.now_ms();
        let mut supervisors = lock(&self.supervisors);
        let supervisor = supervisors.entry(instance.to_owned()).or_default();
        if let Some(alarm) = supervisor.failed(now, error.message.clone()) {
            let plugin = &self.version.inspection.name;
            tracing::error!(target: "alarm", %plugin, %instance, "{}", alarm.message);
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn explain(
        &self,
        binding: &Binding,
        function: &str,
        limit: Duration,
        failure: &Failure,
        refused_memory: bool,
    ) -> Error {
        let plugin = format!(
            "plugin {} {}",
            binding.plugin, self.version.inspection.version
        );
        match failure {
            Failure::Deadline => Error::new(
                Code::TimedOut,
                format!(
                    "{function} of {plugin} passed its limit of {} s and was ended; its effect may \
                     have happened",
                    limit.as_secs()
                ),
            ),
            Failure::Trap(trap) => {
                let mut why = convert::trap(trap);
                if refused_memory {
                    why = format!(
                        "it wanted more memory than its {} MiB ({why})",
                        self.memory_bytes() >> 20
                    );
                }
                Error::new(
                    Code::PluginFailed,
                    format!(
                        "{function} of {plugin} broke down: {}",
                        binding.redact(&why)
                    ),
                )
            }
        }
    }
}

/// A call that has its place and its instance. Dropped before its end, it takes the instance along.
pub(crate) struct Started<'p> {
    plugin: &'p Plugin,
    binding: &'p Binding,
    function: &'static str,
    limit: Duration,
    began: Instant,
    pub(crate) live: Live,
    _queued: Queued<'p>,
    _permit: SemaphorePermit<'p>,
    _ticking: Ticking,
}

impl Started<'_> {
    /// The end of a call: judges what came of it, and keeps or throws away the instance.
    pub(crate) fn end<T>(self, outcome: Outcome<T>) -> Result<T, Error> {
        let Self {
            plugin,
            binding,
            function,
            limit,
            began,
            live,
            ..
        } = self;
        let name = &binding.instance.name;
        let commands = live.store.data().commands_run;
        let refused_memory = live.store.data().memory.refused;
        let result = match outcome {
            Ok(answer) => {
                plugin.keep(live);
                plugin.succeeded(name);
                answer.map_err(|error| convert::error(binding, error))
            }
            Err(failure) => {
                drop(live);
                let error = plugin.explain(binding, function, limit, &failure, refused_memory);
                plugin.failed(name, &error);
                Err(error)
            }
        };
        plugin
            .counters
            .record(function, began.elapsed(), commands, result.as_ref().err());
        result
    }
}

/// What came of a typed call: an answer or a refusal of the plugin, or its failure.
pub(crate) type Outcome<T> = Result<Result<T, wit::Error>, Failure>;

/// Runs a typed call until its deadline and a little longer: a call that waits in the host isn't
/// seen by the epoch.
pub(crate) async fn bounded<T>(
    limit: Duration,
    call: impl Future<Output = wasmtime::Result<Result<T, wit::Error>>>,
) -> Outcome<T> {
    match tokio::time::timeout(limit + DEADLINE_GRACE, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(trap)) if trap.downcast_ref::<DeadlinePassed>().is_some() => Err(Failure::Deadline),
        Ok(Err(trap)) => Err(Failure::Trap(trap)),
        Err(_) => Err(Failure::Deadline),
    }
}

/// One place in the queue.
struct Queued<'a>(&'a AtomicU64);

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// How a plugin fails.
pub(crate) enum Failure {
    Deadline,
    Trap(wasmtime::Error),
}

/// What the epoch callback ends a call with.
#[derive(Debug, thiserror::Error)]
#[error("the call's deadline has passed")]
struct DeadlinePassed;

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
