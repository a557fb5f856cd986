//! Renewals: hashes that depend on a former root key, made anew under the current one.
//!
//! Only whoever presents a secret can have its hash made anew, so it happens when one has been
//! verified, off that request's path. That nothing comes of it does no harm: the next use of the
//! secret tries again. It changes nothing that anybody could ask about, so it is no act, and has
//! no audit entry; whatever replaces or ends the secret meanwhile wins.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::generations::Generations;
use super::proofs::Proofs;
use super::{Credential, Which};
use crate::crypto::Crypto;
use crate::crypto::imported::Kept;
use crate::domain::secret::{ApiKeySecret, ForeignSecret};
use crate::store::Store;
use crate::store::api_keys::StoredHash;
use crate::store::changes::Change;

/// How many bytes of a string bcrypt looks at.
const SEEN_BY_BCRYPT: usize = 72;

/// How many may be under way at once: after a rotation every key in use wants one.
const AT_ONCE: usize = 1;

/// Makes hashes anew.
pub(super) struct Renewals {
    turns: Arc<Semaphore>,
    shared: Arc<Shared>,
}

/// A string of another system that was just proven.
pub(super) struct Foreign {
    pub(super) secret: Arc<ForeignSecret>,
    pub(super) credential: Arc<Credential>,
    pub(super) which: Which,
}

struct Shared {
    store: Store,
    crypto: Arc<Crypto>,
    proofs: Arc<Proofs>,
    generations: Arc<Generations>,
}

impl Renewals {
    pub(super) fn new(
        store: Store,
        crypto: Arc<Crypto>,
        proofs: Arc<Proofs>,
        generations: Arc<Generations>,
    ) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            shared: Arc::new(Shared {
                store,
                crypto,
                proofs,
                generations,
            }),
        }
    }

    /// Has the hash of a secret that was just verified made anew, unless others are at it: it
    /// then waits for the secret's next use.
    pub(super) fn renew(&self, secret: ApiKeySecret, credential: &Arc<Credential>, which: Which) {
        let Ok(turn) = Arc::clone(&self.turns).try_acquire_owned() else {
            return;
        };
        let (shared, credential) = (Arc::clone(&self.shared), Arc::clone(credential));
        tokio::spawn(async move {
            shared.renew(secret, &credential, which).await;
            drop(turn);
        });
    }
}

impl Renewals {
    /// Has what is stored of a string of another system, which was just proven, made anew: in the
    /// place of a slow hash, or of what a former root key made.
    pub(super) fn renew_foreign(&self, foreign: Foreign) {
        let Ok(turn) = Arc::clone(&self.turns).try_acquire_owned() else {
            return;
        };
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            shared.renew_foreign(&foreign).await;
            drop(turn);
        });
    }
}

impl Shared {
    async fn renew_foreign(&self, foreign: &Foreign) {
        let id = foreign.credential.key.id;
        let before = foreign.credential.hash(foreign.which).stored();
        // Of a longer string bcrypt saw the beginning alone: what was shown first may have another
        // end than the customer's, or none.
        if foreign.secret.expose().len() >= SEEN_BY_BCRYPT {
            return;
        }
        let (made, root_key) = self.crypto.import(id, &Kept::of(&foreign.secret));
        let after = StoredHash {
            phc: made.hash.into(),
            root_key: root_key.as_str().into(),
        };
        let renewed = self.store.renew_import(id, &before, &after, &made.unique);
        match renewed.await {
            Ok(true) => self.generations.raise(&Change::Imports),
            // Somebody was faster: what is cached of the key is old either way.
            Ok(false) => {}
            Err(error) => {
                tracing::debug!(%error, key = %id, "an imported string waits for the database to be made anew");
                return;
            }
        }
        self.generations.raise(&Change::Key(id));
    }

    async fn renew(&self, secret: ApiKeySecret, credential: &Credential, which: Which) {
        let (id, before) = (credential.key.id, credential.hash(which).stored());
        let secret = Arc::new(secret);
        let Ok(after) = self.proofs.hash(Arc::clone(&secret)).await else {
            return;
        };
        if after.root_key == before.root_key {
            return;
        }
        match self.store.renew_hash(id, &before, &after).await {
            Ok(true) => self.proofs.remember(id, &secret, &after),
            // Somebody was faster: what is cached of the key is old either way.
            Ok(false) => {}
            Err(error) => {
                tracing::debug!(%error, key = %id, "a hash waits for the database to be made anew");
                return;
            }
        }
        self.generations.raise(&Change::Key(id));
    }
}
