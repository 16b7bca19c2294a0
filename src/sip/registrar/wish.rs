//! What a REGISTER asks for, read before anything is changed.
//!
//! Deliberately absent: the bindings. RFC 3261 §10.3 steps 6 and 7, RFC 3327 §5.3, RFC 5626 §6.

use std::time::Duration;

use bytes::Bytes;

use super::{Binding, Instance, RegistrarFault, RegistrarLimits};
use crate::base::flow::{Flow, Transport};
use crate::sip::header::address::{Contacts, NameAddr};
use crate::sip::message::{Message, Name};
use crate::sip::text;
use crate::sip::uri::Uri;

/// Octets a binding keeps of its request.
const KEPT_MAX: usize = 2_048;

/// A REGISTER, read.
pub(super) struct Asked {
    pub(super) wishes: Wishes,
    pub(super) path: Vec<Bytes>,
    /// Whether `reg-id` counts (RFC 5626 §6).
    pub(super) outbound: bool,
}

/// What a request's Contacts ask for.
pub(super) enum Wishes {
    Nothing,
    RemoveAll,
    Each(Vec<Wish>),
}

/// One Contact of a request.
pub(super) struct Wish {
    pub(super) uri: Uri,
    pub(super) q: u16,
    /// Zero removes.
    pub(super) interval: Duration,
    pub(super) instance: Option<Instance>,
}

impl Asked {
    pub(super) fn read(request: &Message, limits: &RegistrarLimits) -> Result<Self, RegistrarFault> {
        let path: Vec<_> = request.values(Name::Path).map(Bytes::copy_from_slice).collect();
        if !path.is_empty() && !request.has_token(Name::Supported, "path") {
            return Err(RegistrarFault::PathUnsupported);
        }
        let list = match request.contacts().map_err(|_| RegistrarFault::BadContact)? {
            Contacts::All if request.expires() == Some(0) => {
                return Ok(Self { wishes: Wishes::RemoveAll, path, outbound: false });
            }
            Contacts::All => return Err(RegistrarFault::BadContact),
            Contacts::List(list) if list.is_empty() => {
                return Ok(Self { wishes: Wishes::Nothing, path, outbound: false });
            }
            Contacts::List(list) => list,
        };
        let names_flow = list.iter().any(|contact| reg_id(contact).is_some() && instance_id(contact).is_some());
        let outbound = names_flow && request.has_token(Name::Supported, "outbound");
        if outbound && !first_hop_keeps_flows(request, &path) {
            return Err(RegistrarFault::FirstHop);
        }
        let wishes = list.iter().map(|contact| Wish::read(request, contact, limits, outbound));
        let wishes = wishes.collect::<Result<Vec<_>, _>>()?;
        // One request came over one flow (RFC 5626 §6).
        if outbound && wishes.iter().filter(|wish| !wish.interval.is_zero()).count() > 1 {
            return Err(RegistrarFault::BadContact);
        }
        let routed: usize = path.iter().map(Bytes::len).sum();
        let longest = wishes.iter().map(Wish::octets).max().unwrap_or(0);
        if routed + longest + request.call_id().len() > KEPT_MAX {
            return Err(RegistrarFault::BadContact);
        }
        Ok(Self { wishes: Wishes::Each(wishes), path, outbound })
    }
}

impl Wish {
    fn read(
        request: &Message,
        contact: &NameAddr,
        limits: &RegistrarLimits,
        outbound: bool,
    ) -> Result<Self, RegistrarFault> {
        let uri = contact.uri().ok().filter(Uri::is_sip).ok_or(RegistrarFault::BadContact)?;
        let asked = contact.expires().or_else(|| request.expires());
        let interval = asked.map_or(limits.longest, |asked| Duration::from_secs(u64::from(asked)));
        if !interval.is_zero() && interval < limits.least {
            let least_s = u32::try_from(limits.least.as_secs()).unwrap_or(u32::MAX);
            return Err(RegistrarFault::TooBrief { least_s });
        }
        let instance =
            instance_id(contact).map(|id| Instance { id, reg_id: outbound.then(|| reg_id(contact)).flatten() });
        let uri = uri.without_headers().detached();
        Ok(Self { uri, q: contact.q_thousandths(), interval: interval.min(limits.longest), instance })
    }

    /// Whether the binding is the one meant: the phone's flow of that number, or else the address.
    pub(super) fn is_for(&self, binding: &Binding) -> bool {
        match (numbered(self.instance.as_ref()), numbered(binding.instance.as_ref())) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => self.uri.is_equivalent(&binding.uri),
        }
    }

    /// Whether the binding was made by the same phone before it restarted, so that nobody listens there any more.
    pub(super) fn outlives(&self, binding: &Binding, call_id: &[u8]) -> bool {
        let unnumbered = |instance: &&Instance| instance.reg_id.is_none();
        let ours = self.instance.as_ref().filter(unnumbered);
        ours.is_some() && ours == binding.instance.as_ref() && binding.call_id != call_id
    }

    /// The flow to the phone: the one its request came over, except where a datagram phone without a NAT before it
    /// names another port of its own.
    pub(super) fn reached_over(&self, flow: Flow, request: &Message, path: &[Bytes]) -> Flow {
        let via = request.via();
        let sent_from = text::decode(via.host()).trim_matches(['[', ']']).parse().ok();
        let truthful = sent_from == Some(flow.remote.ip()) && via.port().unwrap_or(5060) == flow.remote.port();
        match self.uri.socket_addr() {
            Some(named)
                if flow.transport == Transport::Udp
                    && path.is_empty()
                    && request.values(Name::Via).count() == 1
                    && truthful
                    && named.ip() == flow.remote.ip() =>
            {
                Flow { remote: named, ..flow }
            }
            _ => flow,
        }
    }

    fn octets(&self) -> usize {
        self.uri.as_bytes().len() + self.instance.as_ref().map_or(0, |instance| instance.id.len())
    }
}

fn numbered(instance: Option<&Instance>) -> Option<&Instance> {
    instance.filter(|instance| instance.reg_id.is_some())
}

fn instance_id(contact: &NameAddr) -> Option<Bytes> {
    let id = contact.param("+sip.instance").flatten().map(text::unquote)?;
    (!id.is_empty()).then(|| Bytes::from(id.into_owned()))
}

fn reg_id(contact: &NameAddr) -> Option<u32> {
    let number = contact.param("reg-id").flatten().and_then(text::number)?;
    u32::try_from(number).ok().filter(|number| (1..1 << 31).contains(number))
}

/// Whether we are the phone's first hop, or an edge proxy put itself into Path as one that keeps flows. Where the edge
/// stands in a list of several the RFC leaves open.
fn first_hop_keeps_flows(request: &Message, path: &[Bytes]) -> bool {
    let keeps = |value: Option<&Bytes>| {
        let uri = value.and_then(|value| NameAddr::parse(value).ok()).and_then(|address| address.uri().ok());
        uri.is_some_and(|uri| uri.param("ob").is_some())
    };
    request.values(Name::Via).count() <= 1 || keeps(path.first()) || keeps(path.last())
}
