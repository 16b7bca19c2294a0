//! Foreign SIP elements and what carriers demand: Kamailio as a proxy that records its route, linphone as an agent, and
//! SIPp as carriers that require reliable ringing, hold, refresh their session, or offer nothing.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::rig::{Engine, Peer, Sipp, folder, free_port, has, header, ours, until};

/// A Kamailio of our own; it ends with its children when it is told to.
struct Kamailio(Child);

impl Drop for Kamailio {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

impl Kamailio {
    /// Between the engine's trunk side and a peer, each known by its port.
    fn start(dir: &Path, proxy: u16, engine: SocketAddr, peer: u16) -> Self {
        let text = fs::read_to_string(ours("kamailio.cfg")).expect("the configuration");
        let text = text
            .replace("@PROXY@", &proxy.to_string())
            .replace("@ENGINE@", &engine.port().to_string())
            .replace("@PEER@", &peer.to_string());
        let config = dir.join("kamailio.cfg");
        fs::write(&config, text).expect("the test's folder");
        let log = fs::File::create(dir.join("kamailio.log")).expect("the test's folder");
        let child = Command::new("kamailio")
            .args(["-DD", "-E", "-m", "32", "-M", "8", "-f"])
            .arg(&config)
            .arg("-w")
            .arg(dir)
            .arg("-Y")
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("kamailio is installed");
        let proxied = Self(child);
        let wanted = format!(":{proxy:04X} ");
        until("Kamailio listens", || fs::read_to_string("/proc/net/udp").ok()?.contains(&wanted).then_some(()));
        proxied
    }
}

/// What passed the proxy bears its Via on top.
fn assert_proxied(messages: &[String], method: &str, proxy: u16) {
    let found = messages.iter().find(|message| message.starts_with(method));
    let message = found.unwrap_or_else(|| panic!("no {method} in {messages:#?}"));
    let via = header(message, "Via").expect("a Via");
    assert!(via.contains(&format!(":{proxy}")), "{method} took another way: {via}");
    assert_eq!(header(message, "Route"), None, "the proxy has taken its own route off");
}

#[test]
fn a_call_through_kamailio_to_an_agent_follows_the_route_both_ways() {
    if !has(&["kamailio", "sipp", "python3"]) {
        return;
    }
    for agent_hangs_up in [false, true] {
        let dir = folder(&format!("kamailio-in-{agent_hangs_up}"));
        let engine = Engine::small(&dir, &[]);
        let (proxy, peer) = (free_port(), free_port());
        let _kamailio = Kamailio::start(&dir, proxy, engine.trunk["udp"], peer);
        let mut agent = Peer::agent(&dir, &engine, "1001", &["--tone", "700"]);
        let caller = if agent_hangs_up { "caller_hung_up.xml" } else { "caller.xml" };
        let dialled = ["-key", "dialled", "sip:12345@switch", "-key", "citizen", "13804760051"];
        let port = peer.to_string();
        let options = [&["-m", "1", "-p", &port, "-d", "700"], &dialled[..]].concat();
        let to = SocketAddr::from(([127, 0, 0, 1], proxy));
        let mut citizen = Sipp::start(&dir, "citizen", caller, Some(to), &options);
        let up = agent.expect("up");
        if agent_hangs_up {
            // Earlier the citizen would wait for another agent.
            until("the citizen talks", || {
                citizen.received().iter().any(|one| one.starts_with("SIP/2.0 200")).then_some(())
            });
            agent.say(&json!({ "do": "bye", "call": up["call"] }));
        }
        agent.expect("down");
        citizen.succeed();
        if agent_hangs_up {
            assert_proxied(&citizen.received(), "BYE", proxy);
        }
        engine.await_quiet();
    }
}

#[test]
fn a_call_out_through_kamailio_follows_its_route() {
    if !has(&["kamailio", "sipp"]) {
        return;
    }
    let dir = folder("kamailio-out");
    let (proxy, seats, peer) = (free_port(), free_port(), free_port().to_string());
    let set = [format!("trunk.desk-second.to=[\"sip:127.0.0.1:{proxy}\"]")];
    let engine = Engine::small(&dir, &set);
    let _kamailio = Kamailio::start(&dir, proxy, engine.trunk["udp"], seats);
    let mut desk = Sipp::start(&dir, "desk", "agent_behind_proxy.xml", None, &["-m", "1", "-p", &seats.to_string()]);
    desk.await_listening(seats);
    let dialled = ["-key", "dialled", "sip:110@switch", "-key", "citizen", "13804760052"];
    let options = [&["-m", "1", "-p", &peer, "-d", "700"], &dialled[..]].concat();
    Sipp::start(&dir, "citizen", "caller.xml", Some(engine.trunk["udp"]), &options).succeed();
    desk.succeed();
    let seen = desk.received();
    for method in ["INVITE", "ACK", "BYE"] {
        assert_proxied(&seen, method, proxy);
    }
    engine.await_quiet();
}

/// linphone's console, told its lines; it answers by itself and plays a file instead of a sound card.
struct Linphone(Child);

impl Drop for Linphone {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Linphone {
    fn start(dir: &Path, server: SocketAddr, agent: &str) -> Self {
        fs::create_dir_all(dir.join(".local/share/linphone")).expect("the test's folder");
        let config = dir.join("linphonerc");
        let text = format!(
            "[sip]\nsip_port={}\nuse_ipv6=0\n[net]\nfirewall_policy=0\n[sound]\nechocancellation=0\n",
            free_port()
        );
        fs::write(&config, text).expect("the test's folder");
        let said = fs::File::create(dir.join("linphone.said")).expect("the test's folder");
        let mut command = Command::new("linphonec");
        command.arg("-a").arg("-c").arg(&config).args(["-d", "5", "-l"]).arg(dir.join("linphone.log"));
        command.env("HOME", dir).env("TERM", "dumb").stdin(Stdio::piped()).stdout(said).stderr(Stdio::null());
        let mut child = command.spawn().expect("linphonec is installed");
        let mut input = child.stdin.take().expect("piped");
        let mut phone = Self(child);
        phone.await_said(dir, "linphonec>");
        writeln!(input, "soundcard use files").expect("linphonec lives");
        writeln!(input, "register sip:{agent}@{server} sip:{server} demo-{agent}").expect("linphonec lives");
        // Its console ends with its input.
        phone.0.stdin = Some(input);
        phone
    }

    fn await_said(&mut self, dir: &Path, wanted: &str) {
        until(&format!("linphone says `{wanted}`"), || {
            let said = fs::read(dir.join("linphone.said")).unwrap_or_default();
            String::from_utf8_lossy(&said).contains(wanted).then_some(())
        });
    }
}

#[test]
fn linphone_registers_as_an_agent_and_takes_a_call() {
    if !has(&["linphonec", "sipp"]) {
        return;
    }
    let dir = folder("linphone");
    let engine = Engine::small(&dir, &[]);
    let mut phone = Linphone::start(&dir, engine.agent["udp"], "1001");
    engine.await_agent("1001", "ready");
    let peer = free_port().to_string();
    let dialled = ["-key", "dialled", "sip:12345@switch", "-key", "citizen", "13804760053"];
    let options = [&["-m", "1", "-p", &peer, "-d", "1500"], &dialled[..]].concat();
    Sipp::start(&dir, "citizen", "caller.xml", Some(engine.trunk["udp"]), &options).succeed();
    phone.await_said(&dir, "Media streams established");
    engine.await_quiet();
}

/// A citizen behind a carrier of this kind talks to an agent who rings for half a second; the carrier ends the call.
fn a_carrier_succeeds(scenario: &str) -> Vec<String> {
    if !has(&["sipp", "python3"]) {
        return Vec::new();
    }
    let dir = folder(scenario);
    let engine = Engine::small(&dir, &[]);
    let mut agent = Peer::agent(&dir, &engine, "1001", &["--tone", "700", "--answer", "500"]);
    let port = free_port().to_string();
    let keys = ["-key", "dialled", "sip:12345@switch", "-key", "citizen", "13804760054"];
    let options = [&["-m", "1", "-p", &port, "-d", "400"], &keys[..]].concat();
    let mut citizen = Sipp::start(&dir, "citizen", &format!("{scenario}.xml"), Some(engine.trunk["udp"]), &options);
    citizen.succeed();
    let down = agent.expect("down");
    assert_eq!(down["by"], "them", "{down}");
    engine.await_quiet();
    citizen.received()
}

#[test]
fn a_carrier_that_requires_reliable_ringing_gets_it() {
    let received = a_carrier_succeeds("caller_100rel");
    let ringing = received.iter().filter(|one| one.starts_with("SIP/2.0 180")).count();
    assert!(received.is_empty() || ringing == 1, "acknowledged at once, said once: {received:#?}");
}

#[test]
fn a_carrier_holds_a_call_and_takes_it_back() {
    a_carrier_succeeds("caller_holds");
}

#[test]
fn a_carrier_refreshes_its_session_by_update() {
    a_carrier_succeeds("caller_refreshes");
}

#[test]
fn a_carrier_that_offers_nothing_answers_our_offer() {
    a_carrier_succeeds("caller_offerless");
}
