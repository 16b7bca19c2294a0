//! Challenges and answers, with our own client as the phone.

use jiff::Timestamp;
use proptest::prelude::*;

use super::super::Account;
use super::super::client::{ClientAuth, Subject, Unanswerable};
use super::*;
use crate::base::now::Mono;

const URI: &[u8] = b"sip:12345.example";

fn at(seconds: u64) -> Now {
    let wall: Timestamp = "2026-11-21T02:00:00Z".parse().unwrap();
    Now { mono: Mono::ZERO, wall }.after(Duration::from_secs(seconds))
}

fn authenticator(policy: DigestPolicy) -> Authenticator {
    Authenticator::new("12345", NonceKey::new([9; 32]), policy)
}

fn account(password: &str) -> Account {
    Account { user: "1001".to_owned(), password: Secret::new(password) }
}

fn subject(method: &'static str) -> Subject<'static> {
    Subject { method, uri: URI, cnonce: "c1" }
}

fn passwords(user: &str) -> Option<Known> {
    (user == "1001").then(|| Known::Password(Secret::new("demo-1001")))
}

const PEER: &[u8] = &[10, 0, 0, 1];

fn judge(server: &mut Authenticator, now: Now, method: &str, value: &[u8]) -> Verdict {
    judge_at(server, now, (method, URI), PEER, &[value])
}

fn judge_at(server: &mut Authenticator, now: Now, line: (&str, &[u8]), peer: &[u8], values: &[&[u8]]) -> Verdict {
    match server.read(now, peer, line.1, values.iter().copied()) {
        Ok(claim) => server.judge(now, &claim, line.0, passwords(claim.user())),
        Err(verdict) => verdict,
    }
}

fn answer(client: &mut ClientAuth, offered: &[String], password: &str) -> Vec<u8> {
    client.answer(offered.iter().map(String::as_bytes), &account(password), subject("REGISTER")).unwrap()
}

fn challenges(server: &mut Authenticator, now: Now, stale: bool) -> Vec<String> {
    server.challenges(now, PEER, stale).into_iter().map(|value| String::from_utf8(value).unwrap()).collect()
}

fn granted() -> Verdict {
    Verdict::Granted { user: "1001".to_owned() }
}

const STALE: Verdict = Verdict::Challenge { stale: true };
const AGAIN: Verdict = Verdict::Challenge { stale: false };

#[test]
fn rfc8760_s2_3_sha256_is_offered_first_and_a_right_answer_is_granted() {
    let mut server = authenticator(DigestPolicy::default());
    let offered = challenges(&mut server, at(0), false);
    assert!(offered[0].contains("algorithm=SHA-256") && offered[1].contains("algorithm=MD5"));
    let value = answer(&mut ClientAuth::new(), &offered, "demo-1001");
    assert!(String::from_utf8_lossy(&value).contains("algorithm=SHA-256"));
    assert_eq!(judge(&mut server, at(1), "REGISTER", &value), granted());
}

#[test]
fn an_md5_phone_is_served_too() {
    let mut server = authenticator(DigestPolicy::default());
    let offered = challenges(&mut server, at(0), false);
    let value = answer(&mut ClientAuth::new(), &offered[1..], "demo-1001");
    assert_eq!(judge(&mut server, at(1), "REGISTER", &value), granted());
}

#[test]
fn an_answer_by_a_weaker_algorithm_than_the_nonce_was_given_for_is_refused() {
    let mut server = authenticator(DigestPolicy::default());
    let strong = challenges(&mut server, at(0), false)[0].replace("SHA-256", "MD5");
    let value = answer(&mut ClientAuth::new(), &[strong], "demo-1001");
    assert_eq!(judge(&mut server, at(1), "REGISTER", &value), STALE);

    let mut strict = authenticator(DigestPolicy { algorithms: vec![Algorithm::Sha256], ..DigestPolicy::default() });
    let weak = challenges(&mut strict, at(0), false)[0].replace("SHA-256", "MD5");
    let value = answer(&mut ClientAuth::new(), &[weak], "demo-1001");
    assert_eq!(judge(&mut strict, at(1), "REGISTER", &value), AGAIN);
}

#[test]
fn unknown_user_and_wrong_password_look_alike() {
    let mut server = authenticator(DigestPolicy::default());
    let offered = challenges(&mut server, at(0), false);
    let wrong = answer(&mut ClientAuth::new(), &offered, "guess");
    let stranger = Account { user: "9999".to_owned(), password: Secret::new("demo-1001") };
    let unknown =
        ClientAuth::new().answer(offered.iter().map(String::as_bytes), &stranger, subject("REGISTER")).unwrap();
    assert_eq!(judge(&mut server, at(1), "REGISTER", &wrong), AGAIN);
    assert_eq!(judge(&mut server, at(1), "REGISTER", &unknown), AGAIN);
    assert!(server.counts.is_empty(), "a failed answer stores nothing");
}

#[test]
fn no_answer_or_one_for_another_realm_is_challenged() {
    let mut server = authenticator(DigestPolicy::default());
    assert_eq!(judge_at(&mut server, at(0), ("REGISTER", URI), PEER, &[]), AGAIN);
    let other = br#"Digest username="1001", realm="elsewhere", nonce="x", uri="sip:x", response="y""#;
    assert_eq!(judge(&mut server, at(0), "REGISTER", other), AGAIN);
    assert_eq!(judge(&mut server, at(0), "REGISTER", b"Basic abc"), AGAIN);
}

#[test]
fn rfc7616_s3_4_a_used_count_is_stale_and_the_next_one_is_good() {
    let mut server = authenticator(DigestPolicy::default());
    let mut client = ClientAuth::new();
    let first = answer(&mut client, &challenges(&mut server, at(0), false), "demo-1001");
    assert_eq!(judge(&mut server, at(1), "REGISTER", &first), granted());
    assert_eq!(judge(&mut server, at(2), "REGISTER", &first), STALE, "a replay");
    let second = client.ahead(&account("demo-1001"), subject("INVITE")).unwrap();
    let third = client.ahead(&account("demo-1001"), subject("INVITE")).unwrap();
    assert_eq!(judge(&mut server, at(3), "INVITE", &third), granted());
    assert_eq!(judge(&mut server, at(3), "INVITE", &second), granted(), "UDP reorders");
    assert_eq!(judge(&mut server, at(3), "INVITE", &second), STALE);
}

#[test]
fn an_answer_serves_its_own_method_and_address_only() {
    let mut server = authenticator(DigestPolicy::default());
    let value = answer(&mut ClientAuth::new(), &challenges(&mut server, at(0), false), "demo-1001");
    assert_eq!(judge(&mut server, at(1), "INVITE", &value), AGAIN);
    let elsewhere = judge_at(&mut server, at(1), ("REGISTER", b"sip:110@12345.example"), PEER, &[&value]);
    assert_eq!(elsewhere, Verdict::Malformed);
    let line = ("REGISTER", &b"sip:12345.EXAMPLE:5062;transport=tcp"[..]);
    let with_port = judge_at(&mut server, at(1), line, PEER, &[&value]);
    assert_eq!(with_port, granted(), "phones leave port and parameters out of the uri parameter");
}

#[test]
fn rfc7616_s3_3_an_old_nonce_is_stale() {
    let mut server = authenticator(DigestPolicy::default());
    let value = answer(&mut ClientAuth::new(), &challenges(&mut server, at(0), false), "demo-1001");
    assert_eq!(judge(&mut server, at(301), "REGISTER", &value), STALE);
    let wrong = answer(&mut ClientAuth::new(), &challenges(&mut server, at(0), false), "guess");
    assert_eq!(judge(&mut server, at(301), "REGISTER", &wrong), STALE, "an old nonce tells nothing of a password");
    assert_eq!(judge(&mut server, at(300), "REGISTER", &wrong), AGAIN);
    assert_eq!(judge(&mut server, at(300), "REGISTER", &value), granted(), "the last instant");
}

#[test]
fn a_nonce_serves_only_the_peer_it_was_given_to() {
    let mut server = authenticator(DigestPolicy::default());
    let value = answer(&mut ClientAuth::new(), &challenges(&mut server, at(0), false), "demo-1001");
    let line = ("REGISTER", URI);
    for peer in [&[10, 0, 0, 2][..], &[], &[10, 0, 0, 1, 0]] {
        assert_eq!(judge_at(&mut server, at(1), line, peer, &[&value]), STALE);
    }
    assert_eq!(judge_at(&mut server, at(1), line, PEER, &[&value]), granted());
}

#[test]
fn another_realm_makes_former_challenges_worthless() {
    let mut server = authenticator(DigestPolicy::default());
    let value = answer(&mut ClientAuth::new(), &challenges(&mut server, at(0), false), "demo-1001");
    server.set("elsewhere", vec![Algorithm::Md5]);
    assert_eq!(judge(&mut server, at(1), "REGISTER", &value), AGAIN);
    assert_eq!(challenges(&mut server, at(1), false).len(), 1);
}

#[test]
fn remembered_counts_go_with_the_life_of_their_nonce() {
    let mut server = authenticator(DigestPolicy::default());
    for second in 0..5 {
        let value = answer(&mut ClientAuth::new(), &challenges(&mut server, at(second), false), "demo-1001");
        assert_eq!(judge(&mut server, at(second), "REGISTER", &value), granted());
    }
    assert_eq!(server.remembered(), 5);
    let value = answer(&mut ClientAuth::new(), &challenges(&mut server, at(303), false), "demo-1001");
    assert_eq!(judge(&mut server, at(303), "REGISTER", &value), granted());
    assert_eq!(server.remembered(), 3, "those of second 3 and 4, and the new one");
}

#[test]
fn a_nonce_of_a_former_engine_is_stale_not_refused() {
    let mut former = Authenticator::new("12345", NonceKey::new([1; 32]), DigestPolicy::default());
    let value = answer(&mut ClientAuth::new(), &challenges(&mut former, at(0), false), "demo-1001");
    assert_eq!(judge(&mut authenticator(DigestPolicy::default()), at(1), "REGISTER", &value), STALE);
}

#[test]
fn an_answer_without_qop_serves_once_where_it_is_allowed() {
    let mut server = authenticator(DigestPolicy::default());
    let legacy: Vec<_> =
        challenges(&mut server, at(0), false).iter().map(|value| value.replace(", qop=\"auth\"", "")).collect();
    let value = answer(&mut ClientAuth::new(), &legacy, "demo-1001");
    assert!(!String::from_utf8_lossy(&value).contains("qop"));
    assert_eq!(judge(&mut server.clone(), at(1), "REGISTER", &value), granted());
    let mut strict = server.clone();
    strict.policy.without_qop = false;
    assert_eq!(judge(&mut strict, at(1), "REGISTER", &value), STALE);
    assert_eq!(judge(&mut server, at(1), "REGISTER", &value), granted());
    assert_eq!(judge(&mut server, at(1), "REGISTER", &value), STALE);
}

#[test]
fn the_number_of_remembered_nonces_is_bounded_and_forgetting_lets_nothing_be_replayed() {
    let mut server = authenticator(DigestPolicy { remembered: 3, ..DigestPolicy::default() });
    let values: Vec<_> =
        (0..5).map(|_| answer(&mut ClientAuth::new(), &challenges(&mut server, at(0), false), "demo-1001")).collect();
    for value in &values {
        assert_eq!(judge(&mut server, at(1), "REGISTER", value), granted());
    }
    assert_eq!(server.counts.len(), 3);
    for value in &values {
        assert_eq!(judge(&mut server, at(2), "REGISTER", value), STALE);
    }
    assert_eq!(judge(&mut server, at(400), "REGISTER", &values[0]), STALE);
}

#[test]
fn rfc7616_s3_4_qop_without_count_is_malformed() {
    let mut server = authenticator(DigestPolicy::default());
    let value = answer(&mut ClientAuth::new(), &challenges(&mut server, at(0), false), "demo-1001");
    let text = String::from_utf8(value).unwrap();
    for broken in [text.replace(", nc=00000001", ""), text.replace("nc=00000001", "nc=+0000001")] {
        assert_eq!(judge(&mut server, at(1), "REGISTER", broken.as_bytes()), Verdict::Malformed);
    }
}

#[test]
fn the_client_tries_at_most_twice_and_not_the_same_nonce_again() {
    let mut server = authenticator(DigestPolicy::default());
    let mut client = ClientAuth::new();
    let first = challenges(&mut server, at(0), false);
    answer(&mut client, &first, "guess");
    let again = client.answer(first.iter().map(String::as_bytes), &account("guess"), subject("REGISTER"));
    assert_eq!(again, Err(Unanswerable::Refused));
    answer(&mut client, &challenges(&mut server, at(1), false), "guess");
    let third = challenges(&mut server, at(2), true);
    let third = client.answer(third.iter().map(String::as_bytes), &account("guess"), subject("REGISTER"));
    assert_eq!(third, Err(Unanswerable::Refused));
}

#[test]
fn a_challenge_we_cannot_meet_is_said_so() {
    let mut client = ClientAuth::new();
    for value in [
        r#"Digest realm="r", nonce="n", algorithm=MD5-sess"#,
        r#"Digest realm="r", nonce="n", qop="auth-int""#,
        "Bearer x",
    ] {
        let found = client.answer([value.as_bytes()], &account("x"), subject("INVITE"));
        assert_eq!(found, Err(Unanswerable::Unsupported), "{value}");
    }
}

#[test]
fn the_count_window_admits_each_count_once() {
    let mut window = Window::default();
    for nc in [1, 5, 3, 70, 8] {
        assert!(window.admit(nc), "{nc}");
        assert!(!window.admit(nc), "{nc} again");
    }
    assert!(!window.admit(2), "too far behind to know");
    assert!(window.admit(u32::MAX));
}

proptest! {
    #[test]
    fn odd_credentials_make_no_panic_and_open_nothing(
        bytes: Vec<u8>,
        name in prop::sample::select(vec!["username", "realm", "nonce", "uri", "response", "algorithm", "qop", "nc", "cnonce"]),
    ) {
        let mut server = authenticator(DigestPolicy::default());
        let good = answer(&mut ClientAuth::new(), &challenges(&mut server, at(0), false), "demo-1001");
        let mut value = Auth::parse(&good).unwrap().quoted("extra", "x");
        prop_assume!(value.get(name) != Some(&bytes[..]));
        value = Auth::parse(&good.split(|byte| *byte == b',').filter(|piece| {
            !piece.trim_ascii_start().starts_with(format!("{name}=").as_bytes())
        }).collect::<Vec<_>>().join(&b','))
        .unwrap_or(value)
        .quoted(name, &bytes);
        let verdict = judge(&mut server, at(1), "REGISTER", &value.to_bytes());
        prop_assert_ne!(verdict, granted());
        prop_assert_ne!(judge(&mut server, at(1), "REGISTER", &bytes), granted());
    }
}

#[test]
fn a_stored_ha1_serves_md5_and_nothing_else() {
    let ha1 = Algorithm::Md5.hash(&[b"1001:12345:demo-1001"]);
    for (algorithm, verdict) in [(Algorithm::Md5, granted()), (Algorithm::Sha256, AGAIN)] {
        let mut server = authenticator(DigestPolicy { algorithms: vec![algorithm], ..DigestPolicy::default() });
        let offered = challenges(&mut server, at(0), false);
        let value = answer(&mut ClientAuth::new(), &offered, "demo-1001");
        let stored = Some(Known::Ha1(Secret::new(ha1.clone())));
        let claim = server.read(at(1), PEER, URI, [value.as_slice()]).unwrap();
        assert_eq!(server.judge(at(1), &claim, "REGISTER", stored), verdict, "{algorithm:?}");
    }
}
