//! Whose packets a leg accepts, and where its own go.
//!
//! The address in the peer's description is trusted from its first packet and taken as the one source at once. Any
//! other source must be allowed (`learn`), send three packets of one SSRC in sequence, and, when even its IP address
//! differs, come no sooner than half a second after the description, so that a stranger cannot win against a peer
//! that sends from where it said. A learnt source stays on probation for two seconds, in which a better one takes
//! over; then the socket is connected and the kernel drops everybody else. Pure: connecting is the worker's.
//!
//! Packets go to the accepted source; before there is one, to the described address and nowhere else.
//!
//! | state | packet from | next |
//! |---|---|---|
//! | open | the described address | firm |
//! | open | another source, third in sequence, `learn` | probation |
//! | probation | a better source (same tests) | firm or probation of that one |
//! | probation | the same, after 2 s | firm |
//! | firm | another source | refused |
//! | any | new description | open |
//! | probation, firm | nothing for the RTP time-out, `learn` | silent: any proven source takes over |
//!
//! Limits: four candidates at a time; a fifth displaces the oldest.

use std::net::SocketAddr;
use std::time::Duration;

use crate::base::now::Mono;
use crate::rtp::packet::Header;

/// Packets in sequence a learnt source must have sent (RFC 3550 A.1 demands two of a new source).
const IN_SEQUENCE: u8 = 3;
/// How long a source of another IP address must wait after the description.
const STRANGER_WAITS: Duration = Duration::from_millis(500);
/// How long a better source may take over from a learnt one.
const PROBATION: Duration = Duration::from_secs(2);
const CANDIDATES: usize = 4;

/// How near a source is to the description; lower is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Described,
    SameHost,
    Stranger,
}

/// What is to be done with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not from the accepted source.
    Refused,
    /// From the accepted source.
    Accepted,
    /// From now on this source is accepted; the packet is.
    Latched,
}

#[derive(Clone, Copy, Debug)]
struct Accepted {
    source: SocketAddr,
    rank: Rank,
    since: Mono,
    standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Learnt lately; a better source takes over.
    Probation,
    /// Nobody else is heard.
    Firm,
    /// Heard nothing of for long; any proven source takes over.
    Silent,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    source: SocketAddr,
    ssrc: u32,
    next: u16,
    count: u8,
}

/// The source side of one leg's RTP.
#[derive(Clone, Debug)]
pub struct Latch {
    described: SocketAddr,
    learn: bool,
    since: Mono,
    accepted: Option<Accepted>,
    candidates: Vec<Candidate>,
}

impl Latch {
    /// Begins with a description.
    #[must_use]
    pub const fn new(now: Mono, described: SocketAddr, learn: bool) -> Self {
        Self { described, learn, since: now, accepted: None, candidates: Vec::new() }
    }

    /// Takes the source and header of a sound packet.
    pub fn admit(&mut self, now: Mono, source: SocketAddr, header: &Header) -> Verdict {
        let rank = self.rank(source);
        if let Some(accepted) = &mut self.accepted {
            if accepted.source == source {
                if accepted.standing == Standing::Silent {
                    accepted.standing = Standing::Firm;
                }
                return Verdict::Accepted;
            }
            let closed = match accepted.standing {
                Standing::Firm => true,
                Standing::Probation => accepted.rank <= rank,
                Standing::Silent => false,
            };
            if closed {
                return Verdict::Refused;
            }
        }
        if !self.is_proven(now, source, rank, header) {
            return Verdict::Refused;
        }
        let standing = if rank == Rank::Described { Standing::Firm } else { Standing::Probation };
        self.accepted = Some(Accepted { source, rank, since: now, standing });
        self.candidates.clear();
        Verdict::Latched
    }

    /// Where packets go: the accepted source, else the described address when it can be sent to.
    #[must_use]
    pub fn destination(&self) -> Option<SocketAddr> {
        match &self.accepted {
            Some(accepted) => Some(accepted.source),
            None => Some(self.described).filter(|described| !described.ip().is_unspecified() && described.port() != 0),
        }
    }

    /// Whom the socket should be connected to, when strangers need no hearing any more.
    pub fn firm_peer(&mut self, now: Mono) -> Option<SocketAddr> {
        match &mut self.accepted {
            Some(accepted) => {
                if accepted.standing == Standing::Probation && now.since(accepted.since) >= PROBATION {
                    accepted.standing = Standing::Firm;
                }
                Some(accepted.source).filter(|_| accepted.standing == Standing::Firm)
            }
            None if self.learn => None,
            None => self.destination(),
        }
    }

    /// Whether the accepted source is the described one, or none is accepted yet.
    #[must_use]
    pub fn is_as_described(&self) -> bool {
        self.accepted.is_none_or(|accepted| accepted.source == self.described)
    }

    /// Whether the description is this one.
    #[must_use]
    pub fn is_for(&self, described: SocketAddr, learn: bool) -> bool {
        self.described == described && self.learn == learn
    }

    /// After an RTP time-out a learning leg listens to all again; packets go on to the old source until another is
    /// accepted. Returns whether that changed anything.
    pub fn reopen(&mut self, now: Mono) -> bool {
        match &mut self.accepted {
            Some(accepted) if self.learn && accepted.standing != Standing::Silent => {
                accepted.standing = Standing::Silent;
                self.since = now;
                self.candidates.clear();
                true
            }
            _ => false,
        }
    }

    fn rank(&self, source: SocketAddr) -> Rank {
        if source == self.described {
            Rank::Described
        } else if source.ip() == self.described.ip() || self.described.ip().is_unspecified() {
            Rank::SameHost
        } else {
            Rank::Stranger
        }
    }

    fn is_proven(&mut self, now: Mono, source: SocketAddr, rank: Rank, header: &Header) -> bool {
        match rank {
            Rank::Described => return true,
            Rank::SameHost | Rank::Stranger if !self.learn => return false,
            Rank::Stranger if now.since(self.since) < STRANGER_WAITS => return false,
            Rank::SameHost | Rank::Stranger => {}
        }
        let found = self.candidates.iter_mut().find(|candidate| candidate.source == source);
        let Some(candidate) = found else {
            if self.candidates.len() >= CANDIDATES {
                self.candidates.remove(0);
            }
            let next = header.sequence.wrapping_add(1);
            self.candidates.push(Candidate { source, ssrc: header.ssrc, next, count: 1 });
            return false;
        };
        let follows = candidate.ssrc == header.ssrc && candidate.next == header.sequence;
        candidate.count = if follows { candidate.count.saturating_add(1) } else { 1 };
        (candidate.ssrc, candidate.next) = (header.ssrc, header.sequence.wrapping_add(1));
        candidate.count >= IN_SEQUENCE
    }
}

#[cfg(test)]
mod tests;
