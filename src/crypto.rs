//! Everything that touches key material: hashing secrets, sealing, signing, verifying.

pub mod fingerprint;
pub mod jose;
pub mod key_mint;
pub mod random;
pub mod root_key;
pub mod root_key_file;
pub mod seal;
pub mod secret_hash;

use crate::domain::hex::hex;
use crate::domain::secret::KeyPrefix;

use key_mint::KeyMint;
use root_key::{Purpose, RootKey, RootKeyId};
use seal::Seal;
use secret_hash::{HashCost, SecretHasher};

/// What one root key makes possible, each purpose under a key of its own.
pub struct Crypto {
    /// Which root key this is, for rows that depend on it.
    pub root_key: RootKeyId,
    /// Makes API keys and tells genuine ones.
    pub keys: KeyMint,
    /// Hashes and verifies secrets.
    pub secrets: SecretHasher,
    /// Seals signing keys.
    pub seal: Seal,
    /// Chains audit entries.
    pub audit: ring::hmac::Key,
}

impl Crypto {
    /// Derives every purpose from `root`.
    #[must_use]
    pub fn new(root: &RootKey, prefix: KeyPrefix, cost: HashCost) -> Self {
        Self {
            root_key: root.id(),
            keys: KeyMint::new(root, prefix),
            secrets: SecretHasher::new(root, cost),
            seal: Seal::new(root),
            audit: ring::hmac::Key::new(
                ring::hmac::HMAC_SHA256,
                &*root.derive(Purpose::ChainAudit),
            ),
        }
    }
}
