//! Reading the few documents that an issuer publishes.

use std::pin::Pin;
use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use tokio::sync::oneshot;
use ureq::Agent;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

/// How documents are fetched. [`Https`] does; another can bring a client that the program has
/// already, with its proxies and its certificates.
pub trait Fetch: Send + Sync + 'static {
    /// The document at `url`. Redirects are not followed: keys come from where the issuer says,
    /// and from nowhere else. It must end by itself, within seconds.
    fn get(&self, url: &str) -> Fetching;

    /// The document at `url` if it is another than the one with this entity tag; otherwise
    /// [`FetchError::Status`] 304. The issuer may take its time, up to `patience`. Whoever does
    /// not do so fetches the document whole each time.
    fn newer(&self, url: &str, etag: Option<&str>, patience: Duration) -> Fetching {
        let _ = (etag, patience);
        self.get(url)
    }
}

/// A document under way.
pub type Fetching = Pin<Box<dyn Future<Output = Result<Document, FetchError>> + Send>>;

/// A document.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Document {
    /// What it says.
    pub body: Vec<u8>,
    /// How long it may be used, by `Cache-Control` (RFC 9111 §5.2.2.1).
    pub max_age: Option<Duration>,
    /// Its entity tag, as it was written (RFC 9110 §8.8.3).
    pub etag: Option<String>,
}

/// Why there is none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FetchError {
    /// Another status than 200.
    #[error("the answer is {0}")]
    Status(u16),
    /// No answer, or none that can be read.
    #[error("{0}")]
    Failed(String),
    /// An answer that is not the document that belongs there.
    #[error("{0}")]
    Wrong(&'static str),
}

/// Fetches over https, trusting the root certificates of the web.
#[derive(Clone, Debug)]
pub struct Https(Agent);

/// Whole fetches, from name to last byte.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Far above any JWKS, and a feed in which some hundred thousand keys are revoked.
const LARGEST: (u64, u64) = (256 * 1024, 16 * 1024 * 1024);

impl Https {
    /// Ready to fetch.
    #[must_use]
    pub fn new() -> Self {
        Self::trusting(RootCerts::WebPki)
    }

    /// Ready to fetch from an issuer whose certificate a private authority signed: trusts the
    /// certificates in this PEM text, and none besides.
    ///
    /// # Errors
    /// [`FetchError::Wrong`] when it holds no certificate, or something that is none.
    pub fn trusting_only(pem: &[u8]) -> Result<Self, FetchError> {
        let read = |item| match item {
            Ok(PemItem::Certificate(certificate)) => Ok(certificate),
            _ => Err(FetchError::Wrong(
                "the PEM text holds something else than certificates",
            )),
        };
        let certificates = parse_pem(pem).map(read).collect::<Result<Vec<_>, _>>()?;
        if certificates.is_empty() {
            return Err(FetchError::Wrong("the PEM text holds no certificate"));
        }
        Ok(Self::trusting(RootCerts::new_with_certs(&certificates)))
    }

    fn trusting(roots: RootCerts) -> Self {
        let config = Agent::config_builder()
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .timeout_global(Some(TIMEOUT))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent(concat!("tenmint-verifier/", env!("CARGO_PKG_VERSION")));
        Self(config.build().new_agent())
    }
}

impl Default for Https {
    fn default() -> Self {
        Self::new()
    }
}

impl Fetch for Https {
    fn get(&self, url: &str) -> Fetching {
        self.start(Asked {
            url: url.to_owned(),
            etag: None,
            accept: "application/json",
            patience: TIMEOUT,
            largest: LARGEST.0,
        })
    }

    fn newer(&self, url: &str, etag: Option<&str>, patience: Duration) -> Fetching {
        self.start(Asked {
            url: url.to_owned(),
            etag: etag.map(str::to_owned),
            accept: "application/jwt",
            patience,
            largest: LARGEST.1,
        })
    }
}

/// What is asked for.
struct Asked {
    url: String,
    etag: Option<String>,
    accept: &'static str,
    patience: Duration,
    largest: u64,
}

impl Https {
    /// On a thread of its own, one at a time for each verifier and what it follows: a runtime that
    /// shuts down does not wait for it, as it would for a blocking task.
    fn start(&self, asked: Asked) -> Fetching {
        let agent = self.0.clone();
        let (tell, told) = oneshot::channel();
        let thread = std::thread::Builder::new().name("tenmint-fetch".to_owned());
        let spawned = thread.spawn(move || {
            let _ = tell.send(fetch(&agent, &asked));
        });
        Box::pin(async move {
            spawned.map_err(|why| FetchError::Failed(why.to_string()))?;
            let lost = |_| FetchError::Failed("the fetch broke off".to_owned());
            told.await.map_err(lost)?
        })
    }
}

fn fetch(agent: &Agent, asked: &Asked) -> Result<Document, FetchError> {
    let failed = |why: ureq::Error| FetchError::Failed(why.to_string());
    // Whoever asks again wants to know what is true now, not what a cache on the way remembers.
    let mut request = agent
        .get(&asked.url)
        .header(header::ACCEPT, asked.accept)
        .header(header::CACHE_CONTROL, "no-cache");
    if let Some(etag) = &asked.etag {
        request = request.header(header::IF_NONE_MATCH, etag);
    }
    let request = request.config().timeout_global(Some(asked.patience));
    let mut answer = request.build().call().map_err(failed)?;
    if answer.status() != StatusCode::OK {
        return Err(FetchError::Status(answer.status().as_u16()));
    }
    let max_age = max_age(answer.headers());
    let etag = answer.headers().get(header::ETAG);
    let etag = etag.and_then(|etag| etag.to_str().ok()).map(str::to_owned);
    let body = answer.body_mut().with_config().limit(asked.largest);
    let body = body.read_to_vec().map_err(failed)?;
    Ok(Document {
        body,
        max_age,
        etag,
    })
}

fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let lines = headers.get_all(header::CACHE_CONTROL).iter();
    let directives = lines.filter_map(|line| line.to_str().ok());
    let mut directives = directives.flat_map(|line| line.split(',').map(str::trim));
    directives.find_map(|directive| {
        if ["no-store", "no-cache"]
            .iter()
            .any(|never| directive.eq_ignore_ascii_case(never))
        {
            return Some(Duration::ZERO);
        }
        let (name, seconds) = directive.split_once('=')?;
        let seconds = seconds.trim_matches('"').parse().ok()?;
        name.eq_ignore_ascii_case("max-age")
            .then(|| Duration::from_secs(seconds))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_authority_is_certificates_and_nothing_else() {
        let pem = |kind: &str| format!("-----BEGIN {kind}-----\nMAA=\n-----END {kind}-----\n");
        let (certificate, key) = (pem("CERTIFICATE"), pem("PRIVATE KEY"));
        assert!(Https::trusting_only(certificate.as_bytes()).is_ok());
        for text in ["", "nonsense", &key, &format!("{certificate}{key}")] {
            assert!(Https::trusting_only(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn max_age_is_found_among_other_directives() {
        for (line, expected) in [
            ("public, max-age=300", Some(300)),
            ("Max-Age=\"60\"", Some(60)),
            ("no-store", Some(0)),
            ("s-maxage=9", None),
            ("max-age=soon", None),
            ("max-age=-1", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CACHE_CONTROL, line.parse().unwrap());
            assert_eq!(max_age(&headers).map(|age| age.as_secs()), expected);
        }
    }
}
