//! Why a presented key is not accepted, and whose it is.

use std::sync::Arc;

use super::Credential;
use super::gate::Overloaded;
use crate::crypto::secret_hash::StoredHashError;
use crate::domain::api_key::Status;
use crate::store::error::StoreError;

/// Why a presented key is not accepted. To the outside all but the last two are one.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// Not made under this deployment's root key.
    #[error("forged or foreign key string")]
    Forged,
    /// Genuine, but there is no such key.
    #[error("unknown key")]
    Unknown,
    /// Genuine, but not the key's present secret.
    #[error("wrong secret")]
    WrongSecret,
    /// The key has ended.
    #[error("key is {}", .0.as_str())]
    Ended(Status),
    /// The key's organization is suspended.
    #[error("organization is suspended")]
    OrganizationSuspended,
    /// Too many first uses at once.
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    /// The database did not answer, or answered nonsense.
    #[error(transparent)]
    Unavailable(#[from] StoreError),
}

/// A presented key that is not accepted, and whose it is where that is known.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct Rejected {
    /// Why.
    pub why: Denied,
    /// The key that was named by a genuine string.
    pub credential: Option<Arc<Credential>>,
}

impl From<Denied> for Rejected {
    fn from(why: Denied) -> Self {
        Self {
            why,
            credential: None,
        }
    }
}

impl From<StoredHashError> for Denied {
    fn from(error: StoredHashError) -> Self {
        let what = match error {
            StoredHashError::Damaged => "hash",
            StoredHashError::TooDear => "hash costs more than the greatest cost",
            StoredHashError::NotHeld => "root_key names one that is not held here",
        };
        Self::Unavailable(StoreError::Corrupt {
            table: "api_key_secrets",
            what,
        })
    }
}
