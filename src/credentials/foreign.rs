//! Who presents a string that another system gave out?

use std::sync::Arc;

use super::{Cached, Credential, Credentials, Denied, Rejected, Verified, Which};
use crate::crypto::imported::{is_imported, is_slow};
use crate::domain::secret::ForeignSecret;
use crate::domain::timestamp::Timestamp;

impl Credentials {
    /// Whether a string of another system can be a key here at all: false costs nothing.
    ///
    /// # Errors
    /// See [`Denied`].
    pub async fn is_imported(&self, secret: &ForeignSecret) -> Result<bool, Denied> {
        Ok(!self.imports.candidates(secret).await?.is_empty())
    }

    /// Who holds a string of another system, whatever the key's state.
    pub(super) async fn identify_foreign(
        &self,
        secret: ForeignSecret,
        now: Timestamp,
    ) -> Result<Verified, Rejected> {
        let candidates = self.imports.candidates(&secret).await?;
        let secret = Arc::new(secret);
        let (mut proven, mut former) = (Vec::new(), None);
        // What is found whole costs nothing to prove, and goes before what begins alike.
        for whole in [true, false] {
            let of_kind = candidates.iter().filter(|one| one.whole == whole);
            for candidate in of_kind {
                let loaded = self.not_given_up(candidate.id).await?;
                let Some(credential) = loaded.credential.clone() else {
                    continue;
                };
                if !secret.may_be_of(candidate.id) {
                    continue;
                }
                match self.proves(&secret, &loaded, &credential, now).await? {
                    Some(verified) => proven.push(verified),
                    None if whole => former = Some(credential),
                    // Anybody can begin a string so.
                    None => {}
                }
            }
            // One that was revoked does not stand in another's way.
            if proven.iter().any(|one: &Verified| !one.is_revoked()) {
                break;
            }
        }
        let verified = the_one(proven).map_err(Rejected::from)?;
        let Some(verified) = verified else {
            return Err(match former {
                Some(credential) => Rejected {
                    why: Denied::WrongSecret,
                    credential: Some(credential),
                },
                None => Denied::Forged.into(),
            });
        };
        let stored = verified.credential.hash(verified.which);
        if is_slow(&stored.text()) || !self.crypto.is_current(&stored.root_key) {
            let (credential, which) = (&verified.credential, verified.which);
            self.renewals.renew_foreign(secret, credential, which);
        }
        Ok(verified)
    }

    /// The key by that of its secrets which the string is, if it is one.
    async fn proves(
        &self,
        secret: &Arc<ForeignSecret>,
        loaded: &Cached,
        credential: &Arc<Credential>,
        now: Timestamp,
    ) -> Result<Option<Verified>, Denied> {
        for which in [Which::Lasting, Which::Ending] {
            let stored = credential.hash(which);
            let counts = which == Which::Lasting || credential.overlaps(now);
            if !counts || !is_imported(&stored.text()) || self.crypto.is_dropped(&stored.root_key) {
                continue;
            }
            let proven = self.proofs.prove_foreign(secret, credential, which);
            if proven.await? {
                return Ok(Some(Verified {
                    credential: Arc::clone(credential),
                    which,
                    loaded: loaded.loaded,
                }));
            }
        }
        Ok(None)
    }
}

/// The one key that a string proves. One that was imported for two, in forms of which nobody could
/// tell that they are the same, counts for neither: whose it is must not depend on which is found
/// first. A key that was revoked does not stand in another's way.
fn the_one(mut proven: Vec<Verified>) -> Result<Option<Verified>, Denied> {
    if proven.len() > 1 && proven.iter().any(|one| !one.is_revoked()) {
        proven.retain(|one| !one.is_revoked());
    }
    match &proven[..] {
        [one, other, ..] => {
            let (one, other) = (one.credential.key.id, other.credential.key.id);
            tracing::warn!(%one, %other, "a string was imported for two keys, and counts for neither: revoke one of them");
            Err(Denied::Forged)
        }
        _ => Ok(proven.pop()),
    }
}

impl Verified {
    fn is_revoked(&self) -> bool {
        self.credential.key.revoked.is_some()
    }
}
