//! Putting a new plan in force: calls that are up keep theirs, every later INVITE is decided by the new one. TLS files
//! are read again, and connections that come from now on see them.
//!
//! Deliberately absent: changing listeners, media ports, ticket endpoints or the data directory, which need a restart
//! (said in the log); checking the plan, which loading it has done.

use std::sync::Arc;

use super::Engine;
use super::acd_task::AcdAsk;
use super::listen;
use super::switch_task::SwitchAsk;
use crate::acd::directory::AcdDirectory;
use crate::plan::model::Plan;
use crate::plan::settings::{Settings, SipSettings};

impl Engine {
    /// Puts a plan in force: queues and agents first, so that no call is routed to a queue that is not there yet.
    pub async fn apply(&self, plan: Arc<Plan>) {
        let world = self.world();
        let before = world.newest.load_full();
        if needs_restart(&before.settings, &plan.settings) {
            tracing::warn!("listeners, media, endpoints or the data directory changed: these take a restart");
        }
        let directory = Box::new(AcdDirectory::from_plan(&plan));
        if world.acd.send(AcdAsk::Reconfigure(directory)).await.is_err() {
            tracing::error!("the queues are stopping; the plan is not applied");
            return;
        }
        match listen::known(&plan.settings) {
            Ok(known) => world.net.apply(known).await,
            Err(fault) => tracing::error!(%fault, "the TLS files in force stay"),
        }
        world.newest.store(Arc::clone(&plan));
        let hash = plan.hash;
        let _ = world.switch.send(SwitchAsk::Replan(plan)).await;
        tracing::info!(?hash, "a new plan is in force");
    }
}

fn needs_restart(before: &Settings, after: &Settings) -> bool {
    let sip = &after.sip;
    let renewed = SipSettings { tls: sip.tls.clone(), ws_origins: sip.ws_origins.clone(), ..before.sip.clone() };
    renewed != *sip
        || before.media != after.media
        || before.http != after.http
        || before.ticket != after.ticket
        || before.data_dir != after.data_dir
}
