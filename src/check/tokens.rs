//! Access tokens that services were shown: read, and remembered while their signature holds, so
//! that a repeated token costs a look-up and no second verification.

use std::fmt;
use std::sync::{Arc, Weak};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde::Deserialize;

use super::{Checker, Expected, Refusal};
use crate::credentials::Verified;
use crate::credentials::issuers::Identity;
use crate::crypto::jose::trust::{self, TokenError};
use crate::domain::claims::{MAX_TOKEN, PresentedClaims};
use crate::domain::issuer::{BaseUrl, Issuer};
use crate::domain::scope::ScopeSet;
use crate::domain::secret::KeyId;
use crate::domain::timestamp::Timestamp;

/// How many genuine tokens are remembered at most, and fewer of long ones. Nobody fills this room
/// without genuine tokens.
const CAPACITY: usize = 20_000;

/// How many bytes each is reckoned to have at least: what it says is held beside its text.
const LEAST: usize = 1024;

/// Tokens whose signature was found good.
///
/// By their text, not by a digest of it: to find a text in memory is many times as fast as to digest
/// it, and each is worth nothing within minutes.
pub struct Tokens {
    genuine: Cache<Box<str>, Genuine, Length>,
}

/// What a remembered token takes of the room.
#[derive(Clone)]
struct Length;

/// What a genuine token says.
#[derive(Debug)]
pub struct Token {
    /// Who issued it.
    pub issuer: Issuer,
    /// The key that it stands for.
    pub key: KeyId,
    /// All that it says.
    pub claims: PresentedClaims,
    /// Its scopes.
    pub scopes: ScopeSet,
}

/// A token before its signature is looked at.
struct Shown<'a> {
    text: &'a str,
    /// Whose it must be.
    issuer: Issuer,
    /// What was found of it before.
    known: Option<Genuine>,
}

#[derive(Clone)]
struct Genuine {
    /// By whose keys it was verified. When these are replaced, so is what was found out with them.
    by: Weak<Identity>,
    token: Arc<Token>,
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            genuine: Cache::with_weighter(CAPACITY, (CAPACITY * LEAST) as u64, Length),
        }
    }
}

impl Weighter<Box<str>, Genuine> for Length {
    fn weight(&self, text: &Box<str>, _: &Genuine) -> u64 {
        text.len().max(LEAST) as u64
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.genuine.len())
    }
}

impl Checker {
    /// What a token says, if it is genuine and in force at this moment: of this issuer, or, where
    /// none is named, of the one that it names itself.
    pub(super) async fn token(
        &self,
        text: &str,
        only: Option<&Issuer>,
    ) -> Result<Arc<Token>, Refusal> {
        let shown = self.read(text, only)?;
        let identity = self.issuers.of(&shown.issuer.signing_organization()).await;
        let identity = identity
            .map_err(Refusal::Issuer)?
            .ok_or(TokenError::Signature)?;
        Ok(self.genuine(shown, &identity, self.clock.now())?)
    }

    /// The same; `None` where memory does not tell by whose keys it must be signed.
    pub(super) fn token_at_once(
        &self,
        text: &str,
        only: Option<&Issuer>,
        now: Timestamp,
    ) -> Result<Option<Arc<Token>>, Refusal> {
        let shown = self.read(text, only)?;
        let identity = self.issuers.at_once(&shown.issuer.signing_organization());
        let genuine = identity.map(|identity| self.genuine(shown, &identity, now));
        Ok(genuine.transpose()?)
    }

    /// Requires that a genuine token is for where it was shown.
    pub(super) fn require_expected(
        &self,
        token: &Token,
        expected: Expected<'_>,
    ) -> Result<(), Refusal> {
        if !self.audiences.counts(&token.claims.aud, expected.audience) {
            return Err(Refusal::Token(TokenError::Audience));
        }
        match expected.organization {
            Some(one) if *one.as_str() != *token.claims.org => Err(Refusal::OtherOrganization),
            _ => Ok(()),
        }
    }

    fn read<'a>(&self, text: &'a str, only: Option<&Issuer>) -> Result<Shown<'a>, TokenError> {
        if text.len() > MAX_TOKEN {
            return Err(TokenError::Malformed);
        }
        let known = self.tokens.genuine.get(text);
        let issuer = match (&known, only) {
            (Some(known), _) => known.token.issuer.clone(),
            (None, Some(only)) => only.clone(),
            (None, None) => named_by(text, &self.base)?,
        };
        if only.is_some_and(|only| *only != issuer) {
            return Err(TokenError::Issuer);
        }
        Ok(Shown {
            text,
            issuer,
            known,
        })
    }

    fn genuine(
        &self,
        shown: Shown<'_>,
        identity: &Arc<Identity>,
        now: Timestamp,
    ) -> Result<Arc<Token>, TokenError> {
        if let Some(known) = shown.known
            && std::ptr::eq(known.by.as_ptr(), Arc::as_ptr(identity))
        {
            trust::require_in_force(&known.token.claims, now)?;
            return Ok(known.token);
        }
        let name = shown.issuer.name(&self.base);
        let claims = trust::verify_for_anybody(shown.text, &identity.trusted, &name, now)?;
        let token = Arc::new(Token::of(shown.issuer, claims)?);
        let genuine = Genuine {
            by: Arc::downgrade(identity),
            token: Arc::clone(&token),
        };
        self.tokens.genuine.insert(shown.text.into(), genuine);
        Ok(token)
    }
}

impl Token {
    /// Requires that the key which it stands for is of the organization which it names.
    pub(super) fn require_key_of_its_organization(
        &self,
        verified: &Verified,
    ) -> Result<(), TokenError> {
        if *verified.credential.key.organization.as_str() == *self.claims.org {
            Ok(())
        } else {
            Err(TokenError::Issuer)
        }
    }

    fn of(issuer: Issuer, claims: PresentedClaims) -> Result<Self, TokenError> {
        let scopes = match &*claims.scope {
            // Of a key whose roles hold nothing.
            "" => ScopeSet::default(),
            scope => ScopeSet::parse_parameter(scope).map_err(|_| TokenError::Malformed)?,
        };
        Ok(Self {
            issuer,
            key: claims
                .client_id
                .parse()
                .map_err(|_| TokenError::Malformed)?,
            scopes,
            claims,
        })
    }
}

/// Which issuer a token says that it is of. That only chooses the keys that it must be signed by.
fn named_by(text: &str, base: &BaseUrl) -> Result<Issuer, TokenError> {
    #[derive(Deserialize)]
    struct Names {
        iss: String,
    }
    let claims = text.split('.').nth(1).ok_or(TokenError::Malformed)?;
    let claims = URL_SAFE_NO_PAD.decode(claims);
    let claims = claims.map_err(|_| TokenError::Malformed)?;
    let names: Names = serde_json::from_slice(&claims).map_err(|_| TokenError::Malformed)?;
    Issuer::of_name(&names.iss, base).ok_or(TokenError::Issuer)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever holds one key can have as many tokens as it likes, and show them all.
    #[test]
    fn what_is_remembered_is_bounded_in_tokens_and_in_bytes() {
        let claims = serde_json::json!({
            "client_id": "key_01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "scope": "read", "aud": "https://api.example.com", "org": "acme",
            "iat": 1_800_000_000, "exp": 1_800_000_600, "jti": "x",
        });
        let claims = serde_json::from_value(claims).unwrap();
        let token = Arc::new(Token::of(Issuer::Deployment, claims).unwrap());
        for length in [100, MAX_TOKEN] {
            let tokens = Tokens::default();
            for n in 0..CAPACITY + CAPACITY / 2 {
                let genuine = Genuine {
                    by: Weak::new(),
                    token: Arc::clone(&token),
                };
                let text = format!("{n:0length$}");
                tokens.genuine.insert(text.into(), genuine);
            }
            let held = tokens.genuine.len();
            let most = (CAPACITY * LEAST / length).min(CAPACITY);
            assert!(held <= most && held > most / 2, "{held} of {most}");
        }
    }
}
