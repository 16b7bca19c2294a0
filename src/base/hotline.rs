//! The vocabulary of merged hotlines: merge mode, seat policy, channel, and their Chinese words.
//!
//! Sources: `domain.md` §1A (E02–E10), `contract.md` §3. Deliberately absent: what a mode does; that is `plan`.

use serde::{Deserialize, Serialize};

/// How a legacy hotline was merged into 12345.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MergeMode {
    /// 整体并入: the number is cancelled, 12345 answers.
    Absorbed,
    /// 双号并行, seats merged into 12345.
    DualMerged,
    /// 双号并行, the department keeps its seats, with telephone transfer both ways.
    DualKept,
    /// 设分中心: number and seats stay at a sub-centre.
    SubCentre,
}

impl MergeMode {
    /// All modes, in the order of the policy.
    pub const ALL: [Self; 4] = [Self::Absorbed, Self::DualMerged, Self::DualKept, Self::SubCentre];

    /// The English word used in files and JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Absorbed => "absorbed",
            Self::DualMerged => "dual_merged",
            Self::DualKept => "dual_kept",
            Self::SubCentre => "sub_centre",
        }
    }

    /// The Chinese word shown to people (`merge_mode_name`).
    #[must_use]
    pub const fn name_zh(self) -> &'static str {
        match self {
            Self::Absorbed => "整体并入",
            Self::DualMerged => "双号并行·座席并入",
            Self::DualKept => "双号并行·保留座席",
            Self::SubCentre => "设分中心",
        }
    }
}

/// What became of the department's seats; independent of the mode (`contract.md` §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeatPolicy {
    /// 座席并入: one pool of agents.
    Merged,
    /// 保留座席: the department's own seats are rung first.
    Kept,
}

impl SeatPolicy {
    /// The English word used in files and JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Merged => "merged",
            Self::Kept => "kept",
        }
    }
}

/// How a matter reached the hotline (`domain.md` T03).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// A citizen's call.
    #[default]
    Phone,
    /// A return visit or a call-back placed by the engine.
    Callback,
    /// An agent's outside call.
    Outbound,
    /// A sub-centre's call that never crossed the engine.
    Subcentre,
}

/// What a caller's number is (`domain.md` §4b).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallerKind {
    /// A mobile number.
    Mobile,
    /// A landline.
    Landline,
    /// A short service number, 95xxx, 400….
    Short,
    /// From abroad.
    Foreign,
    /// Withheld, anonymous or empty.
    #[default]
    Hidden,
}

/// How far the caller's number can be believed (`domain.md` T04).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallerTrust {
    /// P-Asserted-Identity of a known trunk.
    Asserted,
    /// From only.
    From,
    /// Nothing usable.
    #[default]
    Anonymous,
}
