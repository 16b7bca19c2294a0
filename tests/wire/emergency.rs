//! The hand-over to 120 over the wire: the first route is dead, the second answers, and the agent's phone may die at
//! any moment of it.

use std::path::Path;

use serde_json::json;

use crate::rig::{Engine, Peer, folder, has, until};

const AGENT_TONE: u32 = 700;
const CALLER_TONE: u32 = 1_000;
const DESK_TONE: u32 = 1_300;

/// When the agent's phone dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dies {
    Never,
    /// Before the key is pressed; an operator hands over.
    BeforeTheKey,
    /// While the first route is tried.
    AtOnce,
    /// When the desk rings.
    WhileRinging,
    /// When the desk has answered.
    InTheTalk,
}

struct Story {
    name: &'static str,
    agent: &'static str,
    caller: &'static str,
    dies: Dies,
}

const STORIES: [Story; 5] = [
    Story { name: "never", agent: "1001", caller: "13804760011", dies: Dies::Never },
    Story { name: "before", agent: "1002", caller: "13804760012", dies: Dies::BeforeTheKey },
    Story { name: "at-once", agent: "1003", caller: "13804760013", dies: Dies::AtOnce },
    Story { name: "ringing", agent: "1004", caller: "13804760014", dies: Dies::WhileRinging },
    Story { name: "talk", agent: "1005", caller: "13804760015", dies: Dies::InTheTalk },
];

fn listen(peer: &mut Peer, call: &str, freq: u32) {
    // Two may be heard at once, each with half of the power.
    peer.say(&json!({ "do": "listen", "call": call, "freq": freq, "share": 0.25 }));
    peer.expect("heard");
}

fn tell(dir: &Path, story: &Story) {
    let dir = dir.join(story.name);
    std::fs::create_dir_all(&dir).expect("the test's folder");
    let desk_at = crate::rig::free_port();
    let dead_at = crate::rig::free_port();
    let engine = Engine::small(
        &dir,
        &[
            format!("trunk.desk-first.to=[\"sip:127.0.0.1:{dead_at}\"]"),
            format!("trunk.desk-second.to=[\"sip:127.0.0.1:{desk_at}\"]"),
        ],
    );
    let at = engine.trunk["udp"];
    let desk_bind = format!("127.0.0.1:{desk_at}");
    let desk_tone = DESK_TONE.to_string();
    let mut desk = Peer::phone(&dir, "0476120", at, &["--bind", &desk_bind, "--answer", "400", "--tone", &desk_tone]);
    let mut agent = Peer::agent(&dir, &engine, story.agent, &["--tone", &AGENT_TONE.to_string()]);
    let mut caller = Peer::phone(&dir, story.caller, at, &["--tone", &CALLER_TONE.to_string()]);
    let (agent_call, caller_call) = (format!("{}-1", story.agent), format!("{}-1", story.caller));
    caller.say(&json!({ "do": "call", "to": format!("sip:12345@{at}") }));
    caller.expect("up");
    agent.expect("up");
    listen(&mut agent, &agent_call, CALLER_TONE);
    let call = until("the call is listed", || engine.get("/api/v1/calls")[0]["call_id"].as_str().map(str::to_owned));

    if story.dies == Dies::BeforeTheKey {
        agent.process.kill();
        engine.post(&format!("/api/v1/calls/{call}/emergency"), &json!({ "line": "120" }));
    } else {
        agent.say(&json!({ "do": "keys", "call": agent_call, "keys": "*20" }));
        until("the desk is dialled", || {
            let view = engine.get(&format!("/api/v1/calls/{call}"));
            view["legs"].as_array()?.iter().any(|leg| leg["role"] == "emergency").then_some(())
        });
    }
    if story.dies == Dies::AtOnce {
        agent.process.kill();
    }
    let ringing = desk.expect("ringing");
    assert_eq!(ringing["uri"], format!("sip:0476120@{desk_bind}"), "the second route: {ringing}");
    let headers = &ringing["headers"];
    assert!(headers["p-asserted-identity"].as_str().is_some_and(|value| value.contains(story.caller)), "{headers}");
    assert!(headers["user-to-user"].as_str().is_some_and(|value| value.ends_with(";encoding=hex")), "{headers}");
    if story.dies == Dies::WhileRinging {
        agent.process.kill();
    }
    desk.expect("up");
    if story.dies == Dies::InTheTalk {
        agent.process.kill();
    }
    // Desk and caller hear each other, whatever became of the agent.
    listen(&mut desk, "0476120-1", CALLER_TONE);
    listen(&mut caller, &caller_call, DESK_TONE);
    if story.dies == Dies::Never {
        listen(&mut desk, "0476120-1", AGENT_TONE);
        listen(&mut agent, &agent_call, DESK_TONE);
        // The agent leaves the two alone.
        agent.say(&json!({ "do": "bye", "call": agent_call }));
        agent.expect("said-goodbye");
        listen(&mut desk, "0476120-1", CALLER_TONE);
        listen(&mut caller, &caller_call, DESK_TONE);
    }
    assert!(caller.drain().iter().all(|event| event["event"] != "down"), "the caller stays connected");
    caller.say(&json!({ "do": "bye", "call": caller_call }));
    caller.expect("said-goodbye");
    if story.dies != Dies::Never {
        // The engine keeps agent and desk together; that the agent's phone is dead it would learn from its silence.
        desk.say(&json!({ "do": "bye", "call": "0476120-1" }));
    }
    desk.expect("down");
    check_ticket(&engine);
}

fn check_ticket(engine: &Engine) {
    engine.await_quiet();
    let tickets = engine.get("/api/v1/tickets");
    assert_eq!(tickets.as_array().map(Vec::len), Some(1), "one ticket");
    let hand_over = &tickets[0]["ticket"]["emergency"][0];
    assert_eq!(hand_over["line"], "120");
    assert_eq!(hand_over["result"], "answered", "{hand_over}");
    assert_eq!(hand_over["attempts"].as_array().map(Vec::len), Some(2), "{hand_over}");
}

#[test]
fn the_caller_reaches_the_second_desk_whenever_the_agents_phone_dies() {
    if !has(&["python3"]) {
        return;
    }
    let dir = folder("emergency");
    // Side by side: each waits two seconds for the dead route.
    std::thread::scope(|scope| {
        let told: Vec<_> = STORIES.iter().map(|story| (story, scope.spawn(|| tell(&dir, story)))).collect();
        for (story, thread) in told {
            assert!(thread.join().is_ok(), "the agent's phone dies: {:?}", story.dies);
        }
    });
}
