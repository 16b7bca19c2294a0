//! Configuration files held in memory, and the bundles that tests keep several of them in.

use std::collections::BTreeMap;

use jiff::Timestamp;
use switch12345::plan::load::{Files, Loaded, Request, load};

/// What a bundle leaves out.
const SWITCH: &str = "[trunk.t]\ntenant = \"p\"\nfrom = [\"127.0.0.0/8\"]\nto = [\"sip:127.0.0.1:5070\"]\n";
const AGENTS: &str = "[[agent]]\nid = \"1001\"\ntenant = \"p\"\npassword = \"x\"\nqueues = [\"main\"]\n";

/// A bundle: one text with `#=== path` lines between files and `#=== --set key=value` for the command line; what
/// stands before the first is `dialplans/p.toml`.
pub(crate) struct Memory {
    files: BTreeMap<String, String>,
    set: Vec<String>,
}

impl Memory {
    /// Reads a bundle.
    pub(crate) fn bundle(text: &str) -> Self {
        let mut files = BTreeMap::from([
            ("switch.toml".to_owned(), SWITCH.to_owned()),
            ("agents.toml".to_owned(), AGENTS.to_owned()),
        ]);
        let mut set = Vec::new();
        let mut name = "dialplans/p.toml".to_owned();
        let mut body = String::new();
        for line in text.split_inclusive('\n') {
            let Some(next) = line.strip_prefix("#=== ") else {
                body.push_str(line);
                continue;
            };
            if let Some(value) = next.strip_prefix("--set ") {
                set.push(value.trim_end().to_owned());
                continue;
            }
            files.insert(std::mem::replace(&mut name, next.trim_end().to_owned()), std::mem::take(&mut body));
        }
        files.insert(name, body);
        Self { files, set }
    }

    /// Loads it as of a moment.
    pub(crate) fn load(&self, at: &str) -> Loaded {
        let wall: Timestamp = at.parse().unwrap();
        load(self, &Request { config: "switch.toml", set: &self.set, overlays: &[], wall })
    }
}

impl Files for Memory {
    fn read(&self, path: &str) -> Result<String, String> {
        self.files.get(path).cloned().ok_or_else(|| "no such file".to_owned())
    }

    fn list(&self, directory: &str) -> Result<Vec<String>, String> {
        let inside = format!("{directory}/");
        Ok(self.files.keys().filter(|path| path.starts_with(&inside)).cloned().collect())
    }
}
