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
//! Deliberately absent: header parsing and printing (values come in and go out as numbers), and ending the call: an
//! emergency call is not ended by its session timer, so the call floor decides.
//! Limits: Min-SE is never below 90 s (§5).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::now::{Mono, Now};

/// The least Min-SE anybody may ask for (RFC 4028 §5).
pub const LEAST_MIN_SE: Duration = Duration::from_secs(90);
/// The most a refresh may be late before BYE (RFC 4028 §10).
const GRACE: Duration = Duration::from_secs(32);

/// Who sends the refreshes, in the words of the `refresher` parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Refresher {
    /// The side that sent the request this timer was agreed in.
    Uac,
    /// The side that answered it.
    Uas,
}

impl Refresher {
    /// The word on the wire.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Uac => "uac",
            Self::Uas => "uas",
        }
    }
}

/// A `Session-Expires` value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SessionExpires {
    /// The session interval.
    pub interval: Duration,
    /// Who refreshes, when said.
    pub refresher: Option<Refresher>,
}

impl SessionExpires {
    /// The header value.
    #[must_use]
    pub fn value(&self) -> String {
        let seconds = self.interval.as_secs();
        self.refresher
            .map_or_else(|| seconds.to_string(), |refresher| format!("{seconds};refresher={}", refresher.word()))
    }
}

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
        (SessionExpires { interval: self.interval.max(min_se), refresher: None }, min_se)
    }

    /// The answer to a request as UAS (RFC 4028 §9, table 2).
    ///
    /// # Errors
    /// [`TooSmall`] when the request must be answered 422.
    pub fn grant(&self, asked: &Asked) -> Result<Granted, TooSmall> {
        let min_se = self.min_se.max(LEAST_MIN_SE);
        if let Some(wanted) = asked.expires
            && wanted.interval < min_se
        {
            // A UAC without the extension cannot make sense of 422 (§9): the interval is raised instead, which only
            // happens when a proxy asked on its behalf.
            if asked.supported {
                return Err(TooSmall { min_se });
            }
        }
        let least = asked.min_se.unwrap_or_default().max(min_se);
        let interval = asked.expires.map_or(self.interval, |wanted| wanted.interval.min(self.interval)).max(least);
        let refresher = if asked.supported {
            asked.expires.and_then(|wanted| wanted.refresher).unwrap_or(Refresher::Uac)
        } else {
            Refresher::Uas
        };
        let expires = SessionExpires { interval, refresher: Some(refresher) };
        Ok(Granted { expires, require: refresher == Refresher::Uac })
    }
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
        let interval = agreed.interval.max(LEAST_MIN_SE);
        let we_refresh = match agreed.refresher {
            Some(Refresher::Uac) | None => we_asked,
            Some(Refresher::Uas) => !we_asked,
        };
        self.refresh_at = we_refresh.then(|| now.mono + interval / 2);
        self.expires_at = Some(now.mono + interval.saturating_sub(GRACE.min(interval / 3)));
    }

    /// The next deadline and its reason.
    #[must_use]
    pub fn deadline(&self) -> Option<(Mono, TimerReason)> {
        self.refresh_at
            .map(|at| (at, TimerReason::Refresh))
            .or_else(|| self.expires_at.map(|at| (at, TimerReason::Expired)))
    }

    /// Takes the deadline that has come, if any. A refresh is asked for once; when it fails the session expires.
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

    fn asked(interval: u64, refresher: Option<Refresher>) -> Asked {
        Asked {
            supported: true,
            expires: Some(SessionExpires { interval: seconds(interval), refresher }),
            min_se: None,
        }
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
        assert_eq!(policy.grant(&asked(600, None)).unwrap().expires.interval, seconds(600));
        assert_eq!(policy.grant(&asked(7200, None)).unwrap().expires.interval, seconds(1800));
        let strict = Asked { min_se: Some(seconds(3600)), ..asked(7200, None) };
        assert_eq!(policy.grant(&strict).unwrap().expires.interval, seconds(3600));
    }

    #[test]
    fn rfc4028_s7_1_a_422_raises_what_we_ask_for() {
        let (expires, min_se) = SessionPolicy::default().ask(Some(seconds(2000)));
        assert_eq!((expires.interval, min_se), (seconds(2000), seconds(2000)));
    }

    #[test]
    fn rfc4028_s10_the_refresher_acts_at_half_time_and_the_other_gives_up_late() {
        let mut timer = SessionTimer::off();
        let value = SessionExpires { interval: seconds(1800), refresher: Some(Refresher::Uac) };
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
        timer.set(now(), Some(SessionExpires { interval: seconds(90), refresher: Some(Refresher::Uas) }), true);
        assert_eq!(timer.deadline(), Some((Mono(0) + seconds(60), TimerReason::Expired)));
    }

    #[test]
    fn rfc4028_s7_2_no_value_in_the_2xx_means_no_timer() {
        let mut timer = SessionTimer::off();
        timer.set(now(), None, true);
        assert_eq!(timer.deadline(), None);
    }
}
