//! Slows down who guesses passwords, without shutting out who knows his.
//!
//! A failure is a wrong answer to a challenge that this very address was given; so nobody can fail in the name of an
//! address he does not hear. Failures count for the pair of user and address, for the address, and for the user as
//! tried by strangers. Each has a free number; from there on every failure opens a pause, doubled each time, in which
//! nothing is checked and every answer is the same challenge. After a pause one attempt is checked.
//!
//! | who | paused by |
//! |---|---|
//! | a user at an address where he was known within two hours | his own failures there |
//! | a user anywhere else | those, the failures of the address, the failures of strangers as that user |
//!
//! So an attacker locks out no phone that works: neither from another address, nor behind the same NAT; a phone that
//! asks from the very port it is registered at does not even share the pair. An address with phones that work has
//! a larger allowance, since somebody behind it may mistype.
//! Whether a user exists plays no part. When a table is full its least recently touched entry goes: memory is bounded
//! first, damping second. Deliberately absent: bare floods (`throttle`); telling anybody (the caller).
//!
//! | limit | value |
//! |---|---|
//! | failures free: pair, address, user | 5; 20 and 5 more per known user (16 counted); 100 |
//! | pause | 1 s, doubled to 300 s |
//! | failures forgotten after | 10 min without one |
//! | known for | 2 h after the last proof |
//! | addresses (IPv6: /64), users | 4,096 each |
//! | pairs with failures, known pairs | 16,384 each |

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::base::now::{Mono, Now};

const PAIR_FREE: u32 = 5;
const SOURCE_FREE: u32 = 20;
const PER_KNOWN_USER: u32 = 5;
const KNOWN_COUNTED: usize = 16;
const USER_FREE: u32 = 100;
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_LONGEST: Duration = Duration::from_secs(300);
const FORGET_AFTER: Duration = Duration::from_secs(600);
const KNOWN_FOR: Duration = Duration::from_secs(7_200);
const SOURCES: usize = 4_096;
const PAIRS: usize = 16_384;

/// Who is one attacker: an IPv4 address, or an IPv6 /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Source([u8; 9]);

impl Source {
    pub(super) fn of(address: IpAddr) -> Self {
        let mut bytes = [0; 9];
        let (kind, network) = match address.to_canonical() {
            IpAddr::V4(v4) => (4, v4.octets().to_vec()),
            IpAddr::V6(v6) => (6, v6.octets().to_vec()),
        };
        for (to, from) in bytes.iter_mut().zip(std::iter::once(kind).chain(network)) {
            *to = from;
        }
        Self(bytes)
    }

    pub(super) const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Who tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Who {
    source: Source,
    user: u64,
    /// The port, where a phone of this user is registered at it.
    port: u16,
}

impl Who {
    /// `registered_at`: the port the request came from, where the user is registered from that very address and port.
    pub(super) fn new(source: Source, user: &str, registered_at: Option<u16>) -> Self {
        let hashed = Sha256::digest(user.as_bytes());
        let user = hashed.iter().take(8).fold(0, |name, byte| name << 8 | u64::from(*byte));
        Self { source, user, port: registered_at.unwrap_or(0) }
    }
}

/// What is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Paused {
    /// One user at one address.
    Pair,
    /// An address, for users not known there.
    Address,
    /// A user, at addresses where he is not known.
    User,
}

impl Paused {
    /// For figures and logs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pair => "pair",
            Self::Address => "address",
            Self::User => "user",
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Guilt {
    failures: u32,
    paused_until: Mono,
}

impl Guilt {
    /// One failure more; the pause it opens, if it opens one.
    fn add(&mut self, now: Now, free: u32) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        let beyond = self.failures.checked_sub(free)?;
        let pause = PAUSE_FIRST.saturating_mul(1_u32.checked_shl(beyond).unwrap_or(u32::MAX)).min(PAUSE_LONGEST);
        self.paused_until = now.mono + pause;
        Some(pause)
    }
}

/// Entries that vanish when they are not touched for a while; the least recently touched gives way.
#[derive(Debug)]
struct Fading<K, V> {
    entries: BTreeMap<K, (Mono, V)>,
    due: BTreeSet<(Mono, K)>,
    most: usize,
    life: Duration,
}

impl<K: Ord + Copy, V: Copy + Default> Fading<K, V> {
    const fn new(most: usize, life: Duration) -> Self {
        Self { entries: BTreeMap::new(), due: BTreeSet::new(), most, life }
    }

    fn find(&self, now: Now, key: &K) -> Option<V> {
        self.entries.get(key).filter(|(due, _)| *due > now.mono).map(|(_, value)| *value)
    }

    fn put(&mut self, now: Now, key: K, value: V) {
        self.remove(&key);
        if self.entries.len() >= self.most
            && let Some((_, oldest)) = self.due.first().copied()
        {
            self.remove(&oldest);
        }
        let due = now.mono + self.life;
        self.due.insert((due, key));
        self.entries.insert(key, (due, value));
    }

    fn remove(&mut self, key: &K) {
        if let Some((due, _)) = self.entries.remove(key) {
            self.due.remove(&(due, *key));
        }
    }

    fn forget(&mut self, now: Now) {
        while let Some((due, key)) = self.due.first().copied()
            && due <= now.mono
        {
            self.remove(&key);
        }
    }

    fn deadline(&self) -> Option<Mono> {
        self.due.first().map(|(due, _)| *due)
    }
}

/// Who failed, and who is known.
#[derive(Debug)]
pub(super) struct Damping {
    pairs: Fading<(Source, u64, u16), Guilt>,
    sources: Fading<Source, Guilt>,
    users: Fading<u64, Guilt>,
    known: Fading<(Source, u64), ()>,
}

impl Damping {
    /// Nobody has failed.
    pub(super) const fn new() -> Self {
        Self {
            pairs: Fading::new(PAIRS, FORGET_AFTER),
            sources: Fading::new(SOURCES, FORGET_AFTER),
            users: Fading::new(SOURCES, FORGET_AFTER),
            known: Fading::new(PAIRS, KNOWN_FOR),
        }
    }

    /// Whether an attempt is to be checked.
    pub(super) fn checks(&self, now: Now, who: &Who) -> bool {
        let paused = |guilt: Option<Guilt>| guilt.is_some_and(|guilt| now.mono < guilt.paused_until);
        if paused(self.pairs.find(now, &(who.source, who.user, who.port))) {
            return false;
        }
        let strange = !self.knows(now, who);
        !(strange && (paused(self.sources.find(now, &who.source)) || paused(self.users.find(now, &who.user))))
    }

    /// A checked attempt was wrong; the pauses it opens.
    pub(super) fn failed(&mut self, now: Now, who: &Who) -> Vec<(Paused, Duration)> {
        fn note<K: Ord + Copy>(table: &mut Fading<K, Guilt>, now: Now, key: K, free: u32) -> Option<Duration> {
            let mut guilt = table.find(now, &key).unwrap_or_default();
            let pause = guilt.add(now, free);
            table.put(now, key, guilt);
            pause
        }
        let pair = note(&mut self.pairs, now, (who.source, who.user, who.port), PAIR_FREE);
        let mut pauses: Vec<_> = pair.map(|pause| (Paused::Pair, pause)).into_iter().collect();
        if !self.knows(now, who) {
            let free = SOURCE_FREE + PER_KNOWN_USER * self.known_at(now, who.source);
            pauses.extend(note(&mut self.sources, now, who.source, free).map(|pause| (Paused::Address, pause)));
            pauses.extend(note(&mut self.users, now, who.user, USER_FREE).map(|pause| (Paused::User, pause)));
        }
        pauses
    }

    /// An attempt was right.
    pub(super) fn proved(&mut self, now: Now, who: &Who) {
        self.pairs.remove(&(who.source, who.user, who.port));
        self.known.put(now, (who.source, who.user), ());
    }

    /// Forgets what is due.
    pub(super) fn on_deadline(&mut self, now: Now) {
        self.pairs.forget(now);
        self.sources.forget(now);
        self.users.forget(now);
        self.known.forget(now);
    }

    /// When something is to be forgotten.
    pub(super) fn deadline(&self) -> Option<Mono> {
        let all = [self.pairs.deadline(), self.sources.deadline(), self.users.deadline(), self.known.deadline()];
        all.into_iter().flatten().min()
    }

    /// Failures remembered, of pairs, addresses and users.
    pub(super) fn remembered(&self) -> usize {
        self.pairs.entries.len() + self.sources.entries.len() + self.users.entries.len()
    }

    fn knows(&self, now: Now, who: &Who) -> bool {
        who.port != 0 || self.known.find(now, &(who.source, who.user)).is_some()
    }

    fn known_at(&self, now: Now, source: Source) -> u32 {
        let here = self.known.entries.range((source, 0)..=(source, u64::MAX)).take(KNOWN_COUNTED);
        u32::try_from(here.filter(|(_, (due, ()))| *due > now.mono).count()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
