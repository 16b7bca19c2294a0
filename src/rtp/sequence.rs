//! Numbers of a stream: loss and jitter of what comes in, and one unbroken numbering of what goes out.
//!
//! [`Reception`] counts as RFC 3550 §6.4.1, A.3 and A.8 do. [`Outgoing`] gives a leg's peer one SSRC with rising
//! sequence numbers and timestamps, whoever the packets come from: a relayed source keeps its own gaps and order
//! within the mapping, a change of source continues after the last packet sent, swallowed packets leave no gap and
//! inserted ones make none. Deliberately absent: packets themselves, payload types.

use std::time::Duration;

use super::packet::Header;
use crate::base::now::Mono;

/// A jump of the sequence number beyond this is a restarted sender (MAX_DROPOUT of RFC 3550 A.1).
const DROPOUT_MAX: u16 = 3000;
/// Timestamps further apart than this within one source mean it restarted its clock: 20 s of samples.
const CLOCK_JUMP: u32 = 160_000;
/// A generated stream that paused longer than this takes the elapsed time into its timestamps.
const PAUSE: Duration = Duration::from_millis(200);
/// Samples per millisecond.
const RATE_MS: u64 = 8;

/// Counts one received stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reception {
    ssrc: Option<u32>,
    first: u16,
    highest: u16,
    cycles: u32,
    received: u64,
    expected_prior: u64,
    received_prior: u64,
    transit: u32,
    jitter_16: u32,
    lost_before: u64,
    received_before: u64,
}

impl Reception {
    /// Counts a packet that was accepted.
    pub fn on_packet(&mut self, now: Mono, header: &Header) {
        let ahead = header.sequence.wrapping_sub(self.highest);
        let restarted = ahead > DROPOUT_MAX && ahead < u16::MAX - DROPOUT_MAX;
        let transit = (now.0 / (1_000_000 / RATE_MS)) as u32;
        let transit = transit.wrapping_sub(header.timestamp);
        if self.ssrc != Some(header.ssrc) || restarted {
            *self = Self {
                ssrc: Some(header.ssrc),
                first: header.sequence,
                highest: header.sequence,
                transit,
                received: 1,
                lost_before: self.lost(),
                received_before: self.received(),
                jitter_16: self.jitter_16,
                ..Self::default()
            };
            return;
        }
        self.received += 1;
        if ahead < 0x8000 {
            self.cycles += u32::from(header.sequence < self.highest);
            self.highest = header.sequence;
        }
        let difference = transit.wrapping_sub(self.transit).cast_signed().unsigned_abs();
        self.transit = transit;
        // One second of difference is a talk spurt or a clock step, not jitter.
        if difference < 8000 {
            self.jitter_16 = self.jitter_16 + difference - ((self.jitter_16 + 8) >> 4);
        }
    }

    /// The source counted now.
    #[must_use]
    pub const fn ssrc(&self) -> Option<u32> {
        self.ssrc
    }

    /// Packets received from all sources so far.
    #[must_use]
    pub const fn received(&self) -> u64 {
        self.received_before + self.received
    }

    /// Packets missing from all sources so far.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost_before + self.expected().saturating_sub(self.received)
    }

    /// Interarrival jitter, microseconds.
    #[must_use]
    pub const fn jitter_us(&self) -> u32 {
        (self.jitter_16 >> 4) * 125
    }

    /// The figures of a report block, without the times of the last sender report; starts the next interval.
    pub fn report(&mut self) -> Option<super::rtcp::ReportBlock> {
        let ssrc = self.ssrc?;
        let expected = self.expected();
        let expected_now = expected - self.expected_prior;
        let received_now = self.received - self.received_prior;
        (self.expected_prior, self.received_prior) = (expected, self.received);
        let lost_now = expected_now.saturating_sub(received_now);
        let fraction = (lost_now << 8).checked_div(expected_now).unwrap_or(0);
        Some(super::rtcp::ReportBlock {
            ssrc,
            fraction_lost: u8::try_from(fraction).unwrap_or(u8::MAX),
            lost: i32::try_from(expected.cast_signed() - self.received.cast_signed()).unwrap_or(i32::MAX),
            highest: self.cycles << 16 | self.highest as u32,
            jitter: self.jitter_16 >> 4,
            last_sr: 0,
            delay: 0,
        })
    }

    const fn expected(&self) -> u64 {
        if self.ssrc.is_none() {
            return 0;
        }
        ((self.cycles as u64) << 16) + self.highest as u64 + 1 - self.first as u64
    }
}

/// Numbers the packets sent to one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    ssrc: u32,
    next: u16,
    timestamp: u32,
    sent_at: Option<Mono>,
    length: u32,
    following: Following,
    packets: u64,
    octets: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Following {
    Nothing,
    Generated { next: u32 },
    Source(Mapping),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mapping {
    /// Whose packets: a key of the caller's choice and the SSRC.
    key: (u32, u32),
    sequence_offset: u16,
    timestamp_offset: u32,
    /// Source packets before this one belong to the time before the mapping, or before a realignment.
    floor: u16,
    highest: u16,
    highest_timestamp: u32,
}

impl Outgoing {
    /// Begins a stream with numbers drawn from `seed` (RFC 3550 §5.1 wants all three random).
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        let mixed = scramble(seed);
        Self {
            ssrc: mixed as u32,
            next: (mixed >> 32) as u16 & 0x7fff,
            timestamp: (scramble(mixed)) as u32,
            sent_at: None,
            length: 160,
            following: Following::Nothing,
            packets: 0,
            octets: 0,
        }
    }

    /// The stream's SSRC.
    #[must_use]
    pub const fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Packets sent.
    #[must_use]
    pub const fn packets(&self) -> u64 {
        self.packets
    }

    /// Payload bytes sent.
    #[must_use]
    pub const fn octets(&self) -> u64 {
        self.octets
    }

    /// The last timestamp and when it was sent; `None` before the first packet.
    #[must_use]
    pub const fn last(&self) -> Option<(u32, Mono)> {
        match self.sent_at {
            Some(at) => Some((self.timestamp, at)),
            None => None,
        }
    }

    /// Numbers a packet of a source, named by `key` and its SSRC, keeping its marker. `None` when it is too late to be
    /// sent without going back. The payload type stays as it was.
    pub fn relay(&mut self, now: Mono, key: u32, header: &Header, octets: usize) -> Option<Header> {
        let mut anchored = false;
        let mut mapping = match self.following {
            Following::Source(mapping) if mapping.continues(key, header) => mapping,
            _ => {
                anchored = true;
                self.anchor(now, key, header)
            }
        };
        if header.sequence.wrapping_sub(mapping.floor) >= 0x8000 {
            return None;
        }
        if header.sequence.wrapping_sub(mapping.highest) < 0x8000 {
            (mapping.highest, mapping.highest_timestamp) = (header.sequence, header.timestamp);
        }
        self.following = Following::Source(mapping);
        let sequence = header.sequence.wrapping_add(mapping.sequence_offset);
        let timestamp = header.timestamp.wrapping_add(mapping.timestamp_offset);
        if sequence.wrapping_sub(self.next) < 0x8000 {
            self.next = sequence.wrapping_add(1);
        }
        self.note(now, timestamp, octets);
        Some(Header { ssrc: self.ssrc, sequence, timestamp, marker: header.marker || anchored, ..*header })
    }

    /// Says that a source's packet was kept back: the next one takes its number.
    pub fn skip(&mut self, key: u32, header: &Header) {
        if let Following::Source(mapping) = &mut self.following
            && mapping.continues(key, header)
        {
            if header.sequence.wrapping_sub(mapping.highest) < 0x8000 {
                (mapping.highest, mapping.highest_timestamp) = (header.sequence, header.timestamp);
            }
            mapping.realign(self.next);
        }
    }

    /// Numbers a packet made here that carries `samples` of audio. The payload type is for the caller to set.
    pub fn generate(&mut self, now: Mono, samples: u32, octets: usize) -> Header {
        let paused = self.sent_at.is_none_or(|at| now.since(at) > PAUSE);
        let (timestamp, marker) = match self.following {
            Following::Generated { next } if !paused => (next, false),
            _ => (self.advanced(now), true),
        };
        self.following = Following::Generated { next: timestamp.wrapping_add(samples) };
        self.length = samples;
        let header = self.numbered(timestamp, marker);
        self.note(now, timestamp, octets);
        header
    }

    /// Lets generated time pass without a packet.
    pub fn pass(&mut self, samples: u32) {
        if let Following::Generated { next } = &mut self.following {
            *next = next.wrapping_add(samples);
        }
    }

    /// The timestamp an event that begins now carries in all its packets.
    #[must_use]
    pub fn event_begins(&self, now: Mono) -> u32 {
        self.advanced(now)
    }

    /// Numbers a packet of an event, inserted into whatever is being followed.
    pub fn event(&mut self, now: Mono, timestamp: u32, marker: bool, octets: usize) -> Header {
        let header = self.numbered(timestamp, marker);
        if let Following::Source(mapping) = &mut self.following {
            mapping.realign(self.next);
        }
        self.note(now, timestamp, octets);
        header
    }

    fn numbered(&mut self, timestamp: u32, marker: bool) -> Header {
        let sequence = self.next;
        self.next = sequence.wrapping_add(1);
        Header { marker, payload_type: 0, sequence, timestamp, ssrc: self.ssrc }
    }

    fn anchor(&self, now: Mono, key: u32, header: &Header) -> Mapping {
        Mapping {
            key: (key, header.ssrc),
            sequence_offset: self.next.wrapping_sub(header.sequence),
            timestamp_offset: self.advanced(now).wrapping_sub(header.timestamp),
            floor: header.sequence,
            highest: header.sequence,
            highest_timestamp: header.timestamp,
        }
    }

    fn note(&mut self, now: Mono, timestamp: u32, octets: usize) {
        if self.sent_at.is_none() || timestamp.wrapping_sub(self.timestamp) < 0x8000_0000 {
            self.timestamp = timestamp;
            self.sent_at = Some(now);
        }
        self.packets += 1;
        self.octets += octets as u64;
    }

    /// The timestamp of a packet that follows the last one by the clock, at least by the last packet's length.
    fn advanced(&self, now: Mono) -> u32 {
        let Some(at) = self.sent_at else { return self.timestamp };
        let elapsed = now.since(at).as_micros() as u64 * RATE_MS / 1000;
        self.timestamp.wrapping_add(u32::try_from(elapsed).unwrap_or(u32::MAX).max(self.length))
    }
}

impl Mapping {
    /// Whether a packet goes on with this source without a restart.
    const fn continues(&self, key: u32, header: &Header) -> bool {
        let ahead = header.sequence.wrapping_sub(self.highest).cast_signed().unsigned_abs();
        let clock = header.timestamp.wrapping_sub(self.highest_timestamp).cast_signed().unsigned_abs();
        self.key.0 == key && self.key.1 == header.ssrc && ahead <= DROPOUT_MAX && clock <= CLOCK_JUMP
    }

    /// Makes the source packet after the highest seen take the number `next`.
    const fn realign(&mut self, next: u16) {
        self.floor = self.highest.wrapping_add(1);
        self.sequence_offset = next.wrapping_sub(self.floor);
    }
}

/// SplitMix64's finaliser: spreads a counter or seed over 64 bits.
#[must_use]
pub const fn scramble(seed: u64) -> u64 {
    let mut bits = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests;
