//! A validator of the simulation, and the tokens that it meets.

use std::collections::HashMap;
use std::time::Duration;

use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::Value;
use tenmint::domain::timestamp::Timestamp;

/// Goes on with a JWKS for so long. It never fetches one before that, also not when it meets a
/// `kid` that it does not know.
pub(super) struct Validator {
    cache: Duration,
    cached: Option<Cached>,
}

/// A JWKS as some validator has it.
struct Cached {
    fetched: Timestamp,
    keys: HashMap<String, Jwk>,
}

/// A token that validators meet again until it expires.
pub(super) struct Token {
    /// The index of whose it is.
    pub(super) tenant: usize,
    text: String,
    /// When the last of them knows that it expired.
    pub(super) expires: Timestamp,
}

impl Validator {
    pub(super) const fn new(cache: Duration) -> Self {
        Self {
            cache,
            cached: None,
        }
    }

    /// Whether it fetches the JWKS before it validates anything.
    pub(super) fn fetches(&self, now: Timestamp) -> bool {
        let fresh = |cached: &Cached| now < cached.fetched.plus(self.cache);
        !self.cached.as_ref().is_some_and(fresh)
    }

    pub(super) fn fetch(&mut self, now: Timestamp, set: JwkSet) {
        let named = set.keys.into_iter().map(|key| {
            let kid = key.common.key_id.clone().unwrap();
            (kid, key)
        });
        self.cached = Some(Cached {
            fetched: now,
            keys: named.collect(),
        });
    }

    /// Fetches anew next time.
    pub(super) fn forget(&mut self) {
        self.cached = None;
    }

    /// Validates a token, or says why it refuses it.
    pub(super) fn validate(&self, token: &Token, now: Timestamp) -> Result<(), String> {
        let cached = self.cached.as_ref().unwrap();
        let header = jsonwebtoken::decode_header(&token.text).unwrap();
        let kid = header.kid.unwrap();
        let Some(key) = cached.keys.get(&kid) else {
            let age = now.seconds_since(cached.fetched);
            return Err(format!("kid {kid} is not in a JWKS of {age} s ago"));
        };
        let mut validation = Validation::new(header.alg);
        validation.validate_exp = false;
        validation.validate_aud = false;
        let key = DecodingKey::from_jwk(key).unwrap();
        jsonwebtoken::decode::<Value>(&token.text, &key, &validation).unwrap();
        Ok(())
    }
}

impl Token {
    pub(super) const fn new(tenant: usize, text: String, expires: Timestamp) -> Self {
        Self {
            tenant,
            text,
            expires,
        }
    }

    /// Which key signed it.
    pub(super) fn kid(&self) -> String {
        let header = jsonwebtoken::decode_header(&self.text).unwrap();
        header.kid.unwrap()
    }
}
