//! What the ticket tests share: scripted calls, a clock by hand, a directory of their own.
#![expect(clippy::unwrap_used, reason = "a test panics on what is not there")]
#![expect(dead_code, unreachable_pub, reason = "each test binary uses its own part of this module")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use switch12345::base::hotline::{CallerKind, CallerTrust, Channel, MergeMode, SeatPolicy};
use switch12345::base::id::{AgentId, CallId, ConfigHash, JoinId, LegId, OfferId, TenantName, TicketId, Ulid};
use switch12345::base::now::{Mono, Now};
use switch12345::event::call::{
    AttemptResult, CallEvent, CallSource, CallerFacts, Classification, EmergencyMode, Happening, HotlineFacts, LegRole,
    OfferEnd, Party, RegionBasis, Started, TransferKind,
};
use switch12345::event::reason::{EndReason, EndedBy};

pub const START: &str = "2026-11-21T02:00:00.123456Z";

pub fn start() -> Now {
    Now { mono: Mono(5_000_000_000), wall: START.parse().unwrap() }
}

pub fn agent(id: &str) -> Option<AgentId> {
    Some(AgentId::new(id))
}

/// One call's events as they are told.
pub struct Script {
    pub call: CallId,
    pub ticket: TicketId,
    pub now: Now,
    tenant: TenantName,
    journal_seq: u64,
}

impl Script {
    pub fn new(nth: u64) -> Self {
        let tenant = TenantName::new("chifeng");
        let id = |salt: u64| Ulid::compose(start().wall, 3, &tenant, nth * 2 + salt);
        Self { call: CallId(id(0)), ticket: TicketId(id(1)), now: start(), journal_seq: 0, tenant }
    }

    pub fn after(&mut self, ms: u64, what: Happening) -> CallEvent {
        self.now = self.now.after(Duration::from_millis(ms));
        self.journal_seq += 1;
        CallEvent {
            call: self.call,
            ticket: self.ticket,
            tenant: self.tenant.clone(),
            journal_seq: self.journal_seq,
            at: self.now.wall,
            mono: self.now.mono,
            what,
        }
    }

    pub fn started(&mut self) -> CallEvent {
        self.after(0, Happening::Started(Box::new(started())))
    }

    pub fn all(&mut self, facts: impl IntoIterator<Item = (u64, Happening)>) -> Vec<CallEvent> {
        facts.into_iter().map(|(ms, what)| self.after(ms, what)).collect()
    }
}

pub fn started() -> Started {
    Started {
        channel: Channel::Phone,
        source: CallSource::Public,
        trunk: Some("carrier".into()),
        dialled_raw: "+8647612369".into(),
        dialled: "12369".into(),
        area_code: Some("0476".into()),
        hotline: Some(HotlineFacts {
            number: "12369".into(),
            name: "环保举报热线".into(),
            unit: Some("市生态环境局".into()),
            merge_mode: Some(MergeMode::DualMerged),
            seat_policy: Some(SeatPolicy::Merged),
        }),
        emergency_line: None,
        caller: CallerFacts {
            raw: "\"\u{1}张\" <sip:13800001234@trunk>".into(),
            number: "13800001234".into(),
            kind: CallerKind::Mobile,
            trust: CallerTrust::Asserted,
            private: false,
            area_code: None,
        },
        diverted_from: vec!["12333".into()],
        region_candidate: Some("150400".into()),
        region_basis: Some(RegionBasis::DialledArea),
        after_hours: false,
        workday: true,
        rule_set: Some("002".into()),
        dispatch_due_at: Some("2026-11-21T10:00:00Z".parse().unwrap()),
        test_call: false,
        external_ref: None,
        about_ticket_no: None,
        parent_ticket: None,
        sip_call_id: "a84b4c76e66710@trunk".into(),
        config_hash: ConfigHash(0x1234_5678_9abc_def0),
    }
}

pub fn party(agent: Option<&str>, unit: Option<&str>, number: Option<&str>) -> Party {
    Party { agent: agent.map(AgentId::new), unit: unit.map(Arc::from), number: number.map(Arc::from), trunk: None }
}

pub fn leg_started(leg: u16, role: LegRole, party: Party) -> Happening {
    Happening::LegStarted { leg: LegId(leg), role, party }
}

pub fn leg_ended(leg: u16) -> Happening {
    Happening::LegEnded { leg: LegId(leg), reason: EndReason::Normal, sip_code: None }
}

pub fn answered(leg: u16, by: &str, first: &str, wait_ms: u64) -> Happening {
    let (agent, first_agent) = (agent(by), agent(first));
    Happening::Answered { leg: LegId(leg), role: LegRole::Agent, agent, first_agent, wait_ms }
}

/// A whole call: queue, agent, complaint, hold, three-way with a department, emergency desk, survey, recording.
pub fn whole_call(nth: u64) -> Vec<CallEvent> {
    let mut script = Script::new(nth);
    let join = JoinId { call: script.call, nth: 0 };
    let mut events = vec![script.started()];
    let department = party(None, Some("市生态环境局"), Some("04768330001"));
    events.extend(script.all([
        (0, leg_started(0, LegRole::Caller, party(None, None, Some("13800001234")))),
        (100, Happening::PromptPlayed { leg: LegId(0), prompt: "greeting".into() }),
        (
            0,
            Happening::Queued {
                join,
                queue: "main".into(),
                skills: vec!["env".into()],
                priority: 5,
                position: 2,
                rejoined: false,
            },
        ),
        (4_000, leg_started(1, LegRole::Agent, party(Some("1001"), None, None))),
        (0, Happening::Offered { offer: OfferId(1), join, agent: AgentId::new("1001"), leg: LegId(1) }),
        (3_900, Happening::OfferEnded { offer: OfferId(1), agent: AgentId::new("1001"), end: OfferEnd::Answered }),
        (0, answered(1, "1001", "1001", 8_000)),
        (10_000, Happening::Classified { agent: agent("1001"), classification: Box::new(complaint()) }),
        (5_000, Happening::Held { leg: LegId(1) }),
        (0, leg_started(2, LegRole::Department, department)),
        (0, transfer_started()),
        (
            7_000,
            Happening::TransferResult {
                transfer: 1,
                result: AttemptResult::Answered,
                sip_code: Some(200),
                fallback: None,
            },
        ),
        (500, Happening::Resumed { leg: LegId(1) }),
        (0, Happening::ConferenceJoined { leg: LegId(2) }),
        (20_000, Happening::ConferenceLeft { leg: LegId(2) }),
        (0, leg_ended(2)),
    ]));
    events.extend(script.all(emergency_and_end()));
    events
}

fn emergency_and_end() -> Vec<(u64, Happening)> {
    let line: Arc<str> = "120".into();
    let attempt = |leg, trunk: &str, result| Happening::EmergencyAttempt {
        line: "120".into(),
        leg: LegId(leg),
        trunk: trunk.into(),
        result,
    };
    vec![
        (
            1_000,
            Happening::EmergencyStarted { line: Arc::clone(&line), mode: EmergencyMode::ThreeWay, by: agent("1001") },
        ),
        (0, attempt(3, "psap-a", None)),
        (200, attempt(3, "psap-a", Some(AttemptResult::Failed(EndReason::Unreachable)))),
        (0, attempt(4, "psap-b", None)),
        (1_500, attempt(4, "psap-b", Some(AttemptResult::Answered))),
        (
            0,
            Happening::EmergencyResult {
                line,
                mode: EmergencyMode::ThreeWay,
                result: AttemptResult::Answered,
                agent_stayed: true,
                cli_presented: false,
            },
        ),
        (30_000, leg_ended(1)),
        (0, leg_ended(0)),
        (0, Happening::Ended { by: EndedBy::Caller, reason: EndReason::Normal, sip_code: None }),
        (3_000, Happening::Survey { asked: true, answer: Some(2), agent: agent("1001") }),
        (
            1_000,
            Happening::RecordingReady {
                recording: "rec-1".into(),
                sha256: "ab".repeat(32).into(),
                duration_ms: 75_600,
            },
        ),
        (100, Happening::Closed),
        (8_000, Happening::TicketNo { ticket_no: "赤峰-2026-0001".into() }),
    ]
}

pub fn complaint() -> Classification {
    Classification {
        r#type: Some("投诉".into()),
        field: Some("生态环境保护".into()),
        confidential: Some(true),
        region: Some(vec!["150000".into(), "150400".into(), "150402".into()]),
        tags: Some(vec!["tourism_complaint".into()]),
        ..Classification::default()
    }
}

fn transfer_started() -> Happening {
    Happening::TransferStarted {
        transfer: 1,
        transfer_kind: TransferKind::ThreeWay,
        leg: Some(LegId(2)),
        by: agent("1001"),
        target_unit: Some("市生态环境局".into()),
        target_number: Some("04768330001".into()),
    }
}

/// A clock moved by hand.
#[derive(Clone)]
pub struct HandClock(Arc<Mutex<Now>>);

impl HandClock {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(start())))
    }

    pub fn at(wall: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(Now { mono: Mono(0), wall })))
    }

    pub fn now(&self) -> Now {
        *self.0.lock().unwrap()
    }

    pub fn advance(&self, span: Duration) {
        let mut now = self.0.lock().unwrap();
        *now = now.after(span);
    }

    pub fn reading(&self) -> Arc<dyn Fn() -> Now + Send + Sync> {
        let clock = self.clone();
        Arc::new(move || clock.now())
    }
}

/// A directory of one test's own, gone with it.
pub struct Dir(PathBuf);

impl Dir {
    pub fn new() -> Self {
        static NTH: AtomicU32 = AtomicU32::new(0);
        let name = format!("store-{}-{}", std::process::id(), NTH.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
