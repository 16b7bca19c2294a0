//! Session timers: who refreshes, how often, and when a session without refresh is given up.
//!
//! RFC 4028. A [`SessionTimer`] is set from each 2xx to INVITE or UPDATE (ours or theirs) and shows one deadline: the
//! refresher's turn at half the interval (§10), or the other side's silence at the interval less a third of it, at
//! most 32 s (§10). The caller refreshes by UPDATE or re-INVITE and sets the timer again from its 2xx.
//!
//! | role | deadline | reason |
//! |---|---|---|
//! | we refresh | interval / 2 | [`TimerReason::Refresh`], then [`TimerReason::Expired`] |
//! | they refresh | interval - min(32 s, interval / 3) | [`TimerReason::Expired`] |
//!
//! Deliberately absent: header grammar ([`super::header::session`]), and ending the call: an
//! emergency call is not ended by its session timer, so the call floor decides.
//! Limits: Min-SE is never below 90 s (§5).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::header::session::{self, Refresher, SessionExpires};
use super::message::{Message, Name};
use crate::base::now::{Mono, Now};

/// The least Min-SE anybody may ask for (RFC 4028 §5).
pub const LEAST_MIN_SE: Duration = Duration::from_secs(90);
/// The most a refresh may be late before BYE (RFC 4028 §10).
const GRACE: Duration = Duration::from_secs(32);

/// What a request said about session timers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Asked {
    /// `Supported: timer` (or `Require: timer`).
    pub supported: bool,
    /// Its `Session-Expires`.
    pub expires: Option<SessionExpires>,
    /// Its `Min-SE`.
    pub min_se: Option<Duration>,
}

impl Asked {
    /// Reads a request; a value that cannot be read counts as absent.
    #[must_use]
    pub fn of(request: &Message) -> Self {
        let seconds = |seconds| Duration::from_secs(u64::from(seconds));
        Self {
            supported: request.has_token(Name::Supported, "timer") || request.has_token(Name::Require, "timer"),
            expires: agreed_in(request),
            min_se: request.header(Name::MinSe).and_then(|value| session::parse_min_se(value).ok()).map(seconds),
        }
    }
}

/// The `Session-Expires` of a message, when present and readable.
#[must_use]
pub fn agreed_in(message: &Message) -> Option<SessionExpires> {
    message.header(Name::SessionExpires).and_then(|value| SessionExpires::parse(value).ok())
}

/// Our wishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SessionPolicy {
    /// The interval we ask for and grant at most.
    pub interval: Duration,
    /// The least interval we accept.
    pub min_se: Duration,
}

impl Default for SessionPolicy {
    fn default() -> Self {
        Self { interval: Duration::from_secs(1800), min_se: LEAST_MIN_SE }
    }
}

/// The request's interval is below our Min-SE: answer 422 with this Min-SE (RFC 4028 §9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("session interval too small, at least {} s", min_se.as_secs())]
pub struct TooSmall {
    /// What our Min-SE header says.
    pub min_se: Duration,
}

/// What a UAS grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Granted {
    /// Goes into the 2xx.
    pub expires: SessionExpires,
    /// Whether the 2xx carries `Require: timer`, which is so when the UAC refreshes (RFC 4028 §9).
    pub require: bool,
}

impl SessionPolicy {
    /// Our `Session-Expires` and `Min-SE` for a request; `least` is the largest Min-SE heard in a 422 so far.
    #[must_use]
    pub fn ask(&self, least: Option<Duration>) -> (SessionExpires, Duration) {
        let min_se = self.min_se.max(LEAST_MIN_SE).max(least.unwrap_or_default());
        (expires(self.interval.max(min_se), None), min_se)
    }

    /// The least interval accepted: what the Min-SE of our 422 says.
    #[must_use]
    pub fn least(&self) -> Duration {
        self.min_se.max(LEAST_MIN_SE)
    }

    /// The answer to a request as UAS (RFC 4028 §9, table 2).
    ///
    /// # Errors
    /// [`TooSmall`] when the request must be answered 422.
    pub fn grant(&self, asked: &Asked) -> Result<Granted, TooSmall> {
        let min_se = self.min_se.max(LEAST_MIN_SE);
        if let Some(wanted) = asked.expires
            && interval_of(wanted) < min_se
        {
            // A UAC without the extension cannot make sense of 422 (§9): the interval is raised instead, which only
            // happens when a proxy asked on its behalf.
            if asked.supported {
                return Err(TooSmall { min_se });
            }
        }
        let least = asked.min_se.unwrap_or_default().max(min_se);
        let interval = asked.expires.map_or(self.interval, |wanted| interval_of(wanted).min(self.interval)).max(least);
        let refresher = if asked.supported {
            asked.expires.and_then(|wanted| wanted.refresher).unwrap_or(Refresher::Uac)
        } else {
            Refresher::Uas
        };
        Ok(Granted { expires: expires(interval, Some(refresher)), require: refresher == Refresher::Uac })
    }
}

fn interval_of(value: SessionExpires) -> Duration {
    Duration::from_secs(u64::from(value.seconds))
}

fn expires(interval: Duration, refresher: Option<Refresher>) -> SessionExpires {
    SessionExpires { seconds: u32::try_from(interval.as_secs()).unwrap_or(u32::MAX), refresher }
}

/// Why the timer's deadline came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TimerReason {
    /// It is our turn to refresh.
    Refresh,
    /// No refresh came in time; the session counts as dead.
    Expired,
}

/// One dialog's running session timer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SessionTimer {
    refresh_at: Option<Mono>,
    expires_at: Option<Mono>,
}

impl SessionTimer {
    /// No timer runs.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    /// Sets the timer from the 2xx of a request; `we_asked` when the request was ours. Without a value in the 2xx
    /// there is no session timer (RFC 4028 §7.2).
    pub fn set(&mut self, now: Now, agreed: Option<SessionExpires>, we_asked: bool) {
        let Some(agreed) = agreed else {
            *self = Self::off();
            return;
        };
        let interval = interval_of(agreed).max(LEAST_MIN_SE);
        let we_refresh = match agreed.refresher {
            Some(Refresher::Uac) | None => we_asked,
            Some(Refresher::Uas) => !we_asked,
        };
        self.refresh_at = we_refresh.then(|| now.mono + interval / 2);
        self.expires_at = Some(now.mono + interval.saturating_sub(GRACE.min(interval / 3)));
    }

    /// A refresh of ours was refused by a peer that lives: it is tried again after `wait`, and the session does not
    /// expire before that has had its time. Nothing happens when no timer runs.
    pub fn retry(&mut self, now: Now, wait: Duration) {
        if let Some(expires_at) = self.expires_at {
            let at = now.mono + wait;
            self.refresh_at = Some(at);
            self.expires_at = Some(expires_at.max(at + GRACE));
        }
    }

    /// The next deadline and its reason.
    #[must_use]
    pub fn deadline(&self) -> Option<(Mono, TimerReason)> {
        self.refresh_at
            .map(|at| (at, TimerReason::Refresh))
            .or_else(|| self.expires_at.map(|at| (at, TimerReason::Expired)))
    }

    /// Takes the deadline that has come, if any. A refresh is asked for once; unless [`SessionTimer::retry`] is told of
    /// its refusal, the session expires.
    pub fn on_deadline(&mut self, now: Now) -> Option<TimerReason> {
        let (at, reason) = self.deadline()?;
        if at > now.mono {
            return None;
        }
        match reason {
            TimerReason::Refresh => self.refresh_at = None,
            TimerReason::Expired => *self = Self::off(),
        }
        Some(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Now {
        Now { mono: Mono(0), wall: jiff::Timestamp::UNIX_EPOCH }
    }

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn asked(seconds: u32, refresher: Option<Refresher>) -> Asked {
        Asked { supported: true, expires: Some(SessionExpires { seconds, refresher }), min_se: None }
    }

    #[test]
    fn rfc4028_s9_too_small_an_interval_is_422_with_min_se() {
        let fault = SessionPolicy::default().grant(&asked(60, None)).unwrap_err();
        assert_eq!(fault.min_se, seconds(90));
        assert!(SessionPolicy::default().grant(&asked(90, None)).is_ok());
    }

    #[test]
    fn rfc4028_s9_table_2_refresher() {
        let policy = SessionPolicy::default();
        for (supported, said, expected, require) in [
            (false, None, Refresher::Uas, false),
            (true, None, Refresher::Uac, true),
            (true, Some(Refresher::Uac), Refresher::Uac, true),
            (true, Some(Refresher::Uas), Refresher::Uas, false),
        ] {
            let granted = policy.grant(&Asked { supported, ..asked(1800, said) }).unwrap();
            assert_eq!((granted.expires.refresher, granted.require), (Some(expected), require));
        }
    }

    #[test]
    fn rfc4028_s9_the_interval_is_never_raised_above_theirs_nor_below_their_min_se() {
        let policy = SessionPolicy::default();
        assert_eq!(policy.grant(&asked(600, None)).unwrap().expires.seconds, 600);
        assert_eq!(policy.grant(&asked(7200, None)).unwrap().expires.seconds, 1800);
        let strict = Asked { min_se: Some(seconds(3600)), ..asked(7200, None) };
        assert_eq!(policy.grant(&strict).unwrap().expires.seconds, 3600);
    }

    #[test]
    fn rfc4028_s7_1_a_422_raises_what_we_ask_for() {
        let (expires, min_se) = SessionPolicy::default().ask(Some(seconds(2000)));
        assert_eq!((expires.seconds, min_se), (2000, seconds(2000)));
    }

    #[test]
    fn rfc4028_s10_the_refresher_acts_at_half_time_and_the_other_gives_up_late() {
        let mut timer = SessionTimer::off();
        let value = SessionExpires { seconds: 1800, refresher: Some(Refresher::Uac) };
        timer.set(now(), Some(value), true);
        assert_eq!(timer.deadline(), Some((Mono(0) + seconds(900), TimerReason::Refresh)));
        assert_eq!(timer.on_deadline(now().after(seconds(899))), None);
        assert_eq!(timer.on_deadline(now().after(seconds(900))), Some(TimerReason::Refresh));
        assert_eq!(timer.deadline(), Some((Mono(0) + seconds(1768), TimerReason::Expired)));

        timer.set(now(), Some(value), false);
        assert_eq!(timer.deadline(), Some((Mono(0) + seconds(1768), TimerReason::Expired)));
        assert_eq!(timer.on_deadline(now().after(seconds(1768))), Some(TimerReason::Expired));
        assert_eq!(timer.deadline(), None);
    }

    #[test]
    fn rfc4028_s10_short_sessions_give_up_a_third_before_the_end() {
        let mut timer = SessionTimer::off();
        timer.set(now(), Some(SessionExpires { seconds: 90, refresher: Some(Refresher::Uas) }), true);
        assert_eq!(timer.deadline(), Some((Mono(0) + seconds(60), TimerReason::Expired)));
    }

    #[test]
    fn rfc4028_s7_2_no_value_in_the_2xx_means_no_timer() {
        let mut timer = SessionTimer::off();
        timer.set(now(), None, true);
        assert_eq!(timer.deadline(), None);
    }

    #[test]
    fn rfc4028_s4_and_s5_a_request_is_read() {
        let text = "INVITE sip:a@x SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\nFrom: <sip:b@y>;tag=f\r\n\
                    To: <sip:a@x>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nk: 100rel, Timer\r\n\
                    x: 1800;refresher=uas\r\nMin-SE: 120\r\nContent-Length: 0\r\n\r\n";
        let request = Message::datagram(bytes::Bytes::from(text)).unwrap();
        let expected = Asked { min_se: Some(seconds(120)), ..asked(1800, Some(Refresher::Uas)) };
        assert_eq!(Asked::of(&request), expected);
    }
}
