//! The audit log: one line of JSON for every change and every look at a citizen's number, appended and flushed.
//!
//! The bearer's role is named, never the token. A line that cannot be written is an error in the log and does not stop
//! the operator. Deliberately absent: tamper evidence, reading back.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

/// The open log.
#[derive(Debug)]
pub struct Audit {
    file: Mutex<File>,
}

/// One line.
#[derive(Clone, Debug, Serialize)]
struct Line<'a> {
    at: Timestamp,
    who: &'a str,
    what: &'a str,
    subject: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
}

impl Audit {
    /// Opens `audit.log` in a directory for appending.
    ///
    /// # Errors
    /// The file system's.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(dir.join("audit.log"))?;
        Ok(Self { file: Mutex::new(file) })
    }

    /// Writes one line. `subject` names what was looked at or changed by its id, `detail` how.
    pub fn note(&self, at: Timestamp, who: &str, what: &str, subject: &str, detail: &str) {
        let Ok(mut line) = serde_json::to_vec(&Line { at, who, what, subject, detail }) else { return };
        line.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(fault) = file.write_all(&line).and_then(|()| file.flush()) {
            tracing::error!(%fault, what, "the audit log cannot be written");
        }
    }
}
