//! Addresses as peers spell them.

use super::*;

fn addr(value: &[u8]) -> NameAddr {
    NameAddr::parse(value).unwrap_or_else(|fault| panic!("{}: {fault}", text::decode(value)))
}

#[test]
fn every_shape_comes_apart() {
    for (value, display, uri, tag) in [
        (&b"\"A. G. Bell\" <sip:agb@bell.com> ;tag=a48s"[..], "A. G. Bell", "sip:agb@bell.com", Some("a48s")),
        (b"sip:a@h;tag=x", "", "sip:a@h", Some("x")),
        (b"caller<sip:caller@example.com>;tag=323", "caller", "sip:caller@example.com", Some("323")),
        (b"Bell, Alexander <sip:a@h>;tag=43", "Bell, Alexander", "sip:a@h", Some("43")),
        (b"\"J \\\\\\\"\"       <sip:j@h>  ;  tag = 98", "J \\\"", "sip:j@h", Some("98")),
        (b"<tel:+8647612345>", "", "tel:+8647612345", None),
        (b"\"<sip:evil@x>;tag=no\" <sip:a@h>", "<sip:evil@x>;tag=no", "sip:a@h", None),
        (b"<sip:a@h;tag=no>", "", "sip:a@h;tag=no", None),
    ] {
        let got = addr(value);
        assert_eq!(got.display_text().unwrap_or_default(), display);
        assert_eq!(got.uri_bytes(), uri.as_bytes());
        assert_eq!(got.tag(), tag.map(str::as_bytes));
    }
}

#[test]
fn a_gbk_display_name_is_kept_as_bytes_and_read_as_text() {
    let quoted = addr(b"\"\xb3\xe0\xb7\xe5\" <sip:12345@h>;tag=1");
    assert_eq!(quoted.display(), b"\"\xb3\xe0\xb7\xe5\"");
    assert_eq!(quoted.display_text().as_deref(), Some("赤峰"));
    let bare = addr(b"\xb3\xe0\xb7\xe5 <sip:12345@h>");
    assert_eq!(bare.display_text().as_deref(), Some("赤峰"));
    let backslash = addr(b"\"\x85\x5c\" <sip:12345@h>;tag=1");
    assert_eq!((backslash.tag(), backslash.display()), (Some(&b"1"[..]), &b"\"\x85\x5c\""[..]));
}

#[test]
fn faults_are_named() {
    for value in [
        &b""[..],
        b"\"open <sip:a@h>",
        b"\"name\"",
        b"<sip:a@h",
        b"<>",
        b"<sip:a@h> x",
        b"sip:a@h?Route=x",
        b"a\"b <sip:a@h>",
        b";tag=1",
        b"<sip:a@h>;x=\"",
        b"<sip:a@h>;tag=1, <sip:b@h>",
    ] {
        assert!(NameAddr::parse(value).is_err(), "{}", text::decode(value));
    }
}

#[test]
fn an_address_with_spaces_inside_is_a_fault_of_the_address() {
    assert!(addr(b"\"W\" < sip:t@h >").uri().is_err());
    assert!(addr(b"<sip:t@h>").uri().is_ok());
}

#[test]
fn tags_are_set_and_taken_off() {
    assert_eq!(addr(b"\"x\" <sip:a@h>;a=b;tag=1;c").with_tag(b"9").bytes(), "\"x\" <sip:a@h>;a=b;c;tag=9");
    assert_eq!(addr(b"sip:a@h").with_tag(b"9").bytes(), "sip:a@h;tag=9");
    assert_eq!(addr(b"<sip:a@h> ; tag = 1").without_tag(), b"<sip:a@h>");
    assert_eq!(addr(b"<sip:a@h>;tag=").with_tag(b"2").bytes(), "<sip:a@h>;tag=2");
}

#[test]
fn what_is_composed_reads_back_and_injects_nothing() {
    let display = "市民\" <sip:evil@x>\r\nVia: y";
    let got = NameAddr::compose(Some(display.as_bytes()), b"sip:a@h>\r\n", &[("tag", Some(b"1"))]);
    assert_eq!(got.display_text().unwrap(), display.replace("\r\n", "  "));
    assert_eq!((got.uri_bytes(), got.tag()), (&b"sip:a@h"[..], Some(&b"1"[..])));
    assert!(!got.bytes().contains(&b'\n'));
}

#[test]
fn contacts_have_preference_and_expiry() {
    let contact = addr(b"<sip:a@h>;q=0.33;expires=99999999999999");
    assert_eq!((contact.q_thousandths(), contact.expires()), (330, Some(u32::MAX)));
    for (q, want) in [("1", 1000), ("1.000", 1000), ("0.5", 500), ("0", 0), ("2", 1000), ("1.5", 1000), ("x", 1000)] {
        assert_eq!(addr(format!("<sip:a@h>;q={q}").as_bytes()).q_thousandths(), want, "{q}");
    }
}

#[test]
fn a_star_stands_alone() {
    assert_eq!(Contacts::parse([&b"*"[..]].into_iter()), Ok(Contacts::All));
    assert!(Contacts::parse([&b"*"[..], b"<sip:a@h>"].into_iter()).is_err());
    let Ok(Contacts::List(list)) = Contacts::parse([&b"<sip:a@h>"[..], b"sip:b@h"].into_iter()) else { panic!() };
    assert_eq!(list.len(), 2);
}

#[test]
fn debug_shows_neither_name_nor_number() {
    let shown = format!("{:?}", addr("\"王某\" <sip:13800001234@h>;tag=1".as_bytes()));
    assert_eq!(shown, "<sip:138****1234@h>;tag=1");
}

#[test]
fn a_gbk_name_goes_through_octet_by_octet() {
    let written: &[u8] = b"\"\xd5\xc5\xc8\xfd\" <sip:13800000001@c>;tag=1";
    let came = addr(written);
    assert_eq!(&*came.display_plain(), b"\xd5\xc5\xc8\xfd");
    let sent = NameAddr::compose(Some(&came.display_plain()), b"sip:13800000001@c", &[("tag", Some(b"1"))]);
    assert_eq!(sent.bytes(), written);
}
