//! A certificate and its key, as two files hold them.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use rustls::crypto::{CryptoProvider, ring as provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{Error, InconsistentKeys, ServerConfig};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use zeroize::Zeroizing;

use crate::domain::timestamp::Timestamp;
use crate::settings::TlsFiles;

/// Longest file read, in bytes: some certificates with all that signed them.
const MAX_FILE: u64 = 1024 * 1024;

/// A certificate, its key, and what a server speaks by them.
pub struct Pair {
    /// For new connections.
    pub(super) config: Arc<ServerConfig>,
    /// The certificate of the server itself.
    certificate: CertificateDer<'static>,
    /// From when on clients accept it, Unix seconds.
    begins: i64,
    /// Until when clients accept it, Unix seconds.
    ends: i64,
    /// Of the bytes of both files.
    contents: Contents,
}

/// What two files held, to be compared.
pub(super) type Contents = [u8; 32];

/// Why two files are no certificate and key. Nothing of what they hold is repeated.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// A file cannot be read.
    #[error("{} cannot be read: {why}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// A file is far too long for what it should be.
    #[error("{} is longer than 1 MiB, and so is neither a certificate nor a key", .0.display())]
    TooLong(PathBuf),
    /// A file is damaged.
    #[error("{} is damaged, or is not PEM (text with lines such as -----BEGIN CERTIFICATE-----)", .0.display())]
    NotPem(PathBuf),
    /// There is no certificate.
    #[error(
        "{} holds no certificate in PEM: put the server's own there, then those that signed it",
        .0.display()
    )]
    NoCertificate(PathBuf),
    /// There is no key.
    #[error("{} holds no private key in PEM", .0.display())]
    NoKey(PathBuf),
    /// The key wants a passphrase.
    #[error(
        "the key in {} is encrypted, and nobody is there to type the passphrase: decrypt it by \
         `openssl pkey -in … -out …` into a file of mode 0600",
        .0.display()
    )]
    EncryptedKey(PathBuf),
    /// The key is of no use here.
    #[error(
        "the key in {} cannot be used: take ECDSA on P-256 or P-384, Ed25519, or RSA of 2048 to \
         4096 bits",
        .0.display()
    )]
    UnusableKey(PathBuf),
    /// The certificate is of no use.
    #[error("the certificate in {} cannot be used: {why}", path.display())]
    UnusableCertificate {
        /// Where.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// They do not belong together.
    #[error(
        "the key in {} does not belong to the first certificate in {}: the server's own certificate \
         comes first, then those that signed it",
        key.display(),
        certificate.display()
    )]
    Mismatch {
        /// The certificates.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// Clients do not accept it yet.
    #[error("the certificate in {} begins only at {begins}", path.display())]
    NotYet {
        /// Where.
        path: PathBuf,
        /// When.
        begins: Timestamp,
    },
    /// Clients accept it no longer.
    #[error("the certificate in {} ended at {ended}", path.display())]
    Ended {
        /// Where.
        path: PathBuf,
        /// When.
        ended: Timestamp,
    },
}

impl Pair {
    /// Reads both files. Blocks.
    ///
    /// # Errors
    /// See [`PairError`]; whether the certificate is in force is not looked at.
    pub fn read(files: &TlsFiles) -> Result<Self, PairError> {
        let (certificates, key) = contents_of(files)?;
        Self::parse(files, &certificates, &key)
    }

    /// The same, unless both hold what they held.
    pub(super) fn read_other(
        files: &TlsFiles,
        than: Option<Contents>,
    ) -> Result<Option<Self>, (Option<Contents>, PairError)> {
        let (certificates, key) = contents_of(files).map_err(|why| (None, why))?;
        let contents = together(&certificates, &key);
        if Some(contents) == than {
            return Ok(None);
        }
        match Self::parse(files, &certificates, &key) {
            Ok(pair) => Ok(Some(pair)),
            Err(why) => Err((Some(contents), why)),
        }
    }

    /// Whether clients accept the certificate at `now`.
    ///
    /// # Errors
    /// When they do not, or not yet.
    pub fn in_force(&self, files: &TlsFiles, now: Timestamp) -> Result<(), PairError> {
        let path = files.certificate.clone();
        let at = |unix: i64| Timestamp::from_unix(unix.max(0)).unwrap_or(Timestamp::MAX);
        if now.unix() < self.begins {
            let begins = at(self.begins);
            return Err(PairError::NotYet { path, begins });
        }
        if now.unix() >= self.ends {
            let ended = at(self.ends);
            return Err(PairError::Ended { path, ended });
        }
        Ok(())
    }

    /// When clients stop accepting the certificate, in Unix seconds.
    #[must_use]
    pub const fn ends(&self) -> i64 {
        self.ends
    }

    /// For how many seconds clients accept the certificate from its begin to its end.
    #[must_use]
    pub const fn lifetime(&self) -> i64 {
        self.ends - self.begins
    }

    /// Whether the certificate is for a host, by name or by address.
    #[must_use]
    pub fn is_for(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let (Ok(name), Ok(certificate)) = (
            ServerName::try_from(host),
            ParsedCertificate::try_from(&self.certificate),
        ) else {
            return false;
        };
        rustls::client::verify_server_name(&certificate, &name).is_ok()
    }

    pub(super) const fn contents(&self) -> Contents {
        self.contents
    }

    fn parse(files: &TlsFiles, certificates: &[u8], key: &[u8]) -> Result<Self, PairError> {
        let contents = together(certificates, key);
        let chain = chain(&files.certificate, certificates)?;
        let private = private_key(&files.key, key)?;
        let Some(certificate) = chain.first().cloned() else {
            return Err(PairError::NoCertificate(files.certificate.clone()));
        };
        let (begins, ends) = validity(&files.certificate, &certificate)?;
        let provider = Arc::new(provider::default_provider());
        let certified = CertifiedKey::from_der(chain, private, &provider);
        let certified = certified.map_err(|why| match why {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => PairError::Mismatch {
                certificate: files.certificate.clone(),
                key: files.key.clone(),
            },
            Error::InvalidCertificate(why) => unusable(&files.certificate, &why),
            _ => PairError::UnusableKey(files.key.clone()),
        })?;
        Ok(Self {
            config: Arc::new(config(provider, certified)),
            certificate,
            begins,
            ends,
            contents,
        })
    }
}

/// What is spoken: TLS 1.3 and 1.2 with forward secrecy alone, HTTP/2 and HTTP/1.1.
fn config(provider: Arc<CryptoProvider>, certified: CertifiedKey) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .expect("ring has suites for both")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Who comes again resumes without a signature, and nothing is kept here for it. Each pair has
    // ticket keys of its own: whoever resumes has seen the certificate that is presented now.
    // Nothing comes as early data, which could be replayed.
    if let Ok(tickets) = provider::Ticketer::new() {
        config.ticketer = tickets;
    }
    config
}

/// All certificates of a file, the server's own first.
fn chain(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, PairError> {
    CertificateDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(|_| PairError::NotPem(path.to_owned()))
}

fn private_key(path: &Path, text: &[u8]) -> Result<PrivateKeyDer<'static>, PairError> {
    // PKCS#8 says so in its label, OpenSSL's old form in a header.
    let says = |what: &[u8]| text.windows(what.len()).any(|window| window == what);
    if says(b"BEGIN ENCRYPTED PRIVATE KEY") || says(b"Proc-Type: 4,ENCRYPTED") {
        return Err(PairError::EncryptedKey(path.to_owned()));
    }
    match PrivateKeyDer::pem_slice_iter(text).next() {
        Some(Ok(key)) => Ok(key),
        Some(Err(_)) => Err(PairError::NotPem(path.to_owned())),
        None => Err(PairError::NoKey(path.to_owned())),
    }
}

/// From when until when clients accept a certificate, in Unix seconds.
fn validity(path: &Path, certificate: &CertificateDer<'_>) -> Result<(i64, i64), PairError> {
    let parsed = Certificate::from_der(certificate).map_err(|why| unusable(path, &why.kind()))?;
    let unix = |time: x509_cert::time::Time| {
        i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX)
    };
    let validity = parsed.tbs_certificate.validity;
    Ok((unix(validity.not_before), unix(validity.not_after)))
}

fn unusable(path: &Path, why: &impl std::fmt::Display) -> PairError {
    PairError::UnusableCertificate {
        path: path.to_owned(),
        why: why.to_string(),
    }
}

/// The bytes of the certificate's file, and of the key's.
type Both = (Vec<u8>, Zeroizing<Vec<u8>>);

fn contents_of(files: &TlsFiles) -> Result<Both, PairError> {
    let certificates = bytes_of(&files.certificate)?;
    let key = bytes_of(&files.key).map(Zeroizing::new)?;
    Ok((certificates, key))
}

fn bytes_of(path: &Path) -> Result<Vec<u8>, PairError> {
    let unreadable = |why| PairError::Unreadable {
        path: path.to_owned(),
        why,
    };
    let file = File::open(path).map_err(unreadable)?;
    // A buffer that grows would leave copies of a key behind.
    let length = file.metadata().map_err(unreadable)?.len().min(MAX_FILE);
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 1);
    let mut bounded = file.take(MAX_FILE + 1);
    bounded.read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(PairError::TooLong(path.to_owned()));
    }
    Ok(bytes)
}

fn together(certificates: &[u8], key: &[u8]) -> Contents {
    let mut of_both = [0; 64];
    of_both[..32].copy_from_slice(digest(&SHA256, certificates).as_ref());
    of_both[32..].copy_from_slice(digest(&SHA256, key).as_ref());
    let digest = digest(&SHA256, &of_both);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}
