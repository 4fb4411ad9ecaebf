//! Which link a call takes: a pure decision.

use std::time::Duration;

/// Whether a link works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// Dialled for the first time.
    New,
    /// The last probe was answered in time.
    Up,
    /// A probe is late.
    Suspect,
    /// There is no connection.
    Down,
}

/// A difference in round trips below this isn't worth leaving the preferred link.
const WORTH: Duration = Duration::from_millis(1);

/// The place of the best link, by health, then order; a link that is more than twice as slow as the
/// quickest, and noticeably so, loses its preference. `left` was tried and isn't taken again.
pub(super) fn best(
    links: impl Iterator<Item = (Health, Option<Duration>)> + Clone,
    left: Option<usize>,
) -> Option<usize> {
    let of = |wanted: Health| {
        let links = links.clone().enumerate();
        links.filter(move |(place, (health, _))| *health == wanted && Some(*place) != left)
    };
    let quickest = of(Health::Up)
        .filter_map(|(_, (_, trip))| trip)
        .min()
        .unwrap_or_default();
    let slow = (quickest * 2).max(quickest + WORTH);
    of(Health::Up)
        .find(|(_, (_, trip))| trip.is_none_or(|trip| trip <= slow))
        .or_else(|| of(Health::Suspect).next())
        .map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::Health::{Down, New, Suspect, Up};
    use super::*;

    fn chosen(links: &[(Health, u64)], left: Option<usize>) -> Option<usize> {
        let links = links
            .iter()
            .map(|(health, us)| (*health, Some(Duration::from_micros(*us))));
        best(links, left)
    }

    #[test]
    fn the_first_link_that_lives_is_taken_unless_clearly_slower() {
        assert_eq!(chosen(&[(Up, 300), (Up, 200)], None), Some(0));
        assert_eq!(
            chosen(&[(Up, 900), (Up, 100)], None),
            Some(0),
            "not noticeable"
        );
        assert_eq!(chosen(&[(Up, 9000), (Up, 4000)], None), Some(1));
        assert_eq!(
            chosen(&[(Up, 7000), (Up, 4000)], None),
            Some(0),
            "not twice as slow"
        );
        assert_eq!(chosen(&[(Suspect, 10), (Up, 90_000)], None), Some(1));
        assert_eq!(
            chosen(&[(Down, 10), (Suspect, 10), (New, 1)], None),
            Some(1)
        );
        assert_eq!(chosen(&[(Down, 10), (New, 10)], None), None);
        assert_eq!(chosen(&[], None), None);
    }

    #[test]
    fn a_link_that_was_left_is_not_taken_again() {
        assert_eq!(chosen(&[(Up, 1), (Up, 1)], Some(0)), Some(1));
        assert_eq!(chosen(&[(Up, 1), (Down, 1)], Some(0)), None);
    }
}
