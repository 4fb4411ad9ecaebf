//! Back-off and quarantine of a plugin that fails.
//!
//! ```text
//!            failure                 5 failures within 10 min
//!   ok ───────────────▶ backing-off ─────────────────────────▶ quarantined
//!    ▲                    │     ▲                                   │
//!    │      success       │     │ failure: 1 s, 2 s, 4 s … 60 s     │ release
//!    └────────────────────┴─────┘◀──────────────────────────────────┘ (to ok)
//! ```
//!
//! The first failure after a success costs no wait: one bad volume must not stop its neighbours.
//! Times are milliseconds of a clock that never goes back, given by the caller.

use std::collections::VecDeque;

use crate::{Code, Error};

/// Waits of the second, third… failure in a row, doubling from the first to the last.
const BACK_OFF_FIRST_MS: u64 = 1_000;
const BACK_OFF_MOST_MS: u64 = 60_000;
/// So many failures…
const QUARANTINE_FAILURES: usize = 5;
/// …within this time set the plugin aside.
const QUARANTINE_WINDOW_MS: u64 = 600_000;

/// What the operator must hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// A sentence: what happened, and what to do.
    pub message: String,
}

/// The state of one plugin for one instance.
#[derive(Debug, Clone, Default)]
pub struct Supervisor {
    /// Moments of the failures in the window, oldest first.
    failures: VecDeque<u64>,
    /// Failures since the last success.
    in_a_row: u32,
    /// Not to be called before.
    wait_until_ms: u64,
    quarantined: bool,
    last_failure: Option<String>,
}

impl Supervisor {
    /// A plugin that has never failed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// May it be called now?
    ///
    /// # Errors
    /// `quarantined`, or `unavailable` with the seconds left.
    pub fn may_call(&self, now_ms: u64) -> Result<(), Error> {
        let last = self
            .last_failure
            .as_deref()
            .unwrap_or("no reason was given");
        if self.quarantined {
            return Err(Error::new(
                Code::Quarantined,
                format!(
                    "the plugin failed {QUARANTINE_FAILURES} times within {} minutes and is set aside; \
                     the last time: {last}; mend its cause, then run `cairn plugin release`",
                    QUARANTINE_WINDOW_MS / 60_000
                ),
            ));
        }
        if now_ms < self.wait_until_ms {
            let left = (self.wait_until_ms - now_ms).div_ceil(1_000);
            return Err(Error::new(
                Code::Unavailable,
                format!("the plugin failed and is called again in {left} s; the last time: {last}"),
            ));
        }
        Ok(())
    }

    /// A call was answered.
    pub fn succeeded(&mut self, _now_ms: u64) {
        self.in_a_row = 0;
        self.wait_until_ms = 0;
    }

    /// A call ended in a trap or passed its deadline. An alarm is returned once, when the plugin is
    /// set aside by it.
    pub fn failed(&mut self, now_ms: u64, reason: String) -> Option<Alarm> {
        while self
            .failures
            .front()
            .is_some_and(|at| now_ms.saturating_sub(*at) >= QUARANTINE_WINDOW_MS)
        {
            self.failures.pop_front();
        }
        self.failures.push_back(now_ms);
        self.wait_until_ms = now_ms.saturating_add(back_off_ms(self.in_a_row));
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.last_failure = Some(reason);
        if self.quarantined || self.failures.len() < QUARANTINE_FAILURES {
            return None;
        }
        self.quarantined = true;
        let reason = self.last_failure.as_deref().unwrap_or_default();
        Some(Alarm {
            message: format!("set aside after {QUARANTINE_FAILURES} failures: {reason}"),
        })
    }

    /// The operator wants it called again.
    pub fn release(&mut self) {
        *self = Self::default();
    }

    /// `ok`, `backing-off` or `quarantined`.
    #[must_use]
    pub fn state(&self) -> &str {
        if self.quarantined {
            "quarantined"
        } else if self.wait_until_ms > 0 {
            "backing-off"
        } else {
            "ok"
        }
    }

    /// Why it failed last.
    #[must_use]
    pub fn last_failure(&self) -> Option<&str> {
        self.last_failure.as_deref()
    }
}

fn back_off_ms(failures_before: u32) -> u64 {
    match failures_before {
        0 => 0,
        n => BACK_OFF_FIRST_MS
            .saturating_mul(1 << (n - 1).min(16))
            .min(BACK_OFF_MOST_MS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_costs_no_wait_the_next_ones_double_it() {
        let mut s = Supervisor::new();
        assert!(s.failed(0, "trap".into()).is_none());
        assert!(s.may_call(0).is_ok());
        s.failed(10, "trap".into());
        assert!(s.may_call(1_009).is_err());
        assert!(s.may_call(1_010).is_ok());
        s.failed(2_000, "trap".into());
        assert_eq!(s.may_call(2_000).unwrap_err().code, Code::Unavailable);
        assert!(s.may_call(4_000).is_ok());
        s.succeeded(4_000);
        assert_eq!(s.state(), "ok");
    }

    #[test]
    fn repeated_failures_set_it_aside_until_released() {
        let mut s = Supervisor::new();
        let alarms = (0..6)
            .filter_map(|i| s.failed(i * 1_000, format!("trap {i}")))
            .count();
        assert_eq!(alarms, 1);
        assert_eq!(s.may_call(u64::MAX).unwrap_err().code, Code::Quarantined);
        s.release();
        assert!(s.may_call(0).is_ok());
    }

    #[test]
    fn rare_failures_never_set_it_aside() {
        let mut s = Supervisor::new();
        for i in 0..100 {
            assert!(
                s.failed(i * QUARANTINE_WINDOW_MS / 4, "trap".into())
                    .is_none()
            );
            s.succeeded(i);
        }
    }
}
