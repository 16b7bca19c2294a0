//! Alarms: the conditions an operator has to know of while they last.
//!
//! Deliberately absent: who raises them, where they are kept and shown (`engine::alarm`).
//!
//! | name | severity | subject | raised | cleared |
//! |---|---|---|---|---|
//! | `trunk_down` | major | trunk | no far end of it is in use | one is back |
//! | `trunk_not_registered` | major | trunk | our registration failed or ran out | it is granted |
//! | `dns_failing` | minor | host name | its records cannot be had | they are |

use serde::{Deserialize, Serialize};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmName {
    /// No far end of a trunk is in use.
    TrunkDown,
    /// A trunk that is known by our registration has none.
    TrunkNotRegistered,
    /// The DNS gives nothing for a host name of a trunk.
    DnsFailing,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Service goes on; look at it.
    Minor,
    /// Service is reduced.
    Major,
    /// Service is gone.
    Critical,
}

impl AlarmName {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::TrunkDown, Self::TrunkNotRegistered, Self::DnsFailing];

    /// The documented name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::TrunkDown => "trunk_down",
            Self::TrunkNotRegistered => "trunk_not_registered",
            Self::DnsFailing => "dns_failing",
        }
    }

    /// How bad it is.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self {
            Self::TrunkDown | Self::TrunkNotRegistered => Severity::Major,
            Self::DnsFailing => Severity::Minor,
        }
    }
}

/// A condition that begins or ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AlarmNote {
    /// What.
    pub name: AlarmName,
    /// Of whom: a trunk's name, a host name. Never a citizen's number.
    pub subject: String,
    /// Whether it holds now.
    pub raised: bool,
    /// What is known of the cause.
    pub detail: String,
}
