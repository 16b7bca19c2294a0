//! Keeps the house as `lib.rs` draws it: floors import only from below, the deciding floors touch no runtime, files
//! stay small, every module says what it is for, and no test sleeps.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the sources has to fail")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Production lines a file may have (its test module at the end does not count).
const FILE_LINES: usize = 600;

/// Module, floor, and the modules below it that it may import. Adding an import between rooms is the change to
/// review hardest, so it is written here by hand.
const FLOORS: &[(&str, u8, &[&str])] = &[
    ("base", 0, &[]),
    // Media tokens name legs; the words live with the media vocabulary.
    ("event", 1, &["base"]),
    ("sip", 1, &["base"]),
    ("sdp", 1, &["base", "rtp"]),
    ("rtp", 1, &["base"]),
    ("plan", 2, &["base", "event"]),
    ("acd", 3, &["base", "event", "plan", "rtp"]),
    ("call", 4, &["base", "event", "sip", "sdp", "rtp", "plan", "acd"]),
    ("switch", 5, &["base", "event", "sip", "sdp", "rtp", "plan", "acd", "call"]),
    ("engine", 6, &["base", "event", "sip", "sdp", "rtp", "plan", "acd", "call", "switch"]),
    // The demo's peers are an independent implementation: they may share bytes and G.711 tables only.
    ("demo", 7, &["base", "rtp", "event", "plan", "engine"]),
    ("cli", 8, &["base", "event", "plan", "acd", "engine", "demo", "rtp"]),
];

fn sources(of: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![of.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|ending| ending == "rs") {
                found.push(entry);
            }
        }
    }
    found.sort();
    found
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn is_test_file(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem == "tests" || stem == "test")
        || path.components().any(|part| part.as_os_str() == "tests")
}

/// The lines before a file's own test module.
fn production(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().take_while(|(_, line)| line.trim_end() != "#[cfg(test)]").map(|(at, line)| (at + 1, line))
}

fn complain(faults: &[String]) {
    assert!(faults.is_empty(), "{} fault(s):\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn every_room_imports_only_from_below() {
    let floors: BTreeMap<&str, &[&str]> = FLOORS.iter().map(|(room, _, may)| (*room, *may)).collect();
    let mut faults = Vec::new();
    for path in sources(&root().join("src")) {
        let inside = path.strip_prefix(root().join("src")).unwrap();
        let first = inside.components().next().unwrap().as_os_str().to_string_lossy().replace(".rs", "");
        if matches!(first.as_str(), "lib" | "main") || is_test_file(&path) {
            continue;
        }
        let Some(may) = floors.get(first.as_str()) else {
            faults.push(format!("{}: room `{first}` is on no floor of tests/floors.rs", inside.display()));
            continue;
        };
        let text = fs::read_to_string(&path).unwrap();
        for (at, line) in production(&text) {
            let code = line.split("//").next().unwrap_or_default();
            for piece in code.split("crate::").skip(1) {
                let room: String =
                    piece.chars().take_while(|symbol| symbol.is_alphanumeric() || *symbol == '_').collect();
                if floors.contains_key(room.as_str()) && room != first && !may.contains(&room.as_str()) {
                    faults.push(format!("{}:{at}: `{first}` may not import `{room}`", inside.display()));
                }
            }
        }
    }
    complain(&faults);
}

#[test]
fn the_deciding_floors_touch_no_runtime_clock_or_file() {
    const NEVER: &[&str] = &[
        "tokio::",
        "std::thread",
        "std::fs",
        "std::net::UdpSocket",
        "std::net::TcpStream",
        "Instant::now",
        "SystemTime",
        "Timestamp::now",
        "Zoned::now",
        "getrandom",
        "HashMap",
        "HashSet",
        "DashMap",
    ];
    let mut faults = Vec::new();
    for (room, floor, _) in FLOORS.iter().filter(|(_, floor, _)| *floor < 6) {
        for path in sources(&root().join("src").join(room)) {
            if is_test_file(&path) {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            for (at, line) in production(&text) {
                let code = line.split("//").next().unwrap_or_default();
                for word in NEVER.iter().filter(|word| code.contains(**word)) {
                    faults.push(format!("{}:{at}: `{word}` on floor {floor}", path.display()));
                }
            }
        }
    }
    complain(&faults);
}

#[test]
fn files_stay_small_and_say_what_they_are_for() {
    let mut faults = Vec::new();
    for path in sources(&root().join("src")) {
        let text = fs::read_to_string(&path).unwrap();
        let lines = if is_test_file(&path) { 0 } else { production(&text).count() };
        if lines > FILE_LINES {
            faults.push(format!("{}: {lines} lines, at most {FILE_LINES}", path.display()));
        }
        if !text.starts_with("//!") {
            faults.push(format!("{}: opens without a word on what it is for", path.display()));
        }
    }
    complain(&faults);
}

#[test]
fn sections_are_cited_in_one_form() {
    let mut faults = Vec::new();
    for path in sources(&root().join("src")) {
        let text = fs::read_to_string(&path).unwrap();
        for (at, line) in text.lines().enumerate() {
            // A test named after a section cannot spell it as prose does.
            let Some((_, line)) = line.split_once("//") else { continue };
            for wrong in ["RFC3261", "RFC 3261 section", "RFC 3261 Section", "rfc3261"] {
                if line.contains(wrong) {
                    faults.push(format!("{}:{}: cite as `RFC 3261 §17.1.1.2`", path.display(), at + 1));
                }
            }
        }
    }
    complain(&faults);
}

#[test]
fn no_test_sleeps() {
    let mut faults = Vec::new();
    let nap = ["sleep", "("].concat();
    for folder in ["src", "tests"] {
        for path in sources(&root().join(folder)) {
            let text = fs::read_to_string(&path).unwrap();
            for (at, line) in text.lines().enumerate() {
                if line.split("//").next().unwrap_or_default().contains(&nap) {
                    faults.push(format!("{}:{}: {}", path.display(), at + 1, line.trim()));
                }
            }
        }
    }
    complain(&faults);
}
