//! An agent at a plain SIP phone: registers with a password, and is rung.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::demo::carrier::ANYWHERE;
use crate::demo::exchange::Exchange;
use crate::demo::peer::registration::{Account, register};
use crate::demo::peer::ua::Phone;
use crate::demo::peer::{PeerFault, Witness};

/// For how long a phone registers.
const EXPIRES: Duration = Duration::from_secs(120);

/// A registered agent.
#[derive(Debug)]
pub struct Agent {
    phone: Phone,
    account: Account,
    refresh: AbortHandle,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.refresh.abort();
    }
}

impl Agent {
    /// Opens the phone and signs in; the registration is refreshed at its half.
    ///
    /// # Errors
    /// [`PeerFault`] when no port is free or the registrar refuses.
    pub async fn sign_in(
        id: &str,
        registrar: SocketAddr,
        exchange: &Exchange,
        witness: Arc<dyn Witness>,
    ) -> Result<Self, PeerFault> {
        let (phone, incoming) = Phone::open(ANYWHERE, &format!("座席{id}"), id, witness).await?;
        exchange.serve(incoming);
        let account = Account { registrar, password: format!("demo-{id}"), expires: EXPIRES };
        register(&phone, &account).await?;
        let refresh = tokio::spawn(refreshed(phone.clone(), account.clone())).abort_handle();
        Ok(Self { phone, account, refresh })
    }

    /// The agent's id.
    #[must_use]
    pub fn id(&self) -> &str {
        self.phone.user()
    }

    /// Takes the registration back.
    ///
    /// # Errors
    /// [`PeerFault`] when the registrar refuses.
    pub async fn sign_out(self) -> Result<(), PeerFault> {
        register(&self.phone, &Account { expires: Duration::ZERO, ..self.account.clone() }).await
    }
}

async fn refreshed(phone: Phone, account: Account) {
    let mut clock = interval(account.expires / 2);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    clock.tick().await;
    loop {
        clock.tick().await;
        // One that fails is tried again at the next half, before it runs out.
        let _ = register(&phone, &account).await;
    }
}
