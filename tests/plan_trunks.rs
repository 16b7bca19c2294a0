//! Trunks as the configuration describes them: every key read, and numbers in the form each carrier wants.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::time::Duration;

#[path = "plans/memory.rs"]
mod memory;

use memory::Memory;
use switch12345::base::flow::Transport;
use switch12345::base::id::TrunkName;
use switch12345::plan::diagnose::Severity;
use switch12345::plan::route::{Facts, Verdict};
use switch12345::plan::trunk::{CalledFrom, FromCarries, HeaderRule, Reliable, Trunk};

/// The moment of every load.
const AT: &str = "2026-10-01T00:00:00+08:00";
/// The place.
const PLACE: &str = "[tenant]\nname = \"p\"\ntitle = \"某市\"\narea = \"0476\"\n#=== switch.toml\n";

fn trunk(text: &str) -> Arc<Trunk> {
    let loaded = Memory::bundle(&format!("{PLACE}[trunk.t]\ntenant = \"p\"\n{text}")).load(AT);
    let faults: Vec<_> = loaded
        .diagnostics
        .iter()
        .filter(|fault| fault.severity == Severity::Error)
        .map(|fault| loaded.sources.render(fault, false))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    Arc::clone(loaded.plan.unwrap().trunk(&TrunkName::new("t")).unwrap())
}

/// A trunk with every key.
const EVERY_KEY: &str = r#"
to = ["sip:ims.example", { uri = "sips:b.example:5071", order = 10, weight = 2 }, "sip:[2001:db8::1]:5062;transport=tcp"]
busy_out = true
options_interval = "10s"
down_after = 3
up_after = 4
reliable = "required"
interface = "127.0.0.1:5060"
advertise = "192.0.2.10"
platform = true
[trunk.t.register]
proxy = "sip:pcscf.example:5065;transport=tcp;lr"
domain = "ims.example"
user = "864768888000"
expires = "30m"
[trunk.t.credential]
user = "864768888000@ims.example"
password_file = "secret.txt"
realm = "ims.example"
[trunk.t.tls]
ca_file = "ca.pem"
certificate = "own.pem"
key = "own.key"
mutual = true
[trunk.t.incoming]
called = { strip = ["+86", "0"], add = "0", add_from_length = 9 }
caller = { strip = "+86" }
called_from = "p_called_party_id"
headers = [{ remove = "X-Foo" }, { add = { name = "X-Line", value = "IMS 1" } }]
[trunk.t.outgoing]
called = { strip = ["0"], add = "+86" }
caller = { add = "+86" }
user_phone = true
domain = "ims.example"
peer_domain = "sbc.example"
present = "+8647612345"
from = "present"
asserted = false
diversion = false
history_info = false
headers = [{ copy = "X-Bar" }, { remove = "X-Baz" }]
#=== secret.txt
geheim  
not this
"#;

#[test]
fn every_key_of_a_trunk_is_read() {
    let trunk = trunk(EVERY_KEY);
    let target = |nth: usize| {
        let target = trunk.to.get(nth).unwrap();
        (target.host.as_str(), target.port, target.transport, target.order, target.weight)
    };
    assert_eq!(target(0), ("ims.example", None, None, 0, 1));
    assert_eq!(target(1), ("b.example", Some(5071), Some(Transport::Tls), 10, 2));
    assert_eq!(target(2), ("2001:db8::1", Some(5062), Some(Transport::Tcp), 2, 1));
    assert!(trunk.busy_out && trunk.platform);
    assert_eq!(
        (trunk.health.interval, trunk.health.down_after, trunk.health.up_after),
        (Duration::from_secs(10), 3, 4)
    );
    assert_eq!(trunk.reliable, Reliable::Required);
    assert_eq!(trunk.interface, Some("127.0.0.1:5060".parse().unwrap()));
    assert_eq!(trunk.advertise, Some("192.0.2.10".parse().unwrap()));
    let register = trunk.register.as_ref().unwrap();
    assert_eq!((register.proxy.host.as_str(), register.proxy.port), ("pcscf.example", Some(5065)));
    assert_eq!((register.domain.as_str(), register.user.as_str()), ("ims.example", "864768888000"));
    assert_eq!(register.expires, Duration::from_secs(1_800));
    let credential = trunk.credential.as_ref().unwrap();
    assert_eq!((credential.user.as_str(), credential.password.reveal()), ("864768888000@ims.example", "geheim"));
    assert_eq!(credential.realm.as_deref(), Some("ims.example"));
    assert_eq!(trunk.tls.identity, Some(("own.pem".to_owned(), "own.key".to_owned())));
    assert!(trunk.tls.mutual && trunk.tls.ca_file.as_deref() == Some("ca.pem"));
}

#[test]
fn every_key_of_a_trunks_two_directions_is_read() {
    let trunk = trunk(EVERY_KEY);
    assert_eq!(trunk.incoming.called.apply("+864768337772"), "04768337772");
    assert_eq!(trunk.incoming.called.apply("12345"), "12345");
    assert_eq!(trunk.incoming.called_from, CalledFrom::CalledParty);
    assert_eq!(
        trunk.incoming.headers,
        [HeaderRule::Remove("X-Foo".into()), HeaderRule::Add("X-Line".into(), "IMS 1".into())]
    );
    let out = &trunk.outgoing;
    assert_eq!(out.called.apply("04768337772"), "+864768337772");
    assert_eq!(out.called.apply("12345"), "12345");
    assert_eq!((out.domain.as_deref(), out.peer_domain.as_deref()), (Some("ims.example"), Some("sbc.example")));
    assert_eq!((out.present.as_deref(), out.from), (Some("+8647612345"), FromCarries::Present));
    assert!(out.user_phone && !out.asserted && !out.diversion && !out.history_info);
    assert_eq!(out.headers, [HeaderRule::Copy("X-Bar".into()), HeaderRule::Remove("X-Baz".into())]);
}

#[test]
fn a_list_is_tried_as_written_and_weights_share() {
    let orders = |text: &str| -> Vec<_> {
        trunk(&format!("to = {text}\n")).to.iter().map(|target| (target.order, target.weight)).collect()
    };
    assert_eq!(orders("\"sip:a\""), [(0, 1)]);
    assert_eq!(orders("[\"sip:a\", { uri = \"sip:b\" }]"), [(0, 1), (1, 1)]);
    assert_eq!(orders("[{ uri = \"sip:a\", weight = 3 }, { uri = \"sip:b\", weight = 1 }]"), [(0, 3), (0, 1)]);
    assert_eq!(orders("{ uri = \"sip:a\", order = 5 }"), [(5, 1)]);
}

#[test]
fn a_registered_trunk_calls_out_through_its_proxy() {
    let text = "[trunk.t.register]\ndomain = \"ims.example\"\nuser = \"864768888000\"\n";
    let trunk = trunk(&format!("{text}[trunk.t.credential]\nuser = \"a\"\npassword = \"b\"\n"));
    assert_eq!(trunk.to.first().map(|target| (target.host.as_str(), target.port)), Some(("ims.example", None)));
}

#[test]
fn a_rule_strips_one_prefix_and_adds_to_long_numbers_only() {
    let text = "outgoing.called = { strip = [\"+86\", \"86\", \"0\"], add = \"+86\", add_from_length = 7 }\n";
    let trunk = trunk(text);
    for (number, sent) in [
        ("013800001234", "+8613800001234"),
        ("13800001234", "+8613800001234"),
        ("+8613800001234", "+8613800001234"),
        ("04768337772", "+864768337772"),
        ("8337772", "+868337772"),
        ("110", "110"),
        ("12345", "12345"),
        ("0", "0"),
        ("+86", "+86"),
    ] {
        assert_eq!(trunk.outgoing.called.apply(number), sent, "{number}");
    }
}

/// What the plan makes of a call over trunk `t`: number, hotline, caller in normal form, caller as it came.
fn routed(trunk: &str, dialled: &str, from: &str) -> (String, bool, String, String) {
    let place = "[tenant]\nname = \"p\"\ntitle = \"某市\"\narea = \"0476\"\n[[hotline]]\nnumber = \"12315\"\n\
                 name = \"消费者投诉举报\"\nmode = \"absorbed\"\n[[hotline]]\nnumber = \"8337772\"\nname = \"供热\"\n\
                 mode = \"absorbed\"\n#=== switch.toml\n";
    let text = format!("{place}[trunk.t]\ntenant = \"p\"\nfrom = [\"127.0.0.0/8\"]\nto = [\"sip:127.0.0.1\"]\n{trunk}");
    let loaded = Memory::bundle(&text).load(AT);
    let faults: String = loaded.diagnostics.iter().map(|fault| loaded.sources.render(fault, false)).collect();
    let plan = loaded.plan.unwrap_or_else(|| panic!("{faults}"));
    let name = TrunkName::new("t");
    let facts = Facts { trunk: &name, dialled, from: Some(from), asserted: &[], private: false, diverted: &[] };
    let route = plan.route(&facts, AT.parse().unwrap(), &mut ());
    assert_eq!(route.dialled_raw, dialled, "the ticket keeps what came");
    let emergency = matches!(route.verdict, Verdict::Emergency(_));
    (route.number, emergency, route.caller.number.normal, route.caller.number.raw)
}

#[test]
fn incoming_rules_shape_what_the_plan_looks_up_and_the_raw_forms_stay() {
    let rules = "incoming.called = { strip = [\"9\", \"77\"] }\nincoming.caller = { strip = [\"9\"] }\n";
    let caller = "sip:9013800001234@ims.example;user=phone";
    let (number, emergency, normal, raw) = routed(rules, "sip:912315@10.0.0.1", caller);
    assert_eq!((number.as_str(), emergency, normal.as_str()), ("12315", false, "13800001234"));
    assert_eq!(raw, caller);
    assert_eq!(routed(rules, "tel:+86-476-833-7772", "x").0, "8337772", "no prefix fits: as it came");
    assert_eq!(routed("", "912315", "9013800001234").0, "912315");
}

#[test]
fn no_rule_hides_an_emergency_number_and_a_prefix_before_one_leads_to_it() {
    let rules = "incoming.called = { strip = [\"0476\", \"9\", \"+86\"], add = \"8\", add_from_length = 4 }\n";
    for dialled in ["110", "0476110", "+86476110", "+86110", "tel:110;phone-context=+86476", "urn:service:sos.police"] {
        let (number, emergency, ..) = routed(rules, dialled, "13800001234");
        assert_eq!((number.as_str(), emergency), ("110", true), "{dialled}");
    }
    assert!(routed(rules, "9120", "13800001234").1, "an outside line's prefix before 120");
    assert!(!routed(rules, "1381101234", "13800001234").1);
}

#[test]
fn numbers_go_out_in_the_trunks_form_and_emergency_numbers_as_they_are() {
    let text = format!(
        "{PLACE}[trunk.t]\ntenant = \"p\"\nfrom = [\"127.0.0.0/8\"]\nto = [\"sip:127.0.0.1\"]\n\
         outgoing = {{ called = {{ strip = [\"0\"], add = \"+86\" }}, caller = {{ strip = [\"0\"], add = \"+86\" }}, \
         user_phone = true, domain = \"ims.example\" }}\n"
    );
    let plan = Memory::bundle(&text).load(AT).plan.unwrap();
    let trunk = plan.trunk(&TrunkName::new("t")).unwrap();
    for (number, sent) in [
        ("04768337772", "+864768337772"),
        ("013800001234", "+8613800001234"),
        ("12315", "12315"),
        ("110", "110"),
        ("0476110", "0476110"),
        ("+86476120", "+86476120"),
        ("0476-833-7772", "+864768337772"),
        ("hunt-group", "hunt-group"),
    ] {
        assert_eq!(plan.called_out(trunk, number), sent);
    }
    assert_eq!(plan.caller_out(trunk, "13800001234"), "+8613800001234");
    assert_eq!(plan.caller_out(trunk, "+12025550100"), "+12025550100", "a foreign number is complete");
    let out = &trunk.outgoing;
    assert_eq!(out.own_address("+8613800001234", "192.0.2.1:5060"), "sip:+8613800001234@ims.example;user=phone");
    assert_eq!(out.to_address("110", "192.0.2.2:5060"), "sip:110@192.0.2.2:5060;user=phone");
    assert_eq!(out.own_address("anonymous", "192.0.2.1"), "sip:anonymous@ims.example");
}
