//! Hands every call that rings at a peer to the scenario it belongs to, known by the caller's number.
//!
//! Each scenario calls from a number of its own. What nobody waits for is refused with 480.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;

use crate::demo::peer::locked;
use crate::demo::peer::ua::Incoming;

/// Who waits for calls from which number.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    waiting: Arc<Mutex<BTreeMap<String, mpsc::Sender<Incoming>>>>,
}

impl Exchange {
    /// Everything that rings anywhere because of this caller; 8 at most wait unread.
    #[must_use]
    pub fn expect(&self, caller: &str) -> mpsc::Receiver<Incoming> {
        let (found, incoming) = mpsc::channel(8);
        locked(&self.waiting).insert(caller.to_owned(), found);
        incoming
    }

    /// Takes over what rings at a peer.
    pub fn serve(&self, mut incoming: mpsc::Receiver<Incoming>) {
        let exchange = self.clone();
        tokio::spawn(async move {
            while let Some(call) = incoming.recv().await {
                let waiting = locked(&exchange.waiting).get(&call.caller()).cloned();
                let left = match waiting {
                    Some(waiting) => waiting.try_send(call).err().map(mpsc::error::TrySendError::into_inner),
                    None => Some(call),
                };
                if let Some(call) = left {
                    call.refuse(480).await;
                }
            }
        });
    }
}
