//! What a platform kept of a string that it gave out.

use ring::digest;

use super::slow::{HashError, MOST_BCRYPT, Slow, slow};
use crate::domain::secret::ForeignSecret;

/// What a platform kept of a string, checked by itself.
pub enum Kept {
    /// The string itself: both digests of it.
    Whole {
        /// SHA-256.
        sha256: [u8; 32],
        /// SHA-512.
        sha512: [u8; 64],
    },
    /// Its SHA-256.
    Sha256([u8; 32]),
    /// Its SHA-512.
    Sha512([u8; 64]),
    /// A bcrypt hash, or an Argon2 hash as a PHC string. Nothing of the string can be looked up,
    /// so its beginning must be known.
    Slow {
        /// The hash.
        hash: String,
        /// How the string begins.
        prefix: String,
    },
}

impl Kept {
    /// Of the string itself.
    #[must_use]
    pub fn of(secret: &ForeignSecret) -> Self {
        Self::Whole {
            sha256: sha256(secret),
            sha512: sha512(secret),
        }
    }

    /// Of a slow hash, once it is known to be one.
    ///
    /// # Errors
    /// See [`HashError`].
    pub fn slow(hash: String, prefix: String) -> Result<Self, HashError> {
        match slow(&hash)? {
            Slow::Bcrypt(cost) if cost > MOST_BCRYPT => Err(HashError::TooDear),
            Slow::Argon2(cost) if !cost.is_acceptable() => Err(HashError::TooDear),
            Slow::Bcrypt(_) | Slow::Argon2(_) => Ok(Self::Slow { hash, prefix }),
        }
    }
}

pub(super) fn sha256(secret: &ForeignSecret) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, secret.expose().as_bytes());
    digest.as_ref().try_into().expect("a SHA-256 of 32 bytes")
}

pub(super) fn sha512(secret: &ForeignSecret) -> [u8; 64] {
    let digest = digest::digest(&digest::SHA512, secret.expose().as_bytes());
    digest.as_ref().try_into().expect("a SHA-512 of 64 bytes")
}
