//! Fingerprints: how a key is recognised by people without its secret, and a document by caches.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;

use super::hex;
use crate::domain::secret::ApiKeySecret;

/// `sha256:` and the first 16 hex digits of the SHA-256 of the whole API key. Anyone who
/// holds the key can compute it; 256 random bits cannot be found from it.
#[must_use]
pub fn of(secret: &ApiKeySecret) -> String {
    let digest = digest::digest(&digest::SHA256, secret.expose().as_bytes());
    format!("sha256:{}", hex(&digest.as_ref()[..8]))
}

/// The first 96 bits of the SHA-256 of a public document, as base64url.
#[must_use]
pub fn of_document(document: &str) -> String {
    let digest = digest::digest(&digest::SHA256, document.as_bytes());
    URL_SAFE_NO_PAD.encode(&digest.as_ref()[..12])
}
