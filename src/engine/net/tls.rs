//! TLS: certificates and keys from PEM files, the configurations made of them, and their renewal while connections stand.
//!
//! A connection keeps the configuration it was made with; a renewal concerns later ones. Files are read again when they
//! change (looked at every 10 s) and whenever the plan is applied (SIGHUP); a file that cannot be used then is told
//! loudly and what stood before stays in force. Cipher suites and versions (1.2, 1.3) are those of rustls with ring.
//!
//! | peer | must show |
//! |---|---|
//! | one who connects | a certificate of `sip.tls.client_ca`, where that is set |
//! | a trunk with `mutual`, when it connects | a certificate of its own `ca_file` |
//! | a trunk we connect to | a certificate of its `ca_file`, else of the system's authorities, for the host of its target |
//!
//! Deliberately absent: revocation lists; SIP identities in URI names (RFC 5922 §7.1: only DNS names and addresses
//! count); certificates by protocol (ACME), which is a tool's to fetch and ours to reload.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use std::{fs, io};

use arc_swap::ArcSwap;
use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::base::flow::Transport;
use crate::plan::trunk::{Trunk, TrunkTls};

/// The longest PEM file read, in bytes.
const FILE_MAX: u64 = 4 << 20;

/// What is wrong with a file of TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// It cannot be read or written.
    #[error("cannot use `{path}`: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no PEM, or holds nothing of what is wanted.
    #[error("`{path}` holds no {wanted} in PEM form")]
    Empty {
        /// Which.
        path: PathBuf,
        /// What should be in it.
        wanted: &'static str,
    },
    /// It is PEM, but cannot be used.
    #[error("`{path}` cannot be used: {reason}")]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The key does not fit the certificate, or one of them is of a kind that is not served.
    #[error("certificate `{certificate}` and key `{key}` cannot be used together: {reason}")]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        reason: String,
    },
    /// The system has no authorities to check a trunk's certificate by.
    #[error("the system has no certificate authorities; name a `ca_file`")]
    NoAuthorities,
}

/// The files of our side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Our certificate and those between it and its authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Who signs the certificates peers must show; none are asked for without it.
    pub client_ca: Option<PathBuf>,
}

/// What is in force.
#[derive(Debug, Default)]
struct InForce {
    server: Option<Arc<ServerConfig>>,
    /// By the trunk's settings.
    trunks: Vec<(TrunkTls, Wanted)>,
    /// What was read, as it was.
    stamps: BTreeMap<PathBuf, Option<Stamp>>,
}

/// The two roles of a trunk's settings; `None` where that role was not asked for.
#[derive(Clone, Debug, Default)]
struct Wanted {
    /// It connects, and must prove itself.
    server: Option<Arc<ServerConfig>>,
    /// We connect.
    client: Option<Arc<ClientConfig>>,
}

/// A file's state, enough to see that it changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    /// Its inode: a file may be replaced by one of the same length in the same instant.
    file: u64,
}

/// TLS of all listeners and trunks.
#[derive(Debug, Default)]
pub(super) struct Tls {
    in_force: ArcSwap<InForce>,
}

impl Tls {
    /// Reads everything, for the start.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub(super) fn load(&self, files: Option<&TlsFiles>, trunks: &[Arc<Trunk>]) -> Result<(), TlsFault> {
        self.read(files, trunks).into_iter().next().map_or(Ok(()), Err)
    }

    /// Reads everything anew; what cannot be used is told, and what stood before stays.
    pub(super) fn reload(&self, files: Option<&TlsFiles>, trunks: &[Arc<Trunk>]) {
        let faults = self.read(files, trunks);
        for fault in &faults {
            tracing::error!(%fault, "A TLS FILE CANNOT BE USED; what was in force before stays");
        }
        if faults.is_empty() && !self.in_force.load().stamps.is_empty() {
            tracing::info!("the TLS files were read again");
        }
    }

    /// Whether a file changed since it was read.
    pub(super) fn is_stale(&self) -> bool {
        self.in_force.load().stamps.iter().any(|(path, stamp)| stamp_of(path) != *stamp)
    }

    /// For a connection that came in, from a trunk if one is known at that address.
    pub(super) fn server(&self, trunk: Option<&Trunk>) -> Option<Arc<ServerConfig>> {
        let in_force = self.in_force.load();
        match trunk.filter(|trunk| trunk.tls.mutual) {
            // Never the general one: that would let in who shows nothing.
            Some(trunk) => in_force.of(&trunk.tls)?.server.clone(),
            None => in_force.server.clone(),
        }
    }

    /// For a connection of ours under a trunk's settings.
    ///
    /// # Errors
    /// What its files lack.
    pub(super) fn client(&self, tls: &TrunkTls) -> Result<Arc<ClientConfig>, TlsFault> {
        if let Some(client) = self.in_force.load().of(tls).and_then(|wanted| wanted.client.clone()) {
            return Ok(client);
        }
        client_config(tls).map(Arc::new)
    }

    fn read(&self, files: Option<&TlsFiles>, trunks: &[Arc<Trunk>]) -> Vec<TlsFault> {
        let before = self.in_force.load();
        let (mut now, mut faults) = (InForce::default(), Vec::new());
        if let Some(files) = files {
            now.stamp([&files.certificate, &files.key].into_iter().chain(&files.client_ca));
            let asks = files.client_ca.as_deref().map(Authorities::File);
            now.server = kept(server_config(files, asks), before.server.clone(), &mut faults);
        }
        for trunk in trunks.iter().filter(|trunk| trunk.tls.mutual || calls_out_over_tls(trunk)) {
            let tls = &trunk.tls;
            if now.of(tls).is_some() {
                continue;
            }
            let identity = tls.identity.iter().flat_map(|(certificate, key)| [certificate, key]);
            let paths: Vec<_> = identity.chain(&tls.ca_file).map(PathBuf::from).collect();
            now.stamp(paths.iter());
            let mut wanted = before.of(tls).cloned().unwrap_or_default();
            wanted.client = kept(client_config(tls), wanted.client, &mut faults);
            if let (true, Some(files)) = (tls.mutual, files) {
                let asks = tls.ca_file.as_deref().map(Path::new).or(files.client_ca.as_deref());
                let asks = asks.map_or(Authorities::System, Authorities::File);
                wanted.server = kept(server_config(files, Some(asks)), wanted.server, &mut faults);
            }
            now.trunks.push((tls.clone(), wanted));
        }
        self.in_force.store(Arc::new(now));
        faults
    }
}

impl InForce {
    fn of(&self, tls: &TrunkTls) -> Option<&Wanted> {
        self.trunks.iter().find(|(of, _)| of == tls).map(|(_, wanted)| wanted)
    }

    fn stamp<'p>(&mut self, paths: impl Iterator<Item = &'p PathBuf>) {
        self.stamps.extend(paths.map(|path| (path.clone(), stamp_of(path))));
    }
}

/// Whose signature counts.
#[derive(Clone, Copy, Debug)]
enum Authorities<'p> {
    File(&'p Path),
    System,
}

/// Whether certificate and key can be used together.
///
/// # Errors
/// Why not.
pub(super) fn check(files: &TlsFiles) -> Result<(), TlsFault> {
    server_config(files, None).map(drop)
}

/// Whether the certificates a peer has shown, which were checked, bear a name.
pub(super) fn bears(shown: &[CertificateDer<'_>], name: &ServerName<'_>) -> bool {
    let Some(parsed) = shown.first().and_then(|first| ParsedCertificate::try_from(first).ok()) else { return false };
    verify_server_name(&parsed, name).is_ok()
}

/// The name to check for the host of a target.
pub(super) fn server_name(host: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).ok()
}

fn kept<T>(made: Result<T, TlsFault>, before: Option<Arc<T>>, faults: &mut Vec<TlsFault>) -> Option<Arc<T>> {
    match made {
        Ok(made) => Some(Arc::new(made)),
        Err(fault) => {
            faults.push(fault);
            before
        }
    }
}

fn calls_out_over_tls(trunk: &Trunk) -> bool {
    let proxy = trunk.register.as_ref().map(|register| &register.proxy);
    trunk.to.iter().chain(proxy).any(|target| target.transport == Some(Transport::Tls))
}

fn server_config(files: &TlsFiles, asks: Option<Authorities<'_>>) -> Result<ServerConfig, TlsFault> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let (chain, key) = identity(&files.certificate, &files.key)?;
    let pair = |fault: rustls::Error| pair_fault(&files.certificate, &files.key, &fault);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(pair)?;
    let builder = match asks {
        None => builder.with_no_client_auth(),
        Some(asks) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(asks)?), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|fault| TlsFault::Unusable {
                path: files.client_ca.clone().unwrap_or_default(),
                reason: fault.to_string(),
            })?)
        }
    };
    builder.with_single_cert(chain, key).map_err(pair)
}

fn client_config(tls: &TrunkTls) -> Result<ClientConfig, TlsFault> {
    let authorities = tls.ca_file.as_deref().map_or(Authorities::System, |file| Authorities::File(Path::new(file)));
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let unusable = |fault: rustls::Error| TlsFault::Unusable {
        path: tls.ca_file.as_ref().map(PathBuf::from).unwrap_or_default(),
        reason: fault.to_string(),
    };
    let builder = builder.with_safe_default_protocol_versions().map_err(unusable)?;
    let builder = builder.with_root_certificates(roots(authorities)?);
    let Some((certificate, key)) = &tls.identity else { return Ok(builder.with_no_client_auth()) };
    let (certificate, key) = (Path::new(certificate), Path::new(key));
    let (chain, secret) = identity(certificate, key)?;
    builder.with_client_auth_cert(chain, secret).map_err(|fault| pair_fault(certificate, key, &fault))
}

fn pair_fault(certificate: &Path, key: &Path, fault: &rustls::Error) -> TlsFault {
    TlsFault::Pair { certificate: certificate.to_owned(), key: key.to_owned(), reason: fault.to_string() }
}

fn identity(
    certificate: &Path,
    key: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsFault> {
    let chain = certificates(certificate)?;
    let secret = PrivateKeyDer::from_pem_slice(&read_file(key)?)
        .map_err(|_| TlsFault::Empty { path: key.to_owned(), wanted: "private key" })?;
    Ok((chain, secret))
}

fn roots(of: Authorities<'_>) -> Result<RootCertStore, TlsFault> {
    let mut store = RootCertStore::empty();
    match of {
        Authorities::System => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if store.is_empty() {
                return Err(TlsFault::NoAuthorities);
            }
        }
        Authorities::File(path) => {
            for certificate in certificates(path)? {
                store
                    .add(certificate)
                    .map_err(|fault| TlsFault::Unusable { path: path.to_owned(), reason: fault.to_string() })?;
            }
        }
    }
    Ok(store)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let bytes = read_file(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    found
        .ok()
        .filter(|found| !found.is_empty())
        .ok_or_else(|| TlsFault::Empty { path: path.to_owned(), wanted: "certificate" })
}

fn read_file(path: &Path) -> Result<Vec<u8>, TlsFault> {
    let fault = |source| TlsFault::File { path: path.to_owned(), source };
    let found = fs::metadata(path).map_err(fault)?;
    if found.len() > FILE_MAX {
        return Err(TlsFault::Unusable { path: path.to_owned(), reason: "longer than 4 MiB".to_owned() });
    }
    fs::read(path).map_err(fault)
}

fn stamp_of(path: &Path) -> Option<Stamp> {
    let found = fs::metadata(path).ok()?;
    Some(Stamp { modified: found.modified().ok(), length: found.len(), file: found.ino() })
}
