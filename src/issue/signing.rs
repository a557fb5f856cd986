//! Putting a token together and signing it, once everything is decided.

use std::sync::Arc;
use std::time::Duration;

use super::{Mint, Refusal};
use crate::credentials::Verified;
use crate::credentials::issuers::Identity;
use crate::crypto::random;
use crate::domain::audience::Audience;
use crate::domain::claims::{Claims, MAX_TOKEN};
use crate::domain::issuer::Issuer;
use crate::domain::policy::Effective;
use crate::domain::timestamp::Timestamp;

/// A token, and what of it whoever keeps it must know.
#[derive(Debug)]
pub struct Signed {
    /// In compact form.
    pub token: String,
    /// Its `jti`.
    pub jti: String,
    /// From when on it counts.
    pub begins: Timestamp,
    /// The instant from which it does not.
    pub ends: Timestamp,
}

impl Mint {
    /// Signs a token of a key that is in force. Whether it still stands when it is signed is for
    /// the caller to see.
    ///
    /// # Errors
    /// [`Refusal::Client`] if its end has come, [`Refusal::TokenTooLong`].
    pub fn sign(
        &self,
        identity: &Identity,
        verified: &Verified,
        issuer: &Issuer,
        audience: &Audience,
        scope: &str,
    ) -> Result<Signed, Refusal> {
        let credential = &*verified.credential;
        let key = &credential.key;
        let now = self.clock.now();
        // A first use may have waited for its turn, and the key's end came meanwhile.
        verified.require_in_force(now).map_err(Refusal::Client)?;
        let policy = credential.policy.as_deref();
        let life = policy.map_or(self.lifetime, |policy: &Effective| {
            policy.token_lifetime(self.lifetime)
        });
        let ends = now.plus(life);
        let ends = key.expires_at.map_or(ends, |key_end| ends.min(key_end));
        let jti = random::token_id();
        let id = key.id.text();
        // Resource servers take a token of the second in which its key was narrowed, or by the
        // clock of a node that is ahead, for one from before: see `docs/revocation-feed.md`.
        let after_narrowing = |at: Timestamp| at.plus(Duration::from_secs(1));
        let issued_at = key
            .narrowed_at
            .map_or(now, |at| now.max(after_narrowing(at)));
        let token = identity.signer.sign(&Claims {
            iss: &issuer.name(&self.base),
            sub: id.as_str(),
            client_id: id.as_str(),
            aud: audience,
            iat: issued_at,
            nbf: now,
            exp: ends,
            jti: &jti,
            scope,
            org: &key.organization,
            allowed_ip_cidrs: credential.networks_claim.as_deref(),
        });
        if token.len() > MAX_TOKEN {
            return Err(Refusal::TokenTooLong);
        }
        Ok(Signed {
            token,
            jti,
            begins: now,
            ends,
        })
    }

    /// Who signs for an issuer.
    ///
    /// # Errors
    /// [`Refusal::NoSigningKey`] or [`Refusal::Signing`].
    pub async fn identity(&self, issuer: &Issuer) -> Result<Arc<Identity>, Refusal> {
        self.issuers
            .of(&issuer.signing_organization())
            .await
            .map_err(Refusal::Signing)?
            .ok_or(Refusal::NoSigningKey)
    }
}
