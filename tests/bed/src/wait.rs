//! Waiting for a condition, and for a child process, never longer than a limit.

use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::limits::{POLL_MAX_MS, POLL_MIN_MS};

/// `count` seconds, shorter to write in a test than [`Duration::from_secs`].
#[must_use]
pub const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// What a condition gives: `bool` is met when true, `Option` when it holds the value.
pub trait Probe {
    /// What [`wait_until`] gives back once the condition is met.
    type Value;
    /// The value, if the condition is met.
    fn met(self) -> Option<Self::Value>;
}

impl Probe for bool {
    type Value = ();
    fn met(self) -> Option<()> {
        self.then_some(())
    }
}

impl<T> Probe for Option<T> {
    type Value = T;
    fn met(self) -> Option<T> {
        self
    }
}

/// Looks again and again until `probe` is met. After `limit` an error that names `what`.
pub fn wait_until<P: Probe>(
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> P,
) -> Result<P::Value> {
    let (begin, mut pause) = (Instant::now(), Pause::new());
    loop {
        if let Some(value) = probe().met() {
            return Ok(value);
        }
        if begin.elapsed() >= limit {
            bail!("waited {} s, and still not: {what}", limit.as_secs_f32());
        }
        pause.take();
    }
}

/// Waits for a child's end; nothing if it still runs after `limit`.
pub(crate) fn wait_child(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let (begin, mut pause) = (Instant::now(), Pause::new());
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begin.elapsed() >= limit {
            return Ok(None);
        }
        pause.take();
    }
}

/// Pauses that grow, so that short waits are short and long ones cost little.
struct Pause(Duration);

impl Pause {
    fn new() -> Pause {
        Pause(Duration::from_millis(POLL_MIN_MS))
    }

    fn take(&mut self) {
        std::thread::sleep(self.0);
        self.0 = (self.0 * 2).min(Duration::from_millis(POLL_MAX_MS));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn gives_the_value_once_it_is_there() {
        let mut left = 3;
        let value = wait_until("three looks", seconds(10), || {
            left -= 1;
            (left == 0).then_some("seen")
        });
        assert_eq!(value.unwrap(), "seen");
    }

    #[test]
    fn names_what_did_not_happen() {
        let error = wait_until("pigs fly", Duration::from_millis(5), || false).unwrap_err();
        assert!(error.to_string().contains("pigs fly"), "{error}");
    }
}
