//! Challenges to our requests.

use super::script::{Solo, sdp};
use super::*;
use crate::base::secret::Secret;
use crate::plan::trunk::TrunkCredential;
use crate::sip::header::auth::Auth;

fn credential(realm: Option<&str>) -> TrunkCredential {
    TrunkCredential { user: "8647612345".into(), password: Secret::new("geheim"), realm: realm.map(str::to_owned) }
}

fn challenge(realm: &str, nonce: &str, more: &str) -> String {
    format!("WWW-Authenticate: Digest realm=\"{realm}\", nonce=\"{nonce}\", algorithm=MD5, qop=\"auth\"{more}")
}

fn calling(realm: Option<&str>) -> Solo {
    let mut solo = Solo::calling(outgoing());
    solo.credential = Some(credential(realm));
    solo
}

fn shown(message: &Message, param: &str) -> Option<String> {
    let value = message.header(Name::Authorization).or_else(|| message.header(Name::ProxyAuthorization))?;
    Auth::parse(value).expect("ours").get_str(param).map(str::to_owned)
}

#[test]
fn rfc3261_s22_2_a_challenged_invite_is_answered_and_its_ack_carries_the_same_proof() {
    for (status, asks, proves) in
        [(401, "WWW-Authenticate", Name::Authorization), (407, "Proxy-Authenticate", Name::ProxyAuthorization)]
    {
        let mut solo = calling(None);
        let first = solo.last("INVITE");
        let asked = challenge("ims.example", "n1", "").replace("WWW-Authenticate", asks);
        solo.respond("INVITE", status, "x", &asked, None);
        let second = solo.last("INVITE");
        assert_eq!((second.cseq().number, second.call_id()), (2, first.call_id()));
        assert_eq!((second.from_tag(), second.to_tag(), second.body()), (first.from_tag(), None, first.body()));
        assert_ne!(second.via().branch(), first.via().branch());
        assert_eq!(shown(&second, "realm").as_deref(), Some("ims.example"));
        assert_eq!(shown(&second, "nc").as_deref(), Some("00000001"));
        assert_eq!(solo.count("ACK"), 1, "the refusal is acknowledged");
        // The old refusal again draws its ACK only.
        let again = solo.response(&first, status, "x", &asked, None);
        solo.hear(again);
        assert_eq!((solo.count("ACK"), solo.count("INVITE")), (2, 2));
        solo.respond("INVITE", 200, "y", "", Some(&sdp(30_000)));
        assert_eq!(solo.leg.state(), LegState::Talking, "{:?}", solo.heard);
        assert_eq!(solo.last("ACK").header(proves), second.header(proves), "RFC 3261 §22.1");
    }
}

#[test]
fn a_challenge_is_answered_at_most_twice_and_a_refused_account_once() {
    let mut solo = calling(None);
    for nonce in ["n1", "n2", "n3"] {
        solo.respond("INVITE", 401, "x", &challenge("r", nonce, ""), None);
    }
    assert_eq!(solo.count("INVITE"), 3);
    assert!(solo.heard.contains(&failed(401, true)), "{:?}", solo.heard);
    // The same nonce refused is the account refused.
    let mut solo = calling(None);
    for _ in 0..2 {
        solo.respond("INVITE", 401, "x", &challenge("r", "n1", ""), None);
    }
    assert_eq!(solo.count("INVITE"), 2);
    assert!(solo.heard.contains(&failed(401, true)));
    // Unless it is said to be stale.
    let mut solo = calling(None);
    solo.respond("INVITE", 401, "x", &challenge("r", "n1", ""), None);
    solo.respond("INVITE", 401, "x", &challenge("r", "n2", ", stale=true"), None);
    assert_eq!(solo.count("INVITE"), 3);
}

#[test]
fn a_foreign_realm_is_shown_nothing() {
    for (own, asked) in [(Some("ims.example"), "evil.example"), (Some("ims.example"), "")] {
        let mut solo = calling(own);
        solo.respond("INVITE", 407, "x", &challenge(asked, "n1", "").replace("WWW", "Proxy"), None);
        solo.respond("INVITE", 401, "x", &challenge(asked, "n1", ""), None);
        assert_eq!(solo.count("INVITE"), 1);
        assert_eq!(solo.count_events(|event| matches!(event, LegEvent::Failed { .. })), 1);
    }
    // Without a realm of its own the first one asked for is the only one.
    let mut solo = calling(None);
    solo.respond("INVITE", 401, "x", &challenge("one", "n1", ""), None);
    solo.respond("INVITE", 401, "x", &challenge("two", "n2", ""), None);
    assert_eq!(solo.count("INVITE"), 2);
    // A challenge beside a foreign one is met.
    let mut solo = calling(Some("two"));
    let both = format!("{}\r\n{}", challenge("one", "n1", ""), challenge("two", "n2", ""));
    solo.respond("INVITE", 401, "x", &both, None);
    assert_eq!(shown(&solo.last("INVITE"), "realm").as_deref(), Some("two"));
}

#[test]
fn without_an_account_a_challenge_is_a_refusal() {
    let mut solo = Solo::calling(outgoing());
    solo.respond("INVITE", 401, "x", &challenge("r", "n", ""), None);
    assert_eq!(solo.count("INVITE"), 1);
    assert!(solo.heard.contains(&failed(401, true)));
}

#[test]
fn a_challenged_request_in_the_dialog_is_tried_again_with_the_nonce_counted_on() {
    let mut solo = calling(None);
    solo.respond("INVITE", 401, "x", &challenge("r", "n1", ""), None);
    solo.respond("INVITE", 200, "y", "", Some(&sdp(30_000)));
    solo.act(LegAction::Refresh);
    let refresh = solo.last("INVITE");
    solo.respond("INVITE", 401, "y", &challenge("r", "n1", ""), None);
    let again = solo.last("INVITE");
    assert_eq!(again.cseq().number, refresh.cseq().number + 1);
    assert_eq!((again.to_tag(), shown(&again, "nc").as_deref()), (Some(&b"y"[..]), Some("00000002")));
    assert_eq!(again.body(), refresh.body());
    solo.respond("INVITE", 200, "y", "", Some(&sdp(30_000)));
    assert_eq!(solo.last("ACK").cseq().number, again.cseq().number);
    solo.act(LegAction::HangUp(EndReason::Normal));
    solo.respond("BYE", 401, "y", &challenge("r", "n2", ""), None);
    assert_eq!((solo.count("BYE"), shown(&solo.last("BYE"), "nonce").as_deref()), (2, Some("n2")));
    solo.respond("BYE", 200, "y", "", None);
    solo.wait(Duration::from_secs(70));
    assert!(solo.leg.is_over(), "{:?}", solo.leg);
    assert_eq!(solo.count_events(is_end), 0, "{:?}", solo.heard);
}

#[test]
fn a_challenge_after_the_call_gave_up_is_not_answered() {
    let mut solo = calling(None);
    solo.act(LegAction::HangUp(EndReason::Abandoned));
    solo.respond("INVITE", 401, "x", &challenge("r", "n", ""), None);
    assert_eq!(solo.count("INVITE"), 1);
}

#[test]
fn the_password_is_nowhere_in_the_leg() {
    let mut solo = calling(None);
    solo.respond("INVITE", 401, "x", &challenge("r", "n1", ""), None);
    let stored = serde_json::to_string(&solo.leg).expect("serialisable");
    assert!(!stored.contains("geheim") && !format!("{:?}", solo.leg).contains("geheim"));
}
