//! The routing decision: one pure, total function from what an INVITE says to what happens.
//!
//! Order of decision: emergency (exact, before the plan), then the place's hotlines, matched as a whole by area and
//! number, then a forwarded number, then unknown. Deliberately absent: admission, unknown trunks (`switch`).

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::base::hotline::{CallerKind, CallerTrust};
use crate::base::id::{TenantName, TrunkName};
use crate::base::number::{AreaCode, CallerNumber, Candidate, dialled};
use crate::plan::flow::{Flow, unknown_flow};
use crate::plan::model::{Declared, EmergencyLine, Hotline, HotlineKey, HotlineStatus, Plan, Tenant};
use crate::plan::step::{Cursor, PlannedStep, Step, When};
use crate::plan::trunk::{CallSource, NumberRule, Trunk};

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

/// What the dialled digits turned out to be.
enum Match {
    Emergency(Arc<EmergencyLine>, Candidate),
    Hotline(Arc<Hotline>, Candidate),
    Nothing,
}

impl Plan {
    /// Decides a call. Total: every input has an answer; pure: the same input has the same answer.
    #[must_use]
    pub fn route(&self, facts: &Facts<'_>, wall: Timestamp, why: &mut impl Trace) -> Route {
        let trunk = self.trunk(facts.trunk);
        let tenant = trunk.and_then(|trunk| self.tenants.get(&trunk.tenant));
        let local = trunk.and_then(|trunk| trunk.area).or_else(|| tenant.and_then(|tenant| tenant.area));
        let caller = caller(facts, trunk.map(AsRef::as_ref), local);
        let mut draft = Draft {
            tenant: trunk.map_or_else(|| TenantName::new(""), |trunk| trunk.tenant.clone()),
            facts,
            caller,
            source: trunk.map_or(CallSource::Public, |trunk| trunk.source),
            wall,
        };
        let Some(tenant) = tenant else {
            why.rule("trunk", None, true, &|| format!("trunk `{}` leads to no place", facts.trunk));
            return draft.unknown(None, None);
        };
        draft.tenant = tenant.name.clone();
        let extra = trunk.map_or(0, |trunk| trunk.priority);
        let rule = trunk.map(|trunk| &trunk.incoming.called);
        let found = tenant.find(facts.dialled, rule, local, why);
        let forwarded = || tenant.forwarded(facts, local);
        match found {
            Match::Emergency(line, reading) => {
                why.rule("emergency", None, true, &|| format!("{} goes straight through", line.number));
                draft.emergency(line, &reading)
            }
            Match::Hotline(hotline, reading) if hotline.mode.is_none() && hotline.status == HotlineStatus::Open => {
                // 12345 itself: a department may have forwarded its own number to it.
                match forwarded() {
                    Some((first, raw)) => {
                        why.rule("forwarded", Some(&first.declared), true, &|| format!("forwarded from {raw}"));
                        draft.hotline(tenant, first, &reading, Some(raw), extra, why)
                    }
                    None => draft.hotline(tenant, hotline, &reading, None, extra, why),
                }
            }
            Match::Hotline(hotline, reading) => draft.hotline(tenant, hotline, &reading, None, extra, why),
            Match::Nothing => match forwarded() {
                Some((first, raw)) => {
                    why.rule("forwarded", Some(&first.declared), true, &|| {
                        format!("the number dialled is hidden, it was forwarded from {raw}")
                    });
                    let reading = Candidate { area: first.area, number: first.number.to_string(), sure: true };
                    draft.hotline(tenant, first, &reading, Some(raw), extra, why)
                }
                None => {
                    why.rule("unknown", None, true, &|| format!("`{}` knows no such number", tenant.name));
                    draft.unknown(Some(tenant), local)
                }
            },
        }
    }
}

impl Tenant {
    /// Looks every reading up whole: emergencies first in forms with one reading, then hotlines, then emergencies in
    /// forms that could have been something else.
    ///
    /// The trunk's rule comes after the emergencies, so it can hide none of them.
    fn find(&self, raw: &str, rule: Option<&NumberRule>, local: Option<AreaCode>, why: &mut impl Trace) -> Match {
        let plain = dialled(raw, local);
        let emergency = |readings: &[Candidate], sure: bool| {
            readings.iter().filter(|reading| reading.sure == sure).find_map(|reading| {
                self.emergency_line(reading).map(|line| Match::Emergency(Arc::clone(line), reading.clone()))
            })
        };
        if let Some(found) = emergency(&plain, true) {
            return found;
        }
        let changed = rule.map_or(Cow::Borrowed(raw), |rule| rule.read(raw));
        let readings = match &changed {
            Cow::Borrowed(_) => plain,
            Cow::Owned(changed) => {
                why.rule("called", None, true, &|| format!("the trunk's rule makes it {changed}"));
                dialled(changed, local)
            }
        };
        if let Some(found) = emergency(&readings, true) {
            return found;
        }
        for reading in &readings {
            let found = self.hotline_for(reading);
            let declared = found.map(|hotline| &hotline.declared);
            why.rule("number", declared, found.is_some(), &|| match (found, reading.area) {
                (Some(hotline), _) => format!("{} is {}", reading.number, hotline.name),
                (None, Some(area)) => format!("no entry for {} in area {area}", reading.number),
                (None, None) => format!("no entry for {} without an area", reading.number),
            });
            if let Some(hotline) = found {
                return Match::Hotline(Arc::clone(hotline), reading.clone());
            }
        }
        emergency(&readings, false).unwrap_or(Match::Nothing)
    }

    fn hotline_for(&self, reading: &Candidate) -> Option<&Arc<Hotline>> {
        self.hotlines.get(&HotlineKey { area: reading.area, number: Arc::from(reading.number.as_str()) })
    }

    /// The hotline a forwarded call was first dialled to, from Diversion and History-Info; never 12345 itself.
    fn forwarded<'f>(&self, facts: &Facts<'f>, local: Option<AreaCode>) -> Option<(Arc<Hotline>, &'f str)> {
        facts.diverted.iter().find_map(|raw| {
            let readings = dialled(raw, local);
            let found = readings.iter().find_map(|reading| self.hotline_for(reading));
            found.filter(|hotline| hotline.mode.is_some()).map(|hotline| (Arc::clone(hotline), *raw))
        })
    }
}

/// P-Asserted-Identity of a trusted trunk, then From.
fn caller(facts: &Facts<'_>, trunk: Option<&Trunk>, local: Option<AreaCode>) -> Caller {
    let read = |raw: &str| {
        let changed = trunk.map_or(Cow::Borrowed(raw), |trunk| trunk.incoming.caller.read(raw));
        CallerNumber { raw: raw.to_owned(), ..CallerNumber::read(&changed, local) }
    };
    let known = |raw: &str| Some(read(raw)).filter(|number| number.kind != CallerKind::Hidden);
    let asserted =
        facts.asserted.iter().filter(|_| trunk.is_some_and(|trunk| trunk.trusted)).find_map(|raw| known(raw));
    let from = facts.from.map(read).unwrap_or_default();
    let (number, trust) = match asserted {
        Some(number) => (number, CallerTrust::Asserted),
        None if from.kind == CallerKind::Hidden => (from, CallerTrust::Anonymous),
        None => (from, CallerTrust::From),
    };
    Caller { number, trust, private: facts.private }
}

/// A route before its target is known.
struct Draft<'f> {
    tenant: TenantName,
    facts: &'f Facts<'f>,
    caller: Caller,
    source: CallSource,
    wall: Timestamp,
}

impl Draft<'_> {
    fn route(
        self,
        number: String,
        area: Option<AreaCode>,
        verdict: Verdict,
        steps: Vec<PlannedStep>,
        place: Option<&Tenant>,
    ) -> Route {
        let mut cursor = Cursor { tenant: self.tenant.clone(), steps, at: 0, invited: self.wall };
        cursor.skip_closed(place, self.wall);
        // A list whose every step is closed at this hour still has an answer.
        let first = cursor.current().cloned().unwrap_or(Step::Reject { status: 480, q850: Some(19) });
        Route {
            tenant: self.tenant,
            dialled_raw: self.facts.dialled.to_owned(),
            number,
            area,
            caller: self.caller,
            diverted_from: None,
            source: self.source,
            hotline: None,
            verdict,
            first,
            cursor,
        }
    }

    fn emergency(self, line: Arc<EmergencyLine>, reading: &Candidate) -> Route {
        let steps = vec![PlannedStep { step: Step::Dial(line.dial()), when: When::Always }];
        self.route(line.number.clone(), reading.area, Verdict::Emergency(line), steps, None)
    }

    fn unknown(self, place: Option<&Tenant>, local: Option<AreaCode>) -> Route {
        let plainest = dialled(self.facts.dialled, local).into_iter().next();
        let (number, area) = plainest.map_or_else(|| (String::new(), None), |found| (found.number, found.area));
        self.route(number, area, Verdict::Unknown, unknown_flow(place), place)
    }

    fn hotline(
        self,
        place: &Tenant,
        hotline: Arc<Hotline>,
        reading: &Candidate,
        forwarded: Option<&str>,
        extra_priority: u8,
        why: &mut impl Trace,
    ) -> Route {
        let flow = Flow { place, hotline: &hotline, wall: self.wall, forwarded: forwarded.is_some(), extra_priority };
        let (verdict, steps) = flow.build(why);
        let area = hotline.area.or(reading.area);
        let mut route = self.route(hotline.number.to_string(), area, verdict, steps, Some(place));
        route.diverted_from = forwarded.map(str::to_owned);
        route.hotline = Some(hotline);
        route
    }
}
