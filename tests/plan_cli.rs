//! The commands on the shipped files: exit status and the JSON that scripts rely on (`contract.md` §1).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::{Command, Output};

use serde_json::Value;

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_switch12345")).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn check_of_the_shipped_files_succeeds() {
    let output = run(&["check", "--json", "--at", "2026-10-01T00:00:00+08:00"]);
    assert_eq!(output.status.code(), Some(0));
    let told = json(&output);
    assert_eq!(told.get("ok"), Some(&Value::Bool(true)));
    assert_eq!(told.pointer("/tests/failed"), Some(&Value::from(0)));
    let first = told.pointer("/diagnostics/0").unwrap();
    assert_eq!(keys(first), ["severity", "code", "message", "file", "line", "column", "labels", "help"]);
}

#[test]
fn check_of_a_fault_on_the_command_line_fails_and_names_it() {
    let output = run(&["check", "--json", "--set", "trunk.carrier.frm=[\"127.0.0.0/8\"]"]);
    assert_eq!(output.status.code(), Some(1));
    let told = json(&output);
    let faults = told.get("diagnostics").unwrap().as_array().unwrap();
    let fault = faults.iter().find(|fault| fault.get("code") == Some(&Value::from("E0101"))).unwrap();
    assert_eq!(fault.get("file"), Some(&Value::from("command line")));
}

#[test]
fn the_calendar_that_ends_is_a_warning_and_no_fault() {
    let output = run(&["check", "--json", "--at", "2026-12-01T00:00:00+08:00"]);
    assert_eq!(output.status.code(), Some(0));
    let told = json(&output);
    let faults = told.get("diagnostics").unwrap().as_array().unwrap();
    assert!(faults.iter().any(|fault| fault.get("code") == Some(&Value::from("W0207"))));
}

#[test]
fn route_tells_what_scripts_rely_on() {
    let output = run(&["route", "tel:+8647612369", "--json", "--from", "+8613800001234", "--trunk", "carrier"]);
    assert_eq!(output.status.code(), Some(0));
    let told = json(&output);
    for key in ["dialled", "number", "area_code", "tenant", "hotline", "target", "prompts", "why", "agents"] {
        assert!(told.get(key).is_some(), "{key}");
    }
    assert_eq!(told.pointer("/number"), Some(&Value::from("12369")));
    assert_eq!(told.pointer("/area_code"), Some(&Value::from("0476")));
    assert_eq!(told.pointer("/hotline/merge_mode"), Some(&Value::from("dual_merged")));
    assert_eq!(told.pointer("/target/kind"), Some(&Value::from("queue")));
    let nobody = json(&run(&["route", "12399", "--json"]));
    assert_eq!(nobody.pointer("/hotline"), Some(&Value::Null));
    let main = json(&run(&["route", "12345", "--json"]));
    assert_eq!(main.pointer("/hotline/merge_mode"), Some(&Value::Null));
}

#[test]
fn the_overlay_is_loaded_only_where_it_is_asked_for() {
    let plain = json(&run(&["route", "12366", "--json"]));
    assert_eq!(plain.pointer("/target/kind"), Some(&Value::from("queue")));
    let demo = json(&run(&["route", "12366", "--json", "--overlay", "demo"]));
    assert_eq!(demo.pointer("/target/kind"), Some(&Value::from("trunk")));
    assert_eq!(demo.pointer("/target/then/0"), Some(&Value::from("queue main")));
}

#[test]
fn prompts_lists_what_a_voice_has_to_speak() {
    let told = json(&run(&["prompts", "--json"]));
    let clips = told.as_array().unwrap();
    assert!(clips.iter().any(|row| row.get("clip") == Some(&Value::from("chifeng/hotline/12369"))));
}

#[test]
fn wrong_use_is_status_2() {
    for args in [&["route"][..], &["check", "--at", "soon"], &["nonsense"], &["route", "12345", "--trunk", "nope"]] {
        assert_eq!(run(args).status.code(), Some(2), "{args:?}");
    }
    for set in ["http.listen", "http.listen=127.0.0.1:1", "=1", "a=1\nb=2", ""] {
        assert_eq!(run(&["check", "--set", set]).status.code(), Some(2), "{set}");
    }
    let missing = run(&["check", "--config", "missing.toml"]);
    assert_eq!(missing.status.code(), Some(1));
    let text = String::from_utf8(missing.stdout).unwrap();
    assert!(text.contains("--config FILE") && text.contains("wrong: 1 errors, 0 warnings"), "{text}");
}

#[test]
fn errors_stand_last_next_to_the_count() {
    let output = run(&["check", "--at", "2026-12-01T00:00:00+08:00", "--set", "trunk.carrier.frm=[]"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let at = |what: &str| text.rfind(what).unwrap();
    assert!(at("warning[") < at("error[E0101]") && at("note[") < at("warning["));
    assert!(text.lines().last().unwrap().starts_with("wrong: 1 errors"), "{text}");
}
