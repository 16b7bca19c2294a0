//! Two ends of one call over a network that loses packets: transactions, dialogs and the 2xx between them.

use proptest::prelude::*;

use super::*;
use crate::base::flow::{FlowId, Side, Transport};
use crate::base::now::{Mono, Now};
use crate::sip::transaction::accepted::Accepted2xx;
use crate::sip::transaction::client_invite::ClientInvite;
use crate::sip::transaction::server_invite::ServerInvite;
use crate::sip::transaction::timers::SipTimers;
use crate::sip::transaction::{TuEvent, TxEffect};

const CALLER: &str = "<sip:caller@127.0.0.1>";
const CALLEE: &str = "<sip:callee@127.0.0.2>";

fn flow() -> Flow {
    Flow {
        id: FlowId(1),
        side: Side::Trunk,
        transport: Transport::Udp,
        local: "127.0.0.1:5060".parse().unwrap(),
        remote: "127.0.0.2:5060".parse().unwrap(),
    }
}

/// Loses the packets that `lost` says, then none.
struct Network {
    lost: Vec<bool>,
    sent: usize,
}

impl Network {
    fn carry(&mut self, wire: Wire) -> Option<Message> {
        let lost = self.lost.get(self.sent).copied().unwrap_or(false);
        self.sent += 1;
        (!lost).then(|| Message::datagram(wire.into_bytes()).unwrap())
    }
}

struct Caller {
    transaction: ClientInvite,
    invite: Message,
    dialog: Option<Dialog>,
    crossed: bool,
}

impl Caller {
    fn on_packet(&mut self, now: Now, message: &Message, out: &mut Vec<TxEffect>) {
        let mut told = Vec::new();
        self.transaction.on_response(now, message, &mut told);
        for effect in told {
            match effect {
                TxEffect::Tell(TuEvent::Response(response)) => self.on_response(&response, out),
                TxEffect::Tell(TuEvent::Crossed(response)) => {
                    self.crossed = true;
                    self.on_response(&response, out);
                }
                effect => out.push(effect),
            }
        }
    }

    fn on_response(&mut self, response: &Message, out: &mut Vec<TxEffect>) {
        match &mut self.dialog {
            Some(dialog) => dialog.on_response(response),
            None => self.dialog = Dialog::uac(&self.invite, response, flow(), CALLER),
        }
        let Some(dialog) = self.dialog.as_mut().filter(|_| response.status() == Some(200)) else { return };
        let number = response.cseq().number;
        let ack = dialog.ack_again(number).unwrap_or_else(|| dialog.ack(number, "z9hG4bKack", &[], None));
        out.push(TxEffect::Transmit(ack));
    }
}

#[derive(Default)]
struct Callee {
    transaction: Option<ServerInvite>,
    dialog: Option<Dialog>,
    accepted: Option<Accepted2xx>,
    acked: usize,
}

impl Callee {
    fn on_packet(&mut self, now: Now, message: &Message, out: &mut Vec<TxEffect>) {
        if message.is(&Method::Ack) {
            if let Some(accepted) = &mut self.accepted {
                self.acked += usize::from(accepted.on_ack(message.cseq().number, &mut Vec::new()));
            }
            return;
        }
        if let Some(transaction) = &mut self.transaction {
            return transaction.on_request(now, message, out);
        }
        let timers = SipTimers::default();
        let mut transaction = ServerInvite::new("callee", &flow(), &timers);
        let mut dialog = Dialog::uas(message, b"callee", flow(), CALLEE).unwrap();
        for status in [100, 180, 200] {
            transaction.respond(now, &dialog.respond(message, status, None).finish(), out);
        }
        let ok = out.iter().rev().find_map(|effect| match effect {
            TxEffect::Transmit(wire) => Some(wire.clone()),
            _ => None,
        });
        self.accepted = ok.map(|ok| Accepted2xx::start(now, message.cseq().number, ok, &timers));
        (self.transaction, self.dialog) = (Some(transaction), Some(dialog));
    }

    fn on_deadline(&mut self, now: Now, out: &mut Vec<TxEffect>) {
        if let Some(transaction) = &mut self.transaction {
            transaction.on_deadline(now, out);
        }
        if let Some(accepted) = &mut self.accepted {
            accepted.on_deadline(now, out);
        }
    }

    fn deadline(&self) -> Option<Mono> {
        let transaction = self.transaction.as_ref().and_then(ServerInvite::deadline);
        let accepted = self.accepted.as_ref().and_then(Accepted2xx::deadline);
        [transaction, accepted].into_iter().flatten().min()
    }
}

/// A call from INVITE until every timer is over; `cancel_ms` is when the caller gives up waiting.
fn call(lost: Vec<bool>, cancel_ms: Option<u64>) -> (Caller, Callee) {
    let mut network = Network { lost, sent: 0 };
    let mut now = Now { mono: Mono(0), wall: jiff::Timestamp::UNIX_EPOCH };
    let opening = Opening {
        target: b"sip:callee@127.0.0.2",
        from: &NameAddr::parse(b"<sip:caller@x>;tag=caller").unwrap(),
        to: &NameAddr::parse(b"<sip:callee@x>").unwrap(),
        call_id: "call",
        cseq: 1,
        contact: CALLER.as_bytes(),
        routes: &[],
        flow: &flow(),
    };
    let invite = opening.request(&Method::Invite, "z9hG4bKinvite").finish();
    let mut to_callee = Vec::new();
    let transaction = ClientInvite::start(now, invite.clone(), false, &SipTimers::default(), &mut to_callee);
    let mut caller = Caller { transaction, invite, dialog: None, crossed: false };
    let mut callee = Callee::default();
    let mut cancel_at = cancel_ms.map(|ms| Mono(ms * 1_000_000));
    let mut to_caller = Vec::new();
    for _ in 0..500 {
        for effect in std::mem::take(&mut to_callee) {
            if let TxEffect::Transmit(wire) = effect
                && let Some(message) = network.carry(wire)
            {
                callee.on_packet(now, &message, &mut to_caller);
            }
        }
        for effect in std::mem::take(&mut to_caller) {
            if let TxEffect::Transmit(wire) = effect
                && let Some(message) = network.carry(wire)
            {
                caller.on_packet(now, &message, &mut to_callee);
            }
        }
        if !to_callee.is_empty() {
            continue;
        }
        let next = [caller.transaction.deadline(), callee.deadline(), cancel_at].into_iter().flatten().min();
        let Some(at) = next else { break };
        now.mono = now.mono.max(at);
        if cancel_at.take_if(|at| *at <= now.mono).is_some() {
            caller.transaction.cancel(now, &mut to_callee);
        }
        caller.transaction.on_deadline(now, &mut to_callee);
        callee.on_deadline(now, &mut to_caller);
    }
    (caller, callee)
}

#[test]
fn rfc3261_s13_a_call_without_loss_takes_one_ack() {
    let (caller, callee) = call(Vec::new(), None);
    let (one, two) = (caller.dialog.unwrap(), callee.dialog.unwrap());
    assert_eq!((one.state(), two.state()), (DialogState::Confirmed, DialogState::Confirmed));
    assert_eq!((&one.id().local_tag, &one.id().remote_tag), (&two.id().remote_tag, &two.id().local_tag));
    assert_eq!((&one.target()[..], &two.target()[..]), (&b"sip:callee@127.0.0.2"[..], &b"sip:caller@127.0.0.1"[..]));
    assert_eq!(callee.acked, 1);
}

#[test]
fn rfc3261_s9_1_a_2xx_that_crosses_the_cancel_is_told_and_can_be_dismissed() {
    // The 100 arrives; 180 and 200 are lost, and so is the CANCEL sent meanwhile; the repeated 200 crosses it.
    let (mut caller, callee) = call(vec![false, false, true, true, true], Some(100));
    assert!(caller.crossed && callee.acked == 1);
    let (_, bye) = caller.dialog.as_mut().unwrap().dismiss(1, "z9hG4bKa", "z9hG4bKb");
    assert!(callee.dialog.unwrap().on_request(&bye).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_call_is_set_up_whatever_is_lost_at_first(
        lost in prop::collection::vec(any::<bool>(), 0..7),
        cancel in prop::option::of(0_u64..4000),
    ) {
        let (caller, callee) = call(lost, cancel);
        prop_assert!(caller.transaction.is_over());
        prop_assert!(callee.transaction.is_none_or(|transaction| transaction.is_over()));
        prop_assert_eq!(caller.dialog.map(|dialog| dialog.state()), Some(DialogState::Confirmed));
        prop_assert_eq!(callee.acked, 1);
    }

    #[test]
    fn with_any_loss_nothing_is_left_running(lost in prop::collection::vec(prop::bool::weighted(0.7), 0..80)) {
        let (caller, callee) = call(lost, Some(60_000));
        prop_assert!(caller.transaction.is_over());
        prop_assert!(callee.transaction.is_none_or(|transaction| transaction.is_over()));
        prop_assert!(callee.accepted.is_none_or(|accepted| accepted.is_over()));
    }

    #[test]
    fn odd_header_values_make_no_panic(contact: Vec<u8>, route: Vec<u8>, target in "[ -~]{0,30}") {
        let request = Draft::request(&Method::Invite, target.as_bytes())
            .header(Name::Contact, &contact).header(Name::RecordRoute, &route).finish();
        let response = Draft::response(&request, 200, None).header(Name::Contact, &contact).to_tag(b"t").finish();
        for mut dialog in [
            Dialog::uas(&request, b"t", flow(), contact.clone()),
            Dialog::uac(&request, &response, flow(), contact.clone()),
        ].into_iter().flatten() {
            dialog.on_response(&response);
            let _ = dialog.on_request(&request);
            let _ = dialog.respond(&request, 200, None).finish();
            dialog.ack(1, "z9hG4bKa", &[], None);
            let _ = dialog.bye("z9hG4bKb").finish();
        }
    }
}
