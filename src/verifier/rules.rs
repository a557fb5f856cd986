//! What a token must be to count: checked without I/O, at an instant that is given.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::crypto::jose::trust::{self, TokenError, TrustedKey};
use crate::domain::audience::Resource;
use crate::domain::timestamp::Timestamp;

use super::claims::Verified;
use super::refused::{Cause, Challenge};

/// What is expected of every token alike.
pub(super) struct Rules {
    pub(super) issuer: String,
    /// At least one; a token for any of them counts.
    pub(super) audiences: Vec<Resource>,
    /// Whether `typ: JWT` counts beside `at+jwt`.
    pub(super) allow_jwt: bool,
    /// How far clocks may be apart.
    pub(super) leeway: Duration,
    pub(super) challenge: Arc<Challenge>,
}

impl Rules {
    /// Form, key, algorithm, signature, type, issuer, audience and times, in that order: nothing
    /// but a token that the issuer signed learns what else is wrong with it.
    pub(super) fn judge(
        &self,
        token: &str,
        keys: &[TrustedKey],
        now: Timestamp,
    ) -> Result<Verified, Cause> {
        let mut is_known = true;
        let find = |named: &str| {
            let found = keys.iter().find(|key| key.kid().as_str() == named);
            is_known = found.is_some();
            found
        };
        let signed = trust::signed::<Map<String, Value>>(token, find);
        let signed = signed.map_err(|error| match error {
            TokenError::Signature if is_known => Cause::Signature,
            TokenError::Signature => Cause::UnknownKey,
            _ => Cause::Malformed,
        })?;
        if !self.is_access_token(signed.typ.as_deref()) {
            return Err(Cause::Type);
        }
        if signed.claims.get("iss").and_then(Value::as_str) != Some(&self.issuer) {
            return Err(Cause::Issuer);
        }
        let verified = Verified::read(signed.claims, signed.kid, &self.challenge);
        let verified = verified.ok_or(Cause::Malformed)?;
        let for_us = |resource| verified.presented().aud.includes(resource);
        if !self.audiences.iter().any(for_us) {
            return Err(Cause::Audience);
        }
        self.in_force(&verified, now)?;
        Ok(verified)
    }

    /// Whether it has begun and not ended, give or take the leeway.
    pub(super) fn in_force(&self, verified: &Verified, now: Timestamp) -> Result<(), Cause> {
        if verified.expires_at().plus(self.leeway) <= now {
            return Err(Cause::Expired);
        }
        let latest = now.plus(self.leeway).unix();
        if verified.not_before().is_some_and(|nbf| nbf > latest) {
            return Err(Cause::NotYetValid);
        }
        Ok(())
    }

    pub(super) fn challenge(&self) -> &Arc<Challenge> {
        &self.challenge
    }

    /// RFC 9068 §4: `at+jwt`, with or without `application/`, whatever the case (RFC 7515 §4.1.9).
    fn is_access_token(&self, typ: Option<&str>) -> bool {
        let Some(typ) = typ else { return false };
        ["at+jwt", "application/at+jwt"]
            .iter()
            .any(|known| typ.eq_ignore_ascii_case(known))
            || (self.allow_jwt && typ.eq_ignore_ascii_case("JWT"))
    }
}
