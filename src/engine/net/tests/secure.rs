//! TLS both ways: who is let in, whom we believe, and certificates that change under way.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::*;
use crate::plan::trunk::TrunkTarget;

/// An authority, and the certificates it signs, as files.
struct Authority {
    folder: Folder,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let folder = Folder::new();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        fs::write(folder.0.join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { folder, issuer: Issuer::new(params, key) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.0.join(name)
    }

    fn ca(&self) -> String {
        self.path("ca.pem").to_str().unwrap().to_owned()
    }

    /// Writes `NAME.pem` and `NAME.key`, for a host.
    fn signs(&self, name: &str, host: &str) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let signed = CertificateParams::new(vec![host.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        let files = (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")));
        fs::write(&files.0, signed.pem()).unwrap();
        fs::write(&files.1, key.serialize_pem()).unwrap();
        files
    }

    fn files(&self, name: &str, client_ca: bool) -> TlsFiles {
        let (certificate, key) = self.signs(name, "localhost");
        TlsFiles { certificate, key, client_ca: client_ca.then(|| self.path("ca.pem")) }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("ca.pem")).unwrap()).unwrap();
        roots
    }

    /// A phone that believes this authority and shows a certificate, if any.
    async fn phone(
        &self,
        at: SocketAddr,
        shows: Option<(PathBuf, PathBuf)>,
    ) -> io::Result<client::TlsStream<TcpStream>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(self.roots());
        let config = match shows {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_file(certificate).unwrap()],
                    PrivateKeyDer::from_pem_file(key).unwrap(),
                )
                .unwrap(),
        };
        let stream = TcpStream::connect(at).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        bounded(TlsConnector::from(Arc::new(config)).connect(name, stream)).await
    }

    /// Answers one connection as a carrier with a certificate for a host.
    async fn carrier(&self, socket: &TcpListener, host: &str, asks: bool) -> io::Result<server::TlsStream<TcpStream>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let (certificate, key) = self.signs("carrier", host);
        let builder =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
        let builder = if asks {
            let verifier =
                rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
        let config = builder.with_single_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap()).unwrap();
        let (stream, _) = bounded(socket.accept()).await.unwrap();
        bounded(TlsAcceptor::from(Arc::new(config)).accept(stream)).await
    }
}

fn secure(side: Side, files: &TlsFiles) -> NetSettings {
    let mut settings = settings(&[(side, Transport::Tls)]);
    settings.known.tls = Some(files.clone());
    settings
}

/// Whether a peer is let in: TLS 1.3 tells a client only after its handshake that it is not.
async fn is_let_in(bench: &mut Bench, phone: io::Result<client::TlsStream<TcpStream>>) -> bool {
    let Ok(mut phone) = phone else { return false };
    if phone.write_all(b"\r\n\r\n").await.is_err() {
        return false;
    }
    let mut pong = [0; 2];
    if bounded(phone.read_exact(&mut pong)).await.is_err() {
        return false;
    }
    drop(phone);
    bench.closed().await;
    true
}

#[tokio::test]
async fn a_phone_talks_over_tls() {
    let authority = Authority::new();
    let mut bench = Bench::with(secure(Side::Agent, &authority.files("ours", false))).await;
    let mut phone = authority.phone(bench.at(), None).await.unwrap();
    phone.write_all(&[message(1), message(2)].concat()).await.unwrap();
    let (flow, bytes) = bench.packet().await;
    assert_eq!((flow.transport, &bytes[..]), (Transport::Tls, &message(1)[..]));
    assert_eq!(bench.packet().await.1, message(2));
    bench.net.send(&flow, Bytes::from(vec![b'x'; 40_000]));
    assert_eq!(read(&mut phone, 40_000).await, vec![b'x'; 40_000]);
    phone.shutdown().await.unwrap();
    assert_eq!(bench.closed().await, flow.id);
}

#[tokio::test]
async fn a_handshake_has_its_time_and_junk_ends_it() {
    let authority = Authority::new();
    let mut settings = secure(Side::Agent, &authority.files("ours", false));
    settings.times.handshake = Duration::from_millis(500);
    let bench = Bench::with(settings).await;
    let mut mute = TcpStream::connect(bench.at()).await.unwrap();
    assert!(ended(&mut mute).await.is_empty());
    let mut junk = TcpStream::connect(bench.at()).await.unwrap();
    junk.write_all(&message(1)).await.unwrap();
    ended(&mut junk).await;
    until(|| bench.count(|net| &net.handshakes_failed) == 2).await;
}

#[tokio::test]
async fn who_must_show_a_certificate_is_not_let_in_without_one() {
    let (authority, foreign) = (Authority::new(), Authority::new());
    let mut bench = Bench::with(secure(Side::Agent, &authority.files("ours", true))).await;
    let shows = |authority: &Authority| Some(authority.signs("phone", "phone.example"));
    let nothing = authority.phone(bench.at(), None).await;
    assert!(!is_let_in(&mut bench, nothing).await);
    let strange = authority.phone(bench.at(), shows(&foreign)).await;
    assert!(!is_let_in(&mut bench, strange).await);
    let known = authority.phone(bench.at(), shows(&authority)).await;
    assert!(is_let_in(&mut bench, known).await);
}

#[tokio::test]
async fn a_mutual_trunk_is_checked_by_its_own_authority_and_others_are_not_asked() {
    let (authority, theirs) = (Authority::new(), Authority::new());
    let mut settings = secure(Side::Trunk, &authority.files("ours", false));
    let tls = TrunkTls { ca_file: Some(theirs.ca()), identity: None, mutual: true };
    settings.known.trunks = knowing(vec![trunk("127.0.0.0/8", tls)]).trunks;
    let mut bench = Bench::with(settings.clone()).await;
    let nothing = authority.phone(bench.at(), None).await;
    assert!(!is_let_in(&mut bench, nothing).await);
    let ours = authority.phone(bench.at(), Some(authority.signs("sbc", "sbc.example"))).await;
    assert!(!is_let_in(&mut bench, ours).await);
    let signed = authority.phone(bench.at(), Some(theirs.signs("sbc", "sbc.example"))).await;
    assert!(is_let_in(&mut bench, signed).await);
    settings.known.trunks = knowing(vec![trunk("127.0.0.0/8", TrunkTls::default())]).trunks;
    bench.net.apply(settings.known).await;
    let nothing = authority.phone(bench.at(), None).await;
    assert!(is_let_in(&mut bench, nothing).await);
}

#[tokio::test]
async fn a_renewed_certificate_serves_new_connections_and_old_ones_stay() {
    let old = Authority::new();
    let files = old.files("ours", false);
    let mut bench = Bench::with(secure(Side::Agent, &files)).await;
    let mut standing = old.phone(bench.at(), None).await.unwrap();
    assert!(!bench.net.0.tls.is_stale());
    let new = Authority::new();
    let renewed = new.signs("ours", "localhost");
    fs::copy(&renewed.0, &files.certificate).unwrap();
    assert!(bench.net.0.tls.is_stale());
    // Half way through: the key does not fit yet.
    bench.net.reload().await;
    assert!(!bench.net.0.tls.is_stale(), "not tried again before something changes");
    assert!(old.phone(bench.at(), None).await.is_ok(), "what was in force stays");
    assert!(new.phone(bench.at(), None).await.is_err());
    fs::copy(&renewed.1, &files.key).unwrap();
    assert!(bench.net.0.tls.is_stale());
    bench.net.reload().await;
    assert!(new.phone(bench.at(), None).await.is_ok());
    assert!(old.phone(bench.at(), None).await.is_err());
    standing.write_all(&message(1)).await.unwrap();
    while !matches!(bench.event().await, NetEvent::Packet { bytes, .. } if bytes == message(1)) {}
    fs::write(&files.key, "torn").unwrap();
    bench.net.reload().await;
    assert!(new.phone(bench.at(), None).await.is_ok());
}

fn to_trunk(name: &str) -> TrunkTarget {
    TrunkTarget { host: name.to_owned(), port: None, transport: Some(Transport::Tls), order: 0, weight: 1 }
}

fn calls(bench: &Bench, remote: SocketAddr, name: &str, trunk: &Trunk) -> Flow {
    let peer = Peer { remote, name, trunk: Some(trunk) };
    let flow = bench.net.flow_to(Side::Trunk, Transport::Tls, &peer).unwrap();
    bench.net.send_for_call(&flow, Bytes::from_static(b"invite"));
    flow
}

#[tokio::test]
async fn we_believe_a_carrier_of_its_authority_that_bears_its_name() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let remote = socket.local_addr().unwrap();
    let (certificate, key) = theirs.signs("us", "12345.example");
    let identity = Some((certificate.to_str().unwrap().to_owned(), key.to_str().unwrap().to_owned()));
    let mut calls_out = trunk("192.0.2.0/24", TrunkTls { ca_file: Some(theirs.ca()), identity, mutual: false });
    calls_out.to.push(to_trunk("sbc.example"));
    let mut settings = secure(Side::Trunk, &ours.files("ours", false));
    settings.known.trunks = vec![Arc::new(calls_out.clone())];
    let mut bench = Bench::with(settings).await;

    let flow = calls(&bench, remote, "sbc.example", &calls_out);
    let mut carrier = theirs.carrier(&socket, "sbc.example", true).await.unwrap();
    assert_eq!(read(&mut carrier, 6).await, b"invite");
    assert!(carrier.get_ref().1.peer_certificates().is_some(), "ours was shown");
    carrier.write_all(&message(1)).await.unwrap();
    assert_eq!(bench.packet().await.0, flow);

    let other = calls(&bench, remote, "other.example", &calls_out);
    let (carrier, closed) = tokio::join!(theirs.carrier(&socket, "sbc.example", false), bench.closed());
    assert_eq!(closed, other.id, "another name");
    assert!(carrier.is_err());

    let unknown = trunk("192.0.2.0/24", TrunkTls { ca_file: Some(ours.ca()), identity: None, mutual: false });
    let flow = calls(&bench, remote, "sbc.example", &unknown);
    let (carrier, closed) = tokio::join!(theirs.carrier(&socket, "sbc.example", false), bench.closed());
    assert_eq!(closed, flow.id, "another authority");
    assert!(carrier.is_err());
}

#[tokio::test]
async fn a_carrier_may_be_known_by_its_address_in_the_certificate() {
    let theirs = Authority::new();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let remote = socket.local_addr().unwrap();
    let by_address = trunk("192.0.2.0/24", TrunkTls { ca_file: Some(theirs.ca()), identity: None, mutual: false });
    let bench = Bench::with(secure(Side::Trunk, &theirs.files("ours", false))).await;
    calls(&bench, remote, "127.0.0.1", &by_address);
    let mut carrier = theirs.carrier(&socket, "127.0.0.1", false).await.unwrap();
    assert_eq!(read(&mut carrier, 6).await, b"invite");
}

#[tokio::test]
async fn what_is_wrong_with_a_file_is_said_at_the_start() {
    let authority = Authority::new();
    let good = authority.files("ours", false);
    let other = authority.files("other", false);
    let empty = authority.path("empty.pem");
    fs::write(&empty, "nothing\n").unwrap();
    let says =
        |files: TlsFiles| Net::bind(secure(Side::Agent, &files), CancellationToken::new()).err().unwrap().to_string();
    let missing = authority.path("missing.pem");
    for (files, file, reason) in [
        (TlsFiles { certificate: missing.clone(), ..good.clone() }, &missing, "No such file"),
        (TlsFiles { key: missing.clone(), ..good.clone() }, &missing, "No such file"),
        (TlsFiles { client_ca: Some(missing.clone()), ..good.clone() }, &missing, "No such file"),
        (TlsFiles { certificate: empty.clone(), ..good.clone() }, &empty, "no certificate in PEM form"),
        (TlsFiles { key: empty.clone(), ..good.clone() }, &empty, "no private key in PEM form"),
        (TlsFiles { key: other.key.clone(), ..good.clone() }, &other.key, "cannot be used together"),
    ] {
        let said = says(files);
        assert!(said.contains(file.to_str().unwrap()) && said.contains(reason), "{said}");
    }
}

#[tokio::test]
async fn a_generated_certificate_is_kept_and_its_key_is_for_us_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    let made = certificate::generated(&folder.0, &["192.0.2.1".parse().unwrap()]).unwrap();
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let (first, key) = (read(&made.certificate), read(&made.key));
    assert_eq!(fs::metadata(&made.key).unwrap().permissions().mode() & 0o777, 0o600);
    let again = certificate::generated(&folder.0, &[]).unwrap();
    assert_eq!((again.clone(), read(&again.certificate), read(&again.key)), (made, first.clone(), key));
    let shown = CertificateDer::from_pem_file(&again.certificate).unwrap();
    let bears = |name: &str| tls::bears(std::slice::from_ref(&shown), &tls::server_name(name).unwrap());
    assert!(bears("localhost") && bears("192.0.2.1") && !bears("192.0.2.2"));
    let bench = Bench::with(secure(Side::Agent, &again)).await;
    fs::copy(&again.certificate, folder.0.join("ca.pem")).unwrap();
    drop(bench);
    fs::write(&again.key, "torn").unwrap();
    certificate::generated(&folder.0, &[]).unwrap();
    assert_ne!(read(&again.certificate), first, "a torn one is replaced");
    Bench::with(secure(Side::Agent, &again)).await;
}
