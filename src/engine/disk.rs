//! Configuration files on the disk, for `plan::load`.
//!
//! Deliberately absent: watching them for changes. Limits: a file of at most [`FILE_MAX`] bytes.

use std::fs;
use std::path::Path;

use crate::plan::load::Files;

/// The longest configuration file read, in bytes.
pub const FILE_MAX: u64 = 8 << 20;

/// The file system, paths relative to the working directory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &str) -> Result<String, String> {
        let size = fs::metadata(path).map_err(|error| error.to_string())?.len();
        if size > FILE_MAX {
            return Err(format!("it is longer than {} MiB", FILE_MAX >> 20));
        }
        fs::read_to_string(path).map_err(|error| error.to_string())
    }

    fn list(&self, directory: &str) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        for entry in fs::read_dir(directory).map_err(|error| error.to_string())? {
            let path = entry.map_err(|error| error.to_string())?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                found.extend(path.to_str().map(str::to_owned));
            }
        }
        found.sort_unstable();
        Ok(found)
    }
}

impl Disk {
    /// Whether a file is there.
    #[must_use]
    pub fn has(path: &str) -> bool {
        Path::new(path).is_file()
    }
}
