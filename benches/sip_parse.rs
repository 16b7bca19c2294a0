//! Time and allocations from the bytes of an INVITE to the fields that route it.
//!
//! Targets: 1 µs and 2 allocations. Prints medians over batches; run with `cargo bench --bench sip_parse`.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a bench measures real time")]
#![expect(unsafe_code, reason = "a counting allocator wraps the system's")]
#![expect(clippy::expect_used, reason = "a bench may stop when its own message is bad")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use switch12345::sip::frame::{Frame, Framer};
use switch12345::sip::message::{Message, Name};
use switch12345::sip::parse::Limits;
use switch12345::sip::print::Draft;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const BATCHES: usize = 2001;
/// Few enough that inputs stay in cache, as a datagram just received is.
const PER_BATCH: usize = 64;

const INVITE: &str = "INVITE sip:12345@10.20.0.1:5060;user=phone SIP/2.0\r\n\
    Via: SIP/2.0/UDP 10.20.0.9:5060;branch=z9hG4bK7f3c0a91d2;rport\r\n\
    Via: SIP/2.0/UDP 10.30.1.7:5060;branch=z9hG4bK-524287-1---d8754z;received=10.30.1.7\r\n\
    Record-Route: <sip:10.20.0.9;lr;ftag=8a7b6c5d>\r\n\
    Max-Forwards: 69\r\n\
    From: \"13800001234\" <sip:13800001234@ims.mnc000.mcc460.3gppnetwork.org;user=phone>;tag=8a7b6c5d\r\n\
    To: <sip:12345@10.20.0.1;user=phone>\r\n\
    Call-ID: 7d1f9a80-3c51-4e2b-a1f6-90ad8f2b7c11@10.30.1.7\r\n\
    CSeq: 102 INVITE\r\n\
    Contact: <sip:13800001234@10.30.1.7:5060;transport=udp>\r\n\
    P-Asserted-Identity: <sip:+8613800001234@ims.mnc000.mcc460.3gppnetwork.org>, <tel:+8613800001234>\r\n\
    Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK, INFO, REFER, NOTIFY\r\n\
    Supported: 100rel, timer, replaces, histinfo\r\n\
    Session-Expires: 1800;refresher=uac\r\n\
    Min-SE: 90\r\n\
    User-Agent: IMS-CSCF/6.2\r\n\
    P-Charging-Vector: icid-value=\"8fa1c1d20000b7c1\";orig-ioi=home\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: 214\r\n\r\n\
    v=0\r\no=- 3847 3847 IN IP4 10.30.1.7\r\ns=-\r\nc=IN IP4 10.30.1.7\r\nt=0 0\r\n\
    m=audio 40012 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
    a=fmtp:101 0-15\r\na=ptime:20\r\n";

/// Median nanoseconds and allocations of one run of `work`, each on an input made outside the measured time.
fn measure<T>(what: &str, mut input: impl FnMut() -> T, mut work: impl FnMut(T)) {
    if std::env::args().nth(1).is_some_and(|only| !only.starts_with("--") && !what.contains(&only)) {
        return;
    }
    let mut times = Vec::with_capacity(BATCHES);
    let mut allocations = 0;
    for _ in 0..BATCHES {
        let inputs: Vec<T> = (0..PER_BATCH).map(|_| input()).collect();
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        let start = Instant::now();
        inputs.into_iter().for_each(&mut work);
        times.push(start.elapsed().as_nanos() / PER_BATCH as u128);
        allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
    }
    times.sort_unstable();
    let median = times.get(BATCHES / 2).copied().unwrap_or_default();
    let per_run = allocations as f64 / PER_BATCH as f64;
    println!("{what:<44} {median:>6} ns {per_run:>6.2} allocations");
}

fn routable(message: &Message) {
    let uri = message.uri().expect("a request").expect("an address");
    black_box((message.method(), uri.user(), uri.host_bytes(), message.via().unique_branch()));
    black_box((message.from_tag(), message.to_tag(), message.call_id(), message.cseq(), message.max_forwards()));
}

fn main() {
    let mut wire = INVITE.as_bytes().to_vec();
    let body = wire.windows(4).position(|four| four == b"\r\n\r\n").expect("an empty line") + 4;
    let length = wire.len() - body;
    wire = INVITE.replace("Content-Length: 214", &format!("Content-Length: {length}")).into_bytes();
    let message = Message::datagram(Bytes::from(wire.clone())).expect("a good INVITE");

    println!("INVITE of {} octets, {} of header section", wire.len(), wire.len() - length);
    measure(
        "INVITE to routable fields",
        || Bytes::from(wire.clone()),
        |bytes| {
            routable(&Message::datagram(bytes).expect("a good INVITE"));
        },
    );
    measure(
        "check_request",
        || (),
        |()| {
            black_box(message.check_request()).expect("a good INVITE");
        },
    );
    measure("clone", || (), |()| drop(black_box(message.clone())));
    measure(
        "180 response written",
        || (),
        |()| {
            let source = ([10, 20, 0, 9], 5060).into();
            black_box(Draft::response(&message, 180, None).via_source(source).to_tag(b"8a7b6c5d").finish());
        },
    );
    measure(
        "copy with a Via on top",
        || (),
        |()| {
            black_box(
                Draft::from_message(&message).prepend(Name::Via, "SIP/2.0/UDP 10.20.0.1;branch=z9hG4bKx").finish(),
            );
        },
    );
    let mut framer = Framer::new(Limits::DEFAULT);
    measure(
        "cut out of a stream",
        || (),
        |()| {
            framer.push(&wire);
            assert!(matches!(framer.next_frame(), Some(Frame::Message(_))), "one message");
        },
    );
}
