//! The certificate generated when none is configured: self-signed, kept in the data directory for the next start.
//!
//! Phones that check names and authorities refuse it; it is for trying things out, for phones that do not check, and
//! for those told to trust this one file. It bears `localhost` and the addresses listened on at its first start, and
//! holds until 2049. One that cannot be read any more (a torn file) is replaced, loudly.
//! Deliberately absent: replacing it when addresses change, which would break phones that were told to trust it.

use std::fs;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};

use super::tls::{TlsFault, TlsFiles};

/// The generated certificate and its key, made now when they are not there.
///
/// # Errors
/// The directory cannot be written, or there are no random numbers.
pub(in crate::engine) fn generated(data: &Path, addresses: &[IpAddr]) -> Result<TlsFiles, TlsFault> {
    let files =
        TlsFiles { certificate: data.join("tls-certificate.pem"), key: data.join("tls-key.pem"), client_ca: None };
    if files.certificate.exists() && files.key.exists() {
        match super::tls::check(&files) {
            Ok(()) => return Ok(files),
            Err(fault) => tracing::error!(%fault, "THE GENERATED CERTIFICATE IS REPLACED by a new one"),
        }
    }
    let unusable =
        |fault: rcgen::Error| TlsFault::Unusable { path: files.certificate.clone(), reason: fault.to_string() };
    let mut names = vec!["localhost".to_owned()];
    names.extend(addresses.iter().filter(|ip| !ip.is_unspecified()).map(IpAddr::to_string));
    names.sort();
    names.dedup();
    let mut params = CertificateParams::new(names).map_err(unusable)?;
    params.distinguished_name.push(DnType::CommonName, "switch12345");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2049, 12, 31));
    let key = KeyPair::generate().map_err(unusable)?;
    let certificate = params.self_signed(&key).map_err(unusable)?;
    put(&files.key, 0o600, &key.serialize_pem())?;
    put(&files.certificate, 0o644, &certificate.pem())?;
    tracing::info!(certificate = %files.certificate.display(), "a self-signed TLS certificate was generated");
    Ok(files)
}

/// Writes a file whole or not at all.
fn put(path: &Path, mode: u32, text: &str) -> Result<(), TlsFault> {
    let beside: PathBuf = path.with_extension("new");
    let write = || -> io::Result<()> {
        let _ = fs::remove_file(&beside);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().map_err(|source| TlsFault::File { path: path.to_owned(), source })
}
