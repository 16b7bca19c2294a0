//! New INVITEs of agents: proof, then a consult in the agent's talk, or a refusal that leaves nothing behind.
//!
//! RFC 3261 §22.

use std::sync::Arc;

use super::Switch;
use super::desk::Proof;
use super::words::SwitchEffect;
use crate::base::now::Now;
use crate::call::words::{Arrived, CallInput};
use crate::sip::transaction::key::{MergeKey, TxKey};

impl Switch {
    pub(super) fn on_agent_invite(
        &mut self,
        now: Now,
        key: TxKey,
        merge: Option<MergeKey>,
        arrived: Arrived,
        out: &mut Vec<SwitchEffect>,
    ) {
        if !self.require(&arrived, out) || !self.readable(&arrived, out) || !self.lasting(&arrived, out) {
            return;
        }
        let plan = Arc::clone(&self.plan);
        let proof = self.desk.prove(now, &plan.settings, &self.product, &arrived, out);
        let Proof::Agent(agent) = proof else { return };
        let Some(call) = self.calls.talk_of(&agent) else {
            return self.refuse(&arrived, 403, Some("No Talk To Consult In"), &[], out);
        };
        let dialled = arrived.message.uri().and_then(Result::ok).and_then(|uri| uri.user_text()).unwrap_or_default();
        let Some(leg) = self.calls.begin_consult(call, key, merge) else {
            return self.refuse(&arrived, 480, None, &[], out);
        };
        let (dialled, invite) = (Arc::from(dialled), Box::new(arrived));
        out.push(SwitchEffect::Deliver(call, CallInput::Consult { leg, agent, dialled, invite }));
    }
}
