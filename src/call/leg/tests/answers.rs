//! Where answers of ours go, and what an INVITE of ours does with a 422.

use super::*;

/// What the caller's leg sends when this comes from that port of the callee's host, and where to.
fn answered_to(pair: &mut Pair, bytes: &Bytes, port: u16) -> Vec<(u16, Message)> {
    let arrived = Arrived { message: Message::datagram(bytes.clone()).expect("valid"), flow: flow(5062, port) };
    let (now, mut out) = (pair.now, Vec::new());
    pair.caller.on_sip(now, &rules(), Sender::default(), &arrived, &mut out);
    let sent = out.iter().filter_map(|one| match one {
        LegOut::Transmit(over, bytes) => {
            Some((over.remote.port(), Message::datagram(bytes.clone()).expect("our own messages parse")))
        }
        LegOut::Event(_) => None,
    });
    sent.collect()
}

#[test]
fn a_request_from_another_port_of_a_farm_is_answered_there_and_so_is_its_repetition() {
    for (method, status) in [("BYE", 200), ("OPTIONS", 200), ("INVITE", 200), ("PUBLISH", 405)] {
        let mut pair = Pair::talking(&[]);
        let text = String::from_utf8(from_callee(&pair, method, 90).to_vec()).expect("ASCII");
        let request = text.replace(";branch", ";rport;branch").into();
        // The 2xx of an INVITE is repeated by its own timer, not by the INVITE's repetitions.
        for repetition in 0..if method == "INVITE" { 1 } else { 2 } {
            let answers = answered_to(&mut pair, &request, 6_500);
            let (port, answer) = answers.first().expect("an answer");
            assert_eq!((*port, answer.status()), (6_500, Some(status)), "{method}, repetition {repetition}");
            let via = String::from_utf8_lossy(answer.bytes()).into_owned();
            assert!(via.contains("rport=6500"), "{via}");
        }
        if method == "OPTIONS" {
            let (now, mut out) = (pair.now, Vec::new());
            pair.caller.act(now, &rules(), LegAction::HangUp(EndReason::Normal), &mut out);
            let bye = matches!(out.first(), Some(LegOut::Transmit(over, bytes)) if over.remote.port() == 6_000 && bytes.starts_with(b"BYE"));
            assert!(bye, "a request of ours goes where the leg always went: {out:?}");
        }
    }
    let mut pair = Pair::talking(&[]);
    let stranger = String::from_utf8(from_callee(&pair, "BYE", 91).to_vec()).expect("ASCII").replace(";tag=", ";tag=x");
    let answers = answered_to(&mut pair, &stranger.into(), 6_500);
    assert_eq!(answers.first().map(|(port, answer)| (*port, answer.status())), Some((6_500, Some(481))));
}

#[test]
fn the_2xx_of_a_re_invite_is_repeated_to_where_the_re_invite_came_from() {
    let mut pair = Pair::talking(&[]);
    let request = from_callee(&pair, "INVITE", 90);
    answered_to(&mut pair, &request, 6_500);
    let (at, _) = pair.caller.deadline().expect("the 2xx is repeated");
    pair.now = pair.now.after(at.since(pair.now.mono));
    let (now, mut out) = (pair.now, Vec::new());
    pair.caller.on_deadline(now, &rules(), &mut out);
    let to = out.iter().find_map(|one| match one {
        LegOut::Transmit(over, bytes) if bytes.starts_with(b"SIP/2.0 200") => Some(over.remote.port()),
        LegOut::Transmit(..) | LegOut::Event(_) => None,
    });
    assert_eq!(to, Some(6_500));
}

/// Refuses the caller's newest INVITE with 422 and this Min-SE; the INVITEs on the wire afterwards.
fn refuse_422(pair: &mut Pair, min_se: &str) -> (Bytes, Vec<Message>) {
    let invite = pair.wire.iter().rfind(|(_, _, bytes)| bytes.starts_with(b"INVITE")).map(|one| one.2.clone());
    let invite = Message::datagram(invite.expect("an INVITE")).expect("ours");
    let refusal = crate::sip::print::Draft::response(&invite, 422, None)
        .to_tag(b"t1")
        .header(Name::MinSe, min_se)
        .finish()
        .bytes()
        .clone();
    pair.inject(false, refusal.clone());
    let invites = pair.wire.iter().filter(|(_, _, bytes)| bytes.starts_with(b"INVITE"));
    (refusal, invites.map(|(_, _, bytes)| Message::datagram(bytes.clone()).expect("ours")).collect())
}

#[test]
fn a_422_is_followed_once_by_an_invite_with_the_longer_interval() {
    let mut pair = Pair::calling(&[]);
    let (refusal, invites) = refuse_422(&mut pair, "3600");
    let [first, second] = &invites[..] else { panic!("two INVITEs: {invites:?}") };
    assert_eq!(
        (second.header(Name::MinSe), second.header(Name::SessionExpires)),
        (Some(&b"3600"[..]), Some(&b"3600"[..]))
    );
    assert_eq!((first.call_id(), first.from_tag(), second.to_tag()), (second.call_id(), second.from_tag(), None));
    assert_eq!(second.cseq().number, first.cseq().number + 1);
    assert_ne!(first.via().branch(), second.via().branch());
    assert_eq!(second.values(Name::Via).count(), 1);
    assert!(String::from_utf8_lossy(second.body()).contains("m=audio 20000 "));
    assert_eq!(second.header_named(b"X-Hotline"), Some(&b"12369"[..]));
    // The refusal again: acknowledged again, and nothing else.
    let acks = |pair: &Pair| pair.wire.iter().filter(|(_, _, bytes)| bytes.starts_with(b"ACK")).count();
    assert_eq!(acks(&pair), 1);
    pair.inject(false, refusal);
    assert_eq!((acks(&pair), pair.count(|(_, event)| is_end(event))), (2, 0));
    // The second INVITE makes the call.
    pair.wire.retain(|(_, _, bytes)| !bytes.starts_with(b"ACK") && *bytes != *first.bytes());
    pair.until(|pair| pair.callee.is_some());
    pair.act(false, local_media(30_000));
    pair.act(false, LegAction::Answer);
    pair.until(|pair| pair.has(false, &LegEvent::Confirmed));
    assert!(pair.has(true, &LegEvent::Answered), "{:?}", pair.heard);
    pair.act(true, LegAction::HangUp(EndReason::Normal));
    pair.drain();
}

#[test]
fn a_422_that_asks_for_nothing_longer_or_comes_twice_is_a_failure() {
    for asked in ["60", "nonsense"] {
        let mut pair = Pair::calling(&[]);
        let (_, invites) = refuse_422(&mut pair, asked);
        assert_eq!(invites.len(), 1, "{asked}");
        assert!(pair.has(true, &failed(422, true)), "{asked}");
    }
    let mut pair = Pair::calling(&[]);
    refuse_422(&mut pair, "3600");
    let (_, invites) = refuse_422(&mut pair, "7200");
    assert_eq!(invites.len(), 2);
    assert!(pair.has(true, &failed(422, true)));
}

#[test]
fn an_answer_that_crosses_the_cancel_is_acknowledged_and_hung_up_at_once() {
    let mut pair = Pair::calling(&[]);
    pair.until(|pair| pair.callee.is_some());
    pair.act(false, LegAction::Ring);
    pair.until(|pair| pair.has(true, &LegEvent::Ringing));
    pair.act(false, local_media(30_000));
    pair.act(false, LegAction::Answer);
    pair.act(true, LegAction::HangUp(EndReason::Normal));
    let begun = pair.now.mono;
    pair.until(|pair| pair.count(|(caller, event)| !caller && matches!(event, LegEvent::Bye { .. })) == 1);
    assert!(pair.now.mono.since(begun) < Duration::from_secs(1), "{:?}", pair.heard);
    pair.drain();
}
