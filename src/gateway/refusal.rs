//! Why a request is not let through: the cause, and how it is counted.

use std::sync::Arc;

use crate::check::{self, Holder};
use crate::credentials::Credential;
use crate::domain::secret::KeyId;
use crate::domain::usage::Outcome;
use crate::issue;

/// Why a request is not let through.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Its credential does not count here.
    #[error("{0}")]
    Credential(check::Refusal),
    /// Its API key counts, and would not be exchanged at this moment.
    #[error("{0}")]
    Exchange(issue::Refusal),
}

/// A refusal, and the key that was presented itself, where it is known.
#[derive(Debug, thiserror::Error)]
#[error("{refusal}")]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// The key.
    pub key: Option<Arc<Credential>>,
}

impl Refusal {
    /// How it is counted, if a key was presented itself.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Credential(refusal) => refusal.outcome(),
            Self::Exchange(refusal) => Some(refusal.outcome()),
        }
    }

    /// What an administrator of the key's organization can do about it.
    pub(super) fn advice(&self) -> String {
        match self {
            Self::Credential(refusal) => refusal.advice(),
            Self::Exchange(refusal) => refusal.advice(),
        }
    }
}

impl From<issue::Refusal> for Refusal {
    fn from(refusal: issue::Refusal) -> Self {
        match refusal {
            issue::Refusal::Client(denied) => Self::Credential(check::Refusal::Key(denied)),
            other => Self::Exchange(other),
        }
    }
}

impl Refused {
    pub(super) fn of(holder: &Holder, refusal: Refusal) -> Self {
        let itself = holder.token.is_none();
        Self {
            refusal,
            key: itself.then(|| Arc::clone(&holder.verified.credential)),
        }
    }

    /// Which key was presented, where it is known.
    #[must_use]
    pub fn id(&self) -> Option<KeyId> {
        self.key.as_ref().map(|credential| credential.key.id)
    }
}

impl From<check::Refused> for Refused {
    fn from(refused: check::Refused) -> Self {
        Self {
            refusal: Refusal::Credential(refused.refusal),
            key: refused.key,
        }
    }
}
