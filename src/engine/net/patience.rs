//! How long a connection is borne with: when it is closed for what its peer does not do, and when it is asked for a
//! sign of life.
//!
//! | limit | from | value |
//! |---|---|---|
//! | handshakes | the connection's opening by the peer | 10 s |
//! | a first message | the same, after handshakes | 30 s |
//! | the rest of a message | its first octet | 30 s |
//! | idle | the last octet | 2 h; 30 s for a stranger on the trunk side |
//! | a ping of ours | the last octet | `sip.keep_alive`, less up to a fifth, where we ping at all |
//! | its answer | the ping | 10 s |
//! | taking what is written | its first octet | 10 s |
//!
//! Octets that arrive one by one extend none but the idle limit. An answer to a CRLF ping is waited for only when this
//! peer has answered one before: RFC 3261 §7.5 lets old peers ignore it, and for them the kernel's own limit on
//! unacknowledged octets says whether they are there. RFC 5626 §3.5.1, §4.4.1, RFC 7118 §6.
//! Deliberately absent: clocks and sockets.

use std::time::Duration;

use tokio::time::Instant;

/// How long each thing may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// TLS and WebSocket handshakes of a peer together.
    pub handshake: Duration,
    /// A first message.
    pub first_message: Duration,
    /// The rest of a message.
    pub rest: Duration,
    /// Idle.
    pub idle: Duration,
    /// Idle, with a stranger on the trunk side.
    pub idle_stranger: Duration,
    /// The answer to a ping.
    pub pong: Duration,
    /// Taking what is written.
    pub write: Duration,
}

impl Default for Times {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            handshake: seconds(10),
            first_message: seconds(30),
            rest: seconds(30),
            idle: seconds(2 * 60 * 60),
            idle_stranger: seconds(30),
            pong: seconds(10),
            write: seconds(10),
        }
    }
}

/// What a connection is borne with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) times: Times,
    /// Whether a message must come soon: the peer opened the connection.
    pub(super) first_message: bool,
    /// Idle time.
    pub(super) idle: Duration,
    /// When to ping, if at all.
    pub(super) ping: Option<Duration>,
    /// Whether every peer of this kind answers pings (WebSocket).
    pub(super) pongs: bool,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Send a ping.
    Ping,
    /// Close: the peer is mute, slow or gone.
    Close,
}

/// The patience with one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    terms: Terms,
    opened: Instant,
    heard: Instant,
    /// Since when a message is incomplete.
    begun: Option<Instant>,
    any_message: bool,
    pinged: Option<Instant>,
    /// Whether this peer answers pings.
    pongs: bool,
}

impl Terms {
    /// Spreads pings over the last fifth of the interval, so that many connections opened at once do not stay in step
    /// (RFC 5626 §4.4).
    pub(super) fn pinging(interval: Duration, seed: u64) -> Option<Duration> {
        let share = u32::try_from(80 + seed % 21).unwrap_or(100);
        (!interval.is_zero()).then(|| interval * share / 100)
    }
}

impl Patience {
    pub(super) const fn new(terms: Terms, now: Instant) -> Self {
        Self { terms, opened: now, heard: now, begun: None, any_message: false, pinged: None, pongs: terms.pongs }
    }

    /// Octets came; `messages` of them were whole messages, and `rest` octets are of one that is not.
    pub(super) fn heard(&mut self, now: Instant, messages: usize, rest: usize) {
        self.any_message |= messages > 0;
        self.begun = match self.begun {
            _ if rest == 0 => None,
            Some(begun) if messages == 0 => Some(begun),
            _ => Some(now),
        };
        if self.pinged.take().is_some() && messages == 0 && rest == 0 {
            self.pongs = true;
        }
        self.heard = now;
    }

    /// Our ping was sent.
    pub(super) const fn pinged(&mut self, now: Instant) {
        self.pinged = Some(now);
    }

    /// What comes next, and when.
    pub(super) fn deadline(&self) -> (Instant, Due) {
        let first =
            (self.terms.first_message && !self.any_message).then(|| self.opened + self.terms.times.first_message);
        let rest = self.begun.map(|begun| begun + self.terms.times.rest);
        let pong = self.pinged.filter(|_| self.pongs).map(|pinged| pinged + self.terms.times.pong);
        let close = [first, rest, pong].into_iter().flatten().fold(self.heard + self.terms.idle, Instant::min);
        let ping = self.terms.ping.map(|every| self.pinged.unwrap_or(self.heard) + every);
        match ping.filter(|ping| *ping < close && pong.is_none()) {
            Some(ping) => (ping, Due::Ping),
            None => (close, Due::Close),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(7_200);

    fn phone() -> Terms {
        Terms { times: Times::default(), first_message: true, idle: IDLE, ping: None, pongs: false }
    }

    fn carrier() -> Terms {
        Terms { first_message: false, ping: Some(Duration::from_secs(100)), ..phone() }
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_peer_that_drips_octets_is_closed_as_soon_as_one_that_says_nothing() {
        let start = Instant::now();
        let mut patience = Patience::new(phone(), start);
        assert_eq!(patience.deadline(), (after(start, 30), Due::Close));
        for second in 1..30 {
            patience.heard(after(start, second), 0, usize::try_from(second).unwrap());
            assert_eq!(patience.deadline(), (after(start, 30), Due::Close));
        }
    }

    #[test]
    fn pings_alone_are_no_first_message() {
        let start = Instant::now();
        let mut patience = Patience::new(phone(), start);
        patience.heard(after(start, 20), 0, 0);
        assert_eq!(patience.deadline(), (after(start, 30), Due::Close));
        patience.heard(after(start, 25), 1, 0);
        assert_eq!(patience.deadline().0, after(start, 25) + IDLE);
    }

    #[test]
    fn a_message_begun_must_end_and_each_has_its_own_time() {
        let start = Instant::now();
        let mut patience = Patience::new(phone(), start);
        patience.heard(after(start, 1), 1, 5);
        assert_eq!(patience.deadline(), (after(start, 31), Due::Close));
        patience.heard(after(start, 20), 0, 9);
        assert_eq!(patience.deadline(), (after(start, 31), Due::Close), "more octets are no excuse");
        patience.heard(after(start, 30), 1, 3);
        assert_eq!(patience.deadline(), (after(start, 60), Due::Close), "the next one has its own time");
        patience.heard(after(start, 31), 1, 0);
        assert_eq!(patience.deadline().0, after(start, 31) + IDLE);
    }

    #[test]
    fn a_peer_that_answered_once_must_answer_again_and_one_that_never_did_need_not() {
        let start = Instant::now();
        let mut patience = Patience::new(carrier(), start);
        assert_eq!(patience.deadline(), (after(start, 100), Due::Ping));
        patience.pinged(after(start, 100));
        assert_eq!(patience.deadline(), (after(start, 200), Due::Ping), "an old peer may ignore it");
        patience.pinged(after(start, 200));
        patience.heard(after(start, 201), 0, 0);
        assert_eq!(patience.deadline(), (after(start, 301), Due::Ping));
        patience.pinged(after(start, 301));
        assert_eq!(patience.deadline(), (after(start, 311), Due::Close));
        patience.heard(after(start, 305), 1, 0);
        assert_eq!(patience.deadline(), (after(start, 405), Due::Ping), "anything heard is a sign of life");
    }

    #[test]
    fn a_peer_that_ignores_pings_is_closed_when_idle() {
        let start = Instant::now();
        let mut patience = Patience::new(carrier(), start);
        let mut pings = 0;
        loop {
            match patience.deadline() {
                (at, Due::Ping) => patience.pinged(at),
                (at, Due::Close) => break assert_eq!(at, start + IDLE),
            }
            pings += 1;
        }
        assert_eq!(pings, 71);
    }

    #[test]
    fn pings_are_spread() {
        let every = Duration::from_secs(100);
        assert_eq!(Terms::pinging(every, 0), Some(Duration::from_secs(80)));
        assert_eq!(Terms::pinging(every, 20), Some(every));
        assert_eq!(Terms::pinging(Duration::ZERO, 5), None);
    }
}
