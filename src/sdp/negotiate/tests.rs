//! Offers and answers as carriers and phones write them.

use super::*;

fn local() -> LocalMedia {
    LocalMedia {
        rtp: "127.0.0.1:20000".parse().unwrap(),
        rtcp: "127.0.0.1:20001".parse().unwrap(),
        ice: None,
        fingerprint: None,
        crypto: Vec::new(),
    }
}

fn read(body: impl AsRef<[u8]>) -> SessionDescription {
    parse(body.as_ref()).unwrap()
}

fn offer_with(lines: &str) -> SessionDescription {
    read(format!("v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n{lines}"))
}

fn answered(lines: &str, wishes: &Wishes) -> (SessionDescription, RemoteMedia) {
    let answer = SdpSide::new(7).answer(&offer_with(lines), &local(), wishes).unwrap();
    (read(&answer.bytes), answer.remote)
}

#[test]
fn an_answer_keeps_the_offerers_order_unless_a_codec_is_preferred() {
    let lines = "m=audio 4000 RTP/AVP 18 0 8 96\r\na=rtpmap:96 telephone-event/8000\r\n";
    let (body, remote) = answered(lines, &Wishes::default());
    assert_eq!((remote.codec, remote.payload_type, remote.dtmf), (Codec::Pcmu, 0, Some(96)));
    assert_eq!(body.media[0].payload_types().collect::<Vec<_>>(), [0, 96]);
    let (_, remote) = answered(lines, &Wishes { preferred: Some(Codec::Pcma), ..Wishes::default() });
    assert_eq!((remote.codec, remote.payload_type), (Codec::Pcma, 8));
    let only = "m=audio 4000 RTP/AVP 0\r\n";
    let (_, remote) = answered(only, &Wishes { preferred: Some(Codec::Pcma), ..Wishes::default() });
    assert_eq!(remote.codec, Codec::Pcmu);
}

#[test]
fn lines_we_do_not_carry_get_port_zero_in_order() {
    let (body, remote) = answered(
        "m=video 5000 RTP/AVP 31 34\r\nm=audio 4000 RTP/SAVP 8\r\nm=audio 4002 RTP/AVP 18\r\nm=audio 4004 RTP/AVP 8\r\n\
         m=audio 4006 RTP/AVP 8\r\nm=image 6000 udptl t38\r\nm=\r\n",
        &Wishes::default(),
    );
    let shape: Vec<_> = body.media.iter().map(|media| (&*media.kind, media.port, &*media.protocol)).collect();
    assert_eq!(
        shape,
        [
            ("video", 0, "RTP/AVP"),
            ("audio", 0, "RTP/SAVP"),
            ("audio", 0, "RTP/AVP"),
            ("audio", 20000, "RTP/AVP"),
            ("audio", 0, "RTP/AVP"),
            ("image", 0, "udptl"),
            ("unknown", 0, "RTP/AVP"),
        ]
    );
    assert_eq!(remote.rtp.port(), 4004);
    assert_eq!(body.media[0].formats, ["31".into(), "34".into()]);
}

#[test]
fn what_cannot_be_answered_says_why_and_changes_nothing() {
    for (lines, fault) in [
        ("", NoCommonCodec::NoAudio),
        ("m=video 5000 RTP/AVP 31\r\n", NoCommonCodec::NoAudio),
        ("m=audio 0 RTP/AVP 8\r\n", NoCommonCodec::NoAudio),
        ("m=audio 4000 RTP/SAVP 8\r\n", NoCommonCodec::Transport),
        ("m=audio 4000 RTP/AVP 18 96\r\na=rtpmap:96 opus/48000/2\r\n", NoCommonCodec::NoCodec),
        ("m=audio 4000 RTP/AVP 8\r\na=rtpmap:8 PCMA/16000\r\n", NoCommonCodec::NoCodec),
    ] {
        let mut side = SdpSide::new(7);
        assert_eq!(side.answer(&offer_with(lines), &local(), &Wishes::default()), Err(fault), "{lines}");
        assert_eq!(side, SdpSide::new(7));
    }
}

#[test]
fn hold_in_all_its_forms() {
    for (address, attribute, ours) in [
        ("192.0.2.7", "", Direction::SendRecv),
        ("192.0.2.7", "a=sendonly\r\n", Direction::RecvOnly),
        ("192.0.2.7", "a=recvonly\r\n", Direction::SendOnly),
        ("192.0.2.7", "a=inactive\r\n", Direction::Inactive),
        ("0.0.0.0", "", Direction::RecvOnly),
        ("0.0.0.0", "a=sendonly\r\n", Direction::RecvOnly),
        ("0.0.0.0", "a=recvonly\r\n", Direction::Inactive),
        ("0.0.0.0", "a=inactive\r\n", Direction::Inactive),
    ] {
        let (body, remote) =
            answered(&format!("m=audio 4000 RTP/AVP 8\r\nc=IN IP4 {address}\r\n{attribute}"), &Wishes::default());
        assert_eq!(remote.direction, ours, "{address} {attribute}");
        assert_eq!(body.media[0].direction, Some(ours), "{address} {attribute}");
    }
    let session_wide = read("c=IN IP4 192.0.2.7\na=sendonly\nm=audio 4000 RTP/AVP 8\n");
    let answer = SdpSide::new(1).answer(&session_wide, &local(), &Wishes::default()).unwrap();
    assert_eq!(answer.remote.direction, Direction::RecvOnly);
}

#[test]
fn our_own_direction_narrows_the_answer() {
    let wishes = Wishes { direction: Direction::SendOnly, ..Wishes::default() };
    assert_eq!(answered("m=audio 4000 RTP/AVP 8\r\n", &wishes).1.direction, Direction::SendOnly);
    assert_eq!(answered("m=audio 4000 RTP/AVP 8\r\na=sendonly\r\n", &wishes).1.direction, Direction::Inactive);
}

#[test]
fn a_missing_connection_line_falls_back_to_where_the_signalling_came_from() {
    let offer = read("m=audio 4000 RTP/AVP 8\n");
    let wishes = Wishes { fallback: Some("198.51.100.1".parse().unwrap()), ..Wishes::default() };
    let remote = SdpSide::new(1).answer(&offer, &local(), &wishes).unwrap().remote;
    assert_eq!(remote.rtp, "198.51.100.1:4000".parse().unwrap());
    assert!(remote.learn && remote.direction == Direction::SendRecv);
    let remote = SdpSide::new(1).answer(&offer, &local(), &Wishes::default()).unwrap().remote;
    assert!(remote.rtp.ip().is_unspecified() && remote.learn && remote.direction == Direction::SendRecv);
}

#[test]
fn rtcp_address_by_mux_attribute_and_rule() {
    let rtcp = |lines: &str, wishes: &Wishes| answered(lines, wishes).1.rtcp.map(|address| address.to_string());
    let usual = Wishes::default();
    assert_eq!(rtcp("m=audio 4000 RTP/AVP 8\r\n", &usual).as_deref(), Some("192.0.2.7:4001"));
    assert_eq!(rtcp("m=audio 4000 RTP/AVP 8\r\na=rtcp:4010\r\n", &usual).as_deref(), Some("192.0.2.7:4010"));
    assert_eq!(
        rtcp("m=audio 4000 RTP/AVP 8\r\na=rtcp:4010 IN IP4 192.0.2.8\r\n", &usual).as_deref(),
        Some("192.0.2.8:4010")
    );
    assert_eq!(rtcp("m=audio 4000 RTP/AVP 8\r\na=rtcp-mux\r\n", &usual), None);
    let without = Wishes { rtcp_mux: false, ..Wishes::default() };
    assert_eq!(rtcp("m=audio 4000 RTP/AVP 8\r\na=rtcp-mux\r\n", &without).as_deref(), Some("192.0.2.7:4001"));
    assert!(answered("m=audio 4000 RTP/AVP 8\r\na=rtcp-mux\r\n", &usual).0.media[0].has("rtcp-mux"));
    assert!(!answered("m=audio 4000 RTP/AVP 8\r\n", &usual).0.media[0].has("rtcp-mux"));
}

#[test]
fn packet_length_stays_within_what_is_served() {
    for (attributes, ms) in [
        ("", 20),
        ("a=ptime:10\r\n", 10),
        ("a=ptime:60\r\n", 60),
        ("a=ptime:5\r\n", 10),
        ("a=ptime:240\r\n", 60),
        ("a=ptime:0\r\n", 20),
        ("a=ptime:thirty\r\n", 20),
        ("a=ptime:30.0\r\n", 30),
        ("a=ptime:40\r\na=maxptime:30\r\n", 30),
    ] {
        assert_eq!(answered(&format!("m=audio 4000 RTP/AVP 8\r\n{attributes}"), &Wishes::default()).1.ptime_ms, ms);
    }
}

#[test]
fn odd_fmtp_and_two_event_rates_do_no_harm() {
    let (body, remote) = answered(
        "m=audio 4000 RTP/AVP 8 100 101 13\r\na=rtpmap:100 telephone-event/48000\r\na=rtpmap:101 TELEPHONE-EVENT/8000\r\n\
         a=fmtp:101 0-11,66;x=\r\na=fmtp\r\na=fmtp:8 annexb=no\r\n",
        &Wishes::default(),
    );
    assert_eq!((remote.dtmf, remote.comfort_noise), (Some(101), Some(13)));
    assert_eq!(body.media[0].payload_types().collect::<Vec<_>>(), [8, 13, 101]);
}

#[test]
fn the_version_rises_only_with_a_changed_body() {
    let mut side = SdpSide::new(42);
    let first = side.offer(&local(), &Wishes::default());
    assert_eq!(side.offer(&local(), &Wishes::default()), first);
    let held = side.offer(&local(), &Wishes { direction: Direction::SendOnly, ..Wishes::default() });
    let version = |body: &Bytes| read(body).origin.unwrap().split(' ').nth(2).unwrap().to_owned();
    assert_eq!((version(&first), version(&held)), ("42".to_owned(), "43".to_owned()));
    assert_eq!(read(&held).media[0].direction, Some(Direction::SendOnly));
}

#[test]
fn an_offer_names_alaw_first_and_an_answer_to_it_is_accepted() {
    let mut side = SdpSide::new(42);
    let offered = read(side.offer(&local(), &Wishes::default()));
    assert_eq!(offered.media[0].payload_types().collect::<Vec<_>>(), [8, 0, 13, 101]);
    let answer = offer_with("m=audio 9000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendonly\r\n");
    let remote = side.accept(&answer, &Wishes::default()).unwrap();
    assert_eq!((remote.codec, remote.dtmf, remote.comfort_noise), (Codec::Pcmu, Some(101), None));
    assert_eq!((remote.direction, remote.rtcp), (Direction::RecvOnly, Some("192.0.2.7:9001".parse().unwrap())));
    assert_eq!(side.accept(&offer_with("m=audio 0 RTP/AVP 8\r\n"), &Wishes::default()), Err(NoCommonCodec::NoAudio));
    let early = SdpSide::new(1).accept(&answer, &Wishes::default());
    assert_eq!(early, Err(NoCommonCodec::NothingOffered));
}

#[test]
fn two_of_our_sides_agree_with_each_other() {
    let (mut ours, mut theirs) = (SdpSide::new(1), SdpSide::new(2));
    let offered = read(ours.offer(&local(), &Wishes::default()));
    let answer = theirs.answer(&offered, &local(), &Wishes::default()).unwrap();
    let remote = ours.accept(&read(&answer.bytes), &Wishes::default()).unwrap();
    assert_eq!(remote, answer.remote);
    assert_eq!((remote.codec, remote.rtcp), (Codec::Pcma, None));
}

#[test]
fn a_re_offer_keeps_places_and_the_peers_digit_type() {
    let mut side = SdpSide::new(9);
    let lines = "m=video 5000 RTP/AVP 31\r\nm=audio 4000 RTP/AVP 8 97\r\na=rtpmap:97 telephone-event/8000\r\n";
    side.answer(&offer_with(lines), &local(), &Wishes::default()).unwrap();
    let again = read(side.offer(&local(), &Wishes::default()));
    assert_eq!(again.media.iter().map(|media| media.port).collect::<Vec<_>>(), [0, 20000]);
    assert_eq!(again.media[1].payload_types().collect::<Vec<_>>(), [8, 0, 13, 97]);
}

#[test]
fn both_families_are_written_and_read() {
    let mut six = local();
    six.rtp = "[2001:db8::5]:20000".parse().unwrap();
    let offered = read(SdpSide::new(1).offer(&six, &Wishes::default()));
    assert_eq!(offered.connection.address(), Some("2001:db8::5".parse().unwrap()));
    let remote = SdpSide::new(2).answer(&offered, &six, &Wishes::default()).unwrap().remote;
    assert_eq!(remote.rtp, six.rtp);
}

#[test]
fn a_side_survives_a_checkpoint() {
    let mut side = SdpSide::new(9);
    let before = side.offer(&local(), &Wishes::default());
    let mut back: SdpSide = serde_json::from_str(&serde_json::to_string(&side).unwrap()).unwrap();
    assert_eq!(back, side);
    assert_eq!(back.offer(&local(), &Wishes::default()), before);
}
