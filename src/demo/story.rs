//! What is dialled, what must come of it, and the checks.
//!
//! | wave | call | shows |
//! |--:|---|---|
//! | 1 | 12369, 96119, 12315 | merge modes: the right agent, the headers, both heard, hang-up from either side |
//! | 1 | 12366 twice | a sub-centre that answers; one that refuses, so that the queue takes the caller back |
//! | 1 | 120 | straight through; the first route is dead, the second answers |
//! | 2 | 12345 | the plain hotline |
//! | 2 | 12345, `*20` | one-key hand-over, the caller never held, the agent leaves |
//! | 2 | 12345, `*31…#` | three-way with a department over the carrier's trunk, the agent leaves |
//!
//! Every wait is for an event and has a bound; the calls of a wave run side by side.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::demo::peer::PeerFault;
use crate::demo::peer::dialog::Call;
use crate::demo::peer::ua::{Dialling, Incoming};
use crate::demo::report::{CallReport, Hearing, masked};
use crate::demo::{Note, World};

/// The sub-centre's, the emergency desk's and the department's tones.
const SUB_CENTRE_HZ: f64 = 1200.0;
const DESK_HZ: f64 = 1600.0;
const DEPARTMENT_HZ: f64 = 1800.0;
/// The department's number, reached over the carrier.
const DEPARTMENT: &str = "04768820001";
/// How long an answer may take: a greeting of 10 s, two dead routes, a ring.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How long it may take until the next party rings.
const RINGS_WITHIN: Duration = Duration::from_secs(20);
/// How long it may take until tones are heard, behind prompts.
const HEARD_WITHIN: Duration = Duration::from_secs(20);
/// How long a hang-up may take to reach the others.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
/// How long a ticket may take to close after its call.
const CLOSED_WITHIN: Duration = Duration::from_secs(20);

/// The party names shown.
pub(super) const CITIZENS: &str = "来电人/中继";
pub(super) const SUB_CENTRE: &str = "税务分中心";
pub(super) const DESK: &str = "120急救中心";
pub(super) const DEAD_ROUTE: &str = "120一路(不通)";
/// The agents who sign in.
pub(super) const AGENTS: [&str; 10] = ["1001", "1002", "1003", "1004", "1005", "1006", "1007", "1008", "1009", "1010"];

/// What happens in a call.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// An agent answers; who hangs up first.
    Queue { agent_first: bool },
    /// The sub-centre answers.
    SubCentre,
    /// The sub-centre refuses, an agent answers.
    SubCentreRefuses,
    /// The emergency desk answers on its second route.
    Emergency,
    /// An agent hands over to it by code and leaves.
    HandOver,
    /// An agent fetches a department by code and leaves.
    ThreeWay,
}

impl Act {
    /// Fields of the ticket as it last stood.
    const fn told_by_its_ticket(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Queue { agent_first: true } => &[("/status", "closed"), ("/ended_by", "agent")],
            Self::Queue { agent_first: false } => &[("/status", "closed"), ("/ended_by", "caller")],
            Self::SubCentre => &[("/transfers/0/result", "answered"), ("/ended_by", "remote")],
            Self::SubCentreRefuses => &[("/transfers/0/result", "failed"), ("/transfers/0/fallback", "queue")],
            Self::Emergency | Self::HandOver => &[
                ("/emergency/0/line", "120"),
                ("/emergency/0/result", "answered"),
                ("/emergency/0/attempts/0/result", "failed"),
                ("/emergency/0/attempts/1/result", "answered"),
                ("/ended_by", "caller"),
            ],
            Self::ThreeWay => &[
                ("/transfers/0/kind", "three_way"),
                ("/transfers/0/result", "answered"),
                ("/conference/parties/0/role", "outside"),
                ("/ended_by", "caller"),
            ],
        }
    }
}

/// One call of the story.
#[derive(Clone, Copy, Debug)]
struct Script {
    call: &'static str,
    story: &'static str,
    dialled: &'static str,
    caller: &'static str,
    hertz: f64,
    mode: Option<&'static str>,
    /// Agents with the skill it needs; empty = anybody.
    skilled: &'static [&'static str],
    /// Changes its ticket must tell.
    changes: &'static [&'static str],
    act: Act,
}

const TALK: &[&str] = &["call.started", "call.queued", "call.answered", "call.ended"];

const FIRST: [Script; 6] = [
    Script {
        call: "12369",
        story: "双号并行·座席并入: 环保座席接听",
        dialled: "12369",
        caller: "13800000001",
        hertz: 400.0,
        mode: Some("dual_merged"),
        skilled: &["1001"],
        changes: TALK,
        act: Act::Queue { agent_first: false },
    },
    Script {
        call: "96119",
        story: "整体并入: 消防座席接听",
        dialled: "96119",
        caller: "13800000002",
        hertz: 420.0,
        mode: Some("absorbed"),
        skilled: &["1002"],
        changes: TALK,
        act: Act::Queue { agent_first: true },
    },
    Script {
        call: "12315",
        story: "双号并行·座席并入: 市场监管座席接听",
        dialled: "12315",
        caller: "13800000003",
        hertz: 460.0,
        mode: Some("dual_merged"),
        skilled: &["1003", "1008", "1009", "1010"],
        changes: TALK,
        act: Act::Queue { agent_first: false },
    },
    Script {
        call: "12366",
        story: "设分中心: 税务分中心接听",
        dialled: "12366",
        caller: "13800000004",
        hertz: 480.0,
        mode: Some("sub_centre"),
        skilled: &[],
        changes: &["call.started", "transfer.started", "transfer.result", "call.ended"],
        act: Act::SubCentre,
    },
    Script {
        call: "12366 回退",
        story: "设分中心: 分中心忙, 转回12345座席",
        dialled: "12366",
        caller: "13800000005",
        hertz: 500.0,
        mode: Some("sub_centre"),
        skilled: &["1004", "1005", "1006"],
        changes: &["call.started", "transfer.started", "transfer.result", "call.queued", "call.answered", "call.ended"],
        act: Act::SubCentreRefuses,
    },
    Script {
        call: "120",
        story: "紧急号码直通: 一路不通, 二路接听",
        dialled: "120",
        caller: "13800000006",
        hertz: 520.0,
        mode: None,
        skilled: &[],
        changes: &["call.started", "emergency.started", "emergency.result", "call.ended"],
        act: Act::Emergency,
    },
];

const SECOND: [Script; 3] = [
    Script {
        call: "12345",
        story: "综合座席接听",
        dialled: "12345",
        caller: "13800000007",
        hertz: 540.0,
        mode: None,
        skilled: &[],
        changes: TALK,
        act: Act::Queue { agent_first: true },
    },
    Script {
        call: "12345→120",
        story: "一键转接: 座席按 *20, 来电人不保持, 座席退出",
        dialled: "12345",
        caller: "13800000008",
        hertz: 560.0,
        mode: None,
        skilled: &[],
        changes: &["call.started", "call.answered", "emergency.started", "emergency.result", "call.ended"],
        act: Act::HandOver,
    },
    Script {
        call: "12345 三方",
        story: "三方通话: 座席按 *31号码#, 三方互听, 座席退出",
        dialled: "12345",
        caller: "13800000009",
        hertz: 580.0,
        mode: None,
        skilled: &[],
        changes: &["call.started", "call.answered", "transfer.started", "conference.joined", "call.ended"],
        act: Act::ThreeWay,
    },
];

/// Makes all calls; each is shown as it ends.
pub(super) async fn tell(world: &Arc<World>) -> Vec<CallReport> {
    let mut closing = JoinSet::new();
    for wave in [&FIRST[..], &SECOND[..]] {
        let mut calls = JoinSet::new();
        for script in wave {
            calls.spawn(Stage::open(Arc::clone(world), *script).play());
        }
        while let Some(ended) = calls.join_next().await {
            if let Ok(stage) = ended {
                stage.show();
                closing.spawn(stage.close());
            }
        }
    }
    let mut reports = Vec::new();
    while let Some(closed) = closing.join_next().await {
        reports.extend(closed.ok());
    }
    reports.sort_by(|a, b| a.0.cmp(b.0));
    reports.into_iter().map(|(_, report)| report).collect()
}

/// How many calls the story has.
pub(super) const CALLS: usize = FIRST.len() + SECOND.len();

/// One call under way.
struct Stage {
    world: Arc<World>,
    script: Script,
    incoming: mpsc::Receiver<Incoming>,
    report: CallReport,
    /// Ticket ids the other parties were told.
    told: Vec<String>,
    /// What people did, for the ladder.
    notes: Vec<Note>,
    began: Instant,
}

/// Somebody in a call, by name.
type Member = (String, Call);

impl Stage {
    fn open(world: Arc<World>, script: Script) -> Self {
        let incoming = world.exchange.expect(script.caller);
        let report = CallReport {
            call: script.call.to_owned(),
            story: script.story.to_owned(),
            dialled: script.dialled.to_owned(),
            caller: masked(script.caller),
            ..CallReport::default()
        };
        Self { world, script, incoming, report, told: Vec::new(), notes: Vec::new(), began: Instant::now() }
    }

    async fn play(mut self) -> Self {
        let played = match self.script.act {
            Act::Queue { agent_first } => self.queue(agent_first).await,
            Act::SubCentre => self.sub_centre().await,
            Act::SubCentreRefuses => self.sub_centre_refuses().await,
            Act::Emergency => self.emergency().await,
            Act::HandOver => self.hand_over().await,
            Act::ThreeWay => self.three_way().await,
        };
        if let Err(fault) = played {
            self.report.fault(fault);
        }
        self.report.answered = !self.report.answered_by.is_empty();
        self.report.audio_ok = !self.report.audio.is_empty() && self.report.audio.iter().all(|hearing| hearing.heard);
        self.report.seconds = self.began.elapsed().as_secs_f64();
        self
    }

    fn show(&self) {
        let mut shown = self.report.clone();
        shown.ladder = self.world.ladder_of(self.script.caller, &self.notes);
        self.world.screen.call(&shown);
    }

    /// Waits for the ticket's end and gives the whole report, with the caller's number to sort by.
    async fn close(mut self) -> (&'static str, CallReport) {
        let caller = self.script.caller;
        if !self.world.receiver.closed(caller, Instant::now() + CLOSED_WITHIN).await {
            self.report.fault(format!("the ticket was not closed within {} s", CLOSED_WITHIN.as_secs()));
        }
        let events = self.world.receiver.of(caller);
        self.report.take_tickets(&events, self.script.mode, self.script.changes);
        if let Some(ticket) = events.last().and_then(|event| event.body.get("ticket")) {
            for (field, wanted) in self.script.act.told_by_its_ticket() {
                let found = ticket.pointer(field).and_then(Value::as_str);
                self.report.expect(&format!("the ticket's {field}"), found, Some(*wanted));
            }
        }
        let ticket_id = self.report.ticket_id.clone();
        self.report.ticket_no = ticket_id.as_deref().and_then(|id| self.world.receiver.number_of(id));
        for told in std::mem::take(&mut self.told) {
            self.report.expect("the ticket id a party was told", Some(told), ticket_id.clone());
        }
        self.report.ladder = self.world.ladder_of(caller, &self.notes);
        self.report.ok = self.report.faults.is_empty();
        self.world.screen.closed(&self.report);
        (caller, self.report)
    }

    fn note(&mut self, what: impl Into<String>) {
        self.notes.push((Instant::now(), what.into()));
    }

    async fn key(&mut self, agent: &Call, digits: &str) -> Result<(), PeerFault> {
        self.note(format!("座席按 {digits}"));
        agent.stream().key(digits).await
    }

    async fn dial(&self) -> Result<Dialling, PeerFault> {
        let Script { dialled, caller, hertz, .. } = self.script;
        self.world.carrier.call(self.world.trunk, dialled, caller, hertz).await
    }

    /// The next party that rings because of this call; it must be the one named.
    async fn rings(&mut self, party: &str) -> Result<Incoming, PeerFault> {
        let late = PeerFault::Late { what: "the next party's INVITE", seconds: RINGS_WITHIN.as_secs() };
        let incoming = timeout(RINGS_WITHIN, self.incoming.recv()).await.ok().flatten().ok_or(late)?;
        if !incoming.party().starts_with(party) {
            self.report.fault(format!("{} was rung instead of {party}", incoming.party()));
        }
        Ok(incoming)
    }

    /// An agent's phone rings with all it should show, and is answered.
    async fn agent_answers(&mut self) -> Result<Member, PeerFault> {
        let incoming = self.rings("座席").await?;
        let Script { dialled, caller, mode, skilled, .. } = self.script;
        let header = |name: &str| incoming.header(name).map(str::to_owned);
        let (hotline, merge_mode) = (header("X-Hotline"), header("X-Merge-Mode"));
        self.report.expect("X-Hotline", hotline.as_deref(), Some(dialled));
        self.report.expect("X-Merge-Mode", merge_mode.as_deref(), mode);
        for name in ["X-Call-Id", "X-Hotline-Name", "X-Ticket-Id", "History-Info"] {
            self.report.expect(name, header(name).is_some(), true);
        }
        self.report.expect("the display name holds the caller's number", incoming.display().contains(caller), true);
        self.told.extend(header("X-Ticket-Id"));
        let shown = incoming.display().replace(caller, &masked(caller));
        self.note(format!("座席话机显示: {shown}; X-Merge-Mode: {}", merge_mode.as_deref().unwrap_or("-")));
        let agent = incoming.number().to_owned();
        if !skilled.is_empty() && !skilled.contains(&agent.as_str()) {
            self.report.fault(format!("agent {agent} was rung, who lacks the skill; wanted {}", skilled.join(", ")));
        }
        self.answer(incoming, agent_hertz(&agent)).await
    }

    /// A trunk's far end rings with all it should show, and is answered.
    async fn trunk_answers(&mut self, party: &str, number: &str, hertz: f64) -> Result<Member, PeerFault> {
        let incoming = self.rings(party).await?;
        self.expect_trunk_headers(&incoming, number);
        self.answer(incoming, hertz).await
    }

    fn expect_trunk_headers(&mut self, incoming: &Incoming, number: &str) {
        let holds = |name: &str, text: &str| incoming.header(name).is_some_and(|value| value.contains(text));
        self.report.expect("the number dialled to it", incoming.number().to_owned(), number.to_owned());
        self.report.expect("P-Asserted-Identity", holds("P-Asserted-Identity", self.script.caller), true);
        self.report.expect("Diversion", holds("Diversion", self.script.dialled), true);
        match incoming.header("User-to-User").and_then(unhexed) {
            Some(ticket) => self.told.push(ticket),
            None => self.report.fault("User-to-User holds no ticket id"),
        }
    }

    async fn answer(&mut self, incoming: Incoming, hertz: f64) -> Result<Member, PeerFault> {
        let party = incoming.party().to_string();
        incoming.ring().await;
        let call = incoming.answer(hertz).await?;
        self.report.answered_by.push(party.clone());
        Ok((party, call))
    }

    /// Everybody must hear the tones of all others and not their own.
    async fn hear_each_other(&mut self, members: &[&Member]) {
        let mut listeners = JoinSet::new();
        for (at, (who, call)) in members.iter().enumerate() {
            let others = members.iter().enumerate().filter(|(other, _)| *other != at);
            let wanted: Vec<f64> = others.map(|(_, (_, call))| call.stream().hertz()).collect();
            let (who, call) = (who.clone(), call.clone());
            listeners.spawn(async move {
                let heard = call.stream().hear(&wanted, &[call.stream().hertz()], HEARD_WITHIN).await;
                (at, who, wanted, heard)
            });
        }
        let mut found: Vec<_> = listeners.join_all().await;
        found.sort_by_key(|(at, ..)| *at);
        for (_, who, wanted, heard) in found {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tones are some hundred hertz")]
            let wanted_hz = wanted.iter().map(|hertz| *hertz as u32).collect();
            if let Err(fault) = &heard {
                self.report.fault(format!("{who}: {fault}"));
            }
            self.report.audio.push(Hearing { who, wanted_hz, heard: heard.is_ok() });
        }
        let names: Vec<&str> = members.iter().map(|(who, _)| who.as_str()).collect();
        self.note(format!("通话声音已核对: {}", names.join(" + ")));
    }

    /// One hangs up, all others must be told.
    async fn end(&mut self, first: &Call, others: &[&Call]) -> Result<(), PeerFault> {
        first.hang_up().await?;
        for other in others {
            other.ended(ENDS_WITHIN).await?;
        }
        Ok(())
    }

    async fn talk(&mut self) -> Result<(Member, Member), PeerFault> {
        let dialling = self.dial().await?;
        let (caller, agent) = tokio::try_join!(dialling.answered(ANSWER_WITHIN), self.agent_answers())?;
        let caller = ("来电人".to_owned(), caller);
        self.hear_each_other(&[&caller, &agent]).await;
        Ok((caller, agent))
    }

    async fn queue(&mut self, agent_first: bool) -> Result<(), PeerFault> {
        let ((_, caller), (_, agent)) = self.talk().await?;
        let (first, second) = if agent_first { (&agent, &caller) } else { (&caller, &agent) };
        self.end(first, &[second]).await
    }

    async fn sub_centre(&mut self) -> Result<(), PeerFault> {
        let dialling = self.dial().await?;
        let centre = self.trunk_answers(SUB_CENTRE, "12366", SUB_CENTRE_HZ);
        let (caller, centre) = tokio::try_join!(dialling.answered(ANSWER_WITHIN), centre)?;
        let caller = ("来电人".to_owned(), caller);
        self.hear_each_other(&[&caller, &centre]).await;
        self.end(&centre.1, &[&caller.1]).await
    }

    async fn sub_centre_refuses(&mut self) -> Result<(), PeerFault> {
        let dialling = self.dial().await?;
        let refused = async {
            let incoming = self.rings(SUB_CENTRE).await?;
            self.expect_trunk_headers(&incoming, "12366");
            incoming.refuse(486).await;
            self.agent_answers().await
        };
        let (caller, agent) = tokio::try_join!(dialling.answered(ANSWER_WITHIN), refused)?;
        let caller = ("来电人".to_owned(), caller);
        self.hear_each_other(&[&caller, &agent]).await;
        self.end(&caller.1, &[&agent.1]).await
    }

    async fn desk_answers(&mut self) -> Result<Member, PeerFault> {
        let desk = self.trunk_answers(DESK, "0476120", DESK_HZ).await?;
        let sights = self.world.recorder.of(self.script.caller);
        let tried = sights.iter().any(|sight| &*sight.party == DEAD_ROUTE);
        self.report.expect("the first route was tried", tried, true);
        Ok(desk)
    }

    async fn emergency(&mut self) -> Result<(), PeerFault> {
        let dialling = self.dial().await?;
        let (caller, desk) = tokio::try_join!(dialling.answered(ANSWER_WITHIN), self.desk_answers())?;
        let caller = ("来电人".to_owned(), caller);
        self.hear_each_other(&[&caller, &desk]).await;
        self.end(&caller.1, &[&desk.1]).await
    }

    async fn hand_over(&mut self) -> Result<(), PeerFault> {
        let (caller, agent) = self.talk().await?;
        self.key(&agent.1, "*20").await?;
        let desk = self.desk_answers().await?;
        self.hear_each_other(&[&caller, &agent, &desk]).await;
        self.leave_and_end(&caller, &agent, &desk).await
    }

    async fn three_way(&mut self) -> Result<(), PeerFault> {
        let (caller, agent) = self.talk().await?;
        self.key(&agent.1, &format!("*31{DEPARTMENT}#")).await?;
        let mut department = self.trunk_answers(CITIZENS, DEPARTMENT, DEPARTMENT_HZ).await?;
        department.0 = "部门".to_owned();
        self.hear_each_other(&[&caller, &agent, &department]).await;
        self.leave_and_end(&caller, &agent, &department).await
    }

    /// The agent leaves, the two others talk on, then the caller hangs up.
    async fn leave_and_end(&mut self, caller: &Member, agent: &Member, third: &Member) -> Result<(), PeerFault> {
        self.note("座席退出");
        agent.1.hang_up().await?;
        self.hear_each_other(&[caller, third]).await;
        if caller.1.is_over() || third.1.is_over() {
            self.report.fault("the agent's hang-up ended the others' call");
        }
        self.end(&caller.1, &[&third.1]).await
    }
}

/// Each agent's own tone: 800 Hz for 1001, 20 Hz more for each next.
fn agent_hertz(id: &str) -> f64 {
    let at = AGENTS.iter().position(|agent| *agent == id).unwrap_or(AGENTS.len());
    #[expect(clippy::cast_precision_loss, reason = "there are ten agents")]
    let at = at as f64;
    at.mul_add(20.0, 800.0)
}

/// The text in a User-to-User value (`3031…;encoding=hex`).
fn unhexed(value: &str) -> Option<String> {
    let (digits, parameters) = value.split_once(';')?;
    parameters.contains("encoding=hex").then_some(())?;
    let pairs = digits.trim().as_bytes().chunks(2);
    let bytes =
        pairs.map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()).collect::<Option<Vec<u8>>>()?;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_call_has_a_caller_and_a_tone_of_its_own() {
        let scripts: Vec<Script> = FIRST.into_iter().chain(SECOND).collect();
        let callers: BTreeSet<&str> = scripts.iter().map(|script| script.caller).collect();
        assert_eq!(callers.len(), CALLS);
        let mut tones: Vec<f64> = scripts.iter().map(|script| script.hertz).collect();
        tones.extend(AGENTS.map(agent_hertz));
        tones.extend([SUB_CENTRE_HZ, DESK_HZ, DEPARTMENT_HZ]);
        tones.sort_by(f64::total_cmp);
        assert!(tones.windows(2).all(|pair| pair[1] - pair[0] >= 20.0), "{tones:?}");
    }

    #[test]
    fn user_to_user_is_read_back() {
        assert_eq!(unhexed("30314a;encoding=hex").as_deref(), Some("01J"));
        for bad in ["30314a", "3;encoding=hex", "zz;encoding=hex", "ff;encoding=hex", "é;encoding=hex"] {
            let _ = unhexed(bad);
        }
        assert_eq!(unhexed("zz;encoding=hex"), None);
    }
}
