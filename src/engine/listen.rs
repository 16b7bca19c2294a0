//! What the sockets are opened with, from the settings; and what of it changes when a plan is applied.
//!
//! Deliberately absent: changing listeners, which takes a restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::net::{Known, ListenAddress, NetFault, NetSettings, Times, TlsFault, TlsFiles, certificate};
use crate::base::flow::Side;
use crate::plan::settings::Settings;

/// Listeners and everything they need.
///
/// # Errors
/// No certificate is configured for a listener that needs one, and none can be generated.
pub(super) fn sockets(settings: &Settings) -> Result<NetSettings, NetFault> {
    let sip = &settings.sip;
    let side = |side: Side| {
        let listens = settings.listeners(side).iter();
        listens.map(move |listen| ListenAddress { side, transport: listen.transport, address: listen.addr })
    };
    Ok(NetSettings {
        listen: side(Side::Trunk).chain(side(Side::Agent)).collect(),
        advertise: sip.advertise,
        keep_alive: sip.keep_alive,
        connections_per_address: sip.connections_per_address,
        connections_max: sip.connections_max,
        times: Times::default(),
        known: known(settings)?,
    })
}

/// What is known of peers and shown to them.
///
/// # Errors
/// As for [`sockets`].
pub(super) fn known(settings: &Settings) -> Result<Known, TlsFault> {
    let sip = &settings.sip;
    let listens = || sip.trunk_listen.iter().chain(&sip.agent_listen);
    let tls = match &sip.tls.identity {
        Some((certificate, key)) => {
            Some(TlsFiles { certificate: PathBuf::from(certificate), key: PathBuf::from(key), client_ca: None })
        }
        None if listens().any(|listen| listen.transport.is_secure()) => {
            let addresses: Vec<_> = listens().map(|listen| listen.addr.ip()).chain(sip.advertise).collect();
            Some(certificate::generated(Path::new(&settings.data_dir), &addresses)?)
        }
        None => None,
    };
    let client_ca = sip.tls.client_ca.as_ref().map(PathBuf::from);
    Ok(Known {
        trunks: settings.trunks.values().map(Arc::clone).collect(),
        tls: tls.map(|files| TlsFiles { client_ca, ..files }),
        ws_origins: sip.ws_origins.iter().cloned().collect(),
    })
}
