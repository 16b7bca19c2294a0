//! The routing decision: one pure, total function from what an INVITE says to what happens.
//!
//! Order of decision: emergency (exact, before the plan), then the place's hotlines, matched as a whole by area and
//! number, then a forwarded number, then unknown. Deliberately absent: admission, unknown trunks (`switch`).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::hotline::CallerTrust;
use crate::base::id::{TenantName, TrunkName};
use crate::base::number::{AreaCode, CallerNumber};
use crate::plan::model::{Declared, EmergencyLine, Hotline};
use crate::plan::settings::CallSource;
use crate::plan::step::{Cursor, Step};

/// What an INVITE says, decoded; raw forms throughout.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The trunk it came over.
    pub trunk: &'a TrunkName,
    /// The request-URI's user part or `tel:` number, with its parameters (`phone-context`), as written; a whole
    /// `sip:` or `tel:` URI is understood too.
    pub dialled: &'a str,
    /// The From user or `tel:` number.
    pub from: Option<&'a str>,
    /// P-Asserted-Identity users or `tel:` numbers, in order.
    pub asserted: &'a [&'a str],
    /// Whether Privacy asks for the identity to be withheld (`id`, `user`, `header`, `critical`).
    pub private: bool,
    /// Diversion and History-Info numbers, most recent first.
    pub diverted: &'a [&'a str],
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Route {
    /// The place.
    pub tenant: TenantName,
    /// The dialled number as it came.
    pub dialled_raw: String,
    /// The dialled number in normal form: the hotline's digits, or what could be read.
    pub number: String,
    /// Its area.
    pub area: Option<AreaCode>,
    /// Who calls.
    pub caller: Caller,
    /// The number a forwarded call was dialled to, where that is what was matched.
    pub diverted_from: Option<String>,
    /// Who sends calls over this trunk.
    pub source: CallSource,
    /// The hotline, when the number is one.
    pub hotline: Option<Arc<Hotline>>,
    /// What kind of decision it is.
    pub verdict: Verdict,
    /// The first step.
    pub first: Step,
    /// The rest.
    pub cursor: Cursor,
}

/// The kind of decision.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// A hotline that is served.
    Hotline,
    /// A hotline that is not opened here.
    NotOpened,
    /// A hotline after its cut-off that ends in an announcement or a refusal.
    CutOff,
    /// An emergency number: straight through.
    Emergency(Arc<EmergencyLine>),
    /// A number the place does not know.
    Unknown,
}

/// Who calls, and how far that can be believed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Caller {
    /// The number.
    pub number: CallerNumber,
    /// Where it was read.
    pub trust: CallerTrust,
    /// Whether the caller asked to be hidden; the hotline's own record still has the number.
    pub private: bool,
}

/// Hears how a decision is made; `()` hears nothing and costs nothing.
pub trait Trace {
    /// A rule was looked at and taken or not.
    fn rule(&mut self, rule: &str, declared: Option<&Declared>, took: bool, because: &dyn Fn() -> String);
}

impl Trace for () {
    fn rule(&mut self, _rule: &str, _declared: Option<&Declared>, _took: bool, _because: &dyn Fn() -> String) {}
}
