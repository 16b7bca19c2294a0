//! One leg, and a peer whose every message the test writes.

use super::*;
use crate::plan::trunk::TrunkCredential;
use crate::sip::print::Draft;

pub(super) struct Solo {
    pub(super) now: Now,
    pub(super) leg: Leg,
    pub(super) rules: LegRules,
    pub(super) sent: Vec<(Flow, Message)>,
    pub(super) heard: Vec<LegEvent>,
    pub(super) credential: Option<TrunkCredential>,
    /// What the peer's messages come over.
    pub(super) flow: Flow,
}

pub(super) fn sdp(port: u16) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 8 101\r\n\
         a=rtpmap:101 telephone-event/8000\r\n"
    )
}

impl Solo {
    fn new(leg: Leg, flow: Flow) -> Self {
        let now = Now { mono: Mono(1_000_000_000), wall: Timestamp::UNIX_EPOCH };
        Self { now, leg, rules: rules(), sent: Vec::new(), heard: Vec::new(), credential: None, flow }
    }

    /// A leg of ours that has sent its INVITE.
    pub(super) fn calling(wanted: Outgoing) -> Self {
        let mut solo = Self::new(Leg::outgoing(&names(1)), wanted.target.flow);
        solo.act(local_media(20_000));
        solo.act(LegAction::Invite(Box::new(wanted)));
        solo
    }

    /// A leg of ours whose INVITE was answered by `tag`, with what its 200 says.
    pub(super) fn answered(tag: &str, extra: &str) -> Self {
        let mut solo = Self::calling(outgoing());
        solo.respond("INVITE", 200, tag, extra, Some(&sdp(30_000)));
        assert_eq!(solo.leg.state(), LegState::Talking, "{:?}", solo.heard);
        solo
    }

    /// A leg of theirs that talks.
    pub(super) fn talking(extra: &str) -> Self {
        let mut solo = Self::called(extra, Some(&sdp(30_000)), Reliable::Offered);
        solo.act(local_media(20_000));
        solo.act(LegAction::Answer);
        solo.request("ACK", 7, "", None);
        assert!(solo.heard.contains(&LegEvent::Confirmed), "{:?}", solo.heard);
        solo
    }

    /// A leg of theirs: its INVITE with these header fields and this body.
    pub(super) fn called(extra: &str, body: Option<&str>, reliable: Reliable) -> Self {
        let flow = flow(5062, 6000);
        let text = theirs("INVITE", "", 7, extra, body);
        let arrived = Arrived { message: Message::datagram(text).expect("valid"), flow };
        let (now, mut out) = (Now { mono: Mono(1_000_000_000), wall: Timestamp::UNIX_EPOCH }, Vec::new());
        let leg = Leg::incoming(now, &LegNames { reliable, ..names(2) }, &rules(), &arrived, &mut out);
        let mut solo = Self::new(leg, flow);
        solo.take(out);
        solo
    }

    pub(super) fn act(&mut self, action: LegAction) {
        let mut out = Vec::new();
        self.leg.act(self.now, &self.rules, action, &mut out);
        self.take(out);
    }

    pub(super) fn take(&mut self, out: Vec<LegOut>) {
        for one in out {
            match one {
                LegOut::Transmit(flow, bytes) => {
                    let message = Message::datagram(bytes).expect("our own messages parse");
                    assert!(message.is_complete(), "{:?}", message.bytes());
                    self.sent.push((flow, message));
                }
                LegOut::Event(event) => self.heard.push(event),
            }
        }
    }

    pub(super) fn hear(&mut self, bytes: Bytes) {
        let message = Message::datagram(bytes).expect("valid");
        let arrived = Arrived { message, flow: self.flow };
        let sender = Sender { credential: self.credential.as_ref(), known: false };
        let mut out = Vec::new();
        self.leg.on_sip(self.now, &self.rules, sender, &arrived, &mut out);
        self.take(out);
    }

    /// The peer answers our newest request of this method.
    pub(super) fn respond(&mut self, method: &str, status: u16, tag: &str, extra: &str, body: Option<&str>) {
        let text = self.response(&self.last(method), status, tag, extra, body);
        self.hear(text);
    }

    pub(super) fn response(&self, to: &Message, status: u16, tag: &str, extra: &str, body: Option<&str>) -> Bytes {
        let mut draft = Draft::response(to, status, None)
            .to_tag(tag.as_bytes())
            .header(Name::Contact, format!("<sip:{tag}@127.0.0.1:6000>"));
        for line in extra.lines().filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").expect("a header line");
            draft = draft.header_raw(name.as_bytes(), value.as_bytes());
        }
        if let Some(body) = body {
            draft = draft.body("application/sdp", body.to_owned());
        }
        draft.finish().bytes().clone()
    }

    /// The peer asks something inside the dialog.
    pub(super) fn request(&mut self, method: &str, cseq: u32, extra: &str, body: Option<&str>) {
        let text = self.text(method, cseq, extra, body);
        self.hear(text);
    }

    /// A request of the peer's inside the dialog.
    pub(super) fn text(&self, method: &str, cseq: u32, extra: &str, body: Option<&str>) -> Bytes {
        let Some(names) = self.leg.dialog_names() else { return theirs(method, "", cseq, extra, body) };
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("ASCII");
        let plain = String::from_utf8(theirs(method, &text(&names.local_tag), cseq, extra, body).to_vec());
        let head = format!("From: <sip:13800001234@127.0.0.1>;tag={}", text(&names.remote_tag));
        let plain = plain.expect("ASCII").replace("From: <sip:13800001234@127.0.0.1>;tag=theirs", &head);
        plain.replace("Call-ID: one-call", &format!("Call-ID: {}", text(&names.call_id))).into()
    }

    /// Lets time pass, from deadline to deadline.
    pub(super) fn wait(&mut self, span: Duration) {
        let end = self.now.mono + span;
        while let Some((at, _)) = self.leg.deadline().filter(|(at, _)| *at <= end) {
            self.now = self.now.after(at.since(self.now.mono));
            let mut out = Vec::new();
            self.leg.on_deadline(self.now, &self.rules, &mut out);
            self.take(out);
        }
        self.now = self.now.after(end.since(self.now.mono));
    }

    /// Our newest request of this method.
    pub(super) fn last(&self, method: &str) -> Message {
        let found = self.sent.iter().rfind(|(_, message)| message.method().is_some_and(|own| own.as_str() == method));
        found.map(|(_, message)| message.clone()).unwrap_or_else(|| panic!("no {method}: {:?}", self.sent))
    }

    /// Our newest message.
    pub(super) fn newest(&self) -> &Message {
        self.sent.last().map(|(_, message)| message).expect("something was sent")
    }

    /// How many of our messages begin like this.
    pub(super) fn count(&self, begins: &str) -> usize {
        self.sent.iter().filter(|(_, message)| message.bytes().starts_with(begins.as_bytes())).count()
    }

    pub(super) fn count_events(&self, wanted: impl Fn(&LegEvent) -> bool) -> usize {
        self.heard.iter().filter(|event| wanted(event)).count()
    }

    /// The ports told as the peer's, in order.
    pub(super) fn ports(&self) -> Vec<u16> {
        let port = |event: &LegEvent| {
            if let LegEvent::Remote(remote) = event { Some(remote.rtp.port()) } else { None }
        };
        self.heard.iter().filter_map(port).collect()
    }
}

/// A request of the peer that called us; with our tag inside the dialog.
pub(super) fn theirs(method: &str, our_tag: &str, cseq: u32, extra: &str, body: Option<&str>) -> Bytes {
    let tag = if our_tag.is_empty() { String::new() } else { format!(";tag={our_tag}") };
    let branch_method = if matches!(method, "CANCEL") { "INVITE" } else { method };
    let (kind, body) = body.map_or(("", ""), |body| ("Content-Type: application/sdp\r\n", body));
    let extra: String = extra.lines().filter(|line| !line.is_empty()).map(|line| format!("{line}\r\n")).collect();
    let kind = if extra.contains("Content-Type") { "" } else { kind };
    format!(
        "{method} sip:12345@127.0.0.1:5062 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:6000;branch=z9hG4bK{branch_method}{cseq}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:13800001234@127.0.0.1>;tag=theirs\r\nTo: <sip:12345@127.0.0.1>{tag}\r\n\
         Call-ID: one-call\r\nCSeq: {cseq} {method}\r\nContact: <sip:caller@127.0.0.1:6000>\r\n{extra}{kind}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into()
}
