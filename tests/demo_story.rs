//! `switch12345 demo --json`: the whole story on real sockets, and what scripts rely on (`contract.md` §1).

use std::process::Command;

use serde_json::{Value, json};

#[test]
fn every_call_is_answered_heard_both_ways_and_has_its_ticket() {
    let ran = Command::new(env!("CARGO_BIN_EXE_switch12345")).args(["demo", "--json"]).output().unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    let objects: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (summary, calls) = objects.split_last().unwrap();
    for call in calls {
        assert_eq!((&call["ok"], &call["faults"]), (&json!(true), &json!([])), "{}", call["call"]);
    }
    let wanted = json!({
        "calls": 9, "answered": 9, "tickets_opened": 9, "tickets_closed": 9, "audio_ok": 9, "failed": 0
    });
    assert_eq!(*summary, wanted);
    assert!(ran.status.success());
    let dialled: Vec<&str> = calls.iter().filter_map(|call| call["dialled"].as_str()).collect();
    for number in ["12345", "12369", "96119", "12315", "12366", "120"] {
        assert!(dialled.contains(&number), "{number} was not dialled: {dialled:?}");
    }
    assert!(!said.contains("1380000000"), "a citizen's number is shown whole");
}
