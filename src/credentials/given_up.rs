//! Hashes that depend on a root key which was given up: nothing opens them any more. What is held of a
//! key may be from before another node made its hash anew, and is then asked for again.

use super::{Cached, Credentials, Denied, Rejected, Verified, Which};
use crate::crypto::fingerprint;
use crate::domain::api_key::Status;
use crate::domain::secret::{ApiKeySecret, KeyId};
use crate::domain::timestamp::Timestamp;

impl Credentials {
    /// The credential, unless its hash depends on a root key that was given up: also where the secret
    /// was proven before. What is held may be from before another node made the hash anew.
    pub(super) async fn of_former_root_key(
        &self,
        held: Verified,
        secret: &ApiKeySecret,
        now: Timestamp,
    ) -> Result<Verified, Rejected> {
        let is_dropped = |verified: &Verified| self.crypto.is_dropped(verified.root_key());
        let verified = if is_dropped(&held) && !self.still_stands(&held) {
            self.presented(secret, now).await?
        } else {
            held
        };
        if is_dropped(&verified) {
            return Err(Rejected {
                why: verified.of_dropped_root_key(secret, now),
                credential: Some(verified.credential),
            });
        }
        Ok(verified)
    }

    /// What is held of a key, and asked anew where it depends on a root key that was given up since:
    /// another node may have made it anew before that.
    pub(super) async fn not_given_up(&self, id: KeyId) -> Result<Cached, Denied> {
        let held = self.look_up(id).await?;
        let outdated = held.credential.as_ref().is_some_and(|credential| {
            let mut hashes = [Which::Lasting, Which::Ending]
                .into_iter()
                .map(|which| credential.hash(which));
            hashes.any(|hash| self.crypto.is_dropped(&hash.root_key)) && !self.is_current(id, &held)
        });
        if outdated {
            return Ok(self.look_up(id).await?);
        }
        Ok(held)
    }
}

impl Verified {
    /// The root key that the hash of the secret depends on.
    pub(super) fn root_key(&self) -> &str {
        &self.credential.hash(self.which).root_key
    }

    /// Why a string is refused whose hash nobody can verify any more. It was made here, and its
    /// fingerprint tells those who administer the key that it was the key's own.
    fn of_dropped_root_key(&self, secret: &ApiKeySecret, now: Timestamp) -> Denied {
        match self.credential.key.status(now) {
            Status::Active => Denied::WrongSecret,
            _ if fingerprint::of(secret) != self.credential.fingerprint(self.which) => {
                Denied::WrongSecret
            }
            ended => Denied::Ended(ended),
        }
    }
}
