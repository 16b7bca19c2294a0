//! The 12-byte RTP header read and written in place, and telling RTP from what else may reach a media port.
//!
//! RFC 3550 §5.1 (header), RFC 7983 §7 (first byte), RFC 5761 §4 (RTCP on the RTP port). Deliberately absent: header
//! extensions beyond skipping them, any allocation.

/// Length of a header without contributing sources, bytes.
pub const HEADER_LEN: usize = 12;
/// Longest packet read or written, bytes: 60 ms of G.711 with header, extension and a margin.
pub const PACKET_MAX: usize = 1500;

/// What a datagram on a media port is, by its first two bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// RTP (version 2, payload type not in RTCP's range).
    Rtp,
    /// RTCP.
    Rtcp,
    /// STUN (first byte 0–3).
    Stun,
    /// DTLS (first byte 20–63).
    Dtls,
    /// None of them.
    Other,
}

/// Tells what a datagram is.
#[must_use]
pub fn classify(datagram: &[u8]) -> Kind {
    match datagram {
        [0..=3, ..] => Kind::Stun,
        [20..=63, ..] => Kind::Dtls,
        [128..=191, 192..=223, ..] => Kind::Rtcp,
        [128..=191, _, ..] => Kind::Rtp,
        _ => Kind::Other,
    }
}

/// The fields of a header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Header {
    /// The marker bit: begin of a talk spurt or of an event.
    pub marker: bool,
    /// 0–127.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Sampling instant of the first sample, 8 kHz units here.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
}

/// A header read from a packet, with the place of the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Parsed {
    /// The fixed fields.
    pub header: Header,
    /// First byte of the payload.
    pub start: usize,
    /// One past the last byte of the payload (padding excluded).
    pub end: usize,
}

impl Parsed {
    /// The payload within the packet it was read from.
    #[must_use]
    pub fn payload<'a>(&self, packet: &'a [u8]) -> &'a [u8] {
        packet.get(self.start..self.end).unwrap_or_default()
    }
}

/// Reads a header; `None` when the bytes are no sound RTP packet.
#[must_use]
pub fn parse(packet: &[u8]) -> Option<Parsed> {
    let [first, second, seq_high, seq_low, t3, t2, t1, t0, s3, s2, s1, s0, ..] = *packet else { return None };
    if first >> 6 != 2 {
        return None;
    }
    let mut start = HEADER_LEN + usize::from(first & 0x0f) * 4;
    if first & 0x10 != 0 {
        let [_, _, high, low, ..] = *packet.get(start..)? else { return None };
        start += 4 + usize::from(u16::from_be_bytes([high, low])) * 4;
    }
    let mut end = packet.len();
    if first & 0x20 != 0 {
        let padding = usize::from(*packet.last()?);
        end = end.checked_sub(padding).filter(|_| padding != 0)?;
    }
    if start > end {
        return None;
    }
    let header = Header {
        marker: second & 0x80 != 0,
        payload_type: second & 0x7f,
        sequence: u16::from_be_bytes([seq_high, seq_low]),
        timestamp: u32::from_be_bytes([t3, t2, t1, t0]),
        ssrc: u32::from_be_bytes([s3, s2, s1, s0]),
    };
    Some(Parsed { header, start, end })
}

/// Writes the fixed fields over the first 12 bytes, leaving version, padding, extension and CSRC count as they are.
/// Does nothing to a shorter slice.
pub fn rewrite(packet: &mut [u8], header: &Header) {
    let Some(fixed) = packet.first_chunk_mut::<HEADER_LEN>() else { return };
    let [_, second, seq_high, seq_low, t3, t2, t1, t0, s3, s2, s1, s0] = fixed;
    *second = u8::from(header.marker) << 7 | header.payload_type & 0x7f;
    [*seq_high, *seq_low] = header.sequence.to_be_bytes();
    [*t3, *t2, *t1, *t0] = header.timestamp.to_be_bytes();
    [*s3, *s2, *s1, *s0] = header.ssrc.to_be_bytes();
}

/// Writes a plain header (version 2, nothing else) over the first 12 bytes.
pub fn write(packet: &mut [u8], header: &Header) {
    if let Some(first) = packet.first_mut() {
        *first = 0x80;
    }
    rewrite(packet, header);
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header =
        Header { marker: true, payload_type: 8, sequence: 0xfffe, timestamp: 0xdead_beef, ssrc: 0x0102_0304 };

    #[test]
    fn a_written_header_reads_back() {
        let mut packet = [0; 20];
        write(&mut packet, &HEADER);
        assert_eq!(packet[..4], [0x80, 0x88, 0xff, 0xfe]);
        assert_eq!(parse(&packet), Some(Parsed { header: HEADER, start: 12, end: 20 }));
        write(&mut packet[..5], &HEADER);
    }

    #[test]
    fn csrc_extension_and_padding_are_skipped() {
        let mut packet = vec![0; 12];
        write(&mut packet, &HEADER);
        packet[0] = 0x80 | 0x20 | 0x10 | 1;
        packet.extend([9, 9, 9, 9, 0xbe, 0xde, 0, 1, 7, 7, 7, 7, b'a', b'b', 0, 2]);
        let read = parse(&packet).unwrap();
        assert_eq!(read.payload(&packet), b"ab");
    }

    #[test]
    fn unsound_packets_are_none() {
        for bytes in [
            &[][..],
            &[0x80; 11],
            &[0x40; 12],
            &[0x8f; 20],
            &[0x90; 12],
            &[0xa0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0xa0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200],
            &[0x90, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
        ] {
            assert_eq!(parse(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn first_bytes_tell_the_protocols_apart() {
        assert_eq!(classify(&[0x80, 0x08]), Kind::Rtp);
        assert_eq!(classify(&[0x80, 0x88]), Kind::Rtp);
        assert_eq!(classify(&[0x80, 200]), Kind::Rtcp);
        assert_eq!(classify(&[0, 1]), Kind::Stun);
        assert_eq!(classify(&[22, 254]), Kind::Dtls);
        assert_eq!(classify(&[0x80]), Kind::Other);
        assert_eq!(classify(&[]), Kind::Other);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(packet in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
            if let Some(read) = parse(&packet) {
                proptest::prop_assert!(read.end <= packet.len() && read.start <= read.end);
            }
        }
    }
}
