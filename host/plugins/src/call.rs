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
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cairn_core::plugin::{Statistics, Version};
use cairn_core::supervise::Supervisor;
use cairn_core::{Code, Error};
use serde_json::{Map, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use wasmtime::component::InstancePre;
use wasmtime::{Store, UpdateDeadline};

use crate::bound::{Bound, Counted};
use crate::convert;
use crate::engine::{Lane, Ticking};
use crate::exports::Exports;
use crate::failure::{DeadlinePassed, Failure, Outcome, bounded};
use crate::limits::{ANSWER_MAX_BYTES, FILES_MAX, MEMORY_DEFAULT_MIB, MEMORY_MAX_MIB};
use crate::state::{Binding, CallState, Grants, Here, Instance, MemoryLimit};
use crate::statistics::Counters;

/// A loaded version of a plugin, ready to be called.
pub struct Plugin {
    version: Version,
    lane: Arc<Lane>,
    pre: InstancePre<CallState>,
    exports: Exports,
    defaults: Map<String, Value>,
    here: Arc<Here>,
    in_flight: AtomicU64,
    supervisors: Mutex<HashMap<String, Supervisor>>,
    counters: Counters,
    memory_high_water: Arc<AtomicU64>,
    started: Instant,
}

/// An instance of the component with its store, in a place of its lane.
pub(crate) struct Live {
    pub(crate) store: Store<CallState>,
    pub(crate) instance: wasmtime::component::Instance,
    // The last field, so that the place is free only when the store is gone.
    _place: OwnedSemaphorePermit,
}

impl Plugin {
    pub(crate) fn new(
        version: Version,
        lane: Arc<Lane>,
        pre: InstancePre<CallState>,
        exports: Exports,
        here: Arc<Here>,
    ) -> Arc<Self> {
        let defaults = defaults(&version.inspection.config_schema);
        Arc::new(Self {
            version,
            lane,
            pre,
            exports,
            defaults,
            here,
            in_flight: AtomicU64::new(0),
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
        statistics.in_flight = self.in_flight.load(Ordering::Relaxed);
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

    /// Ties the plugin to an instance's configuration. Fields that are new since it was made have their
    /// defaults.
    pub(crate) fn bind(&self, mut instance: Arc<Instance>) -> Arc<Bound> {
        for (name, default) in &self.defaults {
            if instance.config.get(name).is_none() && !instance.secrets.contains_key(name) {
                let instance = Arc::make_mut(&mut instance);
                if let Some(config) = instance.config.as_object_mut() {
                    config.insert(name.clone(), default.clone());
                }
            }
        }
        let grants = Grants::resolve(&self.version.granted, &instance.config);
        let bound = Arc::new(Bound::new(Binding {
            plugin: self.version.inspection.name.to_string(),
            here: Arc::clone(&self.here),
            instance,
            grants,
            scratch: Mutex::default(),
            files: Arc::new(Semaphore::new(FILES_MAX)),
        }));
        if self.version.inspection.reuse_instances {
            self.lane.keeper(&bound);
        }
        bound
    }

    /// Begins a call: waits for a place and gets an instance ready. The typed call itself is made by
    /// the macro in `typed`.
    pub(crate) async fn start<'p>(
        &'p self,
        bound: &'p Bound,
        function: &'static str,
        limit: Duration,
    ) -> Result<Started<'p>, Error> {
        self.may_call(&bound.instance.name)?;
        let in_flight = Counted::among(&self.in_flight);
        let queued = bound.queue()?;
        let permit = bound.turn(function, limit).await?;
        let ticking = self.lane.tick();
        let began = Instant::now();
        match self.live(bound, limit).await {
            Ok(live) => Ok(Started {
                plugin: self,
                bound,
                function,
                limit,
                began,
                live,
                _counted: [in_flight, queued],
                _permit: permit,
                _ticking: ticking,
            }),
            Err(failure) => {
                let error = self.explain(bound, function, limit, &failure, false);
                self.judge(&bound.instance.name, &error, &failure);
                self.counters
                    .record(function, began.elapsed(), 0, Some(&error));
                Err(error)
            }
        }
    }

    async fn live(&self, bound: &Bound, limit: Duration) -> Result<Live, Failure> {
        if let Some(mut live) = bound.take() {
            live.store.data_mut().renew(limit);
            live.store.set_epoch_deadline(1);
            return Ok(live);
        }
        let place = self.lane.place().ok_or(Failure::NoPlace)?;
        let memory = MemoryLimit::new(self.memory_bytes(), Arc::clone(&self.memory_high_water));
        let state = CallState::new(Arc::clone(&bound.binding), limit, memory);
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
        // A component may have code that runs at its start, and waits in the host there.
        let instance = bounded(limit, self.pre.instantiate_async(&mut store)).await?;
        Ok(Live {
            store,
            instance,
            _place: place,
        })
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

    /// Holds a failure against the plugin, where it is one of its own.
    fn judge(&self, instance: &str, error: &Error, failure: &Failure) {
        if matches!(failure, Failure::NoPlace) {
            return;
        }
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
        let mut error = failure.error(function, &plugin, limit);
        if refused_memory && matches!(failure, Failure::Trap(_)) {
            error.message = format!(
                "{} (it wanted more memory than its {} MiB)",
                error.message,
                self.memory_bytes() >> 20
            );
        }
        error.message = binding.redact(&error.message);
        error
    }
}

/// A call that has its place and its instance. Dropped before its end, it takes the instance along.
pub(crate) struct Started<'p> {
    plugin: &'p Plugin,
    bound: &'p Bound,
    function: &'static str,
    limit: Duration,
    began: Instant,
    pub(crate) live: Live,
    _counted: [Counted<'p>; 2],
    _permit: SemaphorePermit<'p>,
    _ticking: Ticking,
}

impl Started<'_> {
    /// What is left of the call's time: getting the instance ready may have taken some.
    pub(crate) fn left(&self) -> Duration {
        self.limit.saturating_sub(self.began.elapsed())
    }

    /// The end of a call: judges what came of it, and keeps or throws away the instance.
    pub(crate) fn end<T>(self, outcome: Outcome<T>) -> Result<T, Error> {
        let Self {
            plugin,
            bound,
            function,
            limit,
            began,
            live,
            ..
        } = self;
        let name = &bound.instance.name;
        live.store.data().log.end();
        let commands = live.store.data().commands_run;
        let refused_memory = live.store.data().memory.refused;
        // A file system that hangs is the backend's fault, not the plugin's.
        let stalled = live.store.data().stalled.clone();
        let result = match outcome {
            Ok(Err(_)) | Err(_) if stalled.is_some() => {
                Err(Error::new(Code::Unavailable, stalled.unwrap_or_default()))
            }
            Ok(answer) => {
                if plugin.version.inspection.reuse_instances {
                    bound.keep(live);
                }
                plugin.succeeded(name);
                answer.map_err(|error| convert::error(bound, error))
            }
            Err(failure) => {
                drop(live);
                let error = plugin.explain(bound, function, limit, &failure, refused_memory);
                plugin.judge(name, &error, &failure);
                Err(error)
            }
        };
        plugin
            .counters
            .record(function, began.elapsed(), commands, result.as_ref().err());
        result
    }
}

/// The defaults in a schema that was checked when the plugin was inspected.
fn defaults(schema: &Value) -> Map<String, Value> {
    let fields = schema.get("properties").and_then(Value::as_object);
    let default = |(name, field): (&String, &Value)| {
        let secret = field.get("x-cairn-secret").and_then(Value::as_bool);
        let default = field.get("default")?;
        (secret != Some(true)).then(|| (name.clone(), default.clone()))
    };
    fields.into_iter().flatten().filter_map(default).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
