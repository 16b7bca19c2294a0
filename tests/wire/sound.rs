//! A tone sent is the tone recorded, both ways: with the Python telephone on both ends, and with baresip as the agent.

use std::f64::consts::TAU;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::rig::{Engine, Guard, Peer, folder, free_port, has, until};

/// The samples of a WAV of 16 bits, one channel; `None` while it is not whole.
fn samples(path: &Path) -> Option<Vec<i16>> {
    let bytes = fs::read(path).ok()?;
    let at = bytes.windows(4).position(|four| four == b"data")? + 8;
    let pairs = bytes.get(at..)?.chunks_exact(2);
    Some(pairs.map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect())
}

/// The share of the power at a frequency, by Goertzel.
fn share(samples: &[i16], freq: f64) -> f64 {
    let turn = 2.0 * (TAU * freq / 8_000.0).cos();
    let (mut one, mut two, mut power) = (0.0, 0.0, 1.0);
    for sample in samples.iter().map(|sample| f64::from(*sample)) {
        (one, two) = (sample + turn * one - two, one);
        power += sample * sample;
    }
    2.0 * (one * one + two * two - turn * one * two) / (samples.len() as f64 * power)
}

/// How much of a recording is that tone and hardly anything else, in milliseconds.
pub(crate) fn heard(path: &Path, freq: f64) -> usize {
    let all = samples(path).unwrap_or_default();
    let loud = |window: &&[i16]| window.iter().any(|sample| sample.unsigned_abs() > 2_000);
    all.chunks_exact(400).filter(loud).filter(|window| share(window, freq) > 0.95).count() * 50
}

#[test]
fn a_tone_sent_is_the_tone_recorded_both_ways() {
    if !has(&["python3"]) {
        return;
    }
    let dir = folder("sound");
    let engine = Engine::shipped(&dir, &[]);
    let mut agent = Peer::agent(&dir, &engine, "1001", &["--tone", "700"]);
    let mut caller = Peer::phone(&dir, "13804761234", engine.trunk["udp"], &["--tone", "1000"]);
    caller.say(&json!({ "do": "call", "to": format!("sip:12369@{}", engine.trunk["udp"]) }));
    caller.expect("up");
    agent.expect("up");
    caller.say(&json!({ "do": "listen", "call": "13804761234-1", "freq": 700, "ms": 600 }));
    agent.say(&json!({ "do": "listen", "call": "1001-1", "freq": 1000, "ms": 600 }));
    caller.expect("heard");
    agent.expect("heard");
    agent.say(&json!({ "do": "bye", "call": "1001-1" }));
    let (by_agent, by_caller) = (agent.expect("down"), caller.expect("down"));
    assert_eq!(by_caller["by"], "them");
    for (down, freq) in [(&by_agent, 1_000.0), (&by_caller, 700.0)] {
        let path = PathBuf::from(down["wav"].as_str().expect("a recording"));
        assert!(heard(&path, freq) >= 500, "{freq} Hz for {} ms in {down}", heard(&path, freq));
    }
    engine.await_quiet();
}

#[test]
fn an_agent_who_holds_leaves_the_caller_to_the_music() {
    if !has(&["python3"]) {
        return;
    }
    let dir = folder("hold");
    let engine = Engine::small(&dir, &[]);
    let mut agent = Peer::agent(&dir, &engine, "1001", &["--tone", "700"]);
    let mut caller = Peer::phone(&dir, "13804761235", engine.trunk["udp"], &["--tone", "1000"]);
    caller.say(&json!({ "do": "call", "to": format!("sip:12345@{}", engine.trunk["udp"]) }));
    caller.expect("up");
    agent.expect("up");
    let listen = json!({ "do": "listen", "call": "13804761235-1", "freq": 700 });
    caller.say(&listen);
    caller.expect("heard");
    agent.say(&json!({ "do": "hold", "call": "1001-1", "direction": "sendonly" }));
    let held = agent.expect("modified");
    assert_eq!((&held["status"], &held["direction"]), (&json!(200), &json!("recvonly")), "{held}");
    // Music is anything but the agent's tone; the agent hears nobody.
    caller.say(&json!({ "do": "listen", "call": "13804761235-1", "without": true, "freq": 700 }));
    caller.expect("heard");
    agent.say(&json!({ "do": "hold", "call": "1001-1", "direction": "sendrecv" }));
    let resumed = agent.expect("modified");
    assert_eq!((&resumed["status"], &resumed["direction"]), (&json!(200), &json!("sendrecv")), "{resumed}");
    caller.say(&listen);
    caller.expect("heard");
    agent.say(&json!({ "do": "listen", "call": "1001-1", "freq": 1000 }));
    agent.expect("heard");
    caller.say(&json!({ "do": "bye", "call": "13804761235-1" }));
    agent.expect("down");
    engine.await_quiet();
    let ticket = engine.get("/api/v1/tickets")[0]["ticket_id"].as_str().expect("a ticket").to_owned();
    let whole = engine.get(&format!("/api/v1/tickets/{ticket}"))["ticket"].clone();
    assert!(whole["hold_ms"].as_u64().is_some_and(|held| held > 0), "the hold is on the ticket: {whole}");
}

/// Writes the tone baresip plays.
fn write_tone(path: &Path, freq: f64) {
    let samples: Vec<u8> = (0..160_000)
        .flat_map(|at| ((8_000.0 * (TAU * freq * f64::from(at) / 8_000.0).sin()) as i16).to_le_bytes())
        .collect();
    let size = u32::try_from(samples.len()).expect("small");
    let mut wav = b"RIFF".to_vec();
    wav.extend((size + 36).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    for (value, bytes) in [(16, 4), (1, 2), (1, 2), (8_000, 4), (16_000, 4), (2, 2), (16, 2_u32)] {
        wav.extend(&u32::to_le_bytes(value)[..bytes as usize]);
    }
    wav.extend(b"data");
    wav.extend(size.to_le_bytes());
    wav.extend(samples);
    fs::write(path, wav).expect("the test's folder");
}

/// A baresip that registers as an agent, answers by itself, plays a tone and writes what it hears.
pub(crate) fn baresip(dir: &Path, engine: &Engine, agent: &str, transport: &str, tone: f64) -> Guard {
    let home = dir.join("baresip");
    fs::create_dir_all(&home).expect("the test's folder");
    write_tone(&home.join("tone.wav"), tone);
    let path = home.display();
    let config = format!(
        "sip_listen 127.0.0.1:{}\nnet_interface 127.0.0.1\naudio_player aubridge,nil\naudio_alert aubridge,nil\n\
         audio_source aufile,{path}/tone.wav\naudio_channels 1-1\nmodule_path /usr/lib/baresip/modules\n\
         module g711.so\nmodule aufile.so\nmodule aubridge.so\nmodule sndfile.so\nmodule_tmp account.so\n\
         module_app menu.so\nsnd_path {path}\nrtp_ports 18000-18100\n",
        free_port()
    );
    let account = format!(
        "<sip:{agent}@{};transport={transport}>;auth_user={agent};auth_pass=demo-{agent};answermode=auto;regint=600\n",
        engine.agent[transport]
    );
    for (name, text) in [("config", config), ("accounts", account), ("contacts", String::new())] {
        fs::write(home.join(name), text).expect("the test's folder");
    }
    let log = File::create(home.join("log")).expect("the test's folder");
    let mut command = Command::new("baresip");
    command.arg("-f").arg(&home).stdin(Stdio::null()).stdout(log).stderr(Stdio::null());
    Guard::start(&mut command)
}

#[test]
fn baresip_serves_as_an_agent_and_both_hear_the_other() {
    if !has(&["python3", "baresip"]) {
        return;
    }
    let dir = folder("baresip");
    // baresip 1.0 refuses a challenge that names an algorithm it does not know.
    let engine = Engine::small(&dir, &["sip.digest=[\"MD5\"]".to_owned()]);
    let _agent = baresip(&dir, &engine, "1001", "udp", 700.0);
    engine.await_agent("1001", "ready");
    let mut caller = Peer::phone(&dir, "13804761234", engine.trunk["udp"], &["--tone", "1000"]);
    caller.say(&json!({ "do": "call", "to": format!("sip:12345@{}", engine.trunk["udp"]) }));
    caller.expect("up");
    caller.say(&json!({ "do": "listen", "call": "13804761234-1", "freq": 700, "ms": 600 }));
    caller.expect("heard");
    caller.say(&json!({ "do": "bye", "call": "13804761234-1" }));
    let down = caller.expect("down");
    let path = PathBuf::from(down["wav"].as_str().expect("a recording"));
    assert!(heard(&path, 700.0) >= 500, "{} ms", heard(&path, 700.0));
    engine.await_quiet();
    until("baresip has written 1,000 Hz", || {
        let files = fs::read_dir(dir.join("baresip")).ok()?.filter_map(Result::ok).map(|entry| entry.path());
        let mut decoded = files.filter(|path| path.to_string_lossy().ends_with("-dec.wav"));
        decoded.any(|path| heard(&path, 1_000.0) >= 300).then_some(())
    });
}
