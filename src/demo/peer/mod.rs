//! Telephones and trunks that are not ours: an independent SIP and RTP implementation for the demonstration.
//!
//! Built on `rsip` (messages) and `rtp` (packets); of this crate only the G.711 tables are shared, so that an error of
//! the engine's SIP, SDP or RTP code cannot hide behind the same error here. Deliberately absent: TCP, TLS, PRACK,
//! route sets (the engine records none), forking. What a peer says and hears is told to a [`Witness`].

pub mod audio;
pub mod dialog;
pub mod registration;
pub mod sdp;
pub mod stream;
pub mod transaction;
pub mod ua;

use std::sync::Arc;

use tokio::time::Instant;

/// One message as a party saw it.
#[derive(Clone, Debug)]
pub struct Sight {
    /// When.
    pub at: Instant,
    /// Who saw it.
    pub party: Arc<str>,
    /// Whether the party sent it.
    pub sent: bool,
    /// The dialog's Call-ID.
    pub call_id: String,
    /// The user part of From.
    pub from: String,
    /// Method and what it asks for, or status and reason.
    pub text: String,
    /// Whether it begins a dialog (an INVITE without a To tag).
    pub begins: bool,
}

/// Who is told about every message; called from the receiving task, so it must not block.
pub trait Witness: Send + Sync {
    /// Takes a message.
    fn saw(&self, sight: Sight);
}

/// A witness that forgets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

impl Witness for Nobody {
    fn saw(&self, _: Sight) {}
}

/// Why something a peer tried did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerFault {
    /// The operating system refused.
    #[error("{what}: {why}")]
    System {
        /// What was tried.
        what: &'static str,
        /// The system's words.
        why: String,
    },
    /// A final answer other than the one wanted.
    #[error("{what} was answered {status}")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// The status.
        status: u16,
    },
    /// Nothing came in time.
    #[error("{what} did not come within {seconds} s")]
    Late {
        /// What was waited for.
        what: &'static str,
        /// How long.
        seconds: u64,
    },
    /// The other side took its call back.
    #[error("the call was cancelled before it was answered")]
    Cancelled,
    /// A message that cannot be used.
    #[error("{what} cannot be used: {why}")]
    Message {
        /// Which one.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// What should be heard was not.
    #[error("{0}")]
    NotHeard(String),
}

impl PeerFault {
    pub(crate) fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |why| Self::System { what, why: why.to_string() }
    }

    pub(crate) fn message(what: &'static str, why: impl ToString) -> Self {
        Self::Message { what, why: why.to_string() }
    }
}

/// Sixteen characters nobody else has: tags, branches, Call-IDs.
pub(crate) fn token() -> String {
    let mut bytes = [0_u8; 8];
    // Without a random source the counter below still keeps tokens apart within this process.
    let _ = getrandom::fill(&mut bytes);
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    format!("{:016x}{count:x}", u64::from_be_bytes(bytes))
}

/// A lock whose holder cannot have panicked half-way: every critical section here is a plain read or write.
pub(crate) fn locked<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
