//! What an agent says a call is about.
//!
//! Deliberately absent: lists of allowed words (data of the place).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// How a matter was handled (`domain.md` T12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandlingWay {
    /// 直接解答
    Direct,
    /// 三方通话
    ThreeWay,
    /// 工单流转
    Ticket,
    /// 专席窗口联动
    SpecialSeat,
    /// 专项服务通道
    SpecialChannel,
}

/// What an agent says of the matter; each call replaces what is `Some`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Classification {
    /// 咨询, 求助, 投诉, 举报, 意见建议.
    pub r#type: Option<Arc<str>>,
    /// 经济调节, 市场监管, 社会管理, 公共服务, 生态环境保护, 营商环境.
    pub field: Option<Arc<str>>,
    /// A code of `not-accepted.toml`.
    pub not_accepted_reason: Option<Arc<str>>,
    /// Whether the caller was told so and why.
    pub told: Option<bool>,
    /// 紧要事项.
    pub urgent: Option<bool>,
    /// The caller wants confidentiality.
    pub confidential: Option<bool>,
    /// Which of several services of one number.
    pub sub_service: Option<Arc<str>>,
    /// Region code path, outermost first.
    pub region: Option<Vec<Arc<str>>>,
    /// How it was handled.
    pub handling_way: Option<HandlingWay>,
    /// Tags such as `tourism_complaint`.
    pub tags: Option<Vec<Arc<str>>>,
}
