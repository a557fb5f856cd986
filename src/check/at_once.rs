//! What memory tells at once of a credential that a service was shown: almost always enough.

use super::{Checker, Expected, Holder, Presented, Refusal, Refused};
use crate::domain::timestamp::Timestamp;

impl Checker {
    /// As [`Self::holder`]; `None` where memory does not tell. Nothing is waited for: a revocation that
    /// was answered before this was asked cannot be missed.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn holder_at_once(
        &self,
        presented: &Presented<'_>,
        expected: Expected<'_>,
    ) -> Result<Option<Holder>, Refused> {
        let now = self.clock.now();
        match presented {
            Presented::Key(secret) => {
                let known = self.credentials.authenticate_at_once(secret, now);
                let known = known.map_err(|why| Refused::not_proven(Some(secret.id()), why))?;
                known.map(|verified| expected.key(verified)).transpose()
            }
            Presented::Foreign(_) => Ok(None),
            Presented::Token(text) => Ok(self.holder_of_token_at_once(text, expected, now)?),
        }
    }

    fn holder_of_token_at_once(
        &self,
        text: &str,
        expected: Expected<'_>,
        now: Timestamp,
    ) -> Result<Option<Holder>, Refusal> {
        let Some(token) = self.token_at_once(text, expected.issuer, now)? else {
            return Ok(None);
        };
        self.require_expected(&token, expected)?;
        let known = self.credentials.of_token_at_once(token.key, now);
        let Some(verified) = known.map_err(Refusal::KeyOfToken)? else {
            return Ok(None);
        };
        token.require_key_of_its_organization(&verified)?;
        let denials = &self.credentials.denials;
        match denials.is_denied_at_once(&token.claims.jti, now) {
            None => Ok(None),
            Some(true) => Err(Refusal::TokenDenied),
            Some(false) => Ok(Some(Holder {
                verified,
                token: Some(token),
            })),
        }
    }
}
