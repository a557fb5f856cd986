//! Secret hashes at rest: Argon2id with a pepper (RFC 9106), as PHC strings.

mod packed;

use std::sync::Mutex;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::random;
use super::root_key::{Purpose, RootKey};
use crate::domain::secret::ApiKeySecret;

pub use packed::Packed;

const SALT: usize = 16;
const OUTPUT: usize = 32;

/// What one hash costs (RFC 9106 §3.1).
///
/// The default is small because the secrets are 256 random bits, which no stretching makes
/// harder to guess, and because every node verifies every key anew after a restart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HashCost {
    /// Memory in KiB: 8 to 65536.
    pub memory_kib: u32,
    /// Passes: 1 to 16.
    pub passes: u32,
    /// Lanes: 1 to 4.
    pub lanes: u32,
}

impl Default for HashCost {
    fn default() -> Self {
        Self {
            memory_kib: 1024,
            passes: 1,
            lanes: 1,
        }
    }
}

impl HashCost {
    /// The dearest hash that is accepted, be it from settings or from a row. A row that asks
    /// for more was tampered with: verifying it could exhaust the machine.
    pub const MAX: Self = Self {
        memory_kib: 65_536,
        passes: 16,
        lanes: 4,
    };

    /// Whether tenmint computes such a hash at all.
    #[must_use]
    pub const fn is_acceptable(self) -> bool {
        self.memory_kib >= 8 * self.lanes
            && self.memory_kib <= Self::MAX.memory_kib
            && self.passes >= 1
            && self.passes <= Self::MAX.passes
            && self.lanes >= 1
            && self.lanes <= Self::MAX.lanes
    }
}

/// What one root key adds to every secret before it is hashed: without it a hash is worthless.
pub struct Pepper(Zeroizing<[u8; 32]>);

/// Hashes and verifies secrets.
pub struct SecretHasher {
    cost: HashCost,
    /// Memory of finished runs, kept for the next: freed and taken anew each time, it would
    /// fragment the heap by hundreds of megabytes. As many as ever ran at once.
    buffers: Mutex<Vec<Vec<Block>>>,
}

/// A stored hash that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoredHashError {
    /// Not a PHC string of Argon2id, version 19.
    #[error("a stored secret hash is damaged")]
    Damaged,
    /// It asks for more memory or time than any hash made here.
    #[error("a stored secret hash demands more than the greatest cost: the row was tampered with")]
    TooDear,
    /// Its pepper comes from a root key that is not held here.
    #[error("a stored secret hash depends on a root key that is not held here")]
    NotHeld,
}

impl Pepper {
    /// The pepper of this root key.
    #[must_use]
    pub fn new(root: &RootKey) -> Self {
        Self(root.derive(Purpose::PepperSecrets))
    }
}

impl SecretHasher {
    /// A hasher whose new hashes cost `cost`.
    ///
    /// # Panics
    /// When the cost is not acceptable: settings check it where it is read.
    #[must_use]
    pub fn new(cost: HashCost) -> Self {
        assert!(
            cost.is_acceptable(),
            "the cost was checked when it was read"
        );
        Self {
            cost,
            buffers: Mutex::new(Vec::new()),
        }
    }

    /// The PHC string of a secret. Takes as long as its cost: call it off the async threads.
    #[must_use]
    pub fn hash(&self, pepper: &Pepper, secret: &ApiKeySecret) -> String {
        let salt = random::bytes();
        let output = self.run(pepper, secret, &salt, &self.cost.params());
        let cost = self.cost;
        Packed { cost, salt, output }.to_string()
    }

    /// Whether `phc` is the hash of this secret under this pepper. Takes as long as the hash's
    /// cost: call it off the async threads.
    ///
    /// # Errors
    /// A hash that cannot be used, see [`StoredHashError`].
    pub fn verify(
        &self,
        pepper: &Pepper,
        secret: &ApiKeySecret,
        phc: &str,
    ) -> Result<bool, StoredHashError> {
        let stored = Packed::of(phc)?;
        let output = self.run(pepper, secret, &stored.salt, &stored.cost.params());
        Ok(output.ct_eq(&stored.output).into())
    }

    fn run(
        &self,
        pepper: &Pepper,
        secret: &ApiKeySecret,
        salt: &[u8],
        params: &Params,
    ) -> [u8; OUTPUT] {
        let argon2 = Argon2::new_with_secret(
            &*pepper.0,
            Algorithm::Argon2id,
            Version::V0x13,
            params.clone(),
        )
        .expect("32 bytes are a possible pepper");
        let mut memory = self
            .buffers
            .lock()
            .ok()
            .and_then(|mut all| all.pop())
            .unwrap_or_default();
        if memory.len() < params.block_count() {
            memory.resize(params.block_count(), Block::default());
        }
        let mut output = [0; OUTPUT];
        argon2
            .hash_password_into_with_memory(
                secret.expose().as_bytes(),
                salt,
                &mut output,
                memory.as_mut_slice(),
            )
            .expect("lengths and cost were checked");
        if let Ok(mut all) = self.buffers.lock() {
            all.push(memory);
        }
        output
    }
}

impl HashCost {
    fn params(self) -> Params {
        Params::new(self.memory_kib, self.passes, self.lanes, Some(OUTPUT))
            .expect("the cost is acceptable")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::key_mint::KeyMint;

    /// A root key's pepper, and a maker of secrets.
    fn root() -> (Pepper, impl Fn() -> ApiKeySecret) {
        let root = RootKey::generate();
        let mint = KeyMint::new(&root);
        let prefix = "tmsk".parse().unwrap();
        (Pepper::new(&root), move || {
            mint.mint(&prefix, random::ulid(1))
        })
    }

    fn hasher() -> SecretHasher {
        SecretHasher::new(HashCost::default())
    }

    #[test]
    fn a_secret_is_known_by_its_own_hash_alone() {
        let (pepper, secret) = root();
        let (one, two) = (secret(), secret());
        let hasher = hasher();
        let phc = hasher.hash(&pepper, &one);
        assert!(phc.starts_with("$argon2id$v=19$m=1024,t=1,p=1$"), "{phc}");
        assert_eq!(hasher.verify(&pepper, &one, &phc), Ok(true));
        assert_eq!(hasher.verify(&pepper, &two, &phc), Ok(false));
        assert_ne!(hasher.hash(&pepper, &one), phc, "salted");
    }

    #[test]
    fn a_hash_is_worthless_without_its_root_key() {
        let (pepper, secret) = root();
        let (elsewhere, _) = root();
        let secret = secret();
        let phc = hasher().hash(&pepper, &secret);
        assert_eq!(hasher().verify(&elsewhere, &secret, &phc), Ok(false));
    }

    #[test]
    fn a_row_that_demands_gigabytes_is_refused_unrun() {
        let (pepper, secret) = root();
        let (secret, hasher) = (secret(), hasher());
        let phc = hasher.hash(&pepper, &secret);
        for tampered in [
            "m=4194304,t=1,p=1",
            "m=1024,t=4000000,p=1",
            "m=1024,t=1,p=64",
        ] {
            let row = phc.replace("m=1024,t=1,p=1", tampered);
            let outcome = hasher.verify(&pepper, &secret, &row);
            assert_eq!(outcome, Err(StoredHashError::TooDear));
        }
        for damaged in [
            "",
            "$argon2id$",
            &phc.replace("argon2id", "argon2i"),
            &phc[..60],
        ] {
            let outcome = hasher.verify(&pepper, &secret, damaged);
            assert_eq!(outcome, Err(StoredHashError::Damaged));
        }
    }

    #[test]
    fn hashes_of_an_earlier_cost_still_verify() {
        let (pepper, secret) = root();
        let cheap = hasher();
        let dear = SecretHasher::new(HashCost {
            memory_kib: 2048,
            passes: 2,
            lanes: 1,
        });
        let secret = secret();
        let (by_cheap, by_dear) = (cheap.hash(&pepper, &secret), dear.hash(&pepper, &secret));
        assert_eq!(dear.verify(&pepper, &secret, &by_cheap), Ok(true));
        assert_eq!(cheap.verify(&pepper, &secret, &by_dear), Ok(true));
        assert_eq!(cheap.verify(&pepper, &secret, &by_cheap), Ok(true));
    }
}
