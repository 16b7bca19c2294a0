//! What the wire tests stand on: the real binary, foreign peers as processes, and a look at the API.
//!
//! Every process ends when its guard is dropped. Waiting is for an event with a bound that only a failure reaches.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

/// The longest any single thing may take.
const BOUND: Duration = Duration::from_secs(25);
/// How often something is asked, and how long lies between.
const ATTEMPTS: usize = 2_500;
const BETWEEN: Duration = Duration::from_millis(10);
/// The secret shared with the ticket receiver.
pub(crate) const SECRET: &str = "whsec_c3dpdGNoMTIzNDUtZGVtby1zZWNyZXQ=";

/// A process that ends with its guard.
pub(crate) struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Guard {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.spawn().expect("the peer is installed"))
    }

    /// Waits for the process to end by itself.
    pub(crate) fn end(&mut self, what: &str) -> ExitStatus {
        until(what, || self.0.try_wait().expect("the process is ours"))
    }

    pub(crate) fn kill(&mut self) {
        self.0.kill().expect("the process is ours");
        self.0.wait().expect("the process is ours");
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.0.try_wait().expect("the process is ours").is_none()
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

/// Asks again and again until there is an answer; the bound is for failures.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    for _ in 0..ATTEMPTS {
        if let Some(answer) = ask() {
            return answer;
        }
        std::thread::park_timeout(BETWEEN);
    }
    panic!("still waiting: {what}");
}

/// Whether the peers are installed; says so where they are not.
pub(crate) fn has(tools: &[&str]) -> bool {
    let found = |tool: &&str| {
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|folder| folder.join(tool).is_file())
    };
    let missing: Vec<_> = tools.iter().filter(|tool| !found(tool)).collect();
    if !missing.is_empty() {
        println!("SKIPPED: {missing:?} not installed; tests/run.sh installs them");
    }
    missing.is_empty()
}

/// A file of the wire tests.
pub(crate) fn ours(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire").join(name)
}

/// A fresh directory for one test.
pub(crate) fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("wire-{name}"));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).expect("the target directory can be written");
    path
}

/// A UDP port nobody uses now.
pub(crate) fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback is there");
    socket.local_addr().expect("it is bound").port()
}

/// The engine under test.
pub(crate) struct Engine {
    pub(crate) process: Guard,
    /// `udp` and `tcp` of the carriers' side.
    pub(crate) trunk: BTreeMap<String, SocketAddr>,
    /// The same of the phones' side.
    pub(crate) agent: BTreeMap<String, SocketAddr>,
    http: SocketAddr,
    token: String,
    log: PathBuf,
}

impl Drop for Engine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let tail: Vec<_> = log.lines().rev().take(40).collect();
            eprintln!("--- the engine's last words");
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

impl Engine {
    /// The shipped configuration on free ports.
    pub(crate) fn shipped(dir: &Path, set: &[String]) -> Self {
        Self::start(dir, "config/switch.toml", set)
    }

    /// The wire tests' own place.
    pub(crate) fn small(dir: &Path, set: &[String]) -> Self {
        Self::start(dir, "tests/wire/plan/switch.toml", set)
    }

    fn start(dir: &Path, config: &str, set: &[String]) -> Self {
        static MEDIA: AtomicU16 = AtomicU16::new(0);
        // 2,000 ports each, so that a test of hundreds of calls outruns neither the rest a pair takes after its use nor
        // the pairs kept for emergencies; 20,000 to 21,999 are left out because some machines keep ports there.
        let nth = MEDIA.fetch_add(1, Ordering::Relaxed) % 10;
        let ports = 10_000 + 2_000 * (nth + u16::from(nth >= 5));
        let mut command = Command::new(env!("CARGO_BIN_EXE_switch12345"));
        command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["run", "--config", config]);
        let always = [
            "sip.trunk_listen=[\"udp:127.0.0.1:0\",\"tcp:127.0.0.1:0\"]".to_owned(),
            "sip.agent_listen=[\"udp:127.0.0.1:0\",\"tcp:127.0.0.1:0\"]".to_owned(),
            "http.listen=\"127.0.0.1:0\"".to_owned(),
            format!("data_dir={:?}", dir.join("data")),
            format!("media.ports=\"{ports}-{}\"", ports + 1_999),
            // No recordings: a greeting is a few short tones.
            format!("prompts={:?}", dir.join("prompts")),
        ];
        for one in always.iter().chain(set) {
            command.args(["--set", one]);
        }
        let log = dir.join("engine.log");
        let errors = File::options().create(true).append(true).open(&log).expect("the test's folder");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        let mut child = command.spawn().expect("the engine's binary");
        let (told, lines) = channel();
        let out = BufReader::new(child.stdout.take().expect("piped"));
        std::thread::spawn(move || out.lines().map_while(Result::ok).all(|line| told.send(line).is_ok()));
        let process = Guard(child);
        let ready = lines.recv_timeout(BOUND).unwrap_or_else(|_| {
            panic!("the engine does not get ready: {}", fs::read_to_string(&log).unwrap_or_default())
        });
        assert!(ready.starts_with("ready "), "{ready}");
        let words: Vec<_> = ready.split_whitespace().collect();
        let (mut trunk, mut agent, mut http, mut token) = (BTreeMap::new(), BTreeMap::new(), None, String::new());
        for pair in words.windows(2) {
            let listener = || {
                let (transport, at) = pair[1].split_once(':').expect("transport:address");
                (transport.to_owned(), at.parse().expect("an address"))
            };
            match pair[0] {
                "trunk" => trunk.extend([listener()]),
                "agent" => agent.extend([listener()]),
                "http" => http = pair[1].parse().ok(),
                "token" => token = fs::read_to_string(pair[1]).expect("the token's file").trim().to_owned(),
                _ => {}
            }
        }
        Self { process, trunk, agent, http: http.expect("the HTTP address"), token, log }
    }

    /// Status, headers and body of a request to the API.
    pub(crate) fn http(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, String, Value) {
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut stream = TcpStream::connect(self.http).expect("the HTTP listener");
        stream.set_read_timeout(Some(BOUND)).expect("a time-out");
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: engine\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        )
        .expect("the HTTP listener");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        let (head, body) = text.split_once("\r\n\r\n").expect("an HTTP answer");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, head.to_owned(), serde_json::from_str(body).unwrap_or_else(|_| json!(body)))
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let (status, _, body) = self.http("GET", path, None);
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    pub(crate) fn post(&self, path: &str, body: &Value) {
        let (status, _, answer) = self.http("POST", path, Some(body));
        assert!(status < 300, "{path}: {status} {answer}");
    }

    /// Waits until an agent is in a state.
    pub(crate) fn await_agent(&self, agent: &str, state: &str) {
        until(&format!("{agent} is {state}"), || {
            let agents = self.get("/api/v1/agents");
            let row = agents.as_array()?.iter().find(|row| row["agent"] == agent)?.clone();
            (row["state"] == state).then_some(())
        });
    }

    /// Waits until no call lives.
    pub(crate) fn await_quiet(&self) {
        until("no call lives", || self.get("/api/v1/calls").as_array()?.is_empty().then_some(()));
    }

    /// CPU time used so far, in clock ticks (10 ms each on Linux).
    pub(crate) fn ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).expect("the engine lives");
        let fields: Vec<_> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime")
    }

    pub(crate) fn terminate(&self) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill").success());
    }
}

/// A peer written in Python that speaks JSON lines.
pub(crate) struct Peer {
    pub(crate) process: Guard,
    name: String,
    input: ChildStdin,
    events: Receiver<Value>,
    seen: Vec<Value>,
}

impl Peer {
    fn start(name: &str, command: &mut Command) -> Self {
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.expect("python3");
        let (told, events) = channel();
        let out = BufReader::new(child.stdout.take().expect("piped"));
        std::thread::spawn(move || {
            out.lines().map_while(Result::ok).all(|line| {
                let event = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"));
                told.send(event).is_ok()
            })
        });
        let input = child.stdin.take().expect("piped");
        Self { process: Guard(child), name: name.to_owned(), input, events, seen: Vec::new() }
    }

    /// A telephone; `options` as in phone.py.
    pub(crate) fn phone(dir: &Path, name: &str, server: SocketAddr, options: &[&str]) -> Self {
        let mut command = Command::new("python3");
        command.arg(ours("phone.py")).args(["--name", name, "--server", &server.to_string()]);
        command.arg("--dir").arg(dir).args(options);
        let mut phone = Self::start(name, &mut command);
        phone.expect("ready");
        phone
    }

    /// An agent's telephone, registered.
    pub(crate) fn agent(dir: &Path, engine: &Engine, name: &str, options: &[&str]) -> Self {
        Self::agent_over("udp", dir, engine, name, options)
    }

    /// An agent's telephone on another transport, registered.
    pub(crate) fn agent_over(transport: &str, dir: &Path, engine: &Engine, name: &str, options: &[&str]) -> Self {
        let password = format!("demo-{name}");
        let own = ["--password", &password, "--transport", transport];
        let mut phone = Self::phone(dir, name, engine.agent[transport], &[&own, options].concat());
        phone.say(&json!({ "do": "register" }));
        phone.expect("registered");
        engine.await_agent(name, "ready");
        phone
    }

    /// A ticket platform on a port.
    pub(crate) fn receiver(port: u16, options: &[&str]) -> Self {
        let mut command = Command::new("python3");
        command.arg(ours("receiver.py")).args([&port.to_string(), SECRET]).args(options);
        let mut peer = Self::start("receiver", &mut command);
        peer.next("its port");
        peer
    }

    pub(crate) fn say(&mut self, order: &Value) {
        writeln!(self.input, "{order}").expect("the peer lives");
    }

    /// The next event, whatever it is.
    pub(crate) fn next(&mut self, what: &str) -> Value {
        match self.events.recv_timeout(BOUND) {
            Ok(event) => {
                self.seen.push(event.clone());
                event
            }
            Err(_) => panic!("{}: still waiting: {what}; seen {:#?}", self.name, self.seen),
        }
    }

    /// Waits for an event of this name, passing over others.
    pub(crate) fn expect(&mut self, event: &str) -> Value {
        loop {
            let found = self.next(event);
            if found["event"] == event {
                return found;
            }
        }
    }

    /// Events that have come and nobody has looked at.
    pub(crate) fn fresh(&mut self) -> Vec<Value> {
        let fresh: Vec<_> = self.events.try_iter().collect();
        self.seen.extend(fresh.iter().cloned());
        fresh
    }

    /// Everything that has come so far.
    pub(crate) fn drain(&mut self) -> Vec<Value> {
        self.seen.extend(self.events.try_iter());
        self.seen.clone()
    }
}

/// A SIPp run; what it said is in the folder.
pub(crate) struct Sipp {
    process: Guard,
    name: String,
    dir: PathBuf,
}

impl Sipp {
    /// Starts a scenario of tests/wire/sipp; `options` are SIPp's own.
    pub(crate) fn start(dir: &Path, name: &str, scenario: &str, to: Option<SocketAddr>, options: &[&str]) -> Self {
        let mut command = Command::new("sipp");
        if let Some(to) = to {
            command.arg(to.to_string());
        }
        command.arg("-sf").arg(ours("sipp").join(scenario)).args(options);
        command.args(["-i", "127.0.0.1", "-nostdin", "-timeout", "40", "-timeout_error", "-cp"]);
        command.arg(free_port().to_string());
        command.args(["-trace_msg", "-message_file"]).arg(dir.join(format!("{name}.msg")));
        command.args(["-trace_err", "-error_file"]).arg(dir.join(format!("{name}.err")));
        command.args(["-trace_stat", "-fd", "1", "-stf"]).arg(dir.join(format!("{name}.csv")));
        let out = File::create(dir.join(format!("{name}.out"))).expect("the test's folder");
        command.current_dir(dir).env("TERM", "dumb").stdin(Stdio::null()).stdout(out).stderr(Stdio::null());
        Self { process: Guard(command.spawn().expect("sipp")), name: name.to_owned(), dir: dir.to_owned() }
    }

    /// Waits until it listens on a UDP port.
    pub(crate) fn await_listening(&self, port: u16) {
        let wanted = format!(":{port:04X} ");
        until(&format!("{} listens", self.name), || {
            let table = fs::read_to_string("/proc/net/udp").ok()?;
            table
                .lines()
                .any(|line| {
                    line.split_once(": ").is_some_and(|(_, rest)| {
                        rest.split_once(' ').is_some_and(|(local, _)| format!("{local} ").ends_with(&wanted))
                    })
                })
                .then_some(())
        });
    }

    /// Waits for its end; every call must have gone by its scenario.
    pub(crate) fn succeed(&mut self) {
        let status = self.process.end(&self.name);
        if !status.success() {
            let read =
                |ending: &str| fs::read_to_string(self.dir.join(format!("{}.{ending}", self.name))).unwrap_or_default();
            panic!("{}: {status}\n{}\n{}", self.name, read("err"), tail(&read("msg"), 120));
        }
    }

    /// A counter of its statistics, once it has written them anew.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        let path = self.dir.join(format!("{}.csv", self.name));
        let lines = || fs::read_to_string(&path).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
        let before = lines().len();
        until("new statistics", || {
            let lines = lines();
            if lines.len() <= before.max(1) {
                return None;
            }
            let column = lines[0].split(';').position(|column| column == name).expect("a column");
            lines[lines.len() - 1].split(';').nth(column)?.parse().ok()
        })
    }

    /// How often it complained of this.
    pub(crate) fn complaints(&self, of: &str) -> u64 {
        let text = fs::read_to_string(self.dir.join(format!("{}.err", self.name))).unwrap_or_default();
        text.matches(of).count() as u64
    }

    /// The messages it received, first line first.
    pub(crate) fn received(&self) -> Vec<String> {
        let text = fs::read(self.dir.join(format!("{}.msg", self.name))).unwrap_or_default();
        String::from_utf8_lossy(&text)
            .split("\n-----------------------------------------------")
            .filter_map(|one| one.split_once("message received ").and_then(|(_, rest)| rest.split_once("bytes :\n\n")))
            .map(|(_, message)| message.to_owned())
            .collect()
    }
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<_> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// The value of a header of a SIP message.
pub(crate) fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message.lines().take_while(|line| !line.trim().is_empty()).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
