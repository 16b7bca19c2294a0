//! Calls that begin at an agent's phone: what the switch would read of them.

use switch12345::acd::words::{AcdInput, DeskCommand, DeskState};
use switch12345::base::id::{AgentId, LegId};
use switch12345::call::Origin;
use switch12345::call::agent_call::{AgentCall, Wish};
use switch12345::call::leg::words::Replaces;
use switch12345::call::words::{Arrived, CallInput};
use switch12345::sip::header::refer;
use switch12345::sip::message::{Message, Name};

use super::world::World;

impl World {
    /// An agent dials.
    pub(crate) fn agent_dials(&mut self, agent: &'static str, number: &str) {
        self.with_phone(agent, |phone, now, out| {
            phone.dial(now, number, agent, out);
        });
    }

    /// An agent chooses a state.
    pub(crate) fn choose(&mut self, agent: &str, state: DeskState) {
        self.tell_acd(AcdInput::Desk(AgentId::new(agent), DeskCommand::Choose(state)));
    }

    pub(super) fn admit_agent(&mut self, name: &str, invite: Box<Arrived>, dialled: &str) {
        let agent = AgentId::new(name);
        let outward = self.plan.agent_dials(&agent, dialled, &mut ()).expect("an agent of the plan");
        let facts = AgentCall {
            tenant: "p".into(),
            wish: if dialled.starts_with('*') { Wish::Code } else { Wish::Reach(Box::new(outward)) },
            dialled_raw: dialled.into(),
            sip_call_id: String::from_utf8_lossy(invite.message.call_id()).as_ref().into(),
            max_forwards: 70,
            agent,
        };
        self.begin(Origin::Agent { invite, facts: Box::new(facts) });
    }
}

/// What the switch makes of another INVITE of an agent in the call.
pub(super) fn second_line(leg: LegId, name: &str, dialled: &str, invite: Box<Arrived>) -> CallInput {
    let agent = AgentId::new(name);
    match replaces(&invite.message) {
        Some(replaces) => CallInput::Replace { leg, agent, replaces, invite },
        None => CallInput::Consult { leg, agent, dialled: dialled.into(), invite },
    }
}

fn replaces(invite: &Message) -> Option<Box<Replaces>> {
    let named = refer::Replaces::parse(invite.header(Name::Replaces)?).ok()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).as_ref().into();
    Some(Box::new(Replaces {
        call_id: text(&named.call_id),
        to_tag: text(&named.to_tag),
        from_tag: text(&named.from_tag),
        early_only: named.early_only,
    }))
}
