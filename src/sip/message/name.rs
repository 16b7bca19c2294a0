//! The header fields this engine knows by name.

/// A header field name; names not listed are [`Name::Other`] and are looked up by their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// `Via`: RFC 3261 §20.42.
    Via,
    /// `From`: RFC 3261 §20.20.
    From,
    /// `To`: RFC 3261 §20.39.
    To,
    /// `Call-ID`: RFC 3261 §20.8.
    CallId,
    /// `CSeq`: RFC 3261 §20.16.
    CSeq,
    /// `Contact`: RFC 3261 §20.10.
    Contact,
    /// `Max-Forwards`: RFC 3261 §20.22.
    MaxForwards,
    /// `Route`: RFC 3261 §20.34.
    Route,
    /// `Record-Route`: RFC 3261 §20.30.
    RecordRoute,
    /// `Content-Length`: RFC 3261 §20.14.
    ContentLength,
    /// `Content-Type`: RFC 3261 §20.15.
    ContentType,
    /// `Content-Disposition`: RFC 3261 §20.11.
    ContentDisposition,
    /// `Content-Encoding`: RFC 3261 §20.12.
    ContentEncoding,
    /// `Expires`: RFC 3261 §20.19.
    Expires,
    /// `Min-Expires`: RFC 3261 §20.23.
    MinExpires,
    /// `Authorization`: RFC 3261 §20.7.
    Authorization,
    /// `Proxy-Authorization`: RFC 3261 §20.28.
    ProxyAuthorization,
    /// `WWW-Authenticate`: RFC 3261 §20.44.
    WwwAuthenticate,
    /// `Proxy-Authenticate`: RFC 3261 §20.27.
    ProxyAuthenticate,
    /// `Authentication-Info`: RFC 3261 §20.6.
    AuthenticationInfo,
    /// `Allow`: RFC 3261 §20.5.
    Allow,
    /// `Allow-Events`: RFC 6665 §8.2.2.
    AllowEvents,
    /// `Supported`: RFC 3261 §20.37.
    Supported,
    /// `Require`: RFC 3261 §20.32.
    Require,
    /// `Proxy-Require`: RFC 3261 §20.29.
    ProxyRequire,
    /// `Unsupported`: RFC 3261 §20.40.
    Unsupported,
    /// `Refer-To`: RFC 3515 §2.1.
    ReferTo,
    /// `Referred-By`: RFC 3892 §3.
    ReferredBy,
    /// `Replaces`: RFC 3891 §6.1.
    Replaces,
    /// `Refer-Sub`: RFC 4488 §4.
    ReferSub,
    /// `Target-Dialog`: RFC 4538 §7.
    TargetDialog,
    /// `Event`: RFC 6665 §8.2.1.
    Event,
    /// `Subscription-State`: RFC 6665 §8.2.3.
    SubscriptionState,
    /// `P-Asserted-Identity`: RFC 3325 §9.1.
    PAssertedIdentity,
    /// `P-Preferred-Identity`: RFC 3325 §9.2.
    PPreferredIdentity,
    /// `Privacy`: RFC 3323 §4.2.
    Privacy,
    /// `Diversion`: RFC 5806 §4.
    Diversion,
    /// `History-Info`: RFC 7044 §5.
    HistoryInfo,
    /// `User-To-User`: RFC 7433 §4.
    UserToUser,
    /// `Reason`: RFC 3326 §2.
    Reason,
    /// `Session-Expires`: RFC 4028 §4.
    SessionExpires,
    /// `Min-SE`: RFC 4028 §5.
    MinSe,
    /// `RAck`: RFC 3262 §7.2.
    RAck,
    /// `RSeq`: RFC 3262 §7.1.
    RSeq,
    /// `Path`: RFC 3327 §4.
    Path,
    /// `Service-Route`: RFC 3608 §5.
    ServiceRoute,
    /// `Server`: RFC 3261 §20.35.
    Server,
    /// `User-Agent`: RFC 3261 §20.41.
    UserAgent,
    /// `Retry-After`: RFC 3261 §20.33.
    RetryAfter,
    /// `Warning`: RFC 3261 §20.43.
    Warning,
    /// `Accept`: RFC 3261 §20.1.
    Accept,
    /// `Accept-Encoding`: RFC 3261 §20.2.
    AcceptEncoding,
    /// `Accept-Language`: RFC 3261 §20.3.
    AcceptLanguage,
    /// `Date`: RFC 3261 §20.17.
    Date,
    /// `Timestamp`: RFC 3261 §20.38.
    Timestamp,
    /// `Geolocation`: RFC 6442 §4.1.
    Geolocation,
    /// `Geolocation-Routing`: RFC 6442 §4.2.
    GeolocationRouting,
    /// `Geolocation-Error`: RFC 6442 §4.3.
    GeolocationError,
    /// `Subject`: RFC 3261 §20.36.
    Subject,
    /// `Organization`: RFC 3261 §20.25.
    Organization,
    /// `Priority`: RFC 3261 §20.26.
    Priority,
    /// `Call-Info`: RFC 3261 §20.9.
    CallInfo,
    /// `Alert-Info`: RFC 3261 §20.4.
    AlertInfo,
    /// `In-Reply-To`: RFC 3261 §20.21.
    InReplyTo,
    /// `MIME-Version`: RFC 3261 §20.24.
    MimeVersion,
    /// `X-Call-Id`: ours, the engine's id of the call.
    XCallId,
    /// `X-Hotline`: ours, the number the citizen dialled.
    XHotline,
    /// `X-Hotline-Name`: ours, the name of that hotline.
    XHotlineName,
    /// `X-Merge-Mode`: ours, how that hotline is merged.
    XMergeMode,
    /// `X-Ticket-Id`: ours, the engine's id of the ticket.
    XTicketId,
    /// `X-Ticket-No`: ours, the number of the ticket in the order system.
    XTicketNo,
    /// Any other field.
    Other,
}

/// Longest known name in octets; a longer one is unknown without a look.
const LONGEST: usize = 24;

impl Name {
    /// Every name but [`Name::Other`].
    pub const KNOWN: [Self; 71] = [
        Self::Via,
        Self::From,
        Self::To,
        Self::CallId,
        Self::CSeq,
        Self::Contact,
        Self::MaxForwards,
        Self::Route,
        Self::RecordRoute,
        Self::ContentLength,
        Self::ContentType,
        Self::ContentDisposition,
        Self::ContentEncoding,
        Self::Expires,
        Self::MinExpires,
        Self::Authorization,
        Self::ProxyAuthorization,
        Self::WwwAuthenticate,
        Self::ProxyAuthenticate,
        Self::AuthenticationInfo,
        Self::Allow,
        Self::AllowEvents,
        Self::Supported,
        Self::Require,
        Self::ProxyRequire,
        Self::Unsupported,
        Self::ReferTo,
        Self::ReferredBy,
        Self::Replaces,
        Self::ReferSub,
        Self::TargetDialog,
        Self::Event,
        Self::SubscriptionState,
        Self::PAssertedIdentity,
        Self::PPreferredIdentity,
        Self::Privacy,
        Self::Diversion,
        Self::HistoryInfo,
        Self::UserToUser,
        Self::Reason,
        Self::SessionExpires,
        Self::MinSe,
        Self::RAck,
        Self::RSeq,
        Self::Path,
        Self::ServiceRoute,
        Self::Server,
        Self::UserAgent,
        Self::RetryAfter,
        Self::Warning,
        Self::Accept,
        Self::AcceptEncoding,
        Self::AcceptLanguage,
        Self::Date,
        Self::Timestamp,
        Self::Geolocation,
        Self::GeolocationRouting,
        Self::GeolocationError,
        Self::Subject,
        Self::Organization,
        Self::Priority,
        Self::CallInfo,
        Self::AlertInfo,
        Self::InReplyTo,
        Self::MimeVersion,
        Self::XCallId,
        Self::XHotline,
        Self::XHotlineName,
        Self::XMergeMode,
        Self::XTicketId,
        Self::XTicketNo,
    ];

    /// Reads a field name, long or compact, in any case (RFC 3261 §7.3.1, §7.3.3).
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let mut lower = [0_u8; LONGEST];
        let Some(lower) = lower.get_mut(..bytes.len()) else { return Self::Other };
        for (to, from) in lower.iter_mut().zip(bytes) {
            *to = from.to_ascii_lowercase();
        }
        Self::of_lower(lower)
    }

    #[expect(clippy::too_many_lines, reason = "one row per name; a table in code so that the match compiles to a tree")]
    const fn of_lower(lower: &[u8]) -> Self {
        match lower {
            b"via" | b"v" => Self::Via,
            b"from" | b"f" => Self::From,
            b"to" | b"t" => Self::To,
            b"call-id" | b"i" => Self::CallId,
            b"cseq" => Self::CSeq,
            b"contact" | b"m" => Self::Contact,
            b"max-forwards" => Self::MaxForwards,
            b"route" => Self::Route,
            b"record-route" => Self::RecordRoute,
            b"content-length" | b"l" => Self::ContentLength,
            b"content-type" | b"c" => Self::ContentType,
            b"content-disposition" => Self::ContentDisposition,
            b"content-encoding" | b"e" => Self::ContentEncoding,
            b"expires" => Self::Expires,
            b"min-expires" => Self::MinExpires,
            b"authorization" => Self::Authorization,
            b"proxy-authorization" => Self::ProxyAuthorization,
            b"www-authenticate" => Self::WwwAuthenticate,
            b"proxy-authenticate" => Self::ProxyAuthenticate,
            b"authentication-info" => Self::AuthenticationInfo,
            b"allow" => Self::Allow,
            b"allow-events" | b"u" => Self::AllowEvents,
            b"supported" | b"k" => Self::Supported,
            b"require" => Self::Require,
            b"proxy-require" => Self::ProxyRequire,
            b"unsupported" => Self::Unsupported,
            b"refer-to" | b"r" => Self::ReferTo,
            b"referred-by" | b"b" => Self::ReferredBy,
            b"replaces" => Self::Replaces,
            b"refer-sub" => Self::ReferSub,
            b"target-dialog" => Self::TargetDialog,
            b"event" | b"o" => Self::Event,
            b"subscription-state" => Self::SubscriptionState,
            b"p-asserted-identity" => Self::PAssertedIdentity,
            b"p-preferred-identity" => Self::PPreferredIdentity,
            b"privacy" => Self::Privacy,
            b"diversion" => Self::Diversion,
            b"history-info" => Self::HistoryInfo,
            b"user-to-user" => Self::UserToUser,
            b"reason" => Self::Reason,
            b"session-expires" | b"x" => Self::SessionExpires,
            b"min-se" => Self::MinSe,
            b"rack" => Self::RAck,
            b"rseq" => Self::RSeq,
            b"path" => Self::Path,
            b"service-route" => Self::ServiceRoute,
            b"server" => Self::Server,
            b"user-agent" => Self::UserAgent,
            b"retry-after" => Self::RetryAfter,
            b"warning" => Self::Warning,
            b"accept" => Self::Accept,
            b"accept-encoding" => Self::AcceptEncoding,
            b"accept-language" => Self::AcceptLanguage,
            b"date" => Self::Date,
            b"timestamp" => Self::Timestamp,
            b"geolocation" => Self::Geolocation,
            b"geolocation-routing" => Self::GeolocationRouting,
            b"geolocation-error" => Self::GeolocationError,
            b"subject" | b"s" => Self::Subject,
            b"organization" => Self::Organization,
            b"priority" => Self::Priority,
            b"call-info" => Self::CallInfo,
            b"alert-info" => Self::AlertInfo,
            b"in-reply-to" => Self::InReplyTo,
            b"mime-version" => Self::MimeVersion,
            b"x-call-id" => Self::XCallId,
            b"x-hotline" => Self::XHotline,
            b"x-hotline-name" => Self::XHotlineName,
            b"x-merge-mode" => Self::XMergeMode,
            b"x-ticket-id" => Self::XTicketId,
            b"x-ticket-no" => Self::XTicketNo,
            _ => Self::Other,
        }
    }

    /// The name as this engine writes it; empty for [`Name::Other`].
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "one row per name")]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Via => "Via",
            Self::From => "From",
            Self::To => "To",
            Self::CallId => "Call-ID",
            Self::CSeq => "CSeq",
            Self::Contact => "Contact",
            Self::MaxForwards => "Max-Forwards",
            Self::Route => "Route",
            Self::RecordRoute => "Record-Route",
            Self::ContentLength => "Content-Length",
            Self::ContentType => "Content-Type",
            Self::ContentDisposition => "Content-Disposition",
            Self::ContentEncoding => "Content-Encoding",
            Self::Expires => "Expires",
            Self::MinExpires => "Min-Expires",
            Self::Authorization => "Authorization",
            Self::ProxyAuthorization => "Proxy-Authorization",
            Self::WwwAuthenticate => "WWW-Authenticate",
            Self::ProxyAuthenticate => "Proxy-Authenticate",
            Self::AuthenticationInfo => "Authentication-Info",
            Self::Allow => "Allow",
            Self::AllowEvents => "Allow-Events",
            Self::Supported => "Supported",
            Self::Require => "Require",
            Self::ProxyRequire => "Proxy-Require",
            Self::Unsupported => "Unsupported",
            Self::ReferTo => "Refer-To",
            Self::ReferredBy => "Referred-By",
            Self::Replaces => "Replaces",
            Self::ReferSub => "Refer-Sub",
            Self::TargetDialog => "Target-Dialog",
            Self::Event => "Event",
            Self::SubscriptionState => "Subscription-State",
            Self::PAssertedIdentity => "P-Asserted-Identity",
            Self::PPreferredIdentity => "P-Preferred-Identity",
            Self::Privacy => "Privacy",
            Self::Diversion => "Diversion",
            Self::HistoryInfo => "History-Info",
            Self::UserToUser => "User-To-User",
            Self::Reason => "Reason",
            Self::SessionExpires => "Session-Expires",
            Self::MinSe => "Min-SE",
            Self::RAck => "RAck",
            Self::RSeq => "RSeq",
            Self::Path => "Path",
            Self::ServiceRoute => "Service-Route",
            Self::Server => "Server",
            Self::UserAgent => "User-Agent",
            Self::RetryAfter => "Retry-After",
            Self::Warning => "Warning",
            Self::Accept => "Accept",
            Self::AcceptEncoding => "Accept-Encoding",
            Self::AcceptLanguage => "Accept-Language",
            Self::Date => "Date",
            Self::Timestamp => "Timestamp",
            Self::Geolocation => "Geolocation",
            Self::GeolocationRouting => "Geolocation-Routing",
            Self::GeolocationError => "Geolocation-Error",
            Self::Subject => "Subject",
            Self::Organization => "Organization",
            Self::Priority => "Priority",
            Self::CallInfo => "Call-Info",
            Self::AlertInfo => "Alert-Info",
            Self::InReplyTo => "In-Reply-To",
            Self::MimeVersion => "MIME-Version",
            Self::XCallId => "X-Call-Id",
            Self::XHotline => "X-Hotline",
            Self::XHotlineName => "X-Hotline-Name",
            Self::XMergeMode => "X-Merge-Mode",
            Self::XTicketId => "X-Ticket-Id",
            Self::XTicketNo => "X-Ticket-No",
            Self::Other => "",
        }
    }

    /// Whether the grammar makes the value a comma list, so that several lines and one line mean the same
    /// (RFC 3261 §7.3.1). Credentials and dates hold commas that separate nothing.
    #[must_use]
    pub const fn is_list(self) -> bool {
        matches!(
            self,
            Self::Via
                | Self::Contact
                | Self::Route
                | Self::RecordRoute
                | Self::ContentEncoding
                | Self::Allow
                | Self::AllowEvents
                | Self::Supported
                | Self::Require
                | Self::ProxyRequire
                | Self::Unsupported
                | Self::PAssertedIdentity
                | Self::PPreferredIdentity
                | Self::Diversion
                | Self::HistoryInfo
                | Self::UserToUser
                | Self::Reason
                | Self::Path
                | Self::ServiceRoute
                | Self::Warning
                | Self::Accept
                | Self::AcceptEncoding
                | Self::AcceptLanguage
                | Self::Geolocation
                | Self::GeolocationError
                | Self::CallInfo
                | Self::AlertInfo
                | Self::InReplyTo
        )
    }

    /// Whether a second line of this name is a fault (RFC 4475 §3.3.8).
    #[must_use]
    pub const fn is_single(self) -> bool {
        matches!(self, Self::From | Self::To | Self::CallId | Self::CSeq | Self::MaxForwards | Self::ContentLength)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_in_any_case() {
        for name in Name::KNOWN {
            assert_eq!(Name::parse(name.as_str().as_bytes()), name);
            assert_eq!(Name::parse(name.as_str().to_ascii_uppercase().as_bytes()), name);
            assert!(name.as_str().len() <= LONGEST);
        }
    }

    #[test]
    fn compact_forms_are_the_registered_ones() {
        let compact = b"vftimlcesxkuorb".map(|letter| Name::parse(&[letter]));
        use Name::{
            AllowEvents, CallId, Contact, ContentEncoding, ContentLength, ContentType, Event, From, Other, ReferTo,
            ReferredBy, SessionExpires, Subject, Supported, To, Via,
        };
        assert_eq!(
            compact,
            [
                Via,
                From,
                To,
                CallId,
                Contact,
                ContentLength,
                ContentType,
                ContentEncoding,
                Subject,
                SessionExpires,
                Supported,
                AllowEvents,
                Event,
                ReferTo,
                ReferredBy
            ]
        );
        assert_eq!(Name::parse(b"q"), Other);
        assert_eq!(Name::parse(b"NewFangledHeaderThatIsVeryLong"), Other);
    }
}
