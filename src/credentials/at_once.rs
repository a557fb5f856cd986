//! What memory tells at once of a secret, or of a key that a token names: almost always enough. What
//! it does not tell is found out elsewhere, and waited for.

use super::look_up::Cached;
use super::{Credentials, Denied, Rejected, Verified};
use crate::crypto::key_mint::Likeness;
use crate::domain::secret::{ApiKeySecret, KeyId};
use crate::domain::timestamp::Timestamp;

impl Credentials {
    /// As [`Self::authenticate`]; `None` where memory does not tell.
    ///
    /// # Errors
    /// See [`Denied`].
    pub fn authenticate_at_once(
        &self,
        secret: &ApiKeySecret,
        now: Timestamp,
    ) -> Result<Option<Verified>, Rejected> {
        match self.identify_at_once(secret, now)? {
            Some(verified) => verified.in_force(now).map(Some),
            None => Ok(None),
        }
    }

    /// As [`Self::of_token`]; `None` where memory does not tell.
    ///
    /// # Errors
    /// See [`Denied`].
    pub fn of_token_at_once(&self, id: KeyId, now: Timestamp) -> Result<Option<Verified>, Denied> {
        let Some(cached) = self.at_hand(id) else {
            return Ok(None);
        };
        self.note_hit();
        cached.of_token(now).map(Some)
    }

    /// As [`Self::identify`]; `None` where memory does not tell.
    pub(super) fn identify_at_once(
        &self,
        secret: &ApiKeySecret,
        now: Timestamp,
    ) -> Result<Option<Verified>, Rejected> {
        let likeness = self.crypto.recognise(secret).ok_or(Denied::Forged)?;
        let cached = self.at_hand(secret.id());
        let known = cached.and_then(|cached| self.recall(cached, secret, likeness, now));
        if known.is_some() {
            self.note_hit();
        }
        known.transpose()
    }

    fn recall(
        &self,
        cached: Cached,
        secret: &ApiKeySecret,
        likeness: Likeness,
        now: Timestamp,
    ) -> Option<Result<Verified, Rejected>> {
        let verified = match cached.presented(secret, now) {
            Ok(verified) => verified,
            Err(why) => return Some(Err(why.into())),
        };
        if !self.crypto.is_current(verified.root_key()) {
            return None;
        }
        let (held, which) = (&verified.credential, verified.which);
        Some(if self.proofs.recall(likeness, held, which)? {
            Ok(verified)
        } else {
            Err(verified.rejected(Denied::WrongSecret))
        })
    }
}
