//! All clips and the queue music, read once and shared by the workers.
//!
//! `<tenant>/<name>.wav` wins over `<name>.wav` (names hold slashes: `hotline/12369`), `music/default.wav` over the
//! music made here. Files are read and converted when the library is made, never by a worker. Deliberately absent: watching for changes (a
//! new library replaces the old whole).
//!
//! Limits: 20,000 files, 64 MB each.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use super::music;
use crate::rtp::clip::{WavFault, read_wav};

/// The music made here, made once.
static COMPOSED: LazyLock<Arc<[u8]>> = LazyLock::new(|| music::composed().into());
/// Folders within folders.
const DEPTH_MAX: u8 = 4;
/// Most files read.
const FILES_MAX: usize = 20_000;
/// Largest file read, bytes: ten minutes of stereo at 48 kHz and 16 bits are 115 MB, of mono at 44.1 kHz 53 MB.
const BYTES_MAX: u64 = 64 << 20;

/// Why one file is not in the library.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {why}")]
pub struct ClipFault {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: ClipFaultKind,
}

/// What may be wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum ClipFaultKind {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] io::Error),
    /// It is no sound file we know.
    #[error(transparent)]
    Wav(#[from] WavFault),
    /// It passes a limit of this module.
    #[error("too large, or too many files")]
    TooMuch,
}

/// Sounds as A-law at 8 kHz, by their path below the folder, without its ending: `greeting.1`, `hotline/12369`.
#[derive(Clone, Debug)]
pub struct ClipLibrary {
    clips: BTreeMap<Box<str>, Arc<[u8]>>,
    music: Arc<[u8]>,
}

impl Default for ClipLibrary {
    /// No clips, and the music made here.
    fn default() -> Self {
        Self { clips: BTreeMap::new(), music: Arc::clone(&COMPOSED) }
    }
}

impl ClipLibrary {
    /// Reads every `.wav` below `folder`. A missing folder is an empty one; a bad file is a fault and the rest is
    /// read. `music/default.wav` in it replaces the music made here.
    #[must_use]
    pub fn load(folder: &Path) -> (Self, Vec<ClipFault>) {
        let mut library = Self::default();
        let mut faults = Vec::new();
        library.load_below(folder, "", 0, &mut faults);
        if let Some(music) = library.clips.get("music/default") {
            library.music = Arc::clone(music);
        }
        (library, faults)
    }

    /// Adds or replaces a clip made elsewhere; `tenant` empty is the shared one.
    pub fn put(&mut self, tenant: &str, name: &str, alaw: &[u8]) {
        let key = if tenant.is_empty() { name.to_owned() } else { format!("{tenant}/{name}") };
        self.clips.insert(key.into(), alaw.into());
    }

    /// The clip of that name, the place's own first.
    #[must_use]
    pub fn clip(&self, tenant: &str, name: &str) -> Option<&Arc<[u8]>> {
        self.clips.get(format!("{tenant}/{name}").as_str()).or_else(|| self.clips.get(name))
    }

    /// The queue music, at least one frame long.
    #[must_use]
    pub const fn music(&self) -> &Arc<[u8]> {
        &self.music
    }

    /// How many clips there are, the places' own included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.clips.len()
    }

    /// Whether there is no clip.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn load_below(&mut self, folder: &Path, prefix: &str, depth: u8, faults: &mut Vec<ClipFault>) {
        for path in listed(folder, faults) {
            if path.is_dir() && depth < DEPTH_MAX {
                self.load_below(&path, &format!("{prefix}{}/", name_of(&path)), depth + 1, faults);
            } else if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("wav")) {
                let read = if self.len() < FILES_MAX { read(&path) } else { Err(ClipFaultKind::TooMuch) };
                match read {
                    Ok(alaw) => self.put("", &format!("{prefix}{}", name_of(&path.with_extension(""))), &alaw),
                    Err(why) => faults.push(ClipFault { path, why }),
                }
            }
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ClipFaultKind> {
    if fs::metadata(path)?.len() > BYTES_MAX {
        return Err(ClipFaultKind::TooMuch);
    }
    Ok(read_wav(&fs::read(path)?)?)
}

/// The entries of a folder in order of name; a missing folder has none.
fn listed(folder: &Path, faults: &mut Vec<ClipFault>) -> Vec<PathBuf> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(fault) => {
            faults.push(ClipFault { path: folder.to_owned(), why: fault.into() });
            return Vec::new();
        }
    };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wav(sample: u8) -> Vec<u8> {
        let mut file =
            b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x06\0\x01\0\x40\x1f\0\0\0\0\0\0\0\0\x08\0data\x02\0\0\0".to_vec();
        file.extend([sample, sample]);
        file
    }

    #[test]
    fn a_places_own_clip_wins_and_a_bad_file_spoils_nothing() {
        let root = std::env::temp_dir().join(format!("clips-{}", std::process::id()));
        fs::create_dir_all(root.join("chifeng/hotline")).unwrap();
        fs::create_dir_all(root.join("music")).unwrap();
        for (path, bytes) in [
            ("greeting.wav", wav(1)),
            ("closed.WAV", wav(2)),
            ("chifeng/hotline/12369.wav", wav(5)),
            ("chifeng/greeting.wav", wav(3)),
            ("chifeng/bad.wav", b"no".to_vec()),
            ("notes.txt", b"no".to_vec()),
            ("music/default.wav", wav(4)),
        ] {
            fs::write(root.join(path), bytes).unwrap();
        }
        let (library, faults) = ClipLibrary::load(&root);
        fs::remove_dir_all(&root).unwrap();
        let first = |tenant, name| library.clip(tenant, name).map(|clip| clip[0]);
        assert_eq!((first("chifeng", "greeting"), first("yunnan", "greeting")), (Some(3), Some(1)));
        assert_eq!((first("chifeng", "closed"), first("chifeng", "bad")), (Some(2), None));
        assert_eq!(first("chifeng", "hotline/12369"), Some(5));
        assert_eq!((library.len(), library.music()[0], faults.len()), (5, 4, 1));
        assert!(faults[0].to_string().ends_with("bad.wav: not a RIFF/WAVE file"), "{}", faults[0]);
    }

    #[test]
    fn a_missing_folder_is_an_empty_library_with_music() {
        let (library, faults) = ClipLibrary::load(Path::new("/nonexistent"));
        assert!(library.is_empty() && faults.is_empty() && library.music().len() > 8000);
    }
}
