//! Places for handshakes under way: in all, and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::limits::{MAX_HANDSHAKES, MAX_HANDSHAKES_PER_ADDRESS};

#[derive(Default, Clone)]
pub(super) struct Places(Arc<Mutex<Taken>>);

#[derive(Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A place, free again when dropped.
pub(super) struct Place {
    of: Places,
    address: IpAddr,
}

impl Places {
    pub(super) fn take(&self, address: IpAddr) -> Option<Place> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let here = taken.by_address.get(&address).copied().unwrap_or(0);
        if taken.all >= MAX_HANDSHAKES || here >= MAX_HANDSHAKES_PER_ADDRESS {
            return None;
        }
        taken.all += 1;
        taken.by_address.insert(address, here + 1);
        Some(Place {
            of: self.clone(),
            address,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.of.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        if let Some(here) = taken.by_address.get_mut(&self.address) {
            *here = here.saturating_sub(1);
            if *here == 0 {
                taken.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_all_places() {
        let places = Places::default();
        let greedy: IpAddr = [10, 0, 0, 1].into();
        let mut held: Vec<_> = std::iter::from_fn(|| places.take(greedy)).collect();
        assert_eq!(held.len(), MAX_HANDSHAKES_PER_ADDRESS);
        let other = places.take([10, 0, 0, 2].into());
        assert!(other.is_some());
        held.pop();
        assert!(places.take(greedy).is_some());
        drop((held, other));
        assert!(places.0.lock().unwrap().by_address.is_empty());
    }

    #[test]
    fn the_places_of_all_are_bounded() {
        let places = Places::default();
        let held: Vec<_> = (0..1000u32)
            .filter_map(|n| places.take(IpAddr::V4(n.into())))
            .collect();
        assert_eq!(held.len(), MAX_HANDSHAKES);
    }
}
