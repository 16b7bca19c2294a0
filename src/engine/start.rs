//! Starting and stopping: everything is opened before the first packet is read, or nothing is.
//!
//! Order: data directory and secrets, store (tickets of a killed process are closed), media workers, queues, sockets,
//! switch, senders, HTTP. Stopping goes the other way. Deliberately absent: signals (`cli`), configuration files.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::acd_task;
use super::audit::Audit;
use super::call_task::World;
use super::chosen::Chosen;
use super::clock::Clock;
use super::dns::Dns;
use super::http::{self, Api};
use super::journal::Journal;
use super::listen;
use super::mailbox::{Mailboxes, NotPosted};
use super::media::library::ClipLibrary;
use super::media::{MediaConfig, MediaPlane};
use super::net::{Net, NetFault};
use super::numbers::Numbers;
use super::store::{Store, StoreFault, StoreNews, StoreSettings};
use super::switch_task::{SwitchAsk, SwitchTask};
use super::views::{CallViews, Figures};
use super::webhook::{EndpointFault, EndpointSettings, Wake, Webhooks};
use crate::acd::Acd;
use crate::acd::directory::AcdDirectory;
use crate::base::flow::Side;
use crate::base::now::Now;
use crate::base::secret::Secret;
use crate::call::leg::LegRules;
use crate::call::words::{CallInput, OperatorCommand};
use crate::plan::model::Plan;
use crate::plan::settings::{SecretSource, Settings, TicketEndpoint};
use crate::sip::session_timer::SessionPolicy;
use crate::sip::token::TokenKey;
use crate::sip::transaction::timers::SipTimers;
use crate::switch::{Secrets, Switch};

/// Requests each call may have open with the queues at once.
const ACD_REQUESTS_PER_CALL: usize = 4;
/// Questions from calls and people to the switch.
const SWITCH_ASKS: usize = 16_384;
/// How long goodbyes may take at the end of a drain.
const GOODBYE: Duration = Duration::from_secs(2);
/// What Server and User-Agent say.
const PRODUCT: &str = concat!("switch12345/", env!("CARGO_PKG_VERSION"));

/// Why the engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartFault {
    /// The data directory or a file in it.
    #[error("cannot use `{path}`: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// A SIP listener, or a file of TLS.
    #[error(transparent)]
    Net(#[from] NetFault),
    /// The HTTP listener.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The media workers.
    #[error("cannot start the media workers: {0}")]
    Media(io::Error),
    /// A ticket endpoint.
    #[error("ticket endpoint: {0}")]
    Endpoint(#[from] EndpointFault),
    /// The operating system gives no random numbers.
    #[error("random numbers are not to be had: {0}")]
    Random(String),
}

/// The running engine.
pub struct Engine {
    world: World,
    pub(super) store: Arc<Store>,
    webhooks: Webhooks,
    calls: TaskTracker,
    tasks: TaskTracker,
    stop: CancellationToken,
    http: SocketAddr,
    token_file: PathBuf,
}

/// Starts the engine under a plan.
///
/// # Errors
/// The first thing that could not be opened.
pub async fn start(plan: Arc<Plan>) -> Result<Engine, StartFault> {
    let settings = Arc::clone(&plan.settings);
    let data = PathBuf::from(&settings.data_dir);
    make_data_dir(&data).map_err(file_fault(&data))?;
    raise_file_limit();
    let clock = Clock::begin();
    let stop = CancellationToken::new();
    let (mailboxes, figures, views) =
        (Arc::<Mailboxes>::default(), Arc::<Figures>::default(), Arc::<CallViews>::default());
    let now_of: Arc<dyn Fn() -> Now + Send + Sync> = {
        let clock = clock.clone();
        Arc::new(move || clock.now())
    };
    let wake = Wake::default();
    let numbers = Numbers::new(&clock, &mailboxes);
    let store = open_store(&settings, &data, &now_of, &wake, (&numbers, &figures))?;
    let journal = Journal::new(Arc::clone(&store), Arc::clone(&mailboxes), Arc::clone(&figures));
    numbers.know(&store, &journal);
    let media = start_media(&settings, &mailboxes)?;
    let (net, packets) = Net::bind(listen::sockets(&settings)?, stop.clone())?;
    let (acd, acd_asked) = mpsc::channel(ACD_REQUESTS_PER_CALL * settings.limits.calls_max.max(256) as usize);
    let (switch, switch_asked) = mpsc::channel(SWITCH_ASKS);
    let secrets = draw_secrets()?;
    let world = World {
        clock: clock.clone(),
        net,
        media,
        acd,
        switch,
        journal,
        mailboxes: Arc::clone(&mailboxes),
        views,
        figures,
        alarms: Arc::default(),
        newest: Arc::new(ArcSwap::new(Arc::clone(&plan))),
        legs: Arc::new(leg_rules(&settings)),
        key: secrets.tokens,
    };
    let webhooks = Webhooks::start(endpoints(&settings)?, &store, &now_of, &wake)?;
    let (agent_events, _) = broadcast::channel(8_192);
    let (calls, tasks) = (TaskTracker::new(), TaskTracker::new());
    let mut queues = Acd::default();
    queues.reconfigure(clock.now(), AcdDirectory::from_plan(&plan), &mut Vec::new());
    let kept = data.join("chosen.jsonl");
    let (chosen, keeper) = Chosen::open(kept.clone()).map_err(file_fault(&kept))?;
    chosen.inputs().for_each(|input| queues.handle(clock.now(), input, &mut Vec::new()));
    tasks.spawn(keeper.run());
    tasks.spawn(acd_task::run(clock, queues, chosen, acd_asked, mailboxes, agent_events, stop.clone()));
    let task = SwitchTask {
        switch: Switch::new(plan, &secrets, PRODUCT),
        world: world.clone(),
        calls: calls.clone(),
        lookups: TaskTracker::new(),
        dns: Dns::new(&settings.sip.dns_servers, &settings.sip.trunk_listen),
        leaving: None,
    };
    tasks.spawn(task.run(packets, switch_asked, stop.clone()));
    let token_file = data.join("admin.token");
    let token = admin_token(&token_file)?;
    let audit = Arc::new(Audit::open(&data).map_err(file_fault(&data.join("audit.log")))?);
    let api = Api::new(world.clone(), Arc::clone(&store), audit, token);
    let listener = tokio::net::TcpListener::bind(settings.http.listen)
        .await
        .map_err(|source| StartFault::Listen { address: format!("http:{}", settings.http.listen), source })?;
    let http = listener.local_addr().map_err(|source| StartFault::Listen { address: "http".into(), source })?;
    tasks.spawn(http::serve(listener, api, stop.clone()));
    Ok(Engine { world, store, webhooks, calls, tasks, stop, http, token_file })
}

impl Engine {
    /// Where the API listens.
    #[must_use]
    pub const fn http(&self) -> SocketAddr {
        self.http
    }

    /// The file with the admin token.
    #[must_use]
    pub fn token_file(&self) -> &Path {
        &self.token_file
    }

    /// Where SIP listens: side, transport, address.
    #[must_use]
    pub fn listeners(&self) -> Vec<String> {
        let mut found: Vec<_> = self
            .world
            .net
            .listeners()
            .map(|flow| {
                let side = if flow.side == Side::Trunk { "trunk" } else { "agent" };
                format!("{side} {}:{}", flow.transport.param_name(), flow.local)
            })
            .collect();
        found.sort();
        found
    }

    pub(super) const fn world(&self) -> &World {
        &self.world
    }

    /// Live calls.
    #[must_use]
    pub fn live_calls(&self) -> usize {
        self.world.views.len()
    }

    /// Takes only emergency calls from now on and waits for the calls to end, at most this long; then asks those that
    /// are left to end politely. Emergency calls are never asked and waited for without a bound: only who stops
    /// waiting for this (the second signal) ends them.
    pub async fn drain(&self, at_most: Duration) {
        let _ = self.world.switch.send(SwitchAsk::Drain).await;
        // A closed call's transactions may wait for repetitions, which nobody needs any more.
        if tokio::time::timeout(at_most, self.world.views.emptied()).await.is_ok() {
            return;
        }
        for call in self.world.mailboxes.calls() {
            let drain = CallInput::Operator(Box::new(OperatorCommand::Drain));
            self.world.mailboxes.post(call, drain);
        }
        while tokio::time::timeout(GOODBYE, self.world.views.emptied()).await.is_err() {
            if !self.world.views.any_emergency() {
                return;
            }
        }
    }

    /// Takes our registrations back while the sockets still stand; a registrar that does not answer is not waited for.
    async fn leave_registrars(&self) {
        let (reply, left) = oneshot::channel();
        if self.world.switch.send(SwitchAsk::LeaveRegistrars(reply)).await.is_ok() {
            let _ = tokio::time::timeout(GOODBYE, left).await;
        }
    }

    /// Ends whatever is left: calls with a goodbye nobody waits for, their tickets closed; what was journaled is
    /// written, what was not delivered stays in the outbox.
    pub async fn stop(self) {
        let _ = self.world.switch.send(SwitchAsk::Drain).await;
        self.world.mailboxes.close_all();
        self.calls.close();
        let _ = tokio::time::timeout(GOODBYE, self.calls.wait()).await;
        self.leave_registrars().await;
        self.stop.cancel();
        self.tasks.close();
        let _ = tokio::time::timeout(Duration::from_secs(5), self.tasks.wait()).await;
        let _ = tokio::time::timeout(GOODBYE, self.world.net.ended()).await;
        let _ = tokio::time::timeout(Duration::from_secs(10), self.webhooks.stop()).await;
        let store = self.store;
        let _ = tokio::task::spawn_blocking(move || store.close()).await;
    }
}

fn open_store(
    settings: &Settings,
    data: &Path,
    now_of: &Arc<dyn Fn() -> Now + Send + Sync>,
    wake: &Wake,
    (numbers, figures): (&Numbers, &Arc<Figures>),
) -> Result<Arc<Store>, StartFault> {
    let (wake, numbers, figures) = (wake.clone(), numbers.clone(), Arc::clone(figures));
    let watch = move |news: StoreNews| match news {
        StoreNews::Committed => wake.wake(),
        StoreNews::TicketNo { call, ticket, ticket_no } => numbers.given(call, ticket, Arc::from(ticket_no)),
        StoreNews::WriteFailed { failures, full } => {
            figures.disk_full.store(full, Ordering::Relaxed);
            tracing::error!(failures, full, "the store cannot write; calls go on, nothing counts as stored");
        }
        StoreNews::WriteRecovered { failures } => {
            figures.disk_full.store(false, Ordering::Relaxed);
            tracing::warn!(failures, "the store writes again");
        }
        StoreNews::Refused { because } => tracing::error!(because, "the store refused an event"),
        StoreNews::Parked { endpoint } => tracing::error!(endpoint, "a ticket endpoint answered 410 and is parked"),
    };
    let opened = StoreSettings {
        dir: data.to_owned(),
        endpoints: settings.ticket.endpoints.keys().cloned().collect(),
        calls_max: settings.limits.calls_max as usize,
        max_bytes: None,
    };
    let store = Arc::new(Store::open(opened, Arc::clone(now_of), watch)?);
    store.close_orphans(|closed| {
        if closed > 0 {
            tracing::warn!(closed, "calls of a killed process were closed on their tickets");
        }
    });
    Ok(store)
}

fn start_media(settings: &Settings, mailboxes: &Arc<Mailboxes>) -> Result<Arc<MediaPlane>, StartFault> {
    let (clips, faults) = ClipLibrary::load(Path::new(&settings.prompts));
    for fault in faults {
        tracing::warn!(%fault, "a prompt cannot be used");
    }
    if clips.is_empty() {
        tracing::warn!(folder = settings.prompts, "no prompts found: callers hear short tones instead of speech");
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let config = MediaConfig {
        address: settings.media.address,
        advertised: settings.sip.advertise.unwrap_or(settings.media.address),
        ports: settings.media.port_min..=settings.media.port_max,
        reserved_for_emergency: usize::from(settings.media.emergency_pairs),
        workers: if settings.media.workers == 0 { cores } else { usize::from(settings.media.workers) },
        realtime: true,
    };
    let mailboxes = Arc::clone(mailboxes);
    let plane = MediaPlane::start(&config, clips, move |call, report| {
        // A full mailbox gets the report again later; a call that is gone needs none.
        match mailboxes.offer(call, CallInput::Media(report)) {
            Err(NotPosted::Full(CallInput::Media(report))) => Err(report),
            Ok(()) | Err(NotPosted::Gone | NotPosted::Full(_)) => Ok(()),
        }
    });
    plane.map(Arc::new).map_err(StartFault::Media)
}

fn endpoints(settings: &Settings) -> Result<Vec<EndpointSettings>, StartFault> {
    settings.ticket.endpoints.values().map(|endpoint| endpoint_settings(endpoint)).collect()
}

fn endpoint_settings(endpoint: &TicketEndpoint) -> Result<EndpointSettings, StartFault> {
    let mut made = EndpointSettings::new(&endpoint.name, &endpoint.url, secret(&endpoint.secret)?);
    made.previous_secret = endpoint.previous_secret.as_ref().map(secret).transpose()?;
    made.timeout = endpoint.timeout;
    made.connections = usize::from(endpoint.connections);
    Ok(made)
}

fn secret(source: &SecretSource) -> Result<Secret, StartFault> {
    match source {
        SecretSource::Inline(secret) => Ok(secret.clone()),
        SecretSource::File(path) => {
            let text = fs::read_to_string(path).map_err(file_fault(Path::new(path)))?;
            Ok(Secret::new(text.lines().next().unwrap_or_default().trim()))
        }
    }
}

fn leg_rules(settings: &Settings) -> LegRules {
    LegRules {
        timers: SipTimers { t1: settings.sip.t1, t2: settings.sip.t2, t4: settings.sip.t4 },
        session: SessionPolicy { interval: settings.sip.session_expires, min_se: settings.sip.min_se },
        product: Arc::from(PRODUCT),
    }
}

fn draw_secrets() -> Result<Secrets, StartFault> {
    let (mut tokens, mut nonces, mut seed) = ([0; 16], [0; 32], [0; 8]);
    for bytes in [&mut tokens[..], &mut nonces[..], &mut seed[..]] {
        getrandom::fill(bytes).map_err(|fault| StartFault::Random(fault.to_string()))?;
    }
    Ok(Secrets { tokens: TokenKey::new(tokens), nonces, seed: u64::from_ne_bytes(seed) })
}

/// The admin token: kept from the last start, or drawn now, readable by the owner only.
fn admin_token(path: &Path) -> Result<Secret, StartFault> {
    if let Ok(kept) = fs::read_to_string(path)
        && kept.trim().len() >= 32
    {
        return Ok(Secret::new(kept.trim()));
    }
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes).map_err(|fault| StartFault::Random(fault.to_string()))?;
    let token = bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(file_fault(path))?;
    writeln!(file, "{token}").map_err(file_fault(path))?;
    Ok(Secret::new(token))
}

/// Makes the data directory for its owner alone: citizens' numbers lie in it. One that is there keeps its rights.
fn make_data_dir(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn file_fault(path: &Path) -> impl FnOnce(io::Error) -> StartFault {
    let path = path.to_owned();
    move |source| StartFault::File { path, source }
}

/// Raises the soft limit of open files to the hard one and says what that allows: a relayed call needs four sockets.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let most = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    match most {
        Some(most) => tracing::info!(files = most, relayed_calls = most / 4, "open files allowed"),
        None => tracing::info!("open files are not limited"),
    }
}
