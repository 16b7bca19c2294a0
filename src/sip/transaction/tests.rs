//! What the state tables cannot show: timing, loss, the messages made inside, and any sequence of events at all.

use std::hash::Hash;
use std::net::SocketAddr;

use proptest::prelude::*;
use serde::de::DeserializeOwned;

use super::accepted::Accepted2xx;
use super::client::Client;
use super::client_invite::ClientInvite;
use super::server::Server;
use super::server_invite::ServerInvite;
use super::timers::SipTimers;
use super::*;
use crate::base::flow::{Flow, FlowId, Side, Transport};
use crate::base::now::Now;
use crate::sip::header::reason::Reason;
use crate::sip::message::{Method, Name};
use crate::sip::print::Draft;

fn start() -> Now {
    Now { mono: Mono(1_000), wall: jiff::Timestamp::UNIX_EPOCH }
}

fn flow(reliable: bool) -> Flow {
    let transport = if reliable { Transport::Tcp } else { Transport::Udp };
    let address: SocketAddr = "127.0.0.2:5070".parse().unwrap();
    Flow { id: FlowId(1), side: Side::Trunk, transport, local: address, remote: address }
}

fn request(method: &str) -> Message {
    let text = format!(
        "{method} sip:12345@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2:5070;rport;branch=z9hG4bKone\r\n\
         Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKbelow\r\nRoute: <sip:p1;lr>\r\nRoute: <sip:p2;lr>\r\n\
         From: <sip:a@x>;tag=f\r\nTo: <sip:b@y>\r\nCall-ID: c\r\nCSeq: 7 {method}\r\nMax-Forwards: 70\r\n\
         Proxy-Require: x\r\nContent-Length: 0\r\n\r\n"
    );
    Message::datagram(Bytes::from(text)).unwrap()
}

fn response(to: &Message, status: u16) -> Message {
    Draft::response(to, status, None).to_tag(b"peer").finish()
}

fn sent(out: &[TxEffect]) -> Vec<Message> {
    out.iter()
        .filter_map(|effect| match effect {
            TxEffect::Transmit(wire) => Some(Message::datagram(wire.bytes().clone()).unwrap()),
            _ => None,
        })
        .collect()
}

/// Milliseconds after the start at which something was sent, driven from deadline to deadline.
macro_rules! sending_times {
    ($machine:expr) => {{
        let (mut times, mut now) = (Vec::new(), start());
        while let Some(at) = $machine.deadline() {
            now.mono = at;
            let mut out = Vec::new();
            $machine.on_deadline(now, &mut out);
            if !sent(&out).is_empty() {
                times.push(at.since(start().mono).as_millis());
            }
        }
        (times, now.mono.since(start().mono).as_millis())
    }};
}

#[test]
fn rfc3326_s3_1_a_cancel_says_that_another_answered() {
    let invite = request("INVITE");
    let mut machine = ClientInvite::start(start(), invite.clone(), false, &SipTimers::default(), &mut Vec::new());
    machine.on_response(start(), &response(&invite, 180), &mut Vec::new());
    machine.cancel_because(&Reason::sip(200, "Call completed elsewhere"));
    let mut out = Vec::new();
    machine.cancel(start(), &mut out);
    let reason = sent(&out).first().and_then(|cancel| cancel.header(Name::Reason).map(<[u8]>::to_vec));
    assert_eq!(reason.as_deref(), Some(&b"SIP;cause=200;text=\"Call completed elsewhere\""[..]));
}

#[test]
fn rfc3261_s17_1_1_2_invite_is_sent_seven_times_in_32_seconds() {
    let mut machine = ClientInvite::start(start(), request("INVITE"), false, &SipTimers::default(), &mut Vec::new());
    assert_eq!(sending_times!(machine), (vec![500, 1500, 3500, 7500, 15500, 31500], 32000));
}

#[test]
fn rfc3261_s17_1_2_2_a_request_is_sent_eleven_times_in_32_seconds() {
    let mut machine = Client::start(start(), request("OPTIONS"), false, &SipTimers::default(), &mut Vec::new());
    let times = vec![500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500];
    assert_eq!(sending_times!(machine), (times, 32000));
}

#[test]
fn rfc3261_s17_2_1_a_refusal_is_repeated_until_timer_h() {
    let mut machine = ServerInvite::new("t", &flow(false), &SipTimers::default());
    machine.respond(start(), &response(&request("INVITE"), 486), &mut Vec::new());
    let times = vec![500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500];
    assert_eq!(sending_times!(machine), (times, 32000));
}

#[test]
fn rfc3261_s13_3_1_4_a_2xx_is_repeated_over_every_transport_until_its_ack() {
    let ok = Wire::from(&response(&request("INVITE"), 200));
    let mut lonely = Accepted2xx::start(start(), 7, ok.clone(), &SipTimers::default());
    let times = vec![500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500];
    assert_eq!(sending_times!(lonely), (times, 32000));
    assert!(lonely.is_over());

    let mut out = Vec::new();
    let mut answered = Accepted2xx::start(start(), 7, ok, &SipTimers::default());
    assert!(!answered.on_ack(6, &mut out), "the ACK of an older INVITE");
    assert!(answered.on_ack(7, &mut out));
    assert!(!answered.on_ack(7, &mut out), "the ACK again");
    assert_eq!(out, [TxEffect::Done(TxEnd::Completed)]);
    assert_eq!(answered.deadline(), None);
}

#[test]
fn an_unacknowledged_2xx_is_told_at_64_t1() {
    let ok = Wire::from(&response(&request("INVITE"), 200));
    let mut machine = Accepted2xx::start(start(), 7, ok, &SipTimers::default());
    let mut out = Vec::new();
    machine.on_deadline(start().after(Duration::from_secs(32)), &mut out);
    assert_eq!(out, [TxEffect::Tell(TuEvent::AckMissing), TxEffect::Done(TxEnd::TimedOut)]);
}

#[test]
fn after_a_stall_nothing_is_sent_twice_at_once() {
    let mut machine = ClientInvite::start(start(), request("INVITE"), false, &SipTimers::default(), &mut Vec::new());
    let late = start().after(Duration::from_secs(20));
    let mut out = Vec::new();
    machine.on_deadline(late, &mut out);
    assert_eq!(sent(&out).len(), 1);
    machine.on_deadline(late, &mut out);
    assert_eq!(sent(&out).len(), 1);
    assert!(machine.deadline() > Some(late.mono));
}

#[test]
fn rfc3261_s17_1_1_3_the_ack_of_a_refusal_is_the_invites_with_the_answers_to() {
    let invite = request("INVITE");
    let mut out = Vec::new();
    let mut machine = ClientInvite::start(start(), invite.clone(), false, &SipTimers::default(), &mut out);
    out.clear();
    machine.on_response(start(), &response(&invite, 486), &mut out);
    let ack = &sent(&out)[0];
    assert!(ack.is(&Method::Ack));
    assert_eq!(ack.request_uri(), invite.request_uri());
    assert_eq!(ack.headers(Name::Via).collect::<Vec<_>>(), [invite.via().bytes()], "one Via, the topmost");
    assert_eq!(ack.headers(Name::Route).count(), 2);
    assert_eq!((ack.from_tag(), ack.to_tag()), (Some(&b"f"[..]), Some(&b"peer"[..])));
    assert_eq!((ack.cseq().number, ack.call_id()), (7, invite.call_id()));
    out.clear();
    machine.on_response(start(), &response(&invite, 486), &mut out);
    assert_eq!(sent(&out), std::slice::from_ref(ack), "the answer again, the ACK again, nothing told");
    assert_eq!(out.len(), 1);
}

#[test]
fn rfc3261_s9_1_the_cancel_takes_the_invites_way_without_its_demands() {
    let invite = request("INVITE");
    let mut out = Vec::new();
    let mut machine = ClientInvite::start(start(), invite.clone(), false, &SipTimers::default(), &mut out);
    out.clear();
    machine.cancel(start(), &mut out);
    assert_eq!(out, [], "not before a provisional");
    machine.on_response(start(), &response(&invite, 100), &mut out);
    let cancel = &sent(&out)[0];
    assert!(cancel.is(&Method::Cancel));
    assert_eq!((cancel.via().bytes(), cancel.headers(Name::Route).count()), (invite.via().bytes(), 2));
    assert_eq!((cancel.to_tag(), cancel.cseq().number), (None, 7));
    assert_eq!(cancel.header(Name::ProxyRequire), None);
}

#[test]
fn rfc3261_s9_1_a_cancel_that_is_lost_is_repeated_until_its_200() {
    let invite = request("INVITE");
    let mut out = Vec::new();
    let mut machine = ClientInvite::start(start(), invite.clone(), false, &SipTimers::default(), &mut out);
    machine.on_response(start(), &response(&invite, 180), &mut out);
    machine.cancel(start(), &mut out);
    out.clear();
    machine.on_deadline(start().after(Duration::from_millis(500)), &mut out);
    assert!(sent(&out)[0].is(&Method::Cancel));
    out.clear();
    machine.on_response(start(), &response(&request("CANCEL"), 200), &mut out);
    let end = start().after(Duration::from_secs(31));
    machine.on_deadline(end, &mut out);
    assert_eq!(out, [], "its 200 stops the repetition");
    machine.on_deadline(start().after(Duration::from_secs(32)), &mut out);
    assert_eq!(out, [TxEffect::Tell(TuEvent::NoAnswer), TxEffect::Done(TxEnd::TimedOut)]);
}

#[test]
fn rfc3261_s9_2_a_repeated_cancel_is_answered_200_and_never_481() {
    let (invite, cancel) = (request("INVITE"), request("CANCEL"));
    let mut out = Vec::new();
    let mut machine = ServerInvite::new("ours", &flow(false), &SipTimers::default());
    machine.on_request(start(), &cancel, &mut out);
    let first = sent(&out).remove(0);
    assert_eq!((first.status(), first.to_tag()), (Some(200), Some(&b"ours"[..])));
    assert_eq!(first.via().rport(), Some(Some(5070)));
    machine.respond(start(), &response(&invite, 487), &mut out);
    machine.on_request(start(), &request("ACK"), &mut out);
    for second in [1, 6, 20, 31] {
        let now = start().after(Duration::from_secs(second));
        machine.on_deadline(now, &mut out);
        out.clear();
        machine.on_request(now, &cancel, &mut out);
        assert_eq!(sent(&out), std::slice::from_ref(&first), "after {second} s");
        assert_eq!(out.len(), 1);
    }
    out.clear();
    machine.on_deadline(start().after(Duration::from_secs(32)), &mut out);
    assert_eq!(out, [TxEffect::Done(TxEnd::Completed)]);
}

#[test]
fn rfc6026_s7_1_a_repeated_invite_after_our_2xx_is_absorbed_for_64_t1() {
    let mut machine = ServerInvite::new("ours", &flow(false), &SipTimers::default());
    machine.respond(start(), &response(&request("INVITE"), 200), &mut Vec::new());
    let mut out = Vec::new();
    machine.on_request(start().after(Duration::from_secs(31)), &request("INVITE"), &mut out);
    assert_eq!(out, []);
    assert_eq!(machine.deadline(), Some(start().mono + Duration::from_secs(32)));
}

#[test]
fn a_checkpoint_in_the_middle_of_ringing_goes_on_where_it_was() {
    fn reborn<T: Serialize + DeserializeOwned + PartialEq + fmt::Debug + Hash>(machine: &T) -> T {
        let text = serde_json::to_string(machine).unwrap();
        let back = serde_json::from_str(&text).unwrap();
        assert_eq!(*machine, back);
        back
    }
    let invite = request("INVITE");
    let mut out = Vec::new();
    let mut client = ClientInvite::start(start(), invite.clone(), false, &SipTimers::default(), &mut out);
    client.on_response(start(), &response(&invite, 180), &mut out);
    out.clear();
    reborn(&client).on_response(start(), &response(&invite, 486), &mut out);
    assert!(sent(&out)[0].is(&Method::Ack));
    let mut server = ServerInvite::new("ours", &flow(false), &SipTimers::default());
    server.respond(start(), &response(&invite, 180), &mut out);
    out.clear();
    reborn(&server).on_request(start(), &invite, &mut out);
    assert_eq!(sent(&out)[0].status(), Some(180));
}

#[test]
fn logs_show_no_number() {
    let mut out = Vec::new();
    let machine = ClientInvite::start(start(), request("INVITE"), false, &SipTimers::default(), &mut out);
    assert_eq!(format!("{:?}", out[0]), format!("Transmit(Wire(INVITE, {} octets))", request("INVITE").bytes().len()));
    assert!(!format!("{machine:?}").contains("sip:a@x"));
}

#[test]
fn a_ringing_invite_is_small_on_both_sides() {
    // With the bytes of one response (about 500) and of the INVITE (about 1,000) a ringing call leg stays far below
    // the 6 kB that 10,000 ringing INVITEs in 60 MB allow.
    assert!(size_of::<ServerInvite>() <= 256, "{}", size_of::<ServerInvite>());
    assert!(size_of::<ClientInvite>() <= 256, "{}", size_of::<ClientInvite>());
}

/// A network that loses what `lost` says, in both directions, between our client and our server.
struct Lossy {
    lost: Vec<bool>,
    sent: usize,
}

impl Lossy {
    fn delivers(&mut self) -> bool {
        let lost = self.lost.get(self.sent).copied().unwrap_or(false);
        self.sent += 1;
        !lost
    }
}

/// Runs INVITE, 180, 486, ACK over a lossy network: how often the client was told the 486, and whether both ended.
/// A client that heard the 180 and never the 486 rings on (RFC 3261 §17.1.1.2), so its user cancels in the end.
fn refused_call(lost: Vec<bool>) -> (usize, bool, bool) {
    let timers = SipTimers::default();
    let mut network = Lossy { lost, sent: 0 };
    let (mut now, mut told) = (start(), 0);
    let mut to_server = Vec::new();
    let mut client = ClientInvite::start(now, request("INVITE"), false, &timers, &mut to_server);
    let mut server: Option<ServerInvite> = None;
    for _ in 0..400 {
        let mut to_client = Vec::new();
        for effect in std::mem::take(&mut to_server) {
            match effect {
                TxEffect::Transmit(wire) if network.delivers() => {
                    let message = Message::datagram(wire.into_bytes()).unwrap();
                    if server.is_none() && message.is(&Method::Invite) {
                        let machine = server.insert(ServerInvite::new("ours", &flow(false), &timers));
                        machine.respond(now, &response(&message, 180), &mut to_client);
                        machine.respond(now, &response(&message, 486), &mut to_client);
                    } else if let Some(machine) = &mut server {
                        machine.on_request(now, &message, &mut to_client);
                    }
                }
                TxEffect::Tell(TuEvent::Response(message)) if message.status() == Some(486) => told += 1,
                _ => {}
            }
        }
        for effect in to_client {
            if let TxEffect::Transmit(wire) = effect
                && network.delivers()
            {
                let message = Message::datagram(wire.into_bytes()).unwrap();
                client.on_response(now, &message, &mut to_server);
            }
        }
        if !to_server.is_empty() {
            continue;
        }
        let next = [client.deadline(), server.as_ref().and_then(ServerInvite::deadline)];
        let Some(at) = next.into_iter().flatten().min() else { break };
        now.mono = at;
        client.on_deadline(now, &mut to_server);
        let mut late = Vec::new();
        if let Some(machine) = &mut server {
            machine.on_deadline(now, &mut late);
        }
        for effect in late {
            if let TxEffect::Transmit(wire) = effect
                && network.delivers()
            {
                client.on_response(now, &Message::datagram(wire.into_bytes()).unwrap(), &mut to_server);
            }
        }
    }
    client.cancel(now, &mut Vec::new());
    while let Some(at) = client.deadline() {
        now.mono = at;
        client.on_deadline(now, &mut Vec::new());
    }
    (told, client.is_over(), server.is_none_or(|server| server.is_over()))
}

/// Inputs for any machine.
#[derive(Clone, Copy, Debug)]
enum Event {
    Response(u16),
    CancelAnswered,
    Cancel,
    Request(&'static str),
    TransportError,
    Wait(u64),
    Deadline,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        prop::sample::select(vec![100_u16, 180, 183, 200, 202, 302, 401, 486, 487, 503, 603]).prop_map(Event::Response),
        Just(Event::CancelAnswered),
        Just(Event::Cancel),
        prop::sample::select(vec!["INVITE", "ACK", "CANCEL", "BYE", "OPTIONS"]).prop_map(Event::Request),
        Just(Event::TransportError),
        (0_u64..40_000).prop_map(Event::Wait),
        Just(Event::Deadline),
    ]
}

/// Feeds events, then follows the deadlines; checks that nothing comes after Done, that Done comes once, and that the
/// chain of deadlines ends within 64·T1 of the last event.
macro_rules! survives {
    ($events:expr, $machine:ident, $out:ident, |$now:ident, $event:ident| $feed:expr, settle: |$end:ident| $settle:block) => {{
        let mut $now = start();
        let mut done = 0;
        let mut check = |$out: &mut Vec<TxEffect>, over: bool| -> Result<(), TestCaseError> {
            for effect in $out.drain(..) {
                prop_assert_eq!(done, 0, "an effect after Done");
                done += usize::from(matches!(effect, TxEffect::Done(_)));
            }
            prop_assert_eq!(done == 1, over);
            Ok(())
        };
        check(&mut $out, $machine.is_over())?;
        for $event in $events {
            match $event {
                Event::Wait(ms) => $now = $now.after(Duration::from_millis(ms)),
                Event::Deadline => $machine.on_deadline($now, &mut $out),
                $event => $feed,
            }
            check(&mut $out, $machine.is_over())?;
        }
        let $end = $now;
        $settle
        check(&mut $out, $machine.is_over())?;
        let mut turns = 0;
        while let Some(at) = $machine.deadline() {
            $now.mono = $now.mono.max(at);
            $machine.on_deadline($now, &mut $out);
            check(&mut $out, $machine.is_over())?;
            turns += 1;
            prop_assert!(turns < 100, "deadlines never end");
        }
        prop_assert!($machine.is_over());
        prop_assert!($now.mono.since($end.mono) <= Duration::from_secs(32 + 5));
    }};
}

proptest! {
    #[test]
    fn any_events_end_a_client_invite(events in prop::collection::vec(event(), 0..40), reliable: bool) {
        let invite = request("INVITE");
        let mut out = Vec::new();
        let mut machine = ClientInvite::start(start(), invite.clone(), reliable, &SipTimers::default(), &mut out);
        survives!(events, machine, out, |now, event| match event {
            Event::Response(status) => machine.on_response(now, &response(&invite, status), &mut out),
            Event::CancelAnswered => machine.on_response(now, &response(&request("CANCEL"), 200), &mut out),
            Event::Cancel => machine.cancel(now, &mut out),
            Event::TransportError => machine.on_transport_error(&mut out),
            Event::Request(_) | Event::Wait(_) | Event::Deadline => {}
        }, settle: |end| { machine.cancel(end, &mut out); });
    }

    #[test]
    fn any_events_end_a_client(events in prop::collection::vec(event(), 0..40), reliable: bool) {
        let options = request("OPTIONS");
        let mut out = Vec::new();
        let mut machine = Client::start(start(), options.clone(), reliable, &SipTimers::default(), &mut out);
        survives!(events, machine, out, |now, event| match event {
            Event::Response(status) => machine.on_response(now, &response(&options, status), &mut out),
            Event::TransportError => machine.on_transport_error(&mut out),
            _ => {}
        }, settle: |_end| {});
    }

    #[test]
    fn any_events_end_a_server_invite(events in prop::collection::vec(event(), 0..40), reliable: bool) {
        let invite = request("INVITE");
        let mut out = Vec::new();
        let mut machine = ServerInvite::new("ours", &flow(reliable), &SipTimers::default());
        survives!(events, machine, out, |now, event| match event {
            Event::Response(status) => machine.respond(now, &response(&invite, status), &mut out),
            Event::Request(method) => machine.on_request(now, &request(method), &mut out),
            Event::TransportError => machine.on_transport_error(&mut out),
            _ => {}
        }, settle: |end| { machine.respond(end, &response(&invite, 500), &mut out); });
    }

    #[test]
    fn any_events_end_a_server(events in prop::collection::vec(event(), 0..40), reliable: bool) {
        let options = request("OPTIONS");
        let mut out = Vec::new();
        let mut machine = Server::new(start(), reliable, &SipTimers::default());
        survives!(events, machine, out, |now, event| match event {
            Event::Response(status) => machine.respond(now, &response(&options, status), &mut out),
            Event::Request(_) => machine.on_request(&mut out),
            Event::TransportError => machine.on_transport_error(&mut out),
            _ => {}
        }, settle: |_end| {});
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_refusal_gets_through_whatever_is_lost_at_first(lost in prop::collection::vec(any::<bool>(), 0..6)) {
        prop_assert_eq!(refused_call(lost), (1, true, true));
    }

    #[test]
    fn with_any_loss_at_all_both_ends_still_end(lost in prop::collection::vec(any::<bool>(), 0..60)) {
        let (told, client_over, server_over) = refused_call(lost);
        prop_assert!(told <= 1 && client_over && server_over);
    }
}
