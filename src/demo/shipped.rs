//! The shipped configuration and dialplans, built in: the demonstration needs no file on the disk.

use crate::plan::load::Files;

/// The configuration's path among `FILES`.
pub const CONFIG: &str = "config/switch.toml";

const FILES: [(&str, &str); 5] = [
    (CONFIG, include_str!("../../config/switch.toml")),
    ("config/agents.toml", include_str!("../../config/agents.toml")),
    ("dialplans/chifeng.toml", include_str!("../../dialplans/chifeng.toml")),
    ("dialplans/demo.toml", include_str!("../../dialplans/demo.toml")),
    ("dialplans/yunnan-city.toml", include_str!("../../dialplans/yunnan-city.toml")),
];

/// `FILES` as the loader reads them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shipped;

impl Files for Shipped {
    fn read(&self, path: &str) -> Result<String, String> {
        let found = FILES.iter().find(|(name, _)| *name == path);
        found.map(|(_, text)| (*text).to_owned()).ok_or_else(|| "it is not among the shipped files".to_owned())
    }

    fn list(&self, directory: &str) -> Result<Vec<String>, String> {
        let inside = |name: &&str| name.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'));
        Ok(FILES.iter().map(|(name, _)| *name).filter(inside).map(str::to_owned).collect())
    }
}
