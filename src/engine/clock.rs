//! The only place that reads the machine's clocks.
//!
//! Both readings are taken together, so that a jump of the wall clock never moves a deadline. Deliberately absent:
//! deciding anything by time; everything below the engine gets [`Now`] as a value.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::base::now::{Mono, Now};

/// A running clock; clones share the same beginning.
#[derive(Clone, Debug)]
pub struct Clock {
    began: Arc<Instant>,
}

impl Clock {
    /// Begins monotonic time.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this module is the one that samples the clocks")]
    pub fn begin() -> Self {
        Self { began: Arc::new(Instant::now()) }
    }

    /// Samples both clocks.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this module is the one that samples the clocks")]
    pub fn now(&self) -> Now {
        let passed = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Now { mono: Mono(passed), wall: Timestamp::now() }
    }

    /// The tokio instant at which a deadline falls.
    #[must_use]
    pub fn instant(&self, at: Mono) -> tokio::time::Instant {
        tokio::time::Instant::from_std(*self.began + Duration::from_nanos(at.0))
    }
}
