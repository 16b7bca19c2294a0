//! Who may begin a call now: caps of trunks and of the engine, maintenance, and drain.
//!
//! Overload is answered 503 with Retry-After before any state exists; an emergency number passes every cap, also
//! while draining (`contract.md` §4; `design` idea 9). A trunk's caps count calls in and legs out together; a leg out
//! counts from the moment its far end is asked for. A trunk's calls per second are counted in a window of one second
//! by the monotonic clock; the engine's are a mean, from which one second's worth may be taken early, so that a load
//! of exactly the limit passes whatever its jitter. Deliberately absent: who the source is, media ports (the worker
//! refuses them itself).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::base::id::{CallId, LegId, LookupId, TrunkName};
use crate::base::now::{Mono, Now};

/// What a refused caller is told to wait.
pub const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Caps of one trunk; zero is no cap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// Calls at once.
    pub calls: u32,
    /// New calls a second.
    pub calls_per_second: u32,
    /// Out of use for maintenance: nothing new but emergencies.
    pub busy_out: bool,
}

/// Why a call may not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refused {
    /// The trunk carries as many calls as it may.
    TrunkCalls,
    /// The trunk begins more calls a second than it may.
    TrunkRate,
    /// The trunk is out of use for maintenance.
    TrunkBusyOut,
    /// The engine carries as many calls as it may.
    EngineCalls,
    /// The engine begins more calls a second than it may.
    EngineRate,
    /// The journal has no room, or the disk bound is near.
    Journal,
    /// The engine drains.
    Draining,
}

impl Refused {
    /// The label in figures.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::TrunkCalls => "trunk_calls",
            Self::TrunkRate => "trunk_rate",
            Self::TrunkBusyOut => "trunk_busy_out",
            Self::EngineCalls => "engine_calls",
            Self::EngineRate => "engine_rate",
            Self::Journal => "journal",
            Self::Draining => "draining",
        }
    }
}

/// How long a leg out may take from its question to its beginning; only a call that is gone takes longer.
const BEGINS_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct Lane {
    calls_in: u32,
    legs_out: BTreeSet<(CallId, LegId)>,
    /// Legs out that were found a way and have not begun.
    found: VecDeque<(Mono, CallId, LookupId)>,
    begun: VecDeque<Mono>,
}

impl Lane {
    fn live(&self) -> usize {
        self.calls_in as usize + self.legs_out.len() + self.found.len()
    }

    fn judge(&mut self, now: Mono, caps: Caps) -> Result<(), Refused> {
        self.forget_old(now);
        if caps.busy_out {
            return Err(Refused::TrunkBusyOut);
        }
        if caps.calls > 0 && self.live() >= caps.calls as usize {
            return Err(Refused::TrunkCalls);
        }
        if caps.calls_per_second > 0 && self.begun.len() >= caps.calls_per_second as usize {
            return Err(Refused::TrunkRate);
        }
        Ok(())
    }

    fn count(&mut self, now: Mono) {
        self.begun.push_back(now);
        self.forget_old(now);
    }

    fn forget_old(&mut self, now: Mono) {
        while self.begun.front().is_some_and(|at| now.since(*at) >= Duration::from_secs(1)) {
            self.begun.pop_front();
        }
        while self.found.front().is_some_and(|(at, ..)| now.since(*at) >= BEGINS_WITHIN) {
            self.found.pop_front();
        }
    }
}

/// The live calls, by trunk.
#[derive(Debug, Default)]
pub struct Admission {
    lanes: BTreeMap<TrunkName, Lane>,
    calls: BTreeMap<CallId, Option<TrunkName>>,
    most: u32,
    per_second: u32,
    /// When the calls let in would all have come, had they come evenly at the limit.
    even: Mono,
    draining: bool,
    journal_full: bool,
}

impl Admission {
    /// Nobody yet; at most `most` calls at once and `per_second` new ones a second (zero is no cap).
    #[must_use]
    pub fn new(most: u32, per_second: u32) -> Self {
        Self { most, per_second, ..Self::default() }
    }

    /// Changes the engine's own caps.
    pub const fn set_caps(&mut self, most: u32, per_second: u32) {
        (self.most, self.per_second) = (most, per_second);
    }

    /// From now on only emergency calls begin.
    pub const fn drain(&mut self) {
        self.draining = true;
    }

    /// Whether only emergency calls begin.
    #[must_use]
    pub const fn is_draining(&self) -> bool {
        self.draining
    }

    /// Whether the journal can take another call.
    pub const fn set_journal_full(&mut self, full: bool) {
        self.journal_full = full;
    }

    /// Lets a call in or says why not. Emergency calls always come in and are counted like others.
    ///
    /// # Errors
    /// The first cap that is reached.
    pub fn admit(
        &mut self,
        now: Now,
        call: CallId,
        trunk: Option<(&TrunkName, Caps)>,
        emergency: bool,
    ) -> Result<(), Refused> {
        if !emergency {
            self.judge(now, trunk)?;
            if let Some(step) = self.step() {
                self.even = self.even.max(now.mono) + step;
            }
        }
        if let Some((name, _)) = trunk {
            let lane = self.lanes.entry(name.clone()).or_default();
            lane.calls_in += 1;
            lane.count(now.mono);
        }
        self.calls.insert(call, trunk.map(|(name, _)| name.clone()));
        Ok(())
    }

    /// A call is over.
    pub fn leave(&mut self, call: CallId) {
        let Some(trunk) = self.calls.remove(&call) else { return };
        if let Some(lane) = trunk.and_then(|trunk| self.lanes.get_mut(&trunk)) {
            lane.calls_in = lane.calls_in.saturating_sub(1);
        }
        for lane in self.lanes.values_mut() {
            lane.legs_out.retain(|(of, _)| *of != call);
            lane.found.retain(|(_, of, _)| *of != call);
        }
    }

    /// Lets a call send a leg out over a trunk or says why not; it counts from now on. Emergencies always may.
    ///
    /// # Errors
    /// The first cap that is reached.
    pub fn admit_out(
        &mut self,
        now: Now,
        (call, lookup): (CallId, LookupId),
        (trunk, caps): (&TrunkName, Caps),
        emergency: bool,
    ) -> Result<(), Refused> {
        let lane = self.lanes.entry(trunk.clone()).or_default();
        if !emergency {
            lane.judge(now.mono, caps)?;
        }
        lane.count(now.mono);
        lane.found.push_back((now.mono, call, lookup));
        Ok(())
    }

    /// A leg out begins: the one that was let out by this question, or a further one in its place.
    pub fn begin_out(&mut self, call: CallId, leg: LegId, trunk: &TrunkName, asked: Option<LookupId>) {
        let Some(lane) = self.lanes.get_mut(trunk).filter(|_| self.calls.contains_key(&call)) else { return };
        lane.found.retain(|(_, of, lookup)| *of != call || asked != Some(*lookup));
        lane.legs_out.insert((call, leg));
    }

    /// A leg out is over.
    pub fn end_out(&mut self, call: CallId, leg: LegId, trunk: &TrunkName) {
        if let Some(lane) = self.lanes.get_mut(trunk) {
            lane.legs_out.remove(&(call, leg));
        }
    }

    /// Calls at once.
    #[must_use]
    pub fn live(&self) -> usize {
        self.calls.len()
    }

    /// Calls in and legs out at once on one trunk.
    #[must_use]
    pub fn live_on(&self, trunk: &TrunkName) -> usize {
        self.lanes.get(trunk).map_or(0, Lane::live)
    }

    /// Legs out at once on one trunk.
    #[must_use]
    pub fn out_on(&self, trunk: &TrunkName) -> usize {
        self.lanes.get(trunk).map_or(0, |lane| lane.legs_out.len() + lane.found.len())
    }

    fn step(&self) -> Option<Duration> {
        Duration::from_secs(1).checked_div(self.per_second)
    }

    fn judge(&mut self, now: Now, trunk: Option<(&TrunkName, Caps)>) -> Result<(), Refused> {
        if self.draining {
            return Err(Refused::Draining);
        }
        if self.journal_full {
            return Err(Refused::Journal);
        }
        if self.calls.len() >= self.most as usize {
            return Err(Refused::EngineCalls);
        }
        if self.step().is_some_and(|step| self.even.since(now.mono) + step > Duration::from_secs(1)) {
            return Err(Refused::EngineRate);
        }
        let Some((name, caps)) = trunk else { return Ok(()) };
        self.lanes.entry(name.clone()).or_default().judge(now.mono, caps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::{TenantName, Ulid};

    fn call(nth: u64) -> CallId {
        CallId(Ulid::compose(jiff::Timestamp::UNIX_EPOCH, 0, &TenantName::new("p"), nth))
    }

    fn at(ms: u64) -> Now {
        Now { mono: Mono(ms * 1_000_000), wall: jiff::Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn exactly_the_cap_is_let_in_and_a_leaver_makes_room() {
        let mut door = Admission::new(100, 0);
        let name = TrunkName::new("carrier");
        let trunk = Some((&name, Caps { calls: 2, ..Caps::default() }));
        assert_eq!(door.admit(at(0), call(1), trunk, false), Ok(()));
        assert_eq!(door.admit(at(0), call(2), trunk, false), Ok(()));
        assert_eq!(door.admit(at(0), call(3), trunk, false), Err(Refused::TrunkCalls));
        door.leave(call(1));
        door.leave(call(1));
        assert_eq!(door.live_on(&name), 1);
        assert_eq!(door.admit(at(0), call(4), trunk, false), Ok(()));
    }

    #[test]
    fn the_rate_is_per_second_and_its_window_slides() {
        let mut door = Admission::new(100, 0);
        let name = TrunkName::new("carrier");
        let trunk = Some((&name, Caps { calls_per_second: 2, ..Caps::default() }));
        assert_eq!(door.admit(at(0), call(1), trunk, false), Ok(()));
        assert_eq!(door.admit(at(600), call(2), trunk, false), Ok(()));
        assert_eq!(door.admit(at(999), call(3), trunk, false), Err(Refused::TrunkRate));
        assert_eq!(door.admit(at(1_000), call(4), trunk, false), Ok(()));
        assert_eq!(door.admit(at(1_001), call(5), trunk, false), Err(Refused::TrunkRate));
    }

    #[test]
    fn emergency_calls_pass_every_cap_and_drain() {
        let mut door = Admission::new(0, 1);
        let name = TrunkName::new("carrier");
        let trunk = Some((&name, Caps { calls: 1, calls_per_second: 1, busy_out: true }));
        door.drain();
        door.set_journal_full(true);
        for nth in 0..20 {
            assert_eq!(door.admit(at(0), call(nth), trunk, true), Ok(()));
        }
        assert_eq!(door.admit(at(0), call(99), trunk, false), Err(Refused::Draining));
        assert_eq!(door.live(), 20);
    }

    #[test]
    fn the_engine_takes_its_rate_in_the_mean_and_a_second_of_it_at_once() {
        let mut door = Admission::new(1_000, 10);
        let begin = |door: &mut Admission, ms: u64, nth: u64| door.admit(at(ms), call(nth), None, false);
        for nth in 0..10 {
            assert_eq!(begin(&mut door, 5_000, nth), Ok(()), "call {nth} of a burst");
        }
        assert_eq!(begin(&mut door, 5_000, 10), Err(Refused::EngineRate));
        assert_eq!(begin(&mut door, 5_100, 10), Ok(()));
        assert_eq!(begin(&mut door, 5_100, 11), Err(Refused::EngineRate));
        assert_eq!(door.admit(at(5_100), call(12), None, true), Ok(()), "an emergency passes");
    }

    const LEG: LegId = LegId(1);

    #[test]
    fn calls_in_and_legs_out_share_the_cap_of_a_trunk() {
        let mut door = Admission::new(100, 0);
        let name = TrunkName::new("carrier");
        let trunk = (&name, Caps { calls: 2, ..Caps::default() });
        assert_eq!(door.admit(at(0), call(1), Some(trunk), false), Ok(()));
        assert_eq!(door.admit_out(at(0), (call(1), LookupId(1)), trunk, false), Ok(()));
        assert_eq!(door.admit_out(at(0), (call(1), LookupId(2)), trunk, false), Err(Refused::TrunkCalls));
        assert_eq!(door.admit(at(0), call(2), Some(trunk), false), Err(Refused::TrunkCalls));
        assert_eq!(door.admit_out(at(0), (call(1), LookupId(3)), trunk, true), Ok(()), "an emergency passes");
        door.begin_out(call(1), LEG, &name, Some(LookupId(1)));
        door.begin_out(call(1), LegId(2), &name, Some(LookupId(3)));
        assert_eq!((door.live_on(&name), door.out_on(&name)), (3, 2), "a leg counts once");
        door.end_out(call(1), LEG, &name);
        door.end_out(call(1), LEG, &name);
        door.end_out(call(1), LegId(2), &name);
        assert_eq!(door.live_on(&name), 1);
        assert_eq!(door.admit(at(0), call(2), Some(trunk), false), Ok(()));
    }

    #[test]
    fn a_far_end_tried_in_place_of_another_counts_as_one_leg() {
        let mut door = Admission::new(100, 0);
        let name = TrunkName::new("carrier");
        let trunk = (&name, Caps { calls: 1, ..Caps::default() });
        assert_eq!(door.admit(at(0), call(1), None, false), Ok(()));
        assert_eq!(door.admit_out(at(0), (call(1), LookupId(1)), trunk, false), Ok(()));
        door.begin_out(call(1), LEG, &name, Some(LookupId(1)));
        door.end_out(call(1), LEG, &name);
        door.begin_out(call(1), LegId(2), &name, None);
        assert_eq!(door.live_on(&name), 1);
        assert_eq!(door.admit_out(at(0), (call(1), LookupId(2)), trunk, false), Err(Refused::TrunkCalls));
        door.leave(call(1));
        door.begin_out(call(1), LegId(3), &name, None);
        assert_eq!(door.live_on(&name), 0, "nothing of a call that is gone");
    }

    #[test]
    fn a_way_found_and_never_used_is_given_back() {
        let mut door = Admission::new(100, 0);
        let name = TrunkName::new("carrier");
        let trunk = (&name, Caps { calls: 1, ..Caps::default() });
        assert_eq!(door.admit(at(0), call(1), None, false), Ok(()));
        assert_eq!(door.admit_out(at(0), (call(1), LookupId(1)), trunk, false), Ok(()));
        assert_eq!(door.admit_out(at(4_999), (call(1), LookupId(2)), trunk, false), Err(Refused::TrunkCalls));
        assert_eq!(door.admit_out(at(5_000), (call(1), LookupId(3)), trunk, false), Ok(()));
    }

    #[test]
    fn legs_out_count_for_the_rate_too() {
        let mut door = Admission::new(100, 0);
        let name = TrunkName::new("carrier");
        let trunk = (&name, Caps { calls_per_second: 2, ..Caps::default() });
        assert_eq!(door.admit(at(0), call(1), Some(trunk), false), Ok(()));
        assert_eq!(door.admit_out(at(1), (call(1), LookupId(1)), trunk, false), Ok(()));
        assert_eq!(door.admit_out(at(2), (call(1), LookupId(2)), trunk, false), Err(Refused::TrunkRate));
        assert_eq!(door.admit(at(2), call(2), Some(trunk), false), Err(Refused::TrunkRate));
        assert_eq!(door.admit_out(at(1_001), (call(1), LookupId(2)), trunk, false), Ok(()));
    }

    #[test]
    fn a_trunk_out_of_use_takes_and_gives_emergencies_only() {
        let mut door = Admission::new(100, 0);
        let name = TrunkName::new("carrier");
        let trunk = (&name, Caps { busy_out: true, ..Caps::default() });
        assert_eq!(door.admit(at(0), call(1), Some(trunk), false), Err(Refused::TrunkBusyOut));
        assert_eq!(door.admit(at(0), call(2), Some(trunk), true), Ok(()));
        assert_eq!(door.admit_out(at(0), (call(2), LookupId(1)), trunk, false), Err(Refused::TrunkBusyOut));
        assert_eq!(door.admit_out(at(0), (call(2), LookupId(1)), trunk, true), Ok(()));
    }
}
