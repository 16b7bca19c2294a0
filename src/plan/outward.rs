//! Where a number leads that one of us dials: an agent's phone, a transfer, a redirection. Pure and total, as `route`.
//!
//! | the number | leads to | judged by a class |
//! |---|---|---|
//! | an emergency line, in a form with one reading | its routes | no |
//! | an agent of the place, by id | his phone | no |
//! | a queue of the place, by name | the queue | no |
//! | a hotline of the place | its own seats, else its queue | no |
//! | an emergency line, in another form | its routes | no |
//! | a unit's contact, a utility | the trunk written there | no |
//! | any other number | the place's trunks to the public network, in order | yes |
//! | no number at all | nobody | – |
//!
//! A host named beside the number (a foreign Request-URI, Refer-To or Contact) is no part of the question: nobody is
//! relayed to an address. Deliberately absent: which trunk can be used now (`switch`).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::hotline::CallerKind;
use crate::base::id::{AgentId, QueueId, QueueName, TrunkName};
use crate::base::number::{AreaCode, CallerNumber, Candidate, dialled};
use crate::plan::model::{EmergencyLine, Hotline, HotlineKey, HotlineStatus, Plan, Tenant};
use crate::plan::route::Trace;
use crate::plan::service::ServiceClass;
use crate::plan::step::DialTarget;
use crate::plan::trunk::{CallSource, Trunk};

/// The longest service number that is not one of 400 or 800, in digits (95 and 96 have up to eight).
const SHORT_MAX: usize = 8;

/// With whose rights a number is dialled.
#[derive(Clone, Copy, Debug)]
pub enum Rights<'a> {
    /// An agent's class of service.
    Class(&'a ServiceClass),
    /// An administrator's: every number.
    All,
    /// Somebody outside who sends a call on: only what the plan names.
    Named,
}

/// Where a dialled number leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Outward {
    /// The number in normal form; empty when it is none.
    pub number: String,
    /// Its area, where it has one.
    pub area: Option<AreaCode>,
    /// Where to.
    pub way: OutwardWay,
}

/// Whom a dialled number reaches.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OutwardWay {
    /// An emergency line.
    Emergency(Arc<EmergencyLine>),
    /// A colleague.
    Agent(AgentId),
    /// Whoever a queue offers.
    Queue(QueueId),
    /// A hotline's own seats.
    Seats(Arc<Hotline>),
    /// A number the plan names for a unit or a utility.
    Named {
        /// The unit.
        unit: Option<Arc<str>>,
        /// How it is reached.
        target: DialTarget,
    },
    /// The public network, trunk by trunk.
    Outside(Vec<DialTarget>),
    /// Nobody.
    Refused(Refusal),
}

/// Why a number leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Refusal {
    /// It is no number, or one nobody can dial.
    NoNumber,
    /// The class of service does not allow it.
    NotAllowed,
    /// The place has no trunk to the public network.
    NoTrunk,
}

impl Refusal {
    /// The SIP status a phone that dials it gets, with its reason phrase.
    #[must_use]
    pub const fn answer(self) -> (u16, &'static str) {
        match self {
            Self::NoNumber => (404, "Number Not In The Plan"),
            Self::NotAllowed => (403, "Number Not Allowed By Class Of Service"),
            Self::NoTrunk => (503, "No Trunk To The Public Network"),
        }
    }
}

impl Plan {
    /// The class of service of an agent: his own, else his place's.
    #[must_use]
    pub fn class_of(&self, agent: &AgentId) -> Option<&Arc<ServiceClass>> {
        let agent = self.agent(agent)?;
        let place = self.tenant(&agent.tenant)?;
        place.classes.get(agent.class.as_deref().unwrap_or(&place.class))
    }

    /// The rights of an agent; one who is not in the plan has only those of somebody outside.
    #[must_use]
    pub fn rights_of(&self, agent: &AgentId) -> Rights<'_> {
        self.class_of(agent).map_or(Rights::Named, |class| Rights::Class(class))
    }

    /// Where a number leads that an agent dials out of any call; `None` when the plan does not know him.
    #[must_use]
    pub fn agent_dials(&self, agent: &AgentId, raw: &str, why: &mut impl Trace) -> Option<Outward> {
        let place = self.tenant(&self.agent(agent)?.tenant)?;
        Some(self.outward(place, self.rights_of(agent), raw, None, why))
    }

    /// Where a number leads in a place; `over` is the trunk a call came in by, which reaches the public network too.
    #[must_use]
    pub fn outward(
        &self,
        place: &Tenant,
        rights: Rights<'_>,
        raw: &str,
        over: Option<&TrunkName>,
        why: &mut impl Trace,
    ) -> Outward {
        let readings = dialled(raw, place.area);
        let (normal, area) = normal_form(raw, place.area);
        let emergency = |sure: bool| {
            let mut readings = readings.iter().filter(|reading| reading.sure == sure);
            readings.find_map(|reading| Some((place.emergency_line(reading)?, reading)))
        };
        if let Some((line, reading)) = emergency(true) {
            return to_emergency(line, reading, why);
        }
        if let Some(found) = self.inside(place, raw, &readings, why) {
            return found;
        }
        if let Some((line, reading)) = emergency(false) {
            return to_emergency(line, reading, why);
        }
        if let Some(named) = place.named(&normal) {
            why.rule("named", None, true, &|| format!("{normal} is a contact the plan names"));
            return Outward { number: normal, area, way: named };
        }
        let way = self.outside(place, rights, &normal, over, why);
        Outward { number: normal, area, way }
    }

    /// Colleagues, queues and hotlines of the place.
    fn inside(&self, place: &Tenant, raw: &str, readings: &[Candidate], why: &mut impl Trace) -> Option<Outward> {
        let plainly = |way| Outward { number: raw.to_owned(), area: None, way };
        if let Some(agent) = self.agent(&AgentId::new(raw)).filter(|agent| agent.tenant == place.name) {
            why.rule("agent", Some(&agent.declared), true, &|| format!("{raw} is {}", agent.name));
            return Some(plainly(OutwardWay::Agent(agent.id.clone())));
        }
        if let Some(queue) = place.queues.get(&QueueName::new(raw)) {
            why.rule("queue", Some(&queue.declared), true, &|| format!("{raw} is a queue"));
            return Some(plainly(OutwardWay::Queue(queue.id.clone())));
        }
        let of_reading = |reading: &Candidate| {
            place.hotlines.get(&HotlineKey { area: reading.area, number: Arc::from(reading.number.as_str()) })
        };
        let hotline = readings.iter().find_map(of_reading).filter(|found| found.status == HotlineStatus::Open)?;
        why.rule("number", Some(&hotline.declared), true, &|| format!("{} is {}", hotline.number, hotline.name));
        let seats = hotline.seat_route.as_ref();
        let way = if seats.is_some_and(|route| !route.targets.is_empty()) {
            OutwardWay::Seats(Arc::clone(hotline))
        } else {
            let own = seats.and_then(|route| route.queue.as_ref()).unwrap_or(&hotline.queue);
            OutwardWay::Queue(QueueId { tenant: place.name.clone(), queue: own.clone() })
        };
        Some(Outward { number: hotline.number.to_string(), area: hotline.area, way })
    }

    fn outside(
        &self,
        place: &Tenant,
        rights: Rights<'_>,
        normal: &str,
        over: Option<&TrunkName>,
        why: &mut impl Trace,
    ) -> OutwardWay {
        // A spelling no emergency line is recognised in does not become one on the way to a trunk.
        if normal.is_empty() || place.emergency.contains_key(normal) {
            why.rule("number", None, true, &|| "it is no number that can be dialled".to_owned());
            return OutwardWay::Refused(Refusal::NoNumber);
        }
        match rights {
            Rights::All => {}
            Rights::Named => {
                why.rule("rights", None, true, &|| format!("the plan names no {normal}"));
                return OutwardWay::Refused(Refusal::NotAllowed);
            }
            Rights::Class(class) => {
                let judged = class.judge(normal);
                let allowed = judged.is_some_and(|(_, allowed)| allowed);
                why.rule("service_class", Some(&class.declared), allowed, &|| match judged {
                    Some((prefix, true)) => format!("class {} allows {prefix}…", class.name),
                    Some((prefix, false)) => format!("class {} denies {prefix}…", class.name),
                    None => format!("class {} has no prefix for {normal}", class.name),
                });
                if !allowed {
                    return OutwardWay::Refused(Refusal::NotAllowed);
                }
            }
        }
        let trunks = self.trunks_outside(place, over);
        if trunks.is_empty() {
            why.rule("trunk", None, true, &|| format!("`{}` has no trunk to the public network", place.name));
            return OutwardWay::Refused(Refusal::NoTrunk);
        }
        let target = |trunk: &Arc<Trunk>| DialTarget { trunk: trunk.name.clone(), number: normal.to_owned() };
        OutwardWay::Outside(trunks.into_iter().map(target).collect())
    }

    /// The place's trunks to the public network, in order: those it names, else the one the call came over and then
    /// every trunk citizens come in by and calls go out on. Any other may lead to one desk only.
    fn trunks_outside(&self, place: &Tenant, over: Option<&TrunkName>) -> Vec<&Arc<Trunk>> {
        if !place.outside.is_empty() {
            return place.outside.iter().filter_map(|name| self.trunk(name)).collect();
        }
        let dialable = |trunk: &&Arc<Trunk>| trunk.tenant == place.name && !trunk.emergency && !trunk.to.is_empty();
        let came_over = over.and_then(|name| self.trunk(name)).filter(dialable);
        let carrier = |trunk: &&Arc<Trunk>| {
            dialable(trunk)
                && trunk.source == CallSource::Public
                && (!trunk.from.is_empty() || trunk.register.is_some())
                && came_over.is_none_or(|first| first.name != trunk.name)
        };
        came_over.into_iter().chain(self.settings.trunks.values().filter(carrier)).collect()
    }
}

impl Tenant {
    /// A unit's contact or a utility with this number in normal form.
    fn named(&self, normal: &str) -> Option<OutwardWay> {
        if normal.is_empty() {
            return None;
        }
        let same = |number: &str| normal_form(number, self.area).0 == normal;
        let contact = self.units.values().find_map(|unit| {
            let contact = unit.contacts.iter().find(|contact| same(&contact.target.number))?;
            let unit = Some(Arc::from(unit.name.as_str()));
            Some(OutwardWay::Named { unit, target: contact.target.clone() })
        });
        contact.or_else(|| {
            self.utilities.iter().find_map(|utility| {
                let trunk = utility.trunk.clone().filter(|_| same(&utility.number))?;
                let target = DialTarget { trunk, number: utility.number.clone() };
                Some(OutwardWay::Named { unit: Some(Arc::from(utility.name.as_str())), target })
            })
        })
    }
}

/// A dialled number in normal form, with its area. Digits that are neither mobile, landline nor short keep (or get) the
/// zero of a national number: a class must not take `010…` for a service number that begins with 10.
fn normal_form(raw: &str, local: Option<AreaCode>) -> (String, Option<AreaCode>) {
    let read = CallerNumber::read(raw, local);
    let digits = raw.bytes().find(u8::is_ascii_digit);
    let free = ["400", "800"].iter().any(|prefix| read.normal.starts_with(prefix));
    let national = digits == Some(b'0') || (read.normal.len() > SHORT_MAX && !free);
    let normal = if read.kind == CallerKind::Short && national { format!("0{}", read.normal) } else { read.normal };
    (normal, read.area)
}

fn to_emergency(line: &Arc<EmergencyLine>, reading: &Candidate, why: &mut impl Trace) -> Outward {
    why.rule("emergency", None, true, &|| format!("{} goes straight through, whatever the class", line.number));
    Outward { number: line.number.clone(), area: reading.area, way: OutwardWay::Emergency(Arc::clone(line)) }
}

#[cfg(test)]
mod tests;
