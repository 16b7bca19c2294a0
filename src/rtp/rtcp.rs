//! RTCP: sender and receiver reports, source description, goodbye; built and read.
//!
//! RFC 3550 §6.4–6.6; compound rules of §6.1 are kept when writing (report first, then SDES with CNAME) and not
//! insisted on when reading, because reduced-size packets (RFC 5506) and careless gear are common. Deliberately
//! absent: feedback messages, APP, XR; they are skipped.
//!
//! Limits: at most 32 blocks of a compound packet are read, 31 report blocks each (the field's own limit).

/// Most packets read of one compound datagram.
const PACKETS_MAX: usize = 32;
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;

/// What a sender says of itself (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SenderInfo {
    /// Wall time in NTP form, 32.32 bits.
    pub ntp: u64,
    /// The same instant in the stream's time.
    pub rtp: u32,
    /// Packets sent.
    pub packets: u32,
    /// Payload bytes sent.
    pub octets: u32,
}

/// How one source is received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ReportBlock {
    /// Whose packets are meant.
    pub ssrc: u32,
    /// Loss since the last report, in 256ths.
    pub fraction_lost: u8,
    /// Packets lost in all (24 bits, signed).
    pub lost: i32,
    /// Highest sequence number with its count of cycles.
    pub highest: u32,
    /// Interarrival jitter, timestamp units.
    pub jitter: u32,
    /// Middle 32 bits of the last sender report's NTP time; 0 without one.
    pub last_sr: u32,
    /// Time since that report came, in 65,536ths of a second.
    pub delay: u32,
}

/// One thing a compound packet said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Item {
    /// A sender report's sender part.
    Sender {
        /// Who speaks.
        ssrc: u32,
        /// What it says of itself.
        info: SenderInfo,
    },
    /// A report block of a sender or receiver report.
    Block {
        /// Who reports.
        by: u32,
        /// The block.
        block: ReportBlock,
    },
    /// A source says goodbye.
    Bye {
        /// Which one.
        ssrc: u32,
    },
}

/// Reads a compound datagram, handing each item to `each`. Returns whether every length was sound; items before an
/// unsound packet have been handed over already.
pub fn read(datagram: &[u8], mut each: impl FnMut(Item)) -> bool {
    let mut rest = datagram;
    for _ in 0..PACKETS_MAX {
        let [first, kind, high, low, ..] = *rest else { return rest.is_empty() };
        let length = (usize::from(u16::from_be_bytes([high, low])) + 1) * 4;
        if first >> 6 != 2 || length > rest.len() {
            return false;
        }
        let (packet, after) = rest.split_at(length);
        read_packet(kind, usize::from(first & 0x1f), packet.get(4..).unwrap_or_default(), &mut each);
        rest = after;
    }
    rest.is_empty()
}

fn read_packet(kind: u8, count: usize, body: &[u8], each: &mut impl FnMut(Item)) {
    let mut words = Words(body);
    match kind {
        SENDER_REPORT => {
            let (Some(ssrc), Some(info)) = (words.next(), words.sender()) else { return };
            each(Item::Sender { ssrc, info });
            read_blocks(ssrc, count, &mut words, each);
        }
        RECEIVER_REPORT => {
            let Some(ssrc) = words.next() else { return };
            read_blocks(ssrc, count, &mut words, each);
        }
        GOODBYE => (0..count).map_while(|_| words.next()).for_each(|ssrc| each(Item::Bye { ssrc })),
        _ => {}
    }
}

fn read_blocks(by: u32, count: usize, words: &mut Words<'_>, each: &mut impl FnMut(Item)) {
    (0..count).map_while(|_| words.block()).for_each(|block| each(Item::Block { by, block }));
}

struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn next(&mut self) -> Option<u32> {
        let (word, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*word))
    }

    fn sender(&mut self) -> Option<SenderInfo> {
        let (high, low) = (self.next()?, self.next()?);
        let ntp = u64::from(high) << 32 | u64::from(low);
        Some(SenderInfo { ntp, rtp: self.next()?, packets: self.next()?, octets: self.next()? })
    }

    fn block(&mut self) -> Option<ReportBlock> {
        let (ssrc, loss) = (self.next()?, self.next()?);
        Some(ReportBlock {
            ssrc,
            fraction_lost: (loss >> 24) as u8,
            // Sign extension of 24 bits.
            lost: (loss << 8).cast_signed() >> 8,
            highest: self.next()?,
            jitter: self.next()?,
            last_sr: self.next()?,
            delay: self.next()?,
        })
    }
}

/// Writes a compound packet: a sender report when `sender` is there, else a receiver report; then SDES with CNAME
/// and, when leaving, BYE.
pub fn write(
    out: &mut Vec<u8>,
    ssrc: u32,
    sender: Option<&SenderInfo>,
    block: Option<&ReportBlock>,
    cname: &str,
    bye: bool,
) {
    let kind = if sender.is_some() { SENDER_REPORT } else { RECEIVER_REPORT };
    packet(out, u8::from(block.is_some()), kind, |out| {
        out.extend(ssrc.to_be_bytes());
        if let Some(info) = sender {
            out.extend(info.ntp.to_be_bytes());
            for word in [info.rtp, info.packets, info.octets] {
                out.extend(word.to_be_bytes());
            }
        }
        if let Some(block) = block {
            let lost = block.lost.clamp(-0x80_0000, 0x7f_ffff).cast_unsigned() & 0xff_ffff;
            let loss = u32::from(block.fraction_lost) << 24 | lost;
            for word in [block.ssrc, loss, block.highest, block.jitter, block.last_sr, block.delay] {
                out.extend(word.to_be_bytes());
            }
        }
    });
    packet(out, 1, SOURCE_DESCRIPTION, |out| {
        let name = cname.as_bytes().get(..255).unwrap_or(cname.as_bytes());
        out.extend(ssrc.to_be_bytes());
        out.push(1);
        out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(name);
        // One to four zero bytes end the chunk on a word boundary (RFC 3550 §6.5).
        out.extend(std::iter::repeat_n(0, 4 - (2 + name.len()) % 4));
    });
    if bye {
        packet(out, 1, GOODBYE, |out| out.extend(ssrc.to_be_bytes()));
    }
}

fn packet(out: &mut Vec<u8>, count: u8, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0x80 | count, kind, 0, 0]);
    body(out);
    let words = u16::try_from((out.len() - start) / 4 - 1).unwrap_or(u16::MAX);
    if let Some(field) = out.get_mut(start + 2..start + 4) {
        field.copy_from_slice(&words.to_be_bytes());
    }
}

/// The middle 32 bits of an NTP time, as report blocks carry it.
#[must_use]
pub const fn ntp_middle(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}

/// Round trip from a report block about us, in 65,536ths of a second; `None` without a sender report of ours in it
/// or when the peer's clock claims the impossible (RFC 3550 §6.4.1).
#[must_use]
pub const fn round_trip(now_ntp: u64, block: &ReportBlock) -> Option<u32> {
    if block.last_sr == 0 {
        return None;
    }
    let trip = ntp_middle(now_ntp).wrapping_sub(block.last_sr).wrapping_sub(block.delay);
    // More than half the range is a negative difference.
    if trip > 0x7fff_ffff { None } else { Some(trip) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: SenderInfo = SenderInfo { ntp: 0x0102_0304_0506_0708, rtp: 160, packets: 3, octets: 480 };
    const BLOCK: ReportBlock =
        ReportBlock { ssrc: 7, fraction_lost: 12, lost: -3, highest: 65_540, jitter: 9, last_sr: 5, delay: 6 };

    fn items(datagram: &[u8]) -> (Vec<Item>, bool) {
        let mut found = Vec::new();
        let sound = read(datagram, |item| found.push(item));
        (found, sound)
    }

    #[test]
    fn what_is_written_reads_back() {
        for cname in ["", "a", "ab", "abc", "0123456789abcdef"] {
            let mut out = Vec::new();
            write(&mut out, 42, Some(&INFO), Some(&BLOCK), cname, true);
            assert_eq!(out.len() % 4, 0);
            let expected = vec![
                Item::Sender { ssrc: 42, info: INFO },
                Item::Block { by: 42, block: BLOCK },
                Item::Bye { ssrc: 42 },
            ];
            assert_eq!(items(&out), (expected, true), "{cname}");
        }
        let mut out = Vec::new();
        write(&mut out, 42, None, None, "x", false);
        assert_eq!((out[1], items(&out)), (201, (vec![], true)));
    }

    #[test]
    fn a_datagram_cut_short_yields_what_was_whole() {
        let mut out = Vec::new();
        write(&mut out, 42, Some(&INFO), None, "name", true);
        let (found, sound) = items(&out[..out.len() - 3]);
        assert_eq!((found.len(), sound), (1, false));
        assert_eq!(items(&[0x80, 203, 0xff, 0xff]), (vec![], false));
        assert_eq!(items(&[0x9f, 203, 0, 1, 0, 0, 0, 1]), (vec![Item::Bye { ssrc: 1 }], true));
    }

    #[test]
    fn no_more_than_the_limit_of_packets_is_read() {
        let bye = [0x81, 203, 0, 1, 0, 0, 0, 1];
        assert!(items(&bye.repeat(PACKETS_MAX)).1);
        let (found, sound) = items(&bye.repeat(PACKETS_MAX + 1));
        assert_eq!((found.len(), sound), (PACKETS_MAX, false));
    }

    #[test]
    fn round_trip_by_the_example_of_the_rfc() {
        // RFC 3550 figure 2: 6.125 s from A = 0xb710:8000, LSR = 0xb705:2000, DLSR = 0x0005:4000.
        let block = ReportBlock { last_sr: 0xb705_2000, delay: 0x0005_4000, ..BLOCK };
        assert_eq!(round_trip(0xb710_8000 << 16, &block), Some(0x0006_2000));
        assert_eq!(round_trip(0xb705_2000 << 16, &block), None);
        assert_eq!(round_trip(1, &ReportBlock { last_sr: 0, ..BLOCK }), None);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(datagram in proptest::collection::vec(proptest::num::u8::ANY, 0..128)) {
            read(&datagram, |_| {});
        }
    }
}
