//! How many connections there may be: per address and side, and in all per side.
//!
//! A place is given back when its holder is dropped. Known trunks are exempt from the bound in all, which strangers
//! could otherwise exhaust (an emergency call may need the next connection), and have the one per address only.
//! Connections of ours take none: `ways` bounds them. Deliberately absent: what is done with who finds none.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dashmap::DashMap;

use super::fair::{Standing, source_of};
use crate::base::flow::Side;

/// The bounds and who holds what.
#[derive(Debug)]
pub(super) struct Places {
    per_address: u32,
    in_all: u32,
    taken: DashMap<(Side, IpAddr), u32>,
    strangers: [AtomicU32; 2],
}

/// One connection's place.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    side: Side,
    address: IpAddr,
    standing: Standing,
}

impl Places {
    pub(super) fn new(per_address: u32, in_all: u32) -> Arc<Self> {
        Arc::new(Self { per_address, in_all, taken: DashMap::new(), strangers: Default::default() })
    }

    /// A place for a connection; `None` when its address or everybody together have too many.
    pub(super) fn take(self: &Arc<Self>, side: Side, remote: SocketAddr, standing: Standing) -> Option<Place> {
        let address = source_of(remote);
        let place = || Place { places: Arc::clone(self), side, address, standing };
        {
            let mut taken = self.taken.entry((side, address)).or_insert(0);
            if *taken >= self.per_address {
                return None;
            }
            *taken += 1;
        }
        // From here on the place exists and gives back what it took, wherever this ends.
        let place = place();
        if standing == Standing::Stranger {
            let before = self.strangers(side).fetch_add(1, Ordering::Relaxed);
            if before >= self.in_all {
                return None;
            }
        }
        Some(place)
    }

    const fn strangers(&self, side: Side) -> &AtomicU32 {
        let [trunk, agent] = &self.strangers;
        match side {
            Side::Trunk => trunk,
            Side::Agent => agent,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.standing == Standing::Stranger {
            self.places.strangers(self.side).fetch_sub(1, Ordering::Relaxed);
        }
        let key = (self.side, self.address);
        if let Some(mut taken) = self.places.taken.get_mut(&key) {
            *taken = taken.saturating_sub(1);
        }
        self.places.taken.remove_if(&key, |_, taken| *taken == 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 1_000))
    }

    #[test]
    fn an_address_has_its_number_and_gives_places_back() {
        let places = Places::new(2, 100);
        let take = |last, side| places.take(side, at(last), Standing::Stranger);
        let (one, _two) = (take(1, Side::Agent), take(1, Side::Agent));
        assert!(one.is_some() && take(1, Side::Agent).is_none());
        let others = (take(2, Side::Agent), take(1, Side::Trunk));
        assert!(others.0.is_some() && others.1.is_some(), "another address, another side");
        drop(one);
        assert!(take(1, Side::Agent).is_some());
    }

    #[test]
    fn strangers_have_a_number_in_all_and_trunks_are_exempt() {
        let places = Places::new(2, 3);
        let held: Vec<_> = (1..=3).map(|last| places.take(Side::Trunk, at(last), Standing::Stranger)).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(places.take(Side::Trunk, at(4), Standing::Stranger).is_none());
        assert!(places.take(Side::Trunk, at(4), Standing::Known).is_some());
        assert!(places.take(Side::Agent, at(4), Standing::Stranger).is_some(), "the other side has its own");
        drop(held);
        assert!(places.take(Side::Trunk, at(4), Standing::Stranger).is_some());
        assert!(places.taken.is_empty(), "nothing is left of those who are gone");
    }
}
