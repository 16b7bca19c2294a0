//! Ways to peers: which connection carries what is sent to whom, also after one is gone.
//!
//! A way is all that opening a connection takes. Asked for a flow, it gives the one its connection has or will have;
//! nothing is opened before a message is sent over that flow. When the connection ends, later asking gives another
//! flow, so that news of the old one's end cannot hit what uses the new; what is still sent over the old flow (the BYE of
//! a call that outlived its connection, RFC 3261 §18.1.1) goes over the new connection, whose end is then told for
//! both.
//!
//! | flow of a way | asked again | message sent over it | its connection ends |
//! |---|---|---|---|
//! | minted | the same | opened | – |
//! | open | the same | queued | gone |
//! | gone | another | over the connection of the other, opened when needed | – |
//!
//! A connection a peer opened is a way back to it (RFC 5923) when it came from the port it listens on, or when it says
//! so by `alias` in Via; over TLS only when it has shown a certificate for the name we would call it by.
//! Deliberately absent: sockets.
//!
//! | limit | value | when full |
//! |---|---|---|
//! | flows of ways | 4,096 | the oldest without a connection is forgotten; with none such there is no new way |
//! | flows carried by one connection of another | 1,024 | what is sent over more is dropped |

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use super::tls;
use crate::base::flow::{Flow, FlowId, Side, Transport};
use crate::plan::trunk::TrunkTls;

const WAYS: usize = if cfg!(test) { 4 } else { 4_096 };
const CARRIED: usize = if cfg!(test) { 2 } else { 1_024 };

/// All that opening a connection takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Way {
    pub(super) side: Side,
    pub(super) transport: Transport,
    /// Our address as the peer should see it.
    pub(super) local: SocketAddr,
    /// The address to call from.
    pub(super) from: IpAddr,
    pub(super) remote: SocketAddr,
    /// The name to check and how.
    pub(super) tls: Option<(String, TrunkTls)>,
}

/// Where a message for a flow without a connection goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Onward {
    /// To this flow's connection.
    Over(FlowId),
    /// To this flow's connection, which must be opened first.
    Open(FlowId, Arc<Way>),
}

/// A connection a peer opened over which it may be called.
#[derive(Clone, Debug)]
struct Back {
    flow: Flow,
    /// Certificates it has shown.
    shown: Vec<CertificateDer<'static>>,
}

/// All ways.
#[derive(Debug, Default)]
pub(super) struct Ways {
    current: HashMap<Arc<Way>, FlowId>,
    by_flow: BTreeMap<FlowId, Arc<Way>>,
    /// Flows with a connection, and the gone ones it carries.
    open: BTreeMap<FlowId, BTreeSet<FlowId>>,
    back: BTreeMap<(Side, Transport, SocketAddr), Back>,
}

impl Way {
    pub(super) const fn flow(&self, id: FlowId) -> Flow {
        Flow { id, side: self.side, transport: self.transport, local: self.local, remote: self.remote }
    }
}

impl Ways {
    /// The flow new messages over a way take.
    pub(super) fn flow(&mut self, way: &Way, mint: impl FnOnce() -> FlowId) -> Option<Flow> {
        if let Some(id) = self.current.get(way) {
            return Some(way.flow(*id));
        }
        if let Some(back) = self.back.get(&(way.side, way.transport, way.remote)).filter(|back| back.fits(way)) {
            return Some(back.flow);
        }
        self.minted(Arc::new(way.clone()), mint).map(|id| way.flow(id))
    }

    /// Where a message for a flow goes that has no connection; it is taken to be opened from now on.
    pub(super) fn onward(&mut self, id: FlowId, mint: impl FnOnce() -> FlowId) -> Option<Onward> {
        let way = Arc::clone(self.by_flow.get(&id)?);
        let current = match self.current.get(&way) {
            Some(current) => *current,
            None => self.minted(Arc::clone(&way), mint)?,
        };
        let is_open = self.open.contains_key(&current);
        let carried = self.open.entry(current).or_default();
        if current != id && (carried.len() < CARRIED || carried.contains(&id)) {
            carried.insert(id);
        } else if current != id {
            return None;
        }
        Some(if is_open { Onward::Over(current) } else { Onward::Open(current, way) })
    }

    /// Gives a flow a way that had none: a connection the peer had opened and that is gone.
    pub(super) fn lead(&mut self, id: FlowId, way: Way) {
        if self.room() {
            self.by_flow.insert(id, Arc::new(way));
        }
    }

    /// Notes that a peer can be called over a connection it opened.
    pub(super) fn lead_back(&mut self, flow: Flow, listens: SocketAddr, shown: Vec<CertificateDer<'static>>) {
        self.back.insert((flow.side, flow.transport, listens), Back { flow, shown });
    }

    /// A connection is gone: the flows to tell of it.
    pub(super) fn closed(&mut self, id: FlowId) -> BTreeSet<FlowId> {
        self.back.retain(|_, back| back.flow.id != id);
        if let Some(way) = self.by_flow.get(&id)
            && self.current.get(way) == Some(&id)
        {
            self.current.remove(way);
        }
        let mut told = self.open.remove(&id).unwrap_or_default();
        told.insert(id);
        told
    }

    fn minted(&mut self, way: Arc<Way>, mint: impl FnOnce() -> FlowId) -> Option<FlowId> {
        if !self.room() {
            return None;
        }
        let id = mint();
        self.by_flow.insert(id, Arc::clone(&way));
        self.current.insert(way, id);
        Some(id)
    }

    /// Makes room for one more flow.
    fn room(&mut self) -> bool {
        if self.by_flow.len() < WAYS {
            return true;
        }
        let Some(oldest) = self.by_flow.keys().copied().find(|id| !self.open.contains_key(id)) else { return false };
        if let Some(way) = self.by_flow.remove(&oldest)
            && self.current.get(&way) == Some(&oldest)
        {
            self.current.remove(&way);
        }
        true
    }
}

impl Back {
    fn fits(&self, way: &Way) -> bool {
        let named = way
            .tls
            .as_ref()
            .is_none_or(|(name, _)| tls::server_name(name).is_some_and(|name| tls::bears(&self.shown, &name)));
        named && self.flow.local == way.local
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(port: u16) -> Way {
        Way {
            side: Side::Trunk,
            transport: Transport::Tcp,
            local: "192.0.2.1:5060".parse().unwrap(),
            from: "192.0.2.1".parse().unwrap(),
            remote: SocketAddr::new("192.0.2.9".parse().unwrap(), port),
            tls: None,
        }
    }

    fn accepted(id: u64, port: u16, transport: Transport) -> Flow {
        Flow { transport, ..way(port).flow(FlowId(id)) }
    }

    fn mint(id: u64) -> impl FnOnce() -> FlowId {
        move || FlowId(id)
    }

    fn never() -> FlowId {
        panic!("nothing new is wanted")
    }

    #[test]
    fn asking_again_gives_the_same_flow_and_the_first_message_opens_it() {
        let mut ways = Ways::default();
        let flow = ways.flow(&way(1), mint(7)).unwrap();
        assert_eq!(flow, way(1).flow(FlowId(7)));
        assert_eq!(ways.flow(&way(1), never), Some(flow));
        assert_eq!(ways.onward(flow.id, never), Some(Onward::Open(flow.id, Arc::new(way(1)))));
        assert_eq!(ways.onward(flow.id, never), Some(Onward::Over(flow.id)));
        assert_eq!(ways.closed(flow.id), BTreeSet::from([flow.id]));
        assert_eq!(ways.onward(FlowId(99), never), None, "a flow of nobody leads nowhere");
    }

    #[test]
    fn what_a_gone_flow_still_sends_goes_over_the_new_one_whose_end_is_told_for_both() {
        let mut ways = Ways::default();
        let old = ways.flow(&way(1), mint(7)).unwrap();
        ways.onward(old.id, never);
        ways.closed(old.id);
        let new = ways.flow(&way(1), mint(8)).unwrap();
        assert_ne!(new.id, old.id);
        assert_eq!(ways.onward(old.id, never), Some(Onward::Open(new.id, Arc::new(way(1)))));
        assert_eq!(ways.onward(old.id, never), Some(Onward::Over(new.id)));
        assert_eq!(ways.closed(new.id), BTreeSet::from([old.id, new.id]));
        assert_eq!(ways.onward(old.id, mint(9)), Some(Onward::Open(FlowId(9), Arc::new(way(1)))));
    }

    #[test]
    fn the_oldest_way_without_a_connection_is_forgotten_first() {
        let mut ways = Ways::default();
        for port in 1..=4 {
            ways.flow(&way(port), mint(port.into()));
        }
        ways.onward(FlowId(1), never);
        ways.flow(&way(5), mint(5)).unwrap();
        assert_eq!(ways.onward(FlowId(2), never), None);
        assert_eq!(ways.onward(FlowId(1), never), Some(Onward::Over(FlowId(1))));
        for id in [3, 4, 5] {
            ways.onward(FlowId(id), never);
        }
        assert_eq!(ways.flow(&way(6), never), None, "all are in use");
        assert_eq!((ways.by_flow.len(), ways.current.len(), ways.open.len()), (4, 4, 4));
    }

    #[test]
    fn one_connection_carries_a_bounded_number_of_gone_flows() {
        let mut ways = Ways::default();
        for id in 1..=3 {
            ways.flow(&way(1), mint(id));
            ways.onward(FlowId(id), never);
            ways.closed(FlowId(id));
        }
        assert!(matches!(ways.onward(FlowId(1), mint(4)), Some(Onward::Open(FlowId(4), _))));
        assert_eq!(ways.onward(FlowId(2), never), Some(Onward::Over(FlowId(4))));
        assert_eq!(ways.onward(FlowId(2), never), Some(Onward::Over(FlowId(4))));
        assert_eq!(ways.onward(FlowId(3), never), None);
        assert_eq!(ways.closed(FlowId(4)).len(), 3);
    }

    #[test]
    fn a_connection_from_the_listening_port_is_a_way_back_until_it_ends() {
        let mut ways = Ways::default();
        let flow = accepted(3, 5060, Transport::Tcp);
        ways.lead_back(flow, flow.remote, Vec::new());
        assert_eq!(ways.flow(&way(5060), never), Some(flow));
        let elsewhere = Way { local: "192.0.2.2:5060".parse().unwrap(), ..way(5060) };
        assert_eq!(ways.flow(&elsewhere, mint(4)).map(|flow| flow.id), Some(FlowId(4)), "another interface of ours");
        ways.closed(flow.id);
        assert_eq!(ways.flow(&way(5060), mint(5)).map(|flow| flow.id), Some(FlowId(5)));
    }

    #[test]
    fn over_tls_only_a_peer_that_showed_its_name_is_called_back() {
        let mut ways = Ways::default();
        let made = rcgen::generate_simple_self_signed(vec!["sbc.example".to_owned()]).unwrap();
        let to = |name: &str| Way {
            transport: Transport::Tls,
            tls: Some((name.to_owned(), TrunkTls::default())),
            ..way(5061)
        };
        let flow = accepted(3, 5061, Transport::Tls);
        ways.lead_back(flow, flow.remote, Vec::new());
        assert_eq!(ways.flow(&to("sbc.example"), mint(4)).map(|flow| flow.id), Some(FlowId(4)), "nothing shown");
        ways.closed(FlowId(4));
        ways.lead_back(flow, flow.remote, vec![made.cert.der().clone()]);
        assert_eq!(ways.flow(&to("sbc.example"), never), Some(flow));
        assert_eq!(ways.flow(&to("other.example"), mint(5)).map(|flow| flow.id), Some(FlowId(5)));
    }

    #[test]
    fn a_flow_may_be_led_to_where_its_peer_listens() {
        let mut ways = Ways::default();
        ways.lead(FlowId(3), way(5060));
        assert!(matches!(ways.onward(FlowId(3), mint(4)), Some(Onward::Open(FlowId(4), _))));
        assert_eq!(ways.closed(FlowId(4)), BTreeSet::from([FlowId(3), FlowId(4)]));
    }
}
