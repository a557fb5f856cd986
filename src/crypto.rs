//! Everything that touches key material: hashing secrets, sealing, signing, verifying.

#[cfg(feature = "server")]
pub mod fingerprint;
pub mod jose;
#[cfg(feature = "server")]
pub mod key_mint;
#[cfg(feature = "server")]
pub mod random;
#[cfg(feature = "server")]
pub mod root_key;
#[cfg(feature = "server")]
pub mod root_key_file;
#[cfg(feature = "server")]
pub mod seal;
#[cfg(feature = "server")]
pub mod secret_hash;

#[cfg(feature = "server")]
use crate::domain::hex::hex;
#[cfg(feature = "server")]
use crate::domain::secret::KeyPrefix;

#[cfg(feature = "server")]
use key_mint::KeyMint;
#[cfg(feature = "server")]
use root_key::{Purpose, RootKey, RootKeyId};
#[cfg(feature = "server")]
use seal::Seal;
#[cfg(feature = "server")]
use secret_hash::{HashCost, SecretHasher};

/// What one root key makes possible, each purpose under a key of its own.
#[cfg(feature = "server")]
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

#[cfg(feature = "server")]
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
