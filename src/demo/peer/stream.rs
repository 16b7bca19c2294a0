//! One leg's sound: says a tone in real time, keys RFC 4733 digits, and hears what arrives.
//!
//! A pair of ports is held (RTP and RTCP), so that the engine's RTCP never lands on another peer. Deliberately absent:
//! a jitter buffer (loopback keeps order), RTCP of our own, silence suppression.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use rtp::header::Header;
use rtp::packet::Packet;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use webrtc_util::marshal::{Marshal as _, Unmarshal as _};

use crate::demo::peer::audio::{Ear, FRAME, Listening, Tone, WINDOW};
use crate::demo::peer::sdp::{PCMA, Remote};
use crate::demo::peer::{PeerFault, locked};

/// How often ports are drawn until an even one with a free neighbour is found.
const DRAWS: usize = 64;
/// Packets of one digit: 100 ms, then the end three times (RFC 4733 §2.5.1.4).
const DIGIT_FRAMES: u16 = 5;
const DIGIT_ENDS: u16 = 3;
/// Frames of tone between two digits.
const DIGIT_GAP: u16 = 4;

/// Where to send, and how digits are called there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way {
    to: SocketAddr,
    digits: Option<u8>,
    speak: bool,
}

struct Keys {
    digits: Vec<u8>,
    done: oneshot::Sender<()>,
}

/// The sound of one leg; ends when dropped.
pub struct Stream {
    local: SocketAddr,
    hertz: f64,
    way: watch::Sender<Option<Way>>,
    heard: watch::Receiver<u64>,
    ear: Arc<Mutex<Ear>>,
    keys: mpsc::Sender<Keys>,
    task: AbortHandle,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("local", &self.local).field("hertz", &self.hertz).finish_non_exhaustive()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stream {
    /// Opens a pair of ports on loopback; it says `hertz` once it knows where to.
    ///
    /// # Errors
    /// [`PeerFault::System`] when no pair is free.
    pub async fn open(hertz: f64) -> Result<Self, PeerFault> {
        let (rtp, rtcp) = pair().await.map_err(PeerFault::system("a pair of media ports"))?;
        let local = rtp.local_addr().map_err(PeerFault::system("a media port"))?;
        let (way, way_seen) = watch::channel(None);
        let (count, heard) = watch::channel(0);
        let (keys, keys_taken) = mpsc::channel(4);
        let ear = Arc::new(Mutex::new(Ear::default()));
        let speaker = Speaker::new(hertz);
        let running = run(Ports { rtp, _rtcp: rtcp }, way_seen, count, Arc::clone(&ear), keys_taken, speaker);
        let task = tokio::spawn(running).abort_handle();
        Ok(Self { local, hertz, way, heard, ear, keys, task })
    }

    /// Where it hears.
    #[must_use]
    pub const fn local(&self) -> SocketAddr {
        self.local
    }

    /// The tone it says.
    #[must_use]
    pub const fn hertz(&self) -> f64 {
        self.hertz
    }

    /// Speaks to what the other side described; silent where it does not listen.
    pub fn follow(&self, remote: &Remote) {
        let way = Way { to: remote.address, digits: remote.digits, speak: remote.direction.listens() };
        self.way.send_replace(Some(way));
    }

    /// Keys digits (`0`–`9`, `*`, `#`) and waits until the last one is out.
    ///
    /// # Errors
    /// [`PeerFault::Message`] when the other side takes no digits or one is none.
    pub async fn key(&self, digits: &str) -> Result<(), PeerFault> {
        if self.way.borrow().and_then(|way| way.digits).is_none() {
            return Err(PeerFault::message("the session", "it has no telephone-event"));
        }
        let digits: Option<Vec<u8>> = digits.chars().map(event_of).collect();
        let digits = digits.ok_or_else(|| PeerFault::message("the digits", "one of them is none"))?;
        let (done, waiting) = oneshot::channel();
        let gone = || PeerFault::message("the stream", "it has ended");
        self.keys.send(Keys { digits, done }).await.map_err(|_| gone())?;
        waiting.await.map_err(|_| gone())
    }

    /// Waits until all tones of `wanted` are heard without a break of a window, and none of `unwanted`.
    ///
    /// # Errors
    /// [`PeerFault::NotHeard`] with what was heard instead.
    pub async fn hear(&self, wanted: &[f64], unwanted: &[f64], within: Duration) -> Result<(), PeerFault> {
        let mut listening = Listening::new(wanted, unwanted);
        let mut heard = self.heard.clone();
        let deadline = Instant::now() + within;
        let mut mark = *heard.borrow_and_update() + WINDOW as u64;
        loop {
            let reached = heard.wait_for(|count| *count >= mark);
            match timeout_at(deadline, reached).await {
                Ok(Ok(count)) => mark = *count + WINDOW as u64,
                Ok(Err(_)) | Err(_) => return Err(PeerFault::NotHeard(listening.heard())),
            }
            let window = locked(&self.ear).window();
            if listening.hears(&window) {
                return Ok(());
            }
        }
    }
}

/// The number of a digit's event (RFC 4733 §3.2).
fn event_of(digit: char) -> Option<u8> {
    match digit {
        '*' => Some(10),
        '#' => Some(11),
        _ => digit.to_digit(10).and_then(|digit| u8::try_from(digit).ok()),
    }
}

/// An even port and the odd one after it.
async fn pair() -> std::io::Result<(UdpSocket, UdpSocket)> {
    let mut last = std::io::Error::from(std::io::ErrorKind::AddrInUse);
    for _ in 0..DRAWS {
        let rtp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = rtp.local_addr()?.port();
        if port % 2 == 0 && port < u16::MAX {
            match UdpSocket::bind((Ipv4Addr::LOCALHOST, port + 1)).await {
                Ok(rtcp) => return Ok((rtp, rtcp)),
                Err(why) => last = why,
            }
        }
    }
    Err(last)
}

struct Ports {
    rtp: UdpSocket,
    _rtcp: UdpSocket,
}

async fn run(
    ports: Ports,
    way: watch::Receiver<Option<Way>>,
    count: watch::Sender<u64>,
    ear: Arc<Mutex<Ear>>,
    mut keys: mpsc::Receiver<Keys>,
    mut speaker: Speaker,
) {
    let mut clock = interval(Duration::from_millis(20));
    // A stall is caught up: a phone's sound card does not skip either, and timestamps stay true.
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut buffer = [0_u8; 2048];
    loop {
        tokio::select! {
            _ = clock.tick() => {
                let Some(way) = *way.borrow() else { continue };
                if let Some(packet) = speaker.next(way, &mut keys) {
                    // A refused datagram on loopback is the other side's end; signalling will say so.
                    let _ = ports.rtp.send_to(&packet, way.to).await;
                }
            }
            received = ports.rtp.recv_from(&mut buffer) => {
                let Ok((length, _)) = received else { continue };
                let mut bytes = buffer.get(..length).unwrap_or_default();
                let Ok(packet) = Packet::unmarshal(&mut bytes) else { continue };
                if packet.header.payload_type == PCMA {
                    locked(&ear).take(&packet.payload);
                    count.send_modify(|count| *count += packet.payload.len() as u64);
                }
            }
        }
    }
}

/// A digit being keyed.
struct Digit {
    event: u8,
    /// Packets sent of it, and after its end frames of the gap.
    sent: u16,
    began: u32,
}

/// Makes the packet of each 20 ms.
struct Speaker {
    tone: Tone,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    first: bool,
    waiting: Vec<u8>,
    digit: Option<Digit>,
    done: Option<oneshot::Sender<()>>,
}

impl Speaker {
    fn new(hertz: f64) -> Self {
        let mut seed = [0_u8; 10];
        let _ = getrandom::fill(&mut seed);
        let [a, b, c, d, e, f, g, h, i, j] = seed;
        Self {
            tone: Tone::new(hertz),
            sequence: u16::from_be_bytes([a, b]),
            timestamp: u32::from_be_bytes([c, d, e, f]),
            ssrc: u32::from_be_bytes([g, h, i, j]),
            first: true,
            waiting: Vec::new(),
            digit: None,
            done: None,
        }
    }

    fn next(&mut self, way: Way, keys: &mut mpsc::Receiver<Keys>) -> Option<Bytes> {
        if self.done.is_none()
            && let Ok(Keys { digits, done }) = keys.try_recv()
        {
            self.waiting = digits.into_iter().rev().collect();
            self.done = Some(done);
        }
        let at = self.timestamp;
        self.timestamp = self.timestamp.wrapping_add(160);
        let frame = self.tone.frame();
        if let (Some(kind), true) = (way.digits, self.done.is_some())
            && let Some(packet) = self.digit_packet(kind, at)
        {
            return Some(packet);
        }
        if !way.speak {
            return None;
        }
        let marker = std::mem::take(&mut self.first);
        self.packet(marker, PCMA, at, Bytes::copy_from_slice(&frame))
    }

    /// The digit's packet of this frame; `None` in the gap between two digits.
    fn digit_packet(&mut self, kind: u8, at: u32) -> Option<Bytes> {
        if self.digit.is_none() {
            let Some(event) = self.waiting.pop() else {
                if let Some(done) = self.done.take() {
                    let _ = done.send(());
                }
                return None;
            };
            self.digit = Some(Digit { event, sent: 0, began: at });
        }
        let digit = self.digit.as_mut()?;
        let (event, sent, began) = (digit.event, digit.sent, digit.began);
        digit.sent += 1;
        if sent >= DIGIT_FRAMES + DIGIT_ENDS {
            if sent + 1 >= DIGIT_FRAMES + DIGIT_ENDS + DIGIT_GAP {
                self.digit = None;
            }
            return None;
        }
        let end = sent >= DIGIT_FRAMES;
        let duration = (sent.min(DIGIT_FRAMES - 1) + 1) * 160;
        let [high, low] = duration.to_be_bytes();
        let payload = Bytes::copy_from_slice(&[event, if end { 0x80 } else { 0 } | 10, high, low]);
        self.packet(sent == 0, kind, began, payload)
    }

    fn packet(&mut self, marker: bool, payload_type: u8, timestamp: u32, payload: Bytes) -> Option<Bytes> {
        let sequence_number = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        let header = Header {
            version: 2,
            marker,
            payload_type,
            sequence_number,
            timestamp,
            ssrc: self.ssrc,
            ..Header::default()
        };
        Packet { header, payload }.marshal().ok()
    }
}

const _: () = assert!(FRAME == 160);

#[cfg(test)]
mod tests {
    use super::*;

    const WAY: Option<u8> = Some(101);

    fn way() -> Way {
        Way { to: "127.0.0.1:9".parse().unwrap(), digits: WAY, speak: true }
    }

    fn sent(speaker: &mut Speaker, keys: &mut mpsc::Receiver<Keys>) -> Packet {
        let mut bytes = speaker.next(way(), keys).unwrap();
        Packet::unmarshal(&mut bytes).unwrap()
    }

    #[test]
    fn a_digit_is_five_packets_and_its_end_three_times_at_one_timestamp() {
        let (press, mut keys) = mpsc::channel(1);
        let (done, mut waiting) = oneshot::channel();
        let mut speaker = Speaker::new(800.0);
        let first = sent(&mut speaker, &mut keys);
        assert!(first.header.marker && first.payload.len() == FRAME);
        assert!(press.try_send(Keys { digits: vec![10], done }).is_ok());
        let packets: Vec<Packet> = (0..8).map(|_| sent(&mut speaker, &mut keys)).collect();
        assert!(packets.iter().all(|packet| packet.header.payload_type == 101));
        let began = first.header.timestamp.wrapping_add(160);
        assert!(packets.iter().all(|packet| packet.header.timestamp == began));
        let ends: Vec<bool> = packets.iter().map(|packet| packet.payload[1] & 0x80 != 0).collect();
        assert_eq!(ends, [false, false, false, false, false, true, true, true]);
        let last = u16::from_be_bytes([packets[7].payload[2], packets[7].payload[3]]);
        assert_eq!(last, 800);
        let after = sent(&mut speaker, &mut keys);
        assert_eq!(
            (after.header.payload_type, after.header.sequence_number),
            (PCMA, first.header.sequence_number.wrapping_add(9))
        );
        assert_eq!(after.header.timestamp, began.wrapping_add(8 * 160));
        assert!(waiting.try_recv().is_err());
        for _ in 0..DIGIT_GAP {
            sent(&mut speaker, &mut keys);
        }
        assert!(waiting.try_recv().is_ok());
    }

    #[tokio::test]
    async fn two_streams_hear_each_others_tone_and_a_third_tone_is_not_there() {
        let (one, two) = (Stream::open(400.0).await.unwrap(), Stream::open(800.0).await.unwrap());
        let remote =
            |stream: &Stream| Remote::read(crate::demo::peer::sdp::offer(stream.local(), 1).as_bytes()).unwrap();
        one.follow(&remote(&two));
        two.follow(&remote(&one));
        let within = Duration::from_secs(10);
        let (first, second) = tokio::join!(one.hear(&[800.0], &[400.0], within), two.hear(&[400.0], &[], within));
        assert_eq!((first, second), (Ok(()), Ok(())));
        let missing = one.hear(&[1200.0], &[], Duration::from_millis(900)).await;
        assert!(matches!(missing, Err(PeerFault::NotHeard(_))), "{missing:?}");
    }
}
