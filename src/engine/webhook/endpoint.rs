//! One receiver: its settings, and the checked form a sender works with.
//!
//! A URL is used only when its host is on the endpoint's allow-list, which by default holds just that host. A literal
//! address must be listed itself or lie in a listed network, so that a URL that came from elsewhere cannot point into
//! the house (SSRF). User names in a URL are refused: they would end up in logs.

use std::net::IpAddr;
use std::sync::{Arc, Once};
use std::time::Duration;

use reqwest::{Client, Url, redirect};
use serde::{Deserialize, Serialize};

use super::sign::Key;
use crate::base::secret::Secret;

/// Posts to one endpoint at the same time, unless set.
pub const CONNECTIONS: usize = 64;

/// How to reach one receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointSettings {
    /// Its name, unique.
    pub name: String,
    /// Where to post to, `http:` or `https:`.
    pub url: String,
    /// `whsec_…` or any text.
    pub secret: Secret,
    /// The secret before it, while it is being rotated.
    #[serde(default)]
    pub previous_secret: Option<Secret>,
    /// Host names, addresses and networks (`10.0.0.0/8`) that may be posted to; empty is the URL's own host.
    #[serde(default)]
    pub allow: Vec<String>,
    /// How long an answer may take, from connecting to its last byte.
    #[serde(default = "default_timeout")]
    pub timeout: Duration,
    /// Whether 409 means the receiver has the event already.
    #[serde(default)]
    pub conflict_is_done: bool,
    /// Posts at the same time.
    #[serde(default = "default_connections")]
    pub connections: usize,
    /// Seeds the jitter.
    #[serde(default)]
    pub seed: u64,
}

const fn default_timeout() -> Duration {
    Duration::from_secs(10)
}

const fn default_connections() -> usize {
    CONNECTIONS
}

impl EndpointSettings {
    /// Settings with every default.
    #[must_use]
    pub fn new(name: impl Into<String>, url: impl Into<String>, secret: Secret) -> Self {
        Self {
            name: name.into(),
            url: url.into(),
            secret,
            previous_secret: None,
            allow: Vec::new(),
            timeout: default_timeout(),
            conflict_is_done: false,
            connections: default_connections(),
            seed: 0,
        }
    }

    /// The URL, when it may be posted to.
    ///
    /// # Errors
    /// When it is no URL for a webhook or its host is not allowed.
    pub fn check_url(&self) -> Result<Url, EndpointFault> {
        let fault = |because| EndpointFault::Url { endpoint: self.name.clone(), because };
        let url = Url::parse(&self.url).map_err(|_| fault("not a URL"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(fault("http: or https: is expected"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(fault("user name and password do not belong here"));
        }
        let host = url.host_str().ok_or_else(|| fault("a host is missing"))?;
        if !self.allow.is_empty() && !self.allow.iter().any(|entry| allows(entry, host)) {
            return Err(EndpointFault::NotAllowed { endpoint: self.name.clone(), host: host.to_owned() });
        }
        Ok(url)
    }
}

/// Why an endpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EndpointFault {
    /// Its URL is wrong.
    #[error("ticket endpoint {endpoint}: url: {because}")]
    Url {
        /// The endpoint.
        endpoint: String,
        /// What is wrong.
        because: &'static str,
    },
    /// Its host is not on its allow-list.
    #[error("ticket endpoint {endpoint}: the host {host} is not in its allow-list")]
    NotAllowed {
        /// The endpoint.
        endpoint: String,
        /// The host.
        host: String,
    },
    /// Its secret is empty or no base64.
    #[error("ticket endpoint {endpoint}: the secret is empty, or what follows whsec_ is no base64")]
    Secret {
        /// The endpoint.
        endpoint: String,
    },
    /// TLS or the client cannot be set up.
    #[error("ticket endpoint {endpoint}: {source}")]
    Client {
        /// The endpoint.
        endpoint: String,
        /// Why.
        source: reqwest::Error,
    },
}

/// The checked form.
pub(super) struct Endpoint {
    pub(super) name: String,
    pub(super) url: Url,
    pub(super) keys: Arc<[Key]>,
    pub(super) client: Client,
    pub(super) connections: usize,
    pub(super) conflict_is_done: bool,
    pub(super) seed: u64,
}

impl Endpoint {
    pub(super) fn new(settings: EndpointSettings) -> Result<Self, EndpointFault> {
        let url = settings.check_url()?;
        let secrets = std::iter::once(&settings.secret).chain(&settings.previous_secret);
        let keys: Option<Arc<[Key]>> = secrets.map(Key::new).collect();
        let keys = keys.ok_or_else(|| EndpointFault::Secret { endpoint: settings.name.clone() })?;
        choose_crypto();
        let mut client = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .timeout(settings.timeout)
            .connect_timeout(settings.timeout)
            .pool_max_idle_per_host(settings.connections)
            .user_agent(concat!("switch12345/", env!("CARGO_PKG_VERSION")));
        if url.scheme() == "http" {
            // A machine without a certificate store can still post in clear.
            client = client.tls_certs_only(std::iter::empty());
        }
        let client =
            client.build().map_err(|source| EndpointFault::Client { endpoint: settings.name.clone(), source })?;
        Ok(Self {
            name: settings.name,
            url,
            keys,
            client,
            connections: settings.connections.max(1),
            conflict_is_done: settings.conflict_is_done,
            seed: settings.seed,
        })
    }
}

/// Makes `ring` the process's provider of TLS, unless another was chosen before.
fn choose_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}

/// Whether an entry of an allow-list covers a host.
fn allows(entry: &str, host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let Ok(address) = host.parse::<IpAddr>() else { return entry.eq_ignore_ascii_case(host) };
    let (network, length) = match entry.split_once('/') {
        Some((network, length)) => (network, length.parse::<u32>().ok()),
        None => (entry, Some(128)),
    };
    let (Ok(network), Some(length)) = (network.parse::<IpAddr>(), length) else { return false };
    match (network, address.to_canonical()) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let differing = u32::from(network) ^ u32::from(address);
            differing.leading_zeros() >= length.min(32)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            (u128::from(network) ^ u128::from(address)).leading_zeros() >= length.min(128)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, allow: &[&str]) -> bool {
        let mut settings = EndpointSettings::new("city", url, Secret::new("s"));
        settings.allow = allow.iter().map(|entry| (*entry).to_owned()).collect();
        settings.check_url().is_ok()
    }

    #[test]
    fn only_listed_hosts_and_networks_are_posted_to() {
        for (url, allow, expected) in [
            ("http://127.0.0.1:8090/tickets", &[][..], true),
            ("https://tickets.example/x", &["tickets.example"], true),
            ("https://TICKETS.example/x", &["tickets.EXAMPLE"], true),
            ("https://evil.example/x", &["tickets.example"], false),
            ("https://tickets.example.evil.example/x", &["tickets.example"], false),
            ("http://10.1.2.3/", &["10.0.0.0/8"], true),
            ("http://11.1.2.3/", &["10.0.0.0/8"], false),
            ("http://10.1.2.3/", &["10.1.2.3"], true),
            ("http://10.1.2.3/", &["10.0.0.0/99x"], false),
            ("http://0x0a010203/", &["10.0.0.0/8"], true),
            ("http://2130706433/", &["tickets.example"], false),
            ("http://[::ffff:10.1.2.3]/", &["10.0.0.0/8"], true),
            ("http://[fd00::1]/", &["fd00::/8"], true),
            ("http://[fe80::1]/", &["fd00::/8"], false),
            ("http://169.254.169.254/", &["tickets.example", "10.0.0.0/8"], false),
            ("ftp://tickets.example/", &[], false),
            ("http://user:pass@tickets.example/", &[], false),
            ("tickets", &[], false),
        ] {
            assert_eq!(check(url, allow), expected, "{url} {allow:?}");
        }
    }

    #[test]
    fn an_endpoint_can_be_built_without_a_certificate_store() {
        assert!(Endpoint::new(EndpointSettings::new("a", "http://127.0.0.1:1/", Secret::new("s"))).is_ok());
        let fault = Endpoint::new(EndpointSettings::new("a", "http://127.0.0.1:1/", Secret::new("whsec_!")));
        assert!(matches!(fault.err(), Some(EndpointFault::Secret { .. })));
    }
}
