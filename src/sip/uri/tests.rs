//! URIs as peers spell them, compared and kept.

use super::*;

fn uri(text: &str) -> Uri {
    Uri::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"))
}

#[test]
fn a_full_sip_address_comes_apart() {
    let uri = uri("sips:alice:secret@[2001:db8::9]:5099;transport=tcp;lr?Subject=hi&Replaces=a%40b%3Bto-tag%3D1");
    assert_eq!(uri.scheme(), Scheme::Sips);
    assert_eq!(uri.user(), Some(&b"alice"[..]));
    assert_eq!(uri.host(), Host::Addr("2001:db8::9".parse().unwrap()));
    assert_eq!((uri.port(), uri.transport(), uri.is_loose_router()), (Some(5099), Some(&b"tcp"[..]), true));
    assert_eq!(uri.header("replaces").unwrap().as_ref(), b"a@b;to-tag=1");
    assert_eq!(uri.without_headers().to_string(), "sips:alice:secret@[2001:db8::9]:5099;transport=tcp;lr");
    assert!(!format!("{uri:?}").contains("secret"));
}

#[test]
fn debug_masks_numbers() {
    assert_eq!(format!("{:?}", uri("sip:13800001234@10.0.0.1;x=y")), "sip:138****1234@10.0.0.1");
}

#[test]
fn semicolons_may_stand_in_the_user_part() {
    let uri = uri("sip:user;par=u%40example.net@example.com");
    assert_eq!(uri.user(), Some(&b"user;par=u%40example.net"[..]));
    assert_eq!(uri.user_decoded().unwrap().as_ref(), b"user;par=u@example.net");
    assert_eq!(uri.params().count(), 0);
}

#[test]
fn tel_addresses_have_a_number_and_a_context() {
    let uri = uri("tel:8337772;phone-context=+86-476");
    assert_eq!((uri.scheme(), uri.user()), (Scheme::Tel, Some(&b"8337772"[..])));
    assert_eq!(uri.phone_context(), Some(&b"+86-476"[..]));
    assert_eq!(self::uri("tel:+86-476-833-7772").dialled().unwrap(), "+864768337772");
    assert_eq!(self::uri("sip:12345;phone-context=+86@h;user=phone").dialled().unwrap(), "12345");
    assert_eq!(self::uri("sip:12345;phone-context=+86@h").phone_context(), Some(&b"+86"[..]));
    assert!(Uri::parse("tel:").is_err() && Uri::parse("tel:hello world").is_err());
}

#[test]
fn a_name_is_not_taken_for_a_number() {
    assert_eq!(uri("sip:j.user@h").dialled().unwrap(), "j.user");
    assert_eq!(uri("sip:h"), uri("sip:h"));
    assert_eq!(uri("sip:h").dialled(), None);
}

#[test]
fn what_could_be_read_two_ways_is_refused() {
    for text in [
        "",
        "sip",
        "sip:",
        "<sip:a@h>",
        "sip:a@h b",
        "sip:a@evil@h",
        "sip:a@h;x=@good",
        "sip:2001:db8::10",
        "sip:a@h:99999",
        "sip:a@h:",
        "sip:a@[::1",
        "sip:a@[::g]",
        "sip:a@[::1]x",
        "sip:中@h",
        "5ip:a@h",
        "sip:a@",
        "sip:a@h\r\nVia: x",
    ] {
        assert!(Uri::parse(text).is_err(), "{text}");
    }
}

#[test]
fn three_colons_of_the_old_grammar_are_read_as_two() {
    let uri = uri("sip:user@[2001:db8:::192.0.2.1]");
    assert_eq!(uri.host().addr(), Some("2001:db8::192.0.2.1".parse().unwrap()));
}

#[test]
fn composing_escapes_the_user() {
    let uri = Uri::compose(Scheme::Sip, Some(b"a b@\r\n"), "10.0.0.1", Some(5080)).unwrap();
    assert_eq!(uri.to_string(), "sip:a%20b%40%0D%0A@10.0.0.1:5080");
    assert_eq!(uri.user_decoded().unwrap().as_ref(), b"a b@\r\n");
    assert!(Uri::compose(Scheme::Sip, None, "h\r\nX", None).is_err());
    assert_eq!(Uri::compose(Scheme::Tel, Some(b"+8647612345"), "", None).unwrap().to_string(), "tel:+8647612345");
}

#[test]
fn parameters_are_added_replaced_and_removed_before_headers() {
    let uri = uri("sip:a@h;transport=udp;x?s=1");
    assert_eq!(uri.with_param("transport", Some("tcp")).to_string(), "sip:a@h;x;transport=tcp?s=1");
    assert_eq!(uri.without_param("x").to_string(), "sip:a@h;transport=udp?s=1");
    assert_eq!(self::uri("sip:h").with_param("lr", None).to_string(), "sip:h;lr");
    assert_eq!(uri.with_param("a", Some("x;y\r\n")).to_string(), "sip:a@h;transport=udp;x;a=x%3By%0D%0A?s=1");
}

#[test]
fn equivalence_is_by_meaning() {
    let same = [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtlanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
        ("sip:b@x.com;transport=tcp?to=a&subject=b", "sip:b@x.com;transport=tcp?subject=b&to=a"),
    ];
    let different = [
        ("sip:ALICE@a.com", "sip:alice@a.com"),
        ("sip:bob@b.com", "sip:bob@b.com:5060"),
        ("sip:bob@b.com", "sip:bob@b.com;transport=udp"),
        ("sip:c@c.com;security=on", "sip:c@c.com;security=off"),
        ("sip:c@c.com", "sip:c@c.com?Subject=x"),
        ("sip:c@c.com", "sips:c@c.com"),
    ];
    for (one, two) in same {
        assert!(uri(one).is_equivalent(&uri(two)) && uri(two).is_equivalent(&uri(one)), "{one} {two}");
    }
    for (one, two) in different {
        assert!(!uri(one).is_equivalent(&uri(two)), "{one} {two}");
    }
}

#[test]
fn the_address_of_record_is_normal() {
    assert_eq!(uri("sip:%31001:pw@Chifeng.CN:5080;ob").address_of_record(), b"sip:1001@chifeng.cn");
}

#[test]
fn an_address_survives_serde() {
    let uri = uri("sip:a@h;x=1");
    let text = serde_json::to_string(&uri).unwrap();
    assert_eq!(serde_json::from_str::<Uri>(&text).unwrap(), uri);
}

#[test]
fn an_address_with_a_parameter_twice_is_equivalent_to_itself() {
    for text in ["sip:a@h;x=1;x=2", "tel:+1;=;==", "sip:a@h;transport=udp;transport=tcp"] {
        let uri = Uri::parse(text).unwrap();
        assert!(uri.is_equivalent(&uri.clone()), "{text}");
    }
    let (one, other) = (Uri::parse("sip:a@h;transport=udp").unwrap(), Uri::parse("sip:a@h").unwrap());
    assert!(!one.is_equivalent(&other) && !other.is_equivalent(&one));
}
