//! Our registration at a carrier: granted, challenged, refused, refreshed, taken back, and what it makes known.

use super::trunks::response;
use super::*;
use crate::event::alarm::AlarmName;

const IMS: &[&str] = &[
    "sip.options_interval=\"0s\"",
    "trunk.ims.tenant=\"p\"",
    "trunk.ims.area=\"0476\"",
    "trunk.ims.register.domain=\"ims.example\"",
    "trunk.ims.register.user=\"8604768888000\"",
    "trunk.ims.register.proxy=\"sip:192.0.2.10:5060\"",
    "trunk.ims.credential.user=\"account\"",
    "trunk.ims.credential.password=\"secret\"",
];

const CHALLENGE: &str = "WWW-Authenticate: Digest realm=\"ims\", nonce=\"n1\", qop=\"auth\", algorithm=MD5\r\n";

fn registrar() -> Flow {
    trunk_side("192.0.2.10:5060")
}

/// The REGISTERs sent meanwhile, each once.
fn registers(bench: &mut Bench, ms: u64) -> Vec<Message> {
    let mut seen = std::collections::BTreeSet::new();
    let sent = bench.pass(ms).into_iter().map(|(_, flow, message)| {
        assert_eq!(flow.remote, registrar().remote);
        message
    });
    sent.filter(|message| message.is(&Method::Register) && seen.insert(message.via().branch().map(<[u8]>::to_vec)))
        .collect()
}

fn contact_of(message: &Message) -> String {
    String::from_utf8(message.contact().unwrap().uri().unwrap().user().unwrap().to_vec()).unwrap()
}

fn granted(request: &Message, seconds: u32) -> String {
    let contact = String::from_utf8(request.header(Name::Contact).unwrap().to_vec()).unwrap();
    let (uri, _) = contact.split_once(";expires").unwrap();
    response(
        request,
        200,
        &format!("Contact: <sip:other@192.0.2.99>;expires=7\r\nContact: {uri};expires={seconds}\r\n"),
    )
}

impl Bench {
    fn tell(&mut self, text: String) -> Vec<Message> {
        self.bytes(registrar(), text);
        let sent = self.sent();
        let mut out = std::mem::take(&mut self.out);
        self.kept.append(&mut out);
        sent
    }

    fn is_registered(&self) -> bool {
        let views = self.switch.trunk_views(at(self.ms));
        views.iter().filter_map(|trunk| trunk.registration.as_ref()).any(|registration| registration.registered)
    }

    /// Registers with one challenge; the granted request.
    fn enrolled(&mut self, seconds: u32) -> Message {
        let first = registers(self, 10).remove(0);
        let again = self.tell(response(&first, 401, CHALLENGE)).remove(0);
        self.tell(granted(&again, seconds));
        assert!(self.is_registered());
        again
    }
}

#[test]
fn rfc3261_s10_2_a_registration_is_asked_for_proven_and_granted() {
    let mut bench = Bench::new(IMS);
    let first = registers(&mut bench, 10).remove(0);
    let uri = |message: &Message| String::from_utf8(message.request_uri().unwrap().to_vec()).unwrap();
    assert_eq!(uri(&first), "sip:ims.example");
    assert_eq!(first.to().uri().unwrap().as_bytes(), b"sip:8604768888000@ims.example");
    assert_eq!((first.expires(), first.header(Name::Authorization)), (Some(3_600), None));
    let again = bench.tell(response(&first, 401, CHALLENGE)).remove(0);
    let proof = String::from_utf8(again.header(Name::Authorization).unwrap().to_vec()).unwrap();
    assert!(proof.contains("username=\"account\"") && !proof.contains("secret"), "{proof}");
    assert_eq!((again.call_id(), again.cseq().number), (first.call_id(), first.cseq().number + 1));
    assert_ne!(again.via().branch(), first.via().branch());
    bench.tell(granted(&again, 1_000));
    assert!(bench.is_registered() && bench.alarms().is_empty());
    assert!(registers(&mut bench, 499_000).is_empty());
    let refresh = registers(&mut bench, 2_000).remove(0);
    assert!(refresh.header(Name::Authorization).is_some(), "the known nonce saves a round");
    bench.tell(granted(&refresh, 4_000));
    assert!(registers(&mut bench, 3_390_000).is_empty(), "a long grant is refreshed 10 minutes before its end");
    assert_eq!(registers(&mut bench, 20_000).len(), 1);
}

#[test]
fn a_challenge_is_answered_twice_at_most_and_never_for_a_foreign_realm() {
    let mut bench = Bench::new(IMS);
    let mut last = registers(&mut bench, 10).remove(0);
    for nonce in ["n1", "n2"] {
        last = bench.tell(response(&last, 401, &CHALLENGE.replace("n1", nonce))).remove(0);
    }
    assert!(bench.tell(response(&last, 401, &CHALLENGE.replace("n1", "n3"))).is_empty());
    assert_eq!(bench.alarms(), [(AlarmName::TrunkNotRegistered, "ims".to_owned(), true)]);
    let next = registers(&mut bench, 5_100).remove(0);
    assert!(bench.tell(response(&next, 401, &CHALLENGE.replace("\"ims\"", "\"evil\""))).is_empty(), "learnt: ims");
    let mut bench = Bench::new(&[IMS, &["trunk.ims.credential.realm=\"ims.example\""]].concat());
    let first = registers(&mut bench, 10).remove(0);
    assert!(bench.tell(response(&first, 401, CHALLENGE)).is_empty(), "configured: ims.example");
    assert!(!bench.is_registered());
}

#[test]
fn rfc3261_s10_2_8_a_423_is_obeyed_once() {
    let mut bench = Bench::new(IMS);
    let first = registers(&mut bench, 10).remove(0);
    let longer = bench.tell(response(&first, 423, "Min-Expires: 7200\r\n")).remove(0);
    assert_eq!(longer.expires(), Some(7_200));
    assert!(bench.tell(response(&longer, 423, "Min-Expires: 9000\r\n")).is_empty());
}

#[test]
fn rfc5626_s4_5_failures_are_retried_later_and_later() {
    let mut bench = Bench::new(IMS);
    let mut last = registers(&mut bench, 10).remove(0);
    let mut waited = Vec::new();
    for _ in 0..12 {
        assert!(bench.tell(response(&last, 500, "")).is_empty());
        let began = bench.ms;
        last = loop {
            if let Some(next) = registers(&mut bench, 100).pop() {
                break next;
            }
            assert!(bench.ms - began < 1_900_000);
        };
        waited.push((bench.ms - began) / 1_000);
    }
    for (nth, seconds) in waited.iter().enumerate() {
        let whole = (5 << nth).min(1_800);
        assert!((whole / 2..=whole + 1).contains(seconds), "{nth}: {waited:?}");
    }
    assert_eq!(bench.alarms(), [(AlarmName::TrunkNotRegistered, "ims".to_owned(), true)], "raised once");
    bench.tell(response(&last, 503, "Retry-After: 1800 (maintenance)\r\n"));
    assert!(registers(&mut bench, 1_790_000).is_empty());
}

#[test]
fn a_grant_outlives_failed_refreshes_and_runs_out() {
    let mut bench = Bench::new(IMS);
    bench.enrolled(600);
    bench.pass(300_000);
    assert!(bench.is_registered());
    let tried = registers(&mut bench, 250_000).len();
    assert!(tried >= 2, "{tried}");
    assert!(bench.is_registered() && bench.alarms().is_empty() == bench.is_registered());
    bench.pass(60_000);
    assert!(!bench.is_registered());
    assert_eq!(bench.alarms(), [(AlarmName::TrunkNotRegistered, "ims".to_owned(), true)]);
    let next = loop {
        if let Some(next) = registers(&mut bench, 1_000).pop() {
            break next;
        }
    };
    bench.tell(granted(&next, 600));
    assert_eq!(bench.alarms(), [(AlarmName::TrunkNotRegistered, "ims".to_owned(), false)]);
}

#[test]
fn an_answer_that_does_not_list_us_is_no_grant() {
    let mut bench = Bench::new(IMS);
    let first = registers(&mut bench, 10).remove(0);
    bench.tell(response(&first, 200, "Contact: <sip:other@192.0.2.99>;expires=7\r\n"));
    assert!(!bench.is_registered());
    let mut bench = Bench::new(IMS);
    let first = registers(&mut bench, 10).remove(0);
    bench.tell(response(&first, 200, "Expires: 90\r\n"));
    assert!(bench.is_registered(), "a registrar that lists none binds what was asked");
}

#[test]
fn a_call_to_our_contact_or_from_the_registrar_is_the_trunks_and_its_number_stands_in_to() {
    let mut bench = Bench::new(IMS);
    let contact = contact_of(&bench.enrolled(600));
    let invite = |named: &str, user: &str| {
        request("INVITE", user, named, "")
            .replace("To: <sip:", "To: <sip:12369@ims.example>;x=<sip:")
            .replace(&format!(";x=<sip:{user}@127.0.0.1>"), "")
    };
    bench.bytes(trunk_side("198.51.100.7:5060"), invite("a", &contact));
    let new = bench.begun().unwrap();
    assert_eq!((inbound(new).trunk.as_str(), &*inbound(new).route.number), ("ims", "12369"));
    bench.bytes(trunk_side("198.51.100.7:5060"), invite("b", "12369"));
    assert_eq!(bench.statuses(), [403], "no other header makes anybody known");
    bench.bytes(trunk_side("192.0.2.10:6000"), invite("c", "12369"));
    assert_eq!(inbound(bench.begun().unwrap()).trunk.as_str(), "ims");
    let called = "P-Called-Party-ID: <sip:12345@ims.example>\r\n";
    bench.bytes(trunk_side("198.51.100.7:5060"), request("INVITE", &contact, "d", called));
    assert_eq!(&*inbound(bench.begun().unwrap()).route.number, "12345");
}

#[test]
fn calls_out_go_by_the_registrars_proxy_to_the_domain() {
    let mut bench = Bench::new(IMS);
    bench.enrolled(600);
    let query = Query::Trunk { trunk: TrunkName::new("ims"), number: Arc::from("04768337772"), emergency: false };
    let found = bench.find(query);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].flow, &*found[0].uri), (registrar(), "sip:04768337772@ims.example"));
}

#[test]
fn at_the_end_the_registration_is_taken_back() {
    let mut bench = Bench::new(IMS);
    bench.enrolled(600);
    bench.out.clear();
    bench.switch.leave_registrars(at(bench.ms), &mut bench.out);
    let last = bench.sent().remove(0);
    assert_eq!(last.expires(), Some(0));
    assert!(last.header(Name::Contact).unwrap().ends_with(b";expires=0"));
    assert!(!bench.switch.has_left_registrars());
    bench.tell(response(&last, 200, ""));
    assert!(bench.switch.has_left_registrars() && bench.alarms().is_empty());
    assert!(registers(&mut bench, 4_000_000).is_empty());
    let mut bench = Bench::new(IMS);
    registers(&mut bench, 10);
    bench.out.clear();
    bench.switch.leave_registrars(at(bench.ms), &mut bench.out);
    assert!(bench.sent().is_empty() && bench.switch.has_left_registrars(), "nothing was granted yet");
}

#[test]
fn a_plan_without_it_forgets_it_and_its_alarm() {
    let mut bench = Bench::new(IMS);
    let first = registers(&mut bench, 10).remove(0);
    bench.tell(response(&first, 403, ""));
    bench.switch.replan(plan(&["sip.options_interval=\"0s\""]), &mut Vec::new());
    bench.pass(10);
    let told = bench.alarms();
    assert_eq!(told.iter().map(|one| one.2).collect::<Vec<_>>(), [true, false]);
    assert!(registers(&mut bench, 60_000).is_empty());
}

#[test]
fn a_registration_over_a_connection_that_is_gone_is_made_anew() {
    let mut bench = Bench::new(&[IMS, &["trunk.ims.register.proxy=\"sip:192.0.2.10:5060;transport=tcp\""]].concat());
    bench.enrolled(600);
    bench.switch.closed(at(bench.ms), FlowId(99), &mut Vec::new());
    assert!(registers(&mut bench, 6_000).is_empty(), "another connection");
    bench.switch.closed(at(bench.ms), registrar().id, &mut Vec::new());
    assert_eq!(registers(&mut bench, 6_000).len(), 1);
}
