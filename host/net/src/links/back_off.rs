//! How long a link that failed waits.

use std::time::Duration;

use crate::limits::{BACK_OFF_FIRST_MS, BACK_OFF_MAX_MS, ms};

/// Doubles from attempt to attempt. The waits are from start to start, so an attempt that takes
/// long is followed by the next one at once.
#[derive(Debug, Clone, Default)]
pub(super) struct BackOff {
    failures: u32,
}

impl BackOff {
    /// The wait after one more failure, of which the attempt took `spent`.
    pub(super) fn failed(&mut self, spent: Duration) -> Duration {
        let wait = BACK_OFF_FIRST_MS << self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        ms(wait.min(BACK_OFF_MAX_MS)).saturating_sub(spent)
    }

    /// It worked.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_their_bound_and_begin_anew() {
        let mut back_off = BackOff::default();
        let waits: Vec<_> = (0..6)
            .map(|_| back_off.failed(Duration::ZERO).as_millis())
            .collect();
        assert_eq!(waits, [100, 200, 400, 800, 1500, 1500]);
        assert_eq!(back_off.failed(ms(1400)), ms(100));
        assert_eq!(back_off.failed(ms(5000)), Duration::ZERO);
        back_off.reset();
        assert_eq!(back_off.failed(Duration::ZERO), ms(100));
    }
}
