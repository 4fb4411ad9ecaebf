//! When each member was last heard from, and how it said it is.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// A question to a member how it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ping {
    /// Chosen anew at each start of the asker.
    pub(crate) incarnation: u64,
}

/// How a member is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Pong {
    /// It leads, and a majority has answered it lately.
    pub(crate) leads: bool,
    pub(crate) incarnation: u64,
    /// Its wall clock, ms since 1970: shown, and decides nothing.
    pub(crate) wall_ms: u64,
    pub(crate) revision: u64,
    /// Only a witness says this: the last entry that its snapshot holds, 0 without one.
    pub(crate) kept: Option<u64>,
}

/// What is known of a member.
#[derive(Debug, Clone)]
pub(crate) struct Contact {
    pub(crate) heard: Instant,
    pub(crate) round_trip: Option<Duration>,
    /// Its last answer, and when it came.
    pub(crate) pong: Option<(Instant, Pong)>,
    /// Its wall clock less ours, in ms.
    pub(crate) skew_ms: Option<i64>,
}

#[derive(Default)]
pub(crate) struct Contacts {
    inner: Mutex<BTreeMap<u64, Contact>>,
}

impl Contacts {
    /// A member was heard from.
    pub(crate) fn heard(&self, member: u64, round_trip: Option<Duration>) {
        let now = Instant::now();
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let contact = inner.entry(member).or_insert(Contact {
            heard: now,
            round_trip,
            pong: None,
            skew_ms: None,
        });
        contact.heard = now;
        contact.round_trip = round_trip.or(contact.round_trip);
    }

    /// It answered a ping that took so long.
    pub(crate) fn answered(&self, member: u64, round_trip: Duration, pong: Pong, wall_ms: u64) {
        self.heard(member, Some(round_trip));
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(contact) = inner.get_mut(&member) {
            let half = i64::try_from(round_trip.as_millis() / 2).unwrap_or(0);
            contact.skew_ms = Some(pong.wall_ms.cast_signed() + half - wall_ms.cast_signed());
            contact.pong = Some((contact.heard, pong));
        }
    }

    pub(crate) fn of(&self, member: u64) -> Option<Contact> {
        self.inner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&member)
            .cloned()
    }

    /// Was it heard from within this time?
    pub(crate) fn here(&self, member: u64, within: Duration) -> bool {
        self.of(member).is_some_and(|c| c.heard.elapsed() <= within)
    }

    /// Did it say within this time that it leads with a majority?
    pub(crate) fn leads(&self, member: u64, within: Duration) -> bool {
        let pong = self.of(member).and_then(|c| c.pong);
        pong.is_some_and(|(at, pong)| pong.leads && at.elapsed() <= within)
    }
}
