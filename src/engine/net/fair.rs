//! A queue in which a flood from one address costs that address: sources take turns, and a crowded queue gives each no
//! more than its share.
//!
//! There are two lanes, for addresses of known trunks and for everybody else. They are served alternately while both
//! have something, so a trunk waits behind at most one stranger's packet for each of its own. Inside a lane every
//! source gives one item per round; the items of one source stay in order.
//!
//! | an item | is taken |
//! |---|---|
//! | a datagram of a stranger | while strangers hold less than the places left to them |
//! | a datagram of a known trunk | while there is any place |
//! | either, when its lane is half full | if its source holds less than its share: the lane's places by its sources and one to come |
//! | anything else (`put`) | always; who puts bounds it by its own credit |
//!
//! Emergency calls cannot be told from bytes; they come over trunks, whose places strangers cannot take.
//! Deliberately absent: what an item is, waiting for one, and what an address is to whom ([`source_of`] says which
//! addresses are one source). A flood from forged addresses makes as many sources as it likes: it can crowd out other
//! strangers, never a known trunk.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Whose item it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// An address of a trunk.
    Known,
    /// Any other.
    Stranger,
}

/// Places for datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Places {
    /// In all.
    pub(super) all: usize,
    /// Of them, kept for known trunks.
    pub(super) kept: usize,
}

/// The queue.
#[derive(Debug)]
pub(super) struct FairQueue<T> {
    places: Places,
    known: Lane<T>,
    strangers: Lane<T>,
    strangers_turn: bool,
}

#[derive(Debug)]
struct Lane<T> {
    sources: HashMap<IpAddr, Source<T>>,
    /// Whose turn it is; holds each source of `sources` once.
    turns: VecDeque<IpAddr>,
    /// Datagrams held.
    held: usize,
    items: usize,
}

#[derive(Debug)]
struct Source<T> {
    /// With whether it is a datagram.
    items: VecDeque<(T, bool)>,
    held: usize,
}

/// Addresses that count as one source: an IPv4 address, or an IPv6 /64, all of which one host may use.
pub(super) fn source_of(remote: SocketAddr) -> IpAddr {
    match remote.ip().to_canonical() {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

impl<T> FairQueue<T> {
    pub(super) fn new(places: Places) -> Self {
        Self { places, known: Lane::new(), strangers: Lane::new(), strangers_turn: false }
    }

    /// Takes a datagram in, made only when there is a place for it; `false` when there is none.
    pub(super) fn offer(&mut self, source: IpAddr, standing: Standing, make: impl FnOnce() -> T) -> bool {
        let all = self.known.held + self.strangers.held;
        let (lane, most) = match standing {
            Standing::Known => (&mut self.known, self.places.all),
            Standing::Stranger => (&mut self.strangers, self.places.all.saturating_sub(self.places.kept)),
        };
        if all >= self.places.all || lane.held >= most {
            return false;
        }
        if lane.held * 2 >= most && lane.held_by(source) >= lane.share(source, most) {
            return false;
        }
        lane.push(source, make(), true);
        true
    }

    /// Takes in what may not be lost.
    pub(super) fn put(&mut self, source: IpAddr, standing: Standing, item: T) {
        match standing {
            Standing::Known => self.known.push(source, item, false),
            Standing::Stranger => self.strangers.push(source, item, false),
        }
    }

    /// The next item: lanes in turn, and in a lane the sources in turn.
    pub(super) fn pop(&mut self) -> Option<T> {
        let strangers_first = self.strangers_turn;
        let (first, second) = if strangers_first {
            (&mut self.strangers, &mut self.known)
        } else {
            (&mut self.known, &mut self.strangers)
        };
        if let Some(item) = first.pop() {
            self.strangers_turn = !strangers_first;
            return Some(item);
        }
        second.pop()
    }

    /// Items waiting.
    pub(super) const fn len(&self) -> usize {
        self.known.items + self.strangers.items
    }
}

impl<T> Lane<T> {
    fn new() -> Self {
        Self { sources: HashMap::new(), turns: VecDeque::new(), held: 0, items: 0 }
    }

    fn held_by(&self, source: IpAddr) -> usize {
        self.sources.get(&source).map_or(0, |source| source.held)
    }

    /// What each source may hold when this one is counted among them; never nothing. One more source is always thought
    /// of, so that those who are here cannot fill the lane and the next comer finds a place.
    fn share(&self, source: IpAddr, most: usize) -> usize {
        let sources = self.sources.len() + usize::from(!self.sources.contains_key(&source));
        (most / (sources + 1)).max(1)
    }

    fn push(&mut self, source: IpAddr, item: T, datagram: bool) {
        let turns = &mut self.turns;
        let entry = self.sources.entry(source).or_insert_with(|| {
            turns.push_back(source);
            Source { items: VecDeque::new(), held: 0 }
        });
        entry.items.push_back((item, datagram));
        entry.held += usize::from(datagram);
        self.held += usize::from(datagram);
        self.items += 1;
    }

    fn pop(&mut self) -> Option<T> {
        let turn = self.turns.pop_front()?;
        let source = self.sources.get_mut(&turn)?;
        let (item, datagram) = source.items.pop_front()?;
        source.held -= usize::from(datagram);
        self.held -= usize::from(datagram);
        self.items -= 1;
        if source.items.is_empty() {
            self.sources.remove(&turn);
        } else {
            self.turns.push_back(turn);
        }
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: Places = Places { all: 16, kept: 4 };

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn queue() -> FairQueue<(u8, u32)> {
        FairQueue::new(PLACES)
    }

    /// How many of these the queue takes.
    fn flood(queue: &mut FairQueue<(u8, u32)>, from: u8, standing: Standing, packets: u32) -> usize {
        (0..packets).filter(|nth| queue.offer(ip(from), standing, || (from, *nth))).count()
    }

    fn drained(queue: &mut FairQueue<(u8, u32)>) -> Vec<(u8, u32)> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn one_source_alone_fills_half_of_its_lane_and_leaves_room_for_others() {
        let mut queue = queue();
        assert_eq!(flood(&mut queue, 1, Standing::Stranger, 100), 6);
        assert_eq!(flood(&mut queue, 9, Standing::Known, 100), 8);
        assert_eq!(flood(&mut queue, 2, Standing::Stranger, 1), 1);
        assert_eq!(flood(&mut queue, 8, Standing::Known, 1), 1);
        assert_eq!(queue.len(), 16);
        assert_eq!(flood(&mut queue, 7, Standing::Known, 1), 0, "every place is taken");
    }

    #[test]
    fn strangers_cannot_take_the_places_kept_for_trunks() {
        let mut queue = queue();
        assert_eq!((1..=100).map(|from| flood(&mut queue, from, Standing::Stranger, 1)).sum::<usize>(), 12);
        assert_eq!(flood(&mut queue, 200, Standing::Known, 100), 4);
        assert_eq!(queue.len(), 16);
    }

    #[test]
    fn a_crowded_lane_gives_each_source_its_share() {
        let mut queue = queue();
        assert_eq!(flood(&mut queue, 1, Standing::Stranger, 100), 6);
        assert_eq!(flood(&mut queue, 2, Standing::Stranger, 100), 4, "twelve by two and one to come");
        assert_eq!(flood(&mut queue, 3, Standing::Stranger, 100), 2, "all there is");
        assert_eq!(flood(&mut queue, 4, Standing::Stranger, 1), 0);
        assert_eq!(queue.pop(), Some((1, 0)));
        assert_eq!(flood(&mut queue, 1, Standing::Stranger, 1), 0, "a flood does not get the place that came free");
        assert_eq!(flood(&mut queue, 4, Standing::Stranger, 9), 1, "a newcomer does");
    }

    #[test]
    fn with_more_sources_than_places_each_may_still_have_one() {
        let mut queue = queue();
        for from in 1..=12 {
            assert_eq!(flood(&mut queue, from, Standing::Stranger, 1), 1, "{from}");
        }
        assert_eq!(flood(&mut queue, 13, Standing::Stranger, 1), 0);
        assert_eq!(drained(&mut queue).len(), 12);
        assert_eq!(flood(&mut queue, 13, Standing::Stranger, 1), 1);
    }

    #[test]
    fn sources_take_turns_and_each_keeps_its_order() {
        let mut queue = queue();
        flood(&mut queue, 1, Standing::Stranger, 4);
        flood(&mut queue, 2, Standing::Stranger, 2);
        queue.put(ip(3), Standing::Stranger, (3, 0));
        assert_eq!(drained(&mut queue), [(1, 0), (2, 0), (3, 0), (1, 1), (2, 1), (1, 2), (1, 3)]);
        assert_eq!((queue.len(), queue.strangers.turns.len(), queue.strangers.sources.len()), (0, 0, 0));
    }

    #[test]
    fn a_trunk_waits_behind_at_most_one_stranger_for_each_of_its_own() {
        let mut queue = queue();
        flood(&mut queue, 1, Standing::Stranger, 5);
        flood(&mut queue, 2, Standing::Stranger, 5);
        flood(&mut queue, 9, Standing::Known, 3);
        let order: Vec<_> = drained(&mut queue).into_iter().map(|(from, _)| from).collect();
        assert_eq!(order, [9, 1, 9, 2, 9, 1, 2, 1, 2, 1, 2, 1]);
    }

    #[test]
    fn what_is_put_takes_no_place_of_datagrams_and_is_never_refused() {
        let mut queue = queue();
        for nth in 0..100 {
            queue.put(ip(1), Standing::Stranger, (1, nth));
        }
        assert_eq!(flood(&mut queue, 2, Standing::Stranger, 100), 6);
        assert_eq!(queue.pop(), Some((1, 0)));
        assert_eq!(queue.pop(), Some((2, 0)), "the second comer is served second");
    }

    #[test]
    fn one_ipv6_host_is_one_source() {
        let of = |text: &str| source_of(text.parse().unwrap());
        assert_eq!(of("[2001:db8:0:1::1]:5060"), of("[2001:db8:0:1:ffff::2]:5061"));
        assert_ne!(of("[2001:db8:0:1::1]:5060"), of("[2001:db8:0:2::1]:5060"));
        assert_eq!(of("[::ffff:192.0.2.1]:5060"), of("192.0.2.1:9"));
        assert_ne!(of("192.0.2.1:9"), of("192.0.2.2:9"));
    }
}
