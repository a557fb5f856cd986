//! A certificate authority of a test's own, and clients that believe it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use time::{Duration, OffsetDateTime};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::process::Process;
use super::server::Place;

/// Signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate, in PEM.
    pub pem: String,
}

/// A certificate and its key, in PEM.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

/// Where a server finds its pair, and a client the authority.
pub struct Files {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub authority: PathBuf,
}

/// A connection over TLS that speaks HTTP/1.1.
pub struct Channel(pub TlsStream<TcpStream>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    /// For this machine, from an hour ago, for so many days.
    pub fn issue(&self, days: i64) -> Pair {
        self.issue_for("127.0.0.1", Duration::hours(-1), days)
    }

    /// For a host, from a time that is so far from now, for so many days from now on.
    pub fn issue_for(&self, host: &str, begins: Duration, days: i64) -> Pair {
        let now = tenmint::clock::Clock::system().now().unix();
        let now = OffsetDateTime::from_unix_timestamp(now).unwrap();
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        params.not_before = now + begins;
        params.not_after = now + Duration::days(days);
        let key = KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        Pair {
            certificate: signed.pem(),
            key: key.serialize_pem(),
        }
    }

    /// A client that believes this authority, offers these protocols, and speaks these versions.
    pub fn client(
        &self,
        alpn: &[&str],
        versions: &[&'static SupportedProtocolVersion],
    ) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        let own = CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap();
        roots.add(own).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }

    /// A connection to a server at this address, as most clients make it.
    pub async fn connect(&self, address: &str) -> Channel {
        let client = self.client(&["http/1.1"], rustls::ALL_VERSIONS);
        Channel(shake_hands(&client, address).await.unwrap())
    }
}

/// A handshake with the server at this address.
pub async fn shake_hands(
    client: &TlsConnector,
    address: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let host = address.rsplit_once(':').unwrap().0.to_owned();
    client
        .connect(ServerName::try_from(host).unwrap(), stream)
        .await
}

impl Files {
    /// In a folder, with this pair.
    pub fn new(folder: &Path, authority: &Authority, pair: &Pair) -> Self {
        let files = Self {
            certificate: folder.join("tls.crt"),
            key: folder.join("tls.key"),
            authority: folder.join("ca.crt"),
        };
        fs::write(&files.authority, &authority.pem).unwrap();
        files.hold(pair);
        files
    }

    /// Puts another pair there.
    pub fn hold(&self, pair: &Pair) {
        fs::write(&self.certificate, &pair.certificate).unwrap();
        write_key(&self.key, &pair.key);
    }

    /// A server at a place that presents what is here, and its address.
    pub fn serve(&self, place: &Place, environment: &[(&str, &str)]) -> (Process, String) {
        let mut environment = environment.to_vec();
        environment.push(("TENMINT_TLS_CERT_FILE", self.certificate.to_str().unwrap()));
        environment.push(("TENMINT_TLS_KEY_FILE", self.key.to_str().unwrap()));
        let process = Process::serve(place, &["serve"], &environment);
        let address = process.base.strip_prefix("https://").unwrap().to_owned();
        (process, address)
    }
}

/// Writes a key that its owner alone can read.
pub fn write_key(path: &Path, pem: &str) {
    fs::write(path, pem).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

impl Channel {
    /// What comes back for a path, whole.
    pub async fn get(&mut self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
        self.0.write_all(request.as_bytes()).await.unwrap();
        read_answer(&mut self.0).await
    }

    /// The certificate that the server presented.
    pub fn presented(&self) -> CertificateDer<'static> {
        let (_, connection) = self.0.get_ref();
        connection.peer_certificates().unwrap()[0]
            .clone()
            .into_owned()
    }
}

/// One answer with its `content-length`, or what there was when the connection ended.
pub async fn read_answer(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let (mut text, mut buffer) = (String::new(), [0; 4096]);
    while !is_complete(&text) {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(count) => text.push_str(str::from_utf8(&buffer[..count]).unwrap()),
        }
    }
    text
}

fn is_complete(answer: &str) -> bool {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    body.len() >= length
}
