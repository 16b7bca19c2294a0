//! Who guesses passwords, who floods, and the phones that work beside them.

use super::*;

fn at_address(remote: &str) -> Flow {
    Flow { transport: Transport::Udp, remote: remote.parse().unwrap(), ..phone() }
}

impl Bench {
    /// One attempt with a fresh challenge; its last status, `None` when nothing was answered.
    fn attempt(&mut self, flow: Flow, user: &str, password: &str) -> Option<u16> {
        self.ms += 1;
        let named = format!("t{}", self.ms);
        self.bytes(flow, request("REGISTER", user, &named, ""));
        let challenge = self.sent().pop()?;
        let plain = request("REGISTER", user, &named, "");
        let authorization = answer(&challenge, &plain, user, password);
        let again = request("REGISTER", user, &format!("{named}b"), &format!("Authorization: {authorization}\r\n"));
        self.bytes(flow, again);
        self.statuses().pop()
    }

    fn pauses(&self) -> usize {
        let guessing = |effect: &&SwitchEffect| matches!(effect, SwitchEffect::Count(Counted::Guessing { .. }));
        self.out.iter().filter(guessing).count()
    }
}

/// The answer without what differs by chance: the digits of nonces, and what is copied from the request.
fn shape(answer: &Message) -> (usize, Vec<(String, usize)>) {
    let lines = answer.all_headers().map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.len()));
    (answer.bytes().len(), lines.collect())
}

#[test]
fn an_unknown_user_and_a_wrong_password_get_answers_of_one_shape() {
    let mut bench = Bench::new(&[]);
    let mut shapes = Vec::new();
    for (user, password, address) in
        [("1001", "wrong-001", "10.0.0.1:5060"), ("7777", "demo-1001", "10.0.0.2:5060"), ("1002", "x", "10.0.0.3:5060")]
    {
        bench.ms = 0;
        for nth in 0..8 {
            bench.ms = 10 + nth;
            bench.attempt(at_address(address), user, password);
            shapes.push(shape(&bench.sent()[0]));
        }
    }
    let to_same_port = shapes.iter().all(|shape| *shape == shapes[0]);
    assert!(to_same_port, "{shapes:#?}");
}

#[test]
fn fifty_wrong_passwords_from_one_address_shut_out_nobody_else() {
    let mut bench = Bench::new(&[]);
    let (attacker, nat) = (at_address("10.0.0.66:5060"), at_address("10.0.0.1:5071"));
    assert_eq!(bench.attempt(nat, "1001", "demo-1001"), Some(200));
    for nth in 0..50 {
        assert_eq!(bench.attempt(attacker, "1001", "guess"), Some(401));
        assert_eq!(bench.pauses(), usize::from(nth == 4), "attempt {nth}");
    }
    assert!(bench.counted(&Counted::Unchecked));
    assert_eq!(bench.attempt(attacker, "1001", "demo-1001"), Some(401), "not even the right one is looked at");
    assert_eq!(bench.attempt(nat, "1001", "demo-1001"), Some(200));
    assert_eq!(bench.attempt(at_address("10.0.0.2:5060"), "1002", "demo-1002"), Some(200));
    bench.ms += 1_000;
    assert_eq!(bench.attempt(attacker, "1001", "demo-1001"), Some(200), "after the pause");
}

#[test]
fn a_guesser_behind_the_same_nat_shuts_out_no_phone_that_is_registered_there() {
    let mut bench = Bench::new(&[]);
    let (one, two, guesser) = (at_address("10.0.0.1:5071"), at_address("10.0.0.1:5072"), at_address("10.0.0.1:6666"));
    assert_eq!(bench.attempt(one, "1001", "demo-1001"), Some(200));
    assert_eq!(bench.attempt(two, "1002", "demo-1002"), Some(200));
    for nth in 0..200 {
        bench.attempt(guesser, ["1001", "1002", "9999"][nth % 3], "guess");
    }
    assert_eq!(bench.attempt(guesser, "1001", "demo-1001"), Some(401));
    assert_eq!(bench.attempt(one, "1001", "demo-1001"), Some(200));
    assert_eq!(bench.attempt(two, "1002", "demo-1002"), Some(200));
}

#[test]
fn failures_on_a_nonce_of_somebody_else_count_for_nobody() {
    let mut bench = Bench::new(&[]);
    bench.bytes(at_address("10.0.0.66:5060"), request("REGISTER", "1001", "a", ""));
    let challenge = bench.sent().remove(0);
    let authorization = answer(&challenge, &request("REGISTER", "1001", "a", ""), "1001", "guess");
    for nth in 0..100 {
        let forged = request("REGISTER", "1001", &format!("f{nth}"), &format!("Authorization: {authorization}\r\n"));
        bench.bytes(at_address("10.0.0.1:5071"), forged);
        assert_eq!(bench.statuses(), [401]);
    }
    assert_eq!(bench.switch.desk().failures(), 0);
    assert_eq!(bench.attempt(at_address("10.0.0.1:5071"), "1001", "demo-1001"), Some(200));
}

#[test]
fn a_flood_without_passwords_is_answered_up_to_a_rate_and_others_go_on() {
    let mut bench = Bench::new(&[]);
    let flood = at_address("10.0.0.66:5060");
    let answered = |bench: &mut Bench, from: u64| {
        (0..4_200_u64)
            .filter(|nth| {
                bench.bytes(flood, request("INVITE", "1001", &format!("f{from}{nth}"), ""));
                !bench.statuses().is_empty()
            })
            .count()
    };
    assert_eq!(answered(&mut bench, 0), 4_000);
    assert!(bench.counted(&Counted::Throttled));
    bench.ms += 1_000;
    assert_eq!(answered(&mut bench, 1), 400);
    for junk in ["\u{0}\u{1}", "INVITE sip:x SIP/2.0\r\n\r\n"] {
        bench.bytes(flood, junk);
        assert!(bench.statuses().is_empty());
    }
    assert_eq!(bench.attempt(at_address("10.0.0.1:5071"), "1001", "demo-1001"), Some(200));
    for nth in 0..4_200 {
        bench.bytes(carrier(), request("OPTIONS", "12345", &format!("o{nth}"), ""));
        assert_eq!(bench.statuses(), [200], "a trunk is no stranger");
    }
}

#[test]
fn a_registered_phone_is_heard_while_its_neighbour_behind_the_nat_floods() {
    let mut bench = Bench::new(&[]);
    let (phone, flood) = (at_address("10.0.0.1:5071"), at_address("10.0.0.1:6666"));
    assert_eq!(bench.attempt(phone, "1001", "demo-1001"), Some(200));
    for nth in 0..4_200 {
        bench.bytes(flood, request("OPTIONS", "1001", &format!("f{nth}"), ""));
    }
    assert!(bench.statuses().is_empty());
    let call = bench.call("12345", "a");
    bench.switch.note_line(AgentId::new("1001"), MediaLeg { call, leg: LegId(1) }, LineState::Talking);
    let consult = |lines: &str| {
        request("INVITE", "1002", "c", lines).replace("From: <sip:04761234567@127.0.0.1>", "From: <sip:1001@127.0.0.1>")
    };
    bench.with_password(phone, &consult, "1001", "demo-1001");
    assert!(bench.out.iter().any(|effect| matches!(effect, SwitchEffect::Deliver(_, CallInput::Consult { .. }))));
}

#[test]
fn a_keep_alive_is_answered_and_not_taken_for_a_broken_message() {
    let mut bench = Bench::new(&[]);
    let phone = at_address("10.0.0.1:5071");
    let stun = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();
    bench.bytes(phone, stun.clone());
    assert!(matches!(&bench.out[..], [SwitchEffect::Transmit(to, answer)] if *to == phone && answer.len() == 32));
    bench.bytes(super::phone(), stun);
    assert!(bench.counted(&Counted::Malformed), "on a stream it is none");
}

#[test]
fn three_thousand_phones_behind_one_address_are_back_within_a_moment() {
    let mut bench = Bench::new(&[]);
    for nth in 0..3_000_u16 {
        let phone = at_address(&format!("10.0.0.1:{}", 10_000 + nth));
        assert_eq!(
            bench.attempt(
                phone,
                ["1001", "1002"][usize::from(nth) % 2],
                ["demo-1001", "demo-1002"][usize::from(nth) % 2]
            ),
            Some(200)
        );
    }
    assert_eq!(bench.switch.desk().remembered(), 3_000);
    bench.ms += 40_000;
    bench.switch.on_deadline(at(bench.ms), &mut Vec::new());
    assert_eq!(bench.switch.desk().remembered(), 0);
}
