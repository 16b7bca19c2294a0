//! The story on one machine: the engine, and around it a carrier, a sub-centre, an emergency desk, agents and a ticket
//! platform, all real SIP, RTP and HTTP over loopback (`contract.md` §1).
//!
//! | room | what |
//! |---|---|
//! | [`peer`] | SIP and RTP that are not the engine's |
//! | [`carrier`] [`agent`] [`receiver`] | the parties |
//! | [`exchange`] | which call belongs to which scenario |
//! | [`story`] | the scenarios and their checks |
//! | [`ladder`] [`report`] [`screen`] | what is shown |
//!
//! Every port is a free one and all state lies in a temporary directory, so that a demonstration runs beside another
//! engine and leaves nothing behind. The configuration and dialplans are the shipped ones, built in.

pub mod agent;
pub mod carrier;
pub mod exchange;
pub mod ladder;
pub mod peer;
pub mod receiver;
pub mod report;
pub mod screen;
pub mod shipped;
pub mod story;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::demo::agent::Agent;
use crate::demo::carrier::{Carrier, DeadEnd};
use crate::demo::exchange::Exchange;
use crate::demo::ladder::{Recorder, Row, rows};
use crate::demo::peer::{PeerFault, token};
use crate::demo::receiver::Receiver;
use crate::demo::report::Summary;
use crate::demo::screen::Screen;
use crate::engine::{self, Engine, StartFault};
use crate::plan::load::{Request, load};
use crate::plan::model::Plan;

/// How long calls may take to end when the story is interrupted.
const DRAIN: Duration = Duration::from_secs(3);
/// Ports for media: enough for all calls at once with their third parties and the emergency reserve.
const MEDIA_PORTS: u16 = 400;

/// How to run it.
#[derive(Clone, Copy, Debug, Default)]
pub struct DemoOptions {
    /// Leave the engine up at the end, until interrupted; the agents sign out, so that phones can sign in as they.
    pub keep: bool,
    /// One object per call and a summary instead of text.
    pub json: bool,
}

/// Why the story could not begin.
#[derive(Debug, thiserror::Error)]
pub enum DemoFault {
    /// A peer.
    #[error("a peer of the demonstration: {0}")]
    Peer(#[from] PeerFault),
    /// The temporary directory.
    #[error("the temporary directory `{path}`: {why}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// No block of free ports.
    #[error("no block of {MEDIA_PORTS} free UDP ports on 127.0.0.1")]
    Ports,
    /// The shipped plan.
    #[error("the shipped configuration does not load:\n{0}")]
    Plan(String),
    /// The engine.
    #[error("the engine does not start: {0}")]
    Engine(#[from] StartFault),
    /// A listener the engine should have opened.
    #[error("the engine opened no {0} listener")]
    Listener(&'static str),
}

/// Everything around one demonstration.
struct World {
    screen: Arc<Screen>,
    recorder: Arc<Recorder>,
    exchange: Exchange,
    receiver: Receiver,
    carrier: Carrier,
    /// Where the engine takes calls from trunks.
    trunk: SocketAddr,
}

impl World {
    /// A citizen's calls with the tickets and the notes of the scenario between the messages.
    fn ladder_of(&self, caller: &str, notes: &[Note]) -> Vec<Row> {
        let tickets = self
            .receiver
            .of(caller)
            .into_iter()
            .map(|event| (event.at, format!("[ticket] #{} {} {}", event.seq, event.kind, event.change)));
        let remarks: Vec<Note> = tickets.chain(notes.iter().cloned()).collect();
        rows(&self.recorder.of(caller), &remarks)
    }
}

/// Something a scenario noted, and when.
type Note = (Instant, String);

/// The far ends of the trunks, open before the engine that must know where they are.
struct FarEnds {
    carrier: Carrier,
    sub_centre: Carrier,
    desk: Carrier,
    dead: DeadEnd,
}

impl FarEnds {
    async fn open(exchange: &Exchange, recorder: &Arc<Recorder>) -> Result<Self, PeerFault> {
        let witness = || Arc::clone(recorder) as Arc<dyn peer::Witness>;
        Ok(Self {
            carrier: Carrier::open(story::CITIZENS, exchange, witness()).await?,
            sub_centre: Carrier::open(story::SUB_CENTRE, exchange, witness()).await?,
            desk: Carrier::open(story::DESK, exchange, witness()).await?,
            dead: DeadEnd::open(story::DEAD_ROUTE, witness()).await?,
        })
    }

    /// The settings that make the shipped configuration theirs.
    fn settings(&self, receiver: &Receiver, data: &Path) -> Result<Vec<String>, DemoFault> {
        let first = free_ports().ok_or(DemoFault::Ports)?;
        let trunk = |name: &str, at: SocketAddr| format!("trunk.{name}.to=[\"sip:{at};transport=udp\"]");
        Ok(vec![
            format!("data_dir={:?}", data.display().to_string()),
            "sip.trunk_listen=[\"udp:127.0.0.1:0\"]".to_owned(),
            "sip.agent_listen=[\"udp:127.0.0.1:0\"]".to_owned(),
            "http.listen=\"127.0.0.1:0\"".to_owned(),
            "media.address=\"127.0.0.1\"".to_owned(),
            format!("media.ports=\"{first}-{}\"", first + MEDIA_PORTS - 1),
            format!("ticket.endpoint.local.url={:?}", receiver.url()),
            format!("ticket.endpoint.local.secret={:?}", receiver.secret()),
            trunk("carrier", self.carrier.address()),
            trunk("sub-centre-tax", self.sub_centre.address()),
            trunk("emergency-first", self.dead.address()),
            trunk("emergency-second", self.desk.address()),
        ])
    }
}

/// A temporary directory, removed when dropped unless it is to be kept.
struct Directory {
    path: PathBuf,
    keep: bool,
}

impl Directory {
    fn make(keep: bool) -> Result<Self, DemoFault> {
        let path = std::env::temp_dir().join(format!("switch12345-demo-{}", token()));
        std::fs::create_dir_all(&path).map_err(|why| DemoFault::Directory { path: path.clone(), why })?;
        Ok(Self { path, keep })
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if !self.keep {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// Tells the whole story.
///
/// # Errors
/// [`DemoFault`] when it cannot begin; a call that goes wrong is no error but a count in the summary.
pub async fn run(options: DemoOptions) -> Result<Summary, DemoFault> {
    let screen = Arc::new(Screen::new(options.json));
    let directory = Directory::make(options.keep)?;
    let (recorder, exchange) = (ladder::recorder(), Exchange::default());
    let shown = Arc::clone(&screen);
    let receiver = Receiver::open(Arc::new(move |event| shown.ticket(event))).await?;
    let ends = FarEnds::open(&exchange, &recorder).await?;
    let plan = shipped_plan(&ends.settings(&receiver, &directory.path)?)?;
    let engine = engine::start(plan).await?;
    let trunk = listener(&engine, "trunk")?;
    let registrar = listener(&engine, "agent")?;
    let mut agents = Vec::new();
    for id in story::AGENTS {
        agents.push(Agent::sign_in(id, registrar, &exchange, Arc::clone(&recorder) as Arc<dyn peer::Witness>).await?);
    }
    screen.say(&opening(&engine, &receiver, &agents));
    let world = Arc::new(World {
        screen: Arc::clone(&screen),
        recorder,
        exchange,
        receiver,
        carrier: ends.carrier.clone(),
        trunk,
    });
    let reports = tokio::select! {
        reports = story::tell(&world) => reports,
        // Whatever was begun is ended in order, and nothing is left behind.
        () = interrupted() => Vec::new(),
    };
    for agent in agents {
        let _ = agent.sign_out().await;
    }
    let further = world.receiver.faults();
    let mut summary = Summary::of(&reports);
    if summary.failed == 0 && (!further.is_empty() || reports.len() != story::CALLS) {
        // An event that was refused, or a call that vanished, belongs to no report.
        summary.failed = 1;
    }
    screen.summary(&reports, summary, &further);
    if options.keep {
        screen.note(&format!(
            "引擎保持运行: {} http {} 令牌 {}; Ctrl-C 结束",
            engine.listeners().join(", "),
            engine.http(),
            engine.token_file().display()
        ));
        interrupted().await;
    }
    if reports.len() < story::CALLS {
        // Interrupted: those who talk are told goodbye.
        engine.drain(DRAIN).await;
    }
    engine.stop().await;
    drop(directory);
    Ok(summary)
}

/// Ends with Ctrl-C or SIGTERM; never where signals cannot be heard.
async fn interrupted() {
    let (Ok(mut pressed), Ok(mut told)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = pressed.recv() => {}
        _ = told.recv() => {}
    }
}

fn opening(engine: &Engine, receiver: &Receiver, agents: &[Agent]) -> Vec<String> {
    let ids: Vec<&str> = agents.iter().map(Agent::id).collect();
    vec![
        format!("switch12345 demo: {} http {}", engine.listeners().join(", "), engine.http()),
        format!("  座席 {} 已签入; 工单接收端 {}", ids.join(" "), receiver.url()),
    ]
}

fn shipped_plan(set: &[String]) -> Result<Arc<Plan>, DemoFault> {
    #[expect(clippy::disallowed_methods, reason = "the plan is loaded as of the present moment")]
    let wall = Timestamp::now();
    let overlays = ["demo".to_owned()];
    let request = Request { config: shipped::CONFIG, set, overlays: &overlays, wall };
    let loaded = load(&shipped::Shipped, &request);
    loaded.plan.clone().ok_or_else(|| {
        let faults = loaded.diagnostics.iter().map(|fault| loaded.sources.render(fault, false));
        DemoFault::Plan(faults.collect::<Vec<_>>().join("\n"))
    })
}

/// The address of a listener, from lines such as `trunk udp:127.0.0.1:5060`.
fn listener(engine: &Engine, side: &'static str) -> Result<SocketAddr, DemoFault> {
    let listeners = engine.listeners();
    let found = listeners.iter().find_map(|line| line.strip_prefix(side)?.trim().split_once(':'));
    found.and_then(|(_, address)| address.parse().ok()).ok_or(DemoFault::Listener(side))
}

/// The first port of the range blocks are drawn from; it ends below the default range of an engine beside this one.
const PORTS_FROM: u16 = 10_000;
const PORTS_TO: u16 = 16_384;

/// The first of a block of free ports.
fn free_ports() -> Option<u16> {
    let mut seed = [0_u8; 2];
    let _ = getrandom::fill(&mut seed);
    let blocks = (PORTS_TO - PORTS_FROM) / MEDIA_PORTS;
    let start = u16::from_ne_bytes(seed) % blocks;
    (0..blocks).map(|at| PORTS_FROM + (start + at) % blocks * MEDIA_PORTS).find(|first| {
        let free = |port| std::net::UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, port)).ok();
        (*first..*first + MEDIA_PORTS).map(free).collect::<Option<Vec<_>>>().is_some()
    })
}
