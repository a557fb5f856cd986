//! What the root keys of a deployment make possible, for whoever needs it.

use std::sync::{Arc, PoisonError, RwLock};

use ring::hmac;
use ulid::Ulid;
use zeroize::Zeroizing;

use super::imported::{self, Imported, Kept, Lookup};
use super::key_mint::Likeness;
use super::keyring::{Keyring, NotHeld};
use super::root_key::RootKeyId;
use super::seal::{DoesNotOpen, Row};
use super::secret_hash::{HashCost, SecretHasher, StoredHashError};
use crate::domain::secret::{ApiKeySecret, ForeignSecret, KeyId, KeyPrefix};

/// What the root keys make possible. Which there are can change while others use this.
pub struct Crypto {
    keyring: RwLock<Arc<Keyring>>,
    prefix: KeyPrefix,
    hasher: SecretHasher,
}

/// The hash of a secret, as it is stored.
#[derive(Debug)]
pub struct Hashed {
    /// The PHC string.
    pub phc: String,
    /// The root key that peppers it.
    pub root_key: RootKeyId,
}

impl Crypto {
    /// With these root keys; new API keys begin with `prefix`, and new hashes cost `cost`.
    #[must_use]
    pub fn new(keyring: Keyring, prefix: KeyPrefix, cost: HashCost) -> Self {
        Self {
            keyring: RwLock::new(Arc::new(keyring)),
            prefix,
            hasher: SecretHasher::new(cost),
        }
    }

    /// The root keys as they are now.
    #[must_use]
    pub fn keyring(&self) -> Arc<Keyring> {
        Arc::clone(&self.held())
    }

    /// Goes on with other root keys. What is under way ends with those it began with.
    pub fn follow(&self, keyring: Keyring) {
        let mut held = self.keyring.write().unwrap_or_else(PoisonError::into_inner);
        *held = Arc::new(keyring);
    }

    /// Whether a root key is the one that everything new depends on.
    #[must_use]
    pub fn is_current(&self, root_key: &str) -> bool {
        self.held().current().as_str() == root_key
    }

    /// Whether a root key was given up, and with it everything that depends on it.
    #[must_use]
    pub fn is_dropped(&self, root_key: &str) -> bool {
        self.held().is_dropped(root_key)
    }

    /// A new API key with this id.
    #[must_use]
    pub fn mint(&self, ulid: Ulid) -> ApiKeySecret {
        self.held().in_use().mint.mint(&self.prefix, ulid)
    }

    /// What a key is recognised by, if it was made under one of the deployment's root keys. Says
    /// nothing of whether it still counts: the hash decides that. It keeps strangers' inventions away
    /// from everything dear.
    #[must_use]
    pub fn recognise(&self, presented: &ApiKeySecret) -> Option<Likeness> {
        self.held().recognise(presented)
    }

    /// Hashes a secret under the current root key. Takes as long as its cost: call it off the
    /// async threads.
    #[must_use]
    pub fn hash(&self, secret: &ApiKeySecret) -> Hashed {
        let keyring = self.keyring();
        let root = keyring.in_use();
        Hashed {
            phc: self.hasher.hash(&root.pepper, secret),
            root_key: root.id.clone(),
        }
    }

    /// Whether `phc`, peppered by the root key of this id, is the hash of this secret. Nothing
    /// matches a hash whose root key was given up. Takes as long as the hash's cost: call it off
    /// the async threads.
    ///
    /// # Errors
    /// A hash that cannot be used, see [`StoredHashError`].
    pub fn verify(
        &self,
        root_key: &str,
        secret: &ApiKeySecret,
        phc: &str,
    ) -> Result<bool, StoredHashError> {
        if imported::is_imported(phc) {
            // That of another string than tenmint makes.
            return Ok(false);
        }
        let keyring = self.keyring();
        match keyring.held(root_key) {
            Ok(root) => self.hasher.verify(&root.pepper, secret, phc),
            Err(NotHeld(_)) if keyring.is_dropped(root_key) => Ok(false),
            Err(NotHeld(_)) => Err(StoredHashError::NotHeld),
        }
    }

    /// What is to be stored of a string that another system gave out, under the current root key,
    /// and the id of that.
    #[must_use]
    pub fn import(&self, id: KeyId, kept: &Kept) -> (Imported, RootKeyId) {
        let keyring = self.keyring();
        let root = keyring.in_use();
        (root.imports.import(id, kept, &root.seal), root.id.clone())
    }

    /// What is to be stored under the current root key of a string of another system whose slow hash
    /// must stay, from how it is stored under another one: with it, how many bytes it is found by.
    /// `None` where none of `beginnings` is of this string.
    ///
    /// # Errors
    /// A hash that cannot be used, see [`StoredHashError`].
    pub fn import_again(
        &self,
        root_key: &str,
        id: KeyId,
        secret: &ForeignSecret,
        stored: &str,
        beginnings: &[Lookup],
    ) -> Result<Option<(Imported, usize, RootKeyId)>, StoredHashError> {
        let keyring = self.keyring();
        let former = keyring.held(root_key);
        let former = former.map_err(|NotHeld(_)| StoredHashError::NotHeld)?;
        let kept = former
            .imports
            .kept(id, secret, stored, beginnings, &former.seal)?;
        let root = keyring.in_use();
        Ok(kept.map(|(kept, length)| {
            let made = root.imports.import(id, &kept, &root.seal);
            (made, length, root.id.clone())
        }))
    }

    /// By what a string of another system may be found, under each of the root keys that are
    /// held: by itself, and by its beginnings of these lengths.
    #[must_use]
    pub fn lookups(&self, secret: &ForeignSecret, prefixes: &[usize]) -> Vec<Lookup> {
        let keyring = self.keyring();
        let held = keyring.all_held();
        held.flat_map(|root| root.imports.lookups(secret, prefixes))
            .collect()
    }

    /// What would be unique of the same under former root keys that are held.
    #[must_use]
    pub fn formerly_unique(&self, kept: &Kept) -> Vec<Lookup> {
        let keyring = self.keyring();
        let former = keyring.all_held().skip(1);
        former.flat_map(|root| root.imports.unique(kept)).collect()
    }

    /// Whether a string is the one of which `stored` was made for the key of this id. Where
    /// [`imported::is_slow`] says so it takes a while: call it off the async threads.
    ///
    /// # Errors
    /// A hash that cannot be used, see [`StoredHashError`].
    pub fn verify_imported(
        &self,
        root_key: &str,
        id: KeyId,
        secret: &ForeignSecret,
        stored: &str,
    ) -> Result<bool, StoredHashError> {
        let keyring = self.keyring();
        match keyring.held(root_key) {
            Ok(root) => root.imports.verify(id, secret, stored, &root.seal),
            Err(NotHeld(_)) if keyring.is_dropped(root_key) => Ok(false),
            Err(NotHeld(_)) => Err(StoredHashError::NotHeld),
        }
    }

    /// Seals a private key for its row, under the root key of this id: that of its organization,
    /// read in the transaction that stores the row.
    ///
    /// # Errors
    /// [`NotHeld`] when that root key is not held here.
    pub fn seal(&self, root_key: &str, private: &[u8], row: Row<'_>) -> Result<Vec<u8>, NotHeld> {
        Ok(self.keyring().held(root_key)?.seal.seal(private, row))
    }

    /// Opens what was sealed for this row under the root key of this id.
    ///
    /// # Errors
    /// [`DoesNotOpen`], without telling which of its reasons.
    pub fn open(
        &self,
        root_key: &str,
        sealed: &[u8],
        row: Row<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
        let keyring = self.keyring();
        let root = keyring.held(root_key).map_err(|_| DoesNotOpen)?;
        root.seal.open(sealed, row)
    }

    /// What chains the audit entries of an organization under the root key of this id.
    ///
    /// # Errors
    /// [`NotHeld`] when that root key is not held here.
    pub fn chain(&self, root_key: &str) -> Result<hmac::Key, NotHeld> {
        Ok(self.keyring().held(root_key)?.chain.clone())
    }

    /// What vouches under the root key of this id for where an audit chain stood before it.
    ///
    /// # Errors
    /// [`NotHeld`] when that root key is not held here.
    pub fn anchor(&self, root_key: &str) -> Result<hmac::Key, NotHeld> {
        Ok(self.keyring().held(root_key)?.anchor.clone())
    }

    fn held(&self) -> std::sync::RwLockReadGuard<'_, Arc<Keyring>> {
        // Whoever changes it only puts one in another's place.
        self.keyring.read().unwrap_or_else(PoisonError::into_inner)
    }
}
