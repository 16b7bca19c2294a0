//! Broken files and what `check` says of each: `tests/plans/bad/*.toml` beside `*.txt`.
//!
//! `UPDATE_GOLDEN=1` writes the expected texts anew; read the difference before keeping it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

#[path = "plans/memory.rs"]
mod memory;

use memory::Memory;
use switch12345::plan::diagnose::Severity;

/// Before the shipped calendar warns, after the confirmed changes of numbers.
const AT: &str = "2026-10-01T00:00:00+08:00";

fn bundles() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans/bad");
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    found.sort();
    found
}

#[test]
fn every_broken_file_is_explained_as_before() {
    let update = env::var_os("UPDATE_GOLDEN").is_some();
    let mut differing = Vec::new();
    for path in bundles() {
        let loaded = Memory::bundle(&fs::read_to_string(&path).unwrap()).load(AT);
        let shown: Vec<_> = loaded.diagnostics.iter().map(|fault| loaded.sources.render(fault, false)).collect();
        let text = shown.join("\n\n") + "\n";
        let golden = path.with_extension("txt");
        if update {
            fs::write(&golden, &text).unwrap();
        } else if fs::read_to_string(&golden).unwrap_or_default() != text {
            differing.push(format!("{}:\n{text}", path.display()));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn no_broken_file_is_silent_and_an_error_never_yields_a_plan() {
    let paths = bundles();
    assert!(paths.len() >= 60, "{}", paths.len());
    for path in paths {
        let loaded = Memory::bundle(&fs::read_to_string(&path).unwrap()).load(AT);
        assert!(!loaded.diagnostics.is_empty(), "{} says nothing", path.display());
        let any_error = loaded.diagnostics.iter().any(|fault| fault.severity == Severity::Error);
        assert_eq!(loaded.plan.is_none(), any_error, "{}", path.display());
    }
}

#[test]
fn every_error_in_a_text_has_a_place_and_names_its_file() {
    for path in bundles() {
        let loaded = Memory::bundle(&fs::read_to_string(&path).unwrap()).load(AT);
        for fault in &loaded.diagnostics {
            let json = loaded.sources.json(fault);
            if fault.labels.is_empty() {
                continue;
            }
            assert!(json["line"].as_u64().unwrap() > 0 && json["column"].as_u64().unwrap() > 0, "{json}");
            assert!(json["file"].as_str().is_some_and(|file| !file.is_empty()), "{json}");
        }
    }
}

#[test]
fn one_run_shows_every_fault() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans/bad/many-at-once.toml");
    let loaded = Memory::bundle(&fs::read_to_string(path).unwrap()).load(AT);
    let codes: BTreeSet<_> = loaded.diagnostics.iter().map(|fault| fault.code).collect();
    for code in ["E0101", "E0104", "E0106", "E0107", "E0109", "E0111"] {
        assert!(codes.contains(code), "{code} not among {codes:?}");
    }
}

#[test]
fn a_sound_place_has_nothing_to_say() {
    let text = "[tenant]\nname = \"p\"\ntitle = \"某市\"\narea = \"0476\"\n\n[[hotline]]\nnumber = \"12319\"\nname = \"住建热线\"\nmode = \"整体并入\"\n";
    let loaded = Memory::bundle(text).load(AT);
    let shown: Vec<_> = loaded.diagnostics.iter().map(|fault| loaded.sources.render(fault, false)).collect();
    assert!(shown.is_empty() && loaded.plan.is_some(), "{}", shown.join("\n"));
}
