//! The shipped recordings: every clip the shipped plans may play is there, and no caller is kept from the talk by one.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use switch12345::base::hotline::MergeMode;
use switch12345::engine::disk::Disk;
use switch12345::engine::media::library::ClipLibrary;
use switch12345::plan::load::{Files, Request, load};
use switch12345::plan::model::{Plan, Tenant};
use switch12345::plan::prompts::{Spoken, inventory};
use switch12345::rtp::clip::read_wav;

/// All recordings together.
const BYTES_MAX: u64 = 6_000_000;
/// A prompt before the talk, and one that says a number has been merged: samples at 8 kHz.
const BEFORE_THE_TALK: usize = 10 * 8_000;
const TRANSITION: usize = 15 * 8_000;

/// The shipped files, with paths as from the top of the project.
struct Shipped;

fn top(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

impl Files for Shipped {
    fn read(&self, path: &str) -> Result<String, String> {
        Disk.read(top(path).to_str().unwrap())
    }

    fn list(&self, directory: &str) -> Result<Vec<String>, String> {
        Disk.list(top(directory).to_str().unwrap())
    }
}

fn plan() -> std::sync::Arc<Plan> {
    let wall: Timestamp = "2026-10-01T02:00:00Z".parse().unwrap();
    let overlays = ["demo".to_owned()];
    let loaded = load(&Shipped, &Request { config: "config/switch.toml", set: &[], overlays: &overlays, wall });
    loaded.plan.unwrap()
}

fn bytes_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { bytes_below(&path) } else { fs::metadata(path).unwrap().len() }).sum()
}

#[test]
fn every_clip_of_the_shipped_plans_is_there_and_readable() {
    let missing = inventory(&plan()).into_keys().filter_map(|clip| {
        let file = top("prompts").join(format!("{clip}.wav"));
        let read = fs::read(&file).map_err(|fault| fault.to_string());
        let sound = read.and_then(|bytes| read_wav(&bytes).map_err(|fault| fault.to_string()));
        sound.err().map(|fault| format!("{clip}: {fault}"))
    });
    let missing: Vec<_> = missing.collect();
    assert!(missing.is_empty(), "run prompts/generate.py: {missing:?}");
}

#[test]
fn the_recordings_stay_small() {
    let bytes = bytes_below(&top("prompts"));
    assert!(bytes <= BYTES_MAX, "{bytes} bytes");
}

/// How long the caller listens, when every clip of the prompt is there.
fn samples(library: &ClipLibrary, tenant: &Tenant, prompt: &str, words: &Spoken<'_>) -> usize {
    let Some(announcement) = tenant.announcement(prompt, words) else { return 0 };
    let clip = |name| library.clip(tenant.name.as_str(), name).map(|clip| clip.len());
    announcement.clips.iter().map(|name| clip(name).unwrap_or_else(|| unreachable!("{name} is missing"))).sum()
}

#[test]
fn no_prompt_before_the_talk_is_longer_than_allowed() {
    let (library, faults) = ClipLibrary::load(&top("prompts"));
    assert!(faults.is_empty(), "{faults:?}");
    let plan = plan();
    let mut heard = 0;
    for tenant in plan.tenants.values() {
        for hotline in tenant.hotlines.values() {
            let words = Spoken { hotline: Some(hotline), ..Spoken::default() };
            // A mode can be changed by an edit of one word, so every greeting holds for every name.
            let mut prompts = vec![("greeting", BEFORE_THE_TALK)];
            if hotline.mode.is_some() {
                prompts.extend(["dual_merged", "dual_kept", "sub_centre"].map(|name| (name, BEFORE_THE_TALK)));
                prompts.extend(["transition", "transition_fire"].map(|name| (name, TRANSITION)));
                prompts.extend(["cutoff_routed", "cutoff_released"].map(|name| (name, TRANSITION)));
            }
            for (prompt, most) in prompts {
                let long = samples(&library, tenant, prompt, &words);
                assert!((1..=most).contains(&long), "{prompt} of {}: {long} samples", hotline.number);
                heard += usize::from(hotline.mode == Some(MergeMode::Absorbed));
            }
        }
    }
    assert!(heard > 0, "the shipped plans absorb hotlines");
}
