//! Who is this? API keys behind a cache, Argon2 behind a gate, and immediate revocation.

mod at_once;
mod commons;
mod credential;
pub mod denials;
mod denied;
pub mod explain;
mod foreign;
pub mod freshness;
pub mod gate;
pub mod generations;
mod given_up;
mod held_hash;
mod imports;
pub mod issuers;
pub mod limits;
mod look_up;
mod one_each;
pub mod proofs;
mod renewals;
mod together;

use std::sync::Arc;

use quick_cache::sync::Cache;
use tokio::sync::watch;

use crate::crypto::Crypto;
use crate::domain::api_key::Status;
use crate::domain::secret::{ApiKeySecret, KeyId, PresentedSecret};
use crate::domain::timestamp::Timestamp;
use crate::store::Store;
use crate::store::api_keys::StoredHash;
use crate::telemetry::counts::Counts;

use denials::Denials;
use freshness::Trust;
use gate::{Gate, Overloaded};
use generations::{Generation, Generations};
use imports::Imports;
use look_up::Cached;
use proofs::Proofs;
use renewals::Renewals;
use together::Together;

pub use credential::{Credential, Which};
pub use denied::{Denied, Rejected};
pub use look_up::Lookups;

/// Everything known of the holders of API keys.
pub struct Credentials {
    /// Which access tokens no longer count.
    pub denials: Denials,
    crypto: Arc<Crypto>,
    cache: Cache<KeyId, Cached>,
    together: Together,
    proofs: Arc<Proofs>,
    renewals: Renewals,
    imports: Imports,
    generations: Arc<Generations>,
    lookups: Counts<2>,
}

/// A credential whose holder proved to be who it says, and how fresh that knowledge is.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The credential.
    pub credential: Arc<Credential>,
    /// Which secret was proven; the key's own where a token stands for it.
    pub which: Which,
    loaded: Generation,
}

impl Credentials {
    /// Nothing cached yet, and never more than `capacity` keys.
    #[must_use]
    pub fn new(
        store: Store,
        crypto: Arc<Crypto>,
        generations: Arc<Generations>,
        capacity: usize,
    ) -> Self {
        let gate = Arc::new(Gate::new());
        let proofs = Arc::new(Proofs::new(
            Arc::clone(&crypto),
            Arc::clone(&gate),
            capacity,
        ));
        Self {
            together: Together::new(store.clone(), Arc::clone(&generations), gate),
            denials: Denials::new(store.clone(), Arc::clone(&generations)),
            imports: Imports::new(store.clone(), Arc::clone(&crypto), Arc::clone(&generations)),
            renewals: Renewals::new(
                store,
                Arc::clone(&crypto),
                Arc::clone(&proofs),
                Arc::clone(&generations),
            ),
            proofs,
            crypto,
            cache: Cache::new(capacity),
            generations,
            lookups: Counts::default(),
        }
    }

    /// Who holds this secret, if it is a key in force: secret first, then state, so that a
    /// stranger learns nothing of a key's state.
    ///
    /// # Errors
    /// See [`Denied`].
    pub async fn authenticate(
        &self,
        secret: impl Into<PresentedSecret>,
        now: Timestamp,
    ) -> Result<Verified, Rejected> {
        self.identify(secret, now).await?.in_force(now)
    }

    /// The same whatever the key's state: for what the holder of a secret may do even then.
    ///
    /// # Errors
    /// See [`Denied`].
    pub async fn identify(
        &self,
        secret: impl Into<PresentedSecret>,
        now: Timestamp,
    ) -> Result<Verified, Rejected> {
        let secret = secret.into();
        if let PresentedSecret::Own(own) = &secret
            && let Some(known) = self.identify_at_once(own, now)?
        {
            return Ok(known);
        }
        // Boxed: every request would carry room for it otherwise.
        Box::pin(async move {
            match secret {
                PresentedSecret::Own(own) => self.find_out(own, now).await,
                PresentedSecret::Foreign(foreign) => self.identify_foreign(foreign, now).await,
            }
        })
        .await
    }

    async fn find_out(&self, secret: ApiKeySecret, now: Timestamp) -> Result<Verified, Rejected> {
        let likeness = self.crypto.recognise(&secret).ok_or(Denied::Forged)?;
        let mut verified = self.presented(&secret, now).await?;
        let mut again = None;
        if !self.crypto.is_current(verified.root_key()) {
            verified = self.of_former_root_key(verified, &secret, now).await?;
            // A copy, for after the proof.
            again = ApiKeySecret::parse(secret.expose()).ok();
        }
        let (held, which) = (&verified.credential, verified.which);
        let proven = self.proofs.prove(secret, likeness, held, which);
        let why = match proven.await {
            Ok(true) => {
                if let Some(secret) = again {
                    self.renewals.renew(secret, held, which);
                }
                return Ok(verified);
            }
            Ok(false) => Denied::WrongSecret,
            Err(why) => why,
        };
        Err(verified.rejected(why))
    }

    /// The credential whose secret this must be, if it is one.
    async fn presented(&self, secret: &ApiKeySecret, now: Timestamp) -> Result<Verified, Denied> {
        self.look_up(secret.id()).await?.presented(secret, now)
    }

    /// The present state of a key that an access token names. The token's signature stands
    /// for the secret.
    ///
    /// # Errors
    /// See [`Denied`].
    pub async fn of_token(&self, id: KeyId, now: Timestamp) -> Result<Verified, Denied> {
        self.look_up(id).await?.of_token(now)
    }

    /// The credential anew, after [`Self::still_stands`] said no. The secret that was proven
    /// counts only while the key still has it.
    ///
    /// # Errors
    /// See [`Denied`].
    pub async fn again(&self, before: &Verified, now: Timestamp) -> Result<Verified, Denied> {
        let after = self.of_token(before.credential.key.id, now).await?;
        // Not by its hash: the same secret may have another by now.
        let proven = before.credential.fingerprint(before.which);
        let counts = [Which::Lasting, Which::Ending]
            .into_iter()
            .filter(|which| *which == Which::Lasting || after.credential.overlaps(now))
            .find(|which| after.credential.fingerprint(*which) == proven);
        match counts {
            Some(which) => Ok(Verified { which, ..after }),
            None => Err(Denied::WrongSecret),
        }
    }

    /// Whether nothing that `verified` rests on is known to have changed since it was loaded, and
    /// that was known lately enough. Asked after signing: a revocation that came between must win,
    /// and a process may have slept.
    #[must_use]
    pub fn still_stands(&self, verified: &Verified) -> bool {
        let key = &verified.credential.key;
        self.generations
            .is_current(verified.loaded, Some(key.id), &key.organization)
            && self.generations.trust(verified.loaded) != Trust::None
    }

    /// The hash of a new secret, computed at the gate where verifications queue too.
    ///
    /// # Errors
    /// [`Overloaded`] when the queue is too long.
    pub async fn hash(&self, secret: &Arc<ApiKeySecret>) -> Result<StoredHash, Overloaded> {
        self.proofs.hash(Arc::clone(secret)).await
    }

    /// Makes hashes that depend on a former root key anew, as their secrets are used, until told to
    /// stop and a little longer.
    pub async fn renew_hashes(&self, stopped: watch::Receiver<bool>) {
        self.renewals.attend(stopped).await;
    }

    /// How many first uses wait for their turn at Argon2.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.proofs.waiting()
    }

    /// How often Argon2 was run since the start, also for new secrets.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.proofs.runs()
    }
}

impl Verified {
    /// This, if it counts at `now`.
    fn in_force(self, now: Timestamp) -> Result<Self, Rejected> {
        match self.require_in_force(now) {
            Ok(()) => Ok(self),
            Err(why) => Err(self.rejected(why)),
        }
    }

    /// Refused, though it is known whose it is.
    fn rejected(self, why: Denied) -> Rejected {
        Rejected {
            why,
            credential: Some(self.credential),
        }
    }

    /// Requires that the key, and the secret that was proven, count at `now`: whoever waited
    /// long for something asks again.
    ///
    /// # Errors
    /// [`Denied::Ended`], [`Denied::OrganizationSuspended`] or [`Denied::WrongSecret`].
    pub fn require_in_force(&self, now: Timestamp) -> Result<(), Denied> {
        match self.credential.key.status(now) {
            Status::Active if self.credential.organization_suspended => {
                Err(Denied::OrganizationSuspended)
            }
            Status::Active if self.which == Which::Ending && !self.credential.overlaps(now) => {
                Err(Denied::WrongSecret)
            }
            Status::Active => Ok(()),
            ended => Err(Denied::Ended(ended)),
        }
    }
}
