//! The log of refusals: who is refused comes again and again, and is told of once a minute.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::limits::{MAX_REFUSALS_REMEMBERED, REFUSAL_LOGGED_EVERY_S};

#[derive(Default)]
pub(super) struct Quiet(Mutex<HashMap<(IpAddr, String), Instant>>);

impl Quiet {
    /// Logs this sentence about this address, unless it did so within the last minute.
    pub(super) fn warn(&self, remote: SocketAddr, sentence: &str) {
        if self.is_news(remote.ip(), sentence, Instant::now()) {
            tracing::warn!(%remote, "{sentence}");
        }
    }

    fn is_news(&self, address: IpAddr, sentence: &str, now: Instant) -> bool {
        let life = Duration::from_secs(REFUSAL_LOGGED_EVERY_S);
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|_, at| now.saturating_duration_since(*at) < life);
        // A sentence that counts seconds is still the same sentence.
        let text = sentence.chars().filter(|c| !c.is_ascii_digit()).collect();
        let key = (address, text);
        // When too many are remembered, silence is better than a full disk.
        if told.contains_key(&key) || told.len() >= MAX_REFUSALS_REMEMBERED {
            return false;
        }
        told.insert(key, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_once_a_minute_and_what_is_told_is_bounded() {
        let (quiet, now) = (Quiet::default(), Instant::now());
        let address = IpAddr::from([10, 0, 0, 1]);
        assert!(quiet.is_news(address, "revoked", now));
        assert!(!quiet.is_news(address, "revoked", now + Duration::from_secs(59)));
        assert!(quiet.is_news(address, "expired", now));
        assert!(quiet.is_news([10, 0, 0, 2].into(), "revoked", now));
        assert!(quiet.is_news(address, "revoked", now + Duration::from_secs(60)));
        assert!(quiet.is_news(address, "3 s ago", now) && !quiet.is_news(address, "14 s ago", now));
        let other = |n: u32| IpAddr::V4(n.into());
        let told = (0..1000)
            .filter(|n| quiet.is_news(other(*n), "x", now))
            .count();
        assert!(told <= MAX_REFUSALS_REMEMBERED);
    }
}
