//! One hash, made anew.

use std::sync::Arc;

use super::{Proven, Secret};
use crate::credentials::gate::Overloaded;
use crate::credentials::generations::Generations;
use crate::credentials::proofs::Proofs;
use crate::crypto::Crypto;
use crate::crypto::imported::{Kept, is_slow};
use crate::domain::secret::{ApiKeySecret, ForeignSecret, KeyId};
use crate::store::Store;
use crate::store::api_keys::StoredHash;
use crate::store::changes::Change;
use crate::store::error::StoreError;

/// How many bytes of a string bcrypt looks at.
const SEEN_BY_BCRYPT: usize = 72;

/// What it takes to make hashes anew.
pub(super) struct Work {
    pub(super) store: Store,
    pub(super) crypto: Arc<Crypto>,
    pub(super) proofs: Arc<Proofs>,
    pub(super) generations: Arc<Generations>,
}

/// Why a hash was not made anew.
pub(super) enum NotYet {
    /// Too many wait for Argon2.
    Overloaded,
    /// The database did not do it.
    Unanswered(StoreError),
}

impl Work {
    /// Makes the hash of a secret anew, unless another came to be in its place.
    pub(super) async fn renew(&self, proven: &Proven) -> Result<(), NotYet> {
        let before = proven.credential.hash(proven.which).stored();
        let id = proven.credential.key.id;
        match &proven.secret {
            Secret::Own(secret) => self.renew_own(id, secret, &before).await?,
            Secret::Foreign(secret) => self.renew_foreign(id, secret, &before).await?,
        }
        // Also if somebody was faster: what is cached of the key is old either way.
        self.generations.raise(&Change::Key(id));
        Ok(())
    }

    async fn renew_own(
        &self,
        id: KeyId,
        secret: &Arc<ApiKeySecret>,
        before: &StoredHash,
    ) -> Result<(), NotYet> {
        let after = self.proofs.hash(Arc::clone(secret)).await?;
        if after.root_key == before.root_key {
            return Ok(());
        }
        if self.store.renew_hash(id, before, &after).await? {
            self.proofs.remember(id, secret, &after);
        }
        Ok(())
    }

    async fn renew_foreign(
        &self,
        id: KeyId,
        secret: &ForeignSecret,
        before: &StoredHash,
    ) -> Result<(), NotYet> {
        let stays = is_to_stay(secret, &before.phc);
        let (made, beginning, root_key) = if stays {
            let beginnings = self.store.beginnings_of(id).await?;
            let crypto = &self.crypto;
            match crypto.import_again(&before.root_key, id, secret, &before.phc, &beginnings) {
                Ok(Some((made, length, root_key))) => (made, Some(length), root_key),
                // Somebody was faster.
                Ok(None) => return Ok(()),
                Err(error) => {
                    tracing::debug!(%error, key = %id, "an imported hash cannot be sealed anew");
                    return Ok(());
                }
            }
        } else {
            let (made, root_key) = self.crypto.import(id, &Kept::of(secret));
            (made, None, root_key)
        };
        let after = StoredHash {
            phc: made.hash.into(),
            root_key: root_key.as_str().into(),
        };
        let beginning = beginning.map(|length| (&made.lookup, length));
        let renewed = self
            .store
            .renew_import(id, before, &after, &made.unique, beginning);
        if renewed.await? {
            self.generations.raise(&Change::Imports);
        }
        Ok(())
    }
}

/// Whether a slow hash stays one, and is at most sealed anew. Of a longer string bcrypt saw the
/// beginning alone: what was shown first may have another end than the customer's, or none.
pub(super) fn is_to_stay(secret: &ForeignSecret, stored: &str) -> bool {
    is_slow(stored) && secret.expose().len() >= SEEN_BY_BCRYPT
}

impl From<Overloaded> for NotYet {
    fn from(_: Overloaded) -> Self {
        Self::Overloaded
    }
}

impl From<StoreError> for NotYet {
    fn from(error: StoreError) -> Self {
        Self::Unanswered(error)
    }
}
