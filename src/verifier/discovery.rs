//! Where an issuer's keys are: by its metadata (RFC 8414), or as it is told.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use url::Url;

use crate::crypto::jose::trust::TrustedKey;
use crate::domain::issuer::{BaseUrl, is_confidential};

use super::fetch::{Document, Fetch, FetchError};
use super::jwks;

/// Where keys come from.
pub(super) struct Source {
    issuer: BaseUrl,
    fetch: Arc<dyn Fetch>,
    /// The JWKS, once it is known where it is. What was told stays; what was found is looked for
    /// anew when it fails.
    found: Mutex<Option<String>>,
    is_told: bool,
}

/// The issuer's keys as they were published.
pub(super) struct Published {
    pub(super) keys: Vec<TrustedKey>,
    /// The document, for comparison with the one before.
    pub(super) text: Vec<u8>,
    pub(super) max_age: Option<std::time::Duration>,
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

impl Source {
    pub(super) fn new(issuer: BaseUrl, jwks: Option<Url>, fetch: Arc<dyn Fetch>) -> Self {
        Self {
            issuer,
            fetch,
            is_told: jwks.is_some(),
            found: Mutex::new(jwks.map(String::from)),
        }
    }

    /// Fetches the keys, and first the metadata if need be.
    pub(super) async fn fetch(&self) -> Result<Published, FetchError> {
        let known = self.found().clone();
        let url = match known {
            Some(url) => url,
            None => self.discover().await?,
        };
        let published = self.fetch.get(&url).await.and_then(read);
        if !self.is_told {
            *self.found() = published.is_ok().then_some(url);
        }
        published
    }

    async fn discover(&self) -> Result<String, FetchError> {
        let (base, path) = (self.issuer.as_str(), self.issuer.path());
        let origin = base.strip_suffix(path).unwrap_or(base);
        // RFC 8414 §3.1: before the path. A proxy that has only the issuer's path to give away
        // passes on what OpenID Connect Discovery 1.0 §4 puts behind it.
        let first = format!("{origin}/.well-known/oauth-authorization-server{path}");
        let second = format!("{base}/.well-known/openid-configuration");
        let document = match self.fetch.get(&first).await {
            Err(FetchError::Status(_)) => self.fetch.get(&second).await,
            other => other,
        };
        self.jwks_uri(&document?)
    }

    fn jwks_uri(&self, document: &Document) -> Result<String, FetchError> {
        let wrong = FetchError::Wrong("the issuer's metadata cannot be read");
        let metadata: Metadata = serde_json::from_slice(&document.body).map_err(|_| wrong)?;
        // RFC 8414 §3.3, to the byte: or one issuer's document could speak for another.
        if metadata.issuer != self.issuer.as_str() {
            return Err(FetchError::Wrong("the metadata are of another issuer"));
        }
        match Url::parse(&metadata.jwks_uri) {
            Ok(url) if is_confidential(&url) => Ok(metadata.jwks_uri),
            _ => Err(FetchError::Wrong("the metadata's jwks_uri is not https")),
        }
    }

    fn found(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(document: Document) -> Result<Published, FetchError> {
    let keys = jwks::read(&document.body).ok_or(FetchError::Wrong("the JWKS cannot be read"))?;
    // An empty set would lock everybody out. An issuer that means it says 404.
    if keys.is_empty() {
        return Err(FetchError::Wrong("the JWKS has no key to verify with"));
    }
    Ok(Published {
        keys,
        text: document.body,
        max_age: document.max_age,
    })
}
