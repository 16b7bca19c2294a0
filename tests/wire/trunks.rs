//! Trunks with several far ends over real sockets: one port is closed, one peer takes packets and says nothing, SIPp
//! answers at the third.

use std::net::UdpSocket;

use serde_json::json;

use crate::rig::{Engine, Sipp, folder, free_port, has, until};

/// A peer that takes packets and says nothing.
fn mute() -> (UdpSocket, u16) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback is there");
    let port = socket.local_addr().expect("it is bound").port();
    (socket, port)
}

/// The INVITEs that came to a peer that says nothing.
fn invites(peer: &UdpSocket) -> usize {
    peer.set_nonblocking(true).expect("our socket");
    let mut buffer = [0; 4_096];
    let packets = std::iter::from_fn(|| peer.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec()));
    packets.filter(|packet| packet.starts_with(b"INVITE")).count()
}

/// The state of each far end of a trunk, by port.
fn states(engine: &Engine, trunk: &str) -> Vec<(u16, String)> {
    let trunks = engine.get("/api/v1/trunks");
    let found = trunks.as_array().expect("a list").iter().find(|row| row["trunk"] == trunk).expect("the trunk").clone();
    let addresses = found["targets"]
        .as_array()
        .expect("targets")
        .iter()
        .flat_map(|target| target["addresses"].as_array().cloned().unwrap_or_default());
    let port = |address: &str| address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    addresses
        .map(|far| (port(far["address"].as_str().expect("text")), far["state"].as_str().expect("text").to_owned()))
        .collect()
}

#[test]
fn dead_mute_and_good_the_call_lands_on_the_good_one_with_one_ringing() {
    if !has(&["sipp"]) {
        return;
    }
    let dir = folder("trunks");
    let (dead, good) = (free_port(), free_port());
    let (silent, mute) = mute();
    let engine = Engine::small(
        &dir,
        &[
            format!("trunk.desk-first.to=[\"sip:127.0.0.1:{dead}\",\"sip:127.0.0.1:{mute}\",\"sip:127.0.0.1:{good}\"]"),
            "trunk.desk-first.options_interval=\"0s\"".to_owned(),
        ],
    );
    let mut desk = Sipp::start(&dir, "desk", "agent.xml", None, &["-p", &good.to_string(), "-m", "1"]);
    let keys = ["-key", "dialled", "sip:120@switch", "-key", "citizen", "13804760021"];
    let options = [&["-m", "1", "-d", "500"][..], &keys].concat();
    let mut caller = Sipp::start(&dir, "caller", "caller.xml", Some(engine.trunk["udp"]), &options);
    caller.succeed();
    desk.succeed();
    // Given up after its second sending; it goes on being repeated, since CANCEL must wait for a provisional answer
    // (RFC 3261 §9.1).
    assert!(invites(&silent) >= 2);
    let statuses: Vec<_> =
        caller.received().iter().filter_map(|message| message.get(8..11).map(str::to_owned)).collect();
    assert_eq!(statuses.iter().filter(|status| *status == "180").count(), 1, "{statuses:?}");
    engine.await_quiet();
}

#[test]
fn probes_find_who_is_dead_and_who_is_back_and_an_alarm_tells() {
    if !has(&["sipp"]) {
        return;
    }
    let dir = folder("trunks-probed");
    let (dead, good) = (free_port(), free_port());
    let engine = Engine::small(
        &dir,
        &[
            format!("trunk.desk-first.to=[\"sip:127.0.0.1:{dead}\",\"sip:127.0.0.1:{good}\"]"),
            "trunk.desk-first.options_interval=\"500ms\"".to_owned(),
            "trunk.desk-second.options_interval=\"0s\"".to_owned(),
            "trunk.carrier.options_interval=\"0s\"".to_owned(),
        ],
    );
    let down = |port: u16| (port, "down".to_owned());
    until("both are down", || (states(&engine, "desk-first") == [down(dead), down(good)]).then_some(()));
    let alarm = engine.get("/api/v1/alarms")[0].clone();
    assert_eq!((&alarm["name"], &alarm["subject"]), (&json!("trunk_down"), &json!("desk-first")));
    let _desk = Sipp::start(&dir, "desk", "options.xml", None, &["-p", &good.to_string()]);
    let up = |port: u16| (port, "up".to_owned());
    until("one is back", || (states(&engine, "desk-first") == [down(dead), up(good)]).then_some(()));
    until("the alarm is over", || engine.get("/api/v1/alarms")[0]["cleared_at"].is_string().then_some(()));
}
