//! The revocation feed as a format: what a feed says, and which tokens that voids.
//!
//! Mint and verifier read and write it here, so that they cannot differ.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Map, Value};

/// The `typ` of feeds (RFC 8725 §3.11): nothing else that tenmint signs has it.
pub const TYP: &str = "revocations+jwt";

/// How a feed calls an API key, an organization, a signing key or a token: by the first half of
/// the SHA-256 of its name, in base64url. Whoever holds a token finds it; whoever reads the feed
/// learns no names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Alias(String);

/// What a feed says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FeedClaims {
    /// Whose tokens it is about.
    pub iss: String,
    /// When it was made, Unix seconds.
    pub iat: i64,
    /// From when on it says nothing any more, Unix seconds.
    pub exp: i64,
    /// Rises from feed to feed: Unix milliseconds of what it is made from.
    pub seq: i64,
    /// What is void.
    #[serde(deserialize_with = "object")]
    pub revoked: Revoked,
}

/// What is void: by alias the instant, in Unix seconds, before which tokens must have been issued
/// to be void.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Revoked {
    /// API keys, by `client_id`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub keys: BTreeMap<Alias, i64>,
    /// Organizations, by `org`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub organizations: BTreeMap<Alias, i64>,
    /// Signing keys, by `kid`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub signing_keys: BTreeMap<Alias, i64>,
    /// Single tokens, by `jti`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tokens: BTreeMap<Alias, i64>,
}

/// What of a token a feed can name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Aliases {
    /// Of its `client_id`.
    pub key: Alias,
    /// Of its `org`.
    pub organization: Alias,
    /// Of the `kid` that signed it.
    pub signing_key: Alias,
    /// Of its `jti`.
    pub token: Alias,
}

impl Alias {
    /// Of whatever has this name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let digest = digest(&SHA256, name.as_bytes());
        Self(URL_SAFE_NO_PAD.encode(&digest.as_ref()[..16]))
    }

    /// As a feed writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Aliases {
    /// Of a token with these claims, that this key signed.
    #[must_use]
    pub fn of(client_id: &str, org: &str, kid: &str, jti: &str) -> Self {
        Self {
            key: Alias::of(client_id),
            organization: Alias::of(org),
            signing_key: Alias::of(kid),
            token: Alias::of(jti),
        }
    }
}

impl Revoked {
    /// Whether nothing is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
            && self.organizations.is_empty()
            && self.signing_keys.is_empty()
            && self.tokens.is_empty()
    }

    /// Whether it voids a token that was issued at this `iat`.
    #[must_use]
    pub fn voids(&self, token: &Aliases, iat: i64) -> bool {
        let before = |list: &BTreeMap<Alias, i64>, alias: &Alias| {
            list.get(alias).is_some_and(|before| iat < *before)
        };
        before(&self.keys, &token.key)
            || before(&self.organizations, &token.organization)
            || before(&self.signing_keys, &token.signing_key)
            || before(&self.tokens, &token.token)
    }

    /// What is void by either.
    pub fn add(&mut self, other: &Self) {
        for (list, more) in [
            (&mut self.keys, &other.keys),
            (&mut self.organizations, &other.organizations),
            (&mut self.signing_keys, &other.signing_keys),
            (&mut self.tokens, &other.tokens),
        ] {
            for (alias, before) in more {
                note(list, alias.clone(), *before);
            }
        }
    }
}

/// An object and nothing else: serde would take an empty list for one in which nothing is.
fn object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Revoked, D::Error> {
    let members = Map::<String, Value>::deserialize(deserializer)?;
    Revoked::deserialize(Value::Object(members)).map_err(de::Error::custom)
}

/// Notes an instant; of two that speak of the same, the one that voids more stays.
pub fn note(list: &mut BTreeMap<Alias, i64>, alias: Alias, before: i64) {
    let latest = list.entry(alias).or_insert(before);
    *latest = before.max(*latest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_is_the_first_half_of_a_sha_256() {
        // printf acme | openssl dgst -sha256 -binary | head -c 16 | base64 | tr '+/' '-_' | tr -d =
        assert_eq!(Alias::of("acme").as_str(), "giszrYfBSKCiClunzV68qg");
    }

    #[test]
    fn each_kind_is_looked_up_among_its_own() {
        let token = Aliases::of("a", "b", "c", "d");
        for name in ["a", "b", "c", "d"] {
            for kind in 0..4 {
                let mut revoked = Revoked::default();
                let list = match kind {
                    0 => &mut revoked.keys,
                    1 => &mut revoked.organizations,
                    2 => &mut revoked.signing_keys,
                    _ => &mut revoked.tokens,
                };
                note(list, Alias::of(name), 10);
                note(list, Alias::of(name), 5);
                let is_of_kind = ["a", "b", "c", "d"][kind] == name;
                assert_eq!(revoked.voids(&token, 9), is_of_kind, "{name} {kind}");
                assert!(!revoked.voids(&token, 10));
            }
        }
    }
}
