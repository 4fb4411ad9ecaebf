//! Counts and times of a plugin's calls, in bounded memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cairn_core::plugin::{CallStatistics, Statistics};
use cairn_core::{Code, Error};
use hdrhistogram::Histogram;

/// Longest call told apart, microseconds; a longer one counts as this.
const LONGEST_US: u64 = 3_600_000_000;

#[derive(Default)]
pub(crate) struct Counters {
    functions: Mutex<BTreeMap<&'static str, Function>>,
}

struct Function {
    calls: u64,
    commands: u64,
    traps: u64,
    errors: BTreeMap<&'static str, u64>,
    times_us: Option<Histogram<u32>>,
}

impl Counters {
    pub(crate) fn record(
        &self,
        name: &'static str,
        took: Duration,
        commands: u64,
        error: Option<&Error>,
    ) {
        let mut functions = self
            .functions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let function = functions.entry(name).or_insert_with(Function::new);
        function.calls += 1;
        function.commands += commands;
        if let Some(error) = error {
            *function.errors.entry(error.code.as_str()).or_default() += 1;
            if matches!(error.code, Code::PluginFailed | Code::TimedOut) {
                function.traps += 1;
            }
        }
        let us = u64::try_from(took.as_micros())
            .unwrap_or(LONGEST_US)
            .clamp(1, LONGEST_US);
        if let Some(times) = &mut function.times_us {
            times.saturating_record(us);
        }
    }

    pub(crate) fn report(&self) -> Statistics {
        let functions = self
            .functions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Statistics {
            traps: functions.values().map(|f| f.traps).sum(),
            functions: functions
                .iter()
                .map(|(n, f)| ((*n).to_owned(), f.report()))
                .collect(),
            ..Statistics::default()
        }
    }
}

impl Function {
    fn new() -> Self {
        Self {
            calls: 0,
            commands: 0,
            traps: 0,
            errors: BTreeMap::new(),
            // Two digits are enough to tell a slow call from a fast one.
            times_us: Histogram::new_with_bounds(1, LONGEST_US, 2).ok(),
        }
    }

    fn report(&self) -> CallStatistics {
        let quantile = |q| self.times_us.as_ref().map_or(0, |t| t.value_at_quantile(q));
        CallStatistics {
            calls: self.calls,
            errors: self
                .errors
                .iter()
                .map(|(code, n)| ((*code).to_owned(), *n))
                .collect(),
            p50_us: quantile(0.5),
            p99_us: quantile(0.99),
            commands: self.commands,
        }
    }
}
