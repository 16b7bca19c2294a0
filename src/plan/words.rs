//! Words of the files, English and Chinese, and what they stand for.
//!
//! Deliberately absent: guessing. An unknown word is a fault with the nearest known one; a known variant of a
//! printed plan is understood and noted.

use crate::base::hotline::{MergeMode, SeatPolicy};
use crate::plan::diagnose::{At, Faults, nearest};
use crate::plan::model::{AfterCutoff, ContactKind, GreetingRule, Strategy, UnitKind, UtilityWay};
use crate::plan::settings::{AgentRole, DigestHash};
use crate::plan::step::When;
use crate::plan::trunk::{CallSource, CalledFrom, FromCarries, Reliable};

/// A word list: each word and its meaning, the preferred English word first of its meaning.
pub(super) type Words<T> = [(&'static str, T)];

/// What a mode word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ModeWord {
    /// The mode, seats included.
    Exact(MergeMode),
    /// 双号并行, which leaves the seats to `seats`.
    BareDual,
    /// A variant seen in printed plans; understood, with a note.
    Variant(MergeMode),
    /// A variant of the bare 双号并行.
    VariantDual,
}

const MODES: &Words<ModeWord> = &[
    ("absorbed", ModeWord::Exact(MergeMode::Absorbed)),
    ("整体并入", ModeWord::Exact(MergeMode::Absorbed)),
    ("dual_merged", ModeWord::Exact(MergeMode::DualMerged)),
    ("双号并行·座席并入", ModeWord::Exact(MergeMode::DualMerged)),
    ("双号并行·坐席并入", ModeWord::Exact(MergeMode::DualMerged)),
    ("dual_kept", ModeWord::Exact(MergeMode::DualKept)),
    ("双号并行·保留座席", ModeWord::Exact(MergeMode::DualKept)),
    ("双号并行·保留坐席", ModeWord::Exact(MergeMode::DualKept)),
    ("sub_centre", ModeWord::Exact(MergeMode::SubCentre)),
    ("设分中心", ModeWord::Exact(MergeMode::SubCentre)),
    ("分中心", ModeWord::Exact(MergeMode::SubCentre)),
    ("双号并行", ModeWord::BareDual),
    ("sub_center", ModeWord::Variant(MergeMode::SubCentre)),
    ("设立分中心", ModeWord::Variant(MergeMode::SubCentre)),
    ("整体归并", ModeWord::Variant(MergeMode::Absorbed)),
    ("整体合并", ModeWord::Variant(MergeMode::Absorbed)),
    ("双号并存", ModeWord::VariantDual),
    ("双号并存、统一接听", ModeWord::Variant(MergeMode::DualMerged)),
    ("双号并轨", ModeWord::VariantDual),
    ("dual", ModeWord::BareDual),
];

const SEATS: &Words<SeatPolicy> = &[
    ("merged", SeatPolicy::Merged),
    ("座席并入", SeatPolicy::Merged),
    ("坐席并入", SeatPolicy::Merged),
    ("kept", SeatPolicy::Kept),
    ("保留座席", SeatPolicy::Kept),
    ("保留坐席", SeatPolicy::Kept),
];

pub(super) const AFTER_CUTOFF: &Words<AfterCutoff> = &[
    ("announce_route", AfterCutoff::AnnounceRoute),
    ("announce_release", AfterCutoff::AnnounceRelease),
    ("reject", AfterCutoff::Reject),
];

pub(super) const HOURS: &Words<When> = &[
    ("always", When::Always),
    ("全天", When::Always),
    ("work", When::WorkHours),
    ("工作时间", When::WorkHours),
    ("off", When::OffHours),
    ("非工作时间", When::OffHours),
];

pub(super) const STRATEGIES: &Words<Strategy> = &[
    ("longest_idle", Strategy::LongestIdle),
    ("best_skill", Strategy::BestSkill),
    ("ordered", Strategy::Ordered),
    ("ring_all", Strategy::RingAll),
];

pub(super) const DIGESTS: &Words<DigestHash> = &[("MD5", DigestHash::Md5), ("SHA-256", DigestHash::Sha256)];

pub(super) const RELIABLE: &Words<Reliable> =
    &[("off", Reliable::Off), ("offered", Reliable::Offered), ("required", Reliable::Required)];

pub(super) const CALLED_FROM: &Words<CalledFrom> =
    &[("request_uri", CalledFrom::RequestUri), ("to", CalledFrom::To), ("p_called_party_id", CalledFrom::CalledParty)];

pub(super) const FROM_CARRIES: &Words<FromCarries> =
    &[("caller", FromCarries::Caller), ("present", FromCarries::Present)];

pub(super) const GREETINGS: &Words<GreetingRule> = &[("finish", GreetingRule::Finish), ("cut", GreetingRule::Cut)];

pub(super) const UNIT_KINDS: &Words<UnitKind> = &[
    ("government", UnitKind::Government),
    ("政府部门", UnitKind::Government),
    ("vertical", UnitKind::Vertical),
    ("垂直管理", UnitKind::Vertical),
    ("state_enterprise", UnitKind::StateEnterprise),
    ("驻地国企", UnitKind::StateEnterprise),
    ("public_utility", UnitKind::PublicUtility),
    ("公共事业", UnitKind::PublicUtility),
    ("party", UnitKind::Party),
    ("党群", UnitKind::Party),
    ("人大", UnitKind::Party),
    ("政协", UnitKind::Party),
    ("法院", UnitKind::Party),
    ("检察院", UnitKind::Party),
    ("纪检监察", UnitKind::Party),
    ("mass_organisation", UnitKind::MassOrganisation),
    ("群团", UnitKind::MassOrganisation),
];

pub(super) const CONTACTS: &Words<ContactKind> = &[
    ("work", ContactKind::Work),
    ("咨询电话", ContactKind::Work),
    ("duty", ContactKind::Duty),
    ("值班电话", ContactKind::Duty),
];

pub(super) const UTILITY_WAYS: &Words<UtilityWay> = &[
    ("transfer", UtilityWay::Transfer),
    ("转接", UtilityWay::Transfer),
    ("announce", UtilityWay::Announce),
    ("报号", UtilityWay::Announce),
];

pub(super) const ROLES: &Words<AgentRole> = &[
    ("voice", AgentRole::Voice),
    ("话务", AgentRole::Voice),
    ("expert", AgentRole::Expert),
    ("专家", AgentRole::Expert),
    ("supervisor", AgentRole::Supervisor),
    ("班长", AgentRole::Supervisor),
    ("web", AgentRole::Web),
    ("网络", AgentRole::Web),
    ("oversight", AgentRole::Oversight),
    ("督办", AgentRole::Oversight),
    ("callback", AgentRole::Callback),
    ("回访", AgentRole::Callback),
    ("quality", AgentRole::Quality),
    ("质检", AgentRole::Quality),
    ("knowledge", AgentRole::Knowledge),
    ("知识库", AgentRole::Knowledge),
];

pub(super) const SOURCES: &Words<CallSource> = &[
    ("public", CallSource::Public),
    ("110", CallSource::Police),
    ("province", CallSource::Province),
    ("subcentre", CallSource::Subcentre),
];

/// Looks a word up; an unknown one is a fault.
pub(super) fn word<T: Copy>(words: &Words<T>, text: &str, at: At, what: &str, faults: &mut Faults) -> Option<T> {
    let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
    if found.is_none() {
        unknown(words, text, at, "E0108", what, faults);
    }
    found
}

fn unknown<T>(words: &Words<T>, text: &str, at: At, code: &'static str, what: &str, faults: &mut Faults) {
    let known = words.iter().map(|(word, _)| *word);
    let hint = match nearest(text, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known: {}", known.collect::<Vec<_>>().join(", ")),
    };
    faults.error(code, at, format!("`{text}` is no {what}"), "unknown word").help(hint);
}

/// Reads a mode word.
pub(super) fn mode(text: &str, at: At, faults: &mut Faults) -> Option<ModeWord> {
    let text = text.trim();
    let plain: String =
        text.chars().map(|symbol| if matches!(symbol, '•' | '・' | '-') { '·' } else { symbol }).collect();
    let found = MODES.iter().find(|(word, _)| *word == text || *word == plain).map(|(_, meaning)| *meaning);
    if found.is_none() {
        unknown(MODES, text, at, "E0106", "merge mode", faults);
    }
    found
}

/// Reads a seat word; 坐席 is 座席.
pub(super) fn seats(text: &str, at: At, faults: &mut Faults) -> Option<SeatPolicy> {
    let found = SEATS.iter().find(|(word, _)| *word == text.trim()).map(|(_, meaning)| *meaning);
    if found.is_none() {
        unknown(SEATS, text, at, "E0107", "seat policy", faults);
    }
    found
}
