//! Phones as SIPp: many that come back at once while somebody guesses, and a lamp.

use std::fmt::Write as _;
use std::fs;

use crate::rig::{Engine, Sipp, folder, free_port, has, ours, until};

const PHONES: usize = 300;

#[test]
fn three_hundred_phones_come_back_in_three_seconds_while_somebody_guesses() {
    if !has(&["sipp"]) {
        return;
    }
    let dir = folder("desk");
    let mut agents = fs::read_to_string(ours("plan/agents.toml")).expect("the agents");
    let (mut phones, mut guesses) = ("SEQUENTIAL\n".to_owned(), "SEQUENTIAL\n".to_owned());
    for id in (70_000..).take(PHONES) {
        let _ =
            write!(agents, "\n[[agent]]\nid = \"{id}\"\ntenant = \"p\"\npassword = \"p-{id}\"\nqueues = [\"main\"]\n");
        let _ = writeln!(phones, "{id};[authentication username={id} password=p-{id}];127.0.0.1:9");
        let _ = writeln!(guesses, "1001;[authentication username=1001 password=guess-{id}];127.0.0.1:9");
    }
    let written = |name: &str, text: &str| {
        let path = dir.join(name);
        fs::write(&path, text).expect("the test's folder");
        path.to_string_lossy().into_owned()
    };
    let agents = written("agents.toml", &agents);
    let (phones, guesses) = (written("phones.in", &phones), written("guesses.in", &guesses));
    let scenario = fs::read_to_string(ours("sipp/register.xml")).expect("the scenario");
    let refused = written("guess.xml", &scenario.replace("response=\"200\"", "response=\"401\""));
    let engine = Engine::small(&dir, &[format!("agents={agents:?}")]);
    let at = Some(engine.agent["udp"]);
    let run = |name: &str, scenario: &str, file: &str, rate: &str, count: &str| {
        let port = free_port().to_string();
        Sipp::start(&dir, name, scenario, at, &["-inf", file, "-r", rate, "-m", count, "-p", &port])
    };
    let before = engine.ticks();
    let mut guesser = run("guesser", &refused, &guesses, "20", "60");
    let mut coming = run("phones", "register.xml", &phones, "100", "300");
    coming.succeed();
    guesser.succeed();
    let spent = (engine.ticks() - before) * 10;
    println!("{spent} ms of CPU for {PHONES} registrations and 60 guesses");
    let registered = || {
        let agents = engine.get("/api/v1/agents");
        let back = |row: &&serde_json::Value| row["agent"].as_str().is_some_and(|id| id.starts_with("70"));
        let ready = agents.as_array()?.iter().filter(back).filter(|row| row["state"] == "ready").count();
        (ready == PHONES).then_some(())
    };
    until("every phone is back", registered);
}

#[test]
fn a_lamp_is_told_the_state_and_its_end() {
    if !has(&["sipp"]) {
        return;
    }
    let dir = folder("lamp");
    let engine = Engine::small(&dir, &[]);
    let row = "SEQUENTIAL\n1002;[authentication username=1001 password=demo-1001];1001\n";
    let file = dir.join("lamp.in");
    fs::write(&file, row).expect("the test's folder");
    let port = free_port().to_string();
    let at = engine.agent["udp"];
    // Left to itself SIPp names the host alone, which is not what the request line asks for.
    let uri = format!("1002@{at}");
    let options = ["-inf", &file.to_string_lossy(), "-m", "1", "-p", &port, "-auth_uri", &uri];
    Sipp::start(&dir, "lamp", "lamp.xml", Some(at), &options).succeed();
}
