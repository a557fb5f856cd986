//! Signing keys, as the world sees them: algorithm, public JWK, `kid`, and what they are for.

mod life;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use super::organization::OrganizationId;
use super::timestamp::Timestamp;

pub use life::{Life, Schedule, ScheduleError, State, Step};

/// How a token is signed (RFC 7518 §3.1, RFC 8037 §3.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256: what nearly every validator knows.
    #[default]
    ES256,
    /// Ed25519, under the name that deployed validators look for.
    EdDSA,
}

/// The id of a signing key: the RFC 7638 SHA-256 thumbprint of its public half, base64url, unless
/// it was brought from elsewhere with another. 1 to 128 letters, digits and `-._~`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(transparent)]
pub struct Kid(Arc<str>);

/// The public half of a signing key (RFC 7517), in the one form tenmint publishes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kty")]
pub enum PublicJwk {
    /// An elliptic-curve key (RFC 7518 §6.2).
    #[serde(rename = "EC")]
    Ec {
        /// `P-256`.
        crv: String,
        /// The x coordinate, base64url.
        x: String,
        /// The y coordinate, base64url.
        y: String,
    },
    /// An Edwards-curve key (RFC 8037 §2).
    #[serde(rename = "OKP")]
    Okp {
        /// `Ed25519`.
        crv: String,
        /// The public key, base64url.
        x: String,
    },
}

/// What may be told of a signing key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SigningKey {
    /// Its id.
    pub kid: Kid,
    /// Whose it is.
    pub organization: OrganizationId,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// Its public half.
    pub public: PublicJwk,
    /// When it was made, or brought here.
    pub created_at: Timestamp,
    /// What it is for, and when.
    pub life: Life,
    /// Whether it was made elsewhere.
    pub imported: bool,
}

/// Not an algorithm that tenmint signs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write ES256 or EdDSA")]
pub struct AlgorithmError;

/// Not the id of a signing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write 1 to 128 letters, digits and -._~")]
pub struct KidError;

impl Algorithm {
    /// The `alg` value, in token headers and JWKs alike.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ES256 => "ES256",
            Self::EdDSA => "EdDSA",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = AlgorithmError;

    fn from_str(text: &str) -> Result<Self, AlgorithmError> {
        match text {
            "ES256" => Ok(Self::ES256),
            "EdDSA" => Ok(Self::EdDSA),
            _ => Err(AlgorithmError),
        }
    }
}

impl<'de> Deserialize<'de> for Algorithm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map_err(serde::de::Error::custom)
    }
}

impl Kid {
    /// From a thumbprint already in base64url.
    #[must_use]
    pub fn new(thumbprint: &str) -> Self {
        Self(Arc::from(thumbprint))
    }

    /// The id of no signing key: for what cannot be one.
    #[must_use]
    pub fn of_none() -> Self {
        Self::new("")
    }

    /// The thumbprint.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Kid {
    type Err = KidError;

    fn from_str(text: &str) -> Result<Self, KidError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        if !(1..=128).contains(&text.len()) || !text.bytes().all(allowed) {
            return Err(KidError);
        }
        Ok(Self::new(text))
    }
}

impl fmt::Display for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PublicJwk {
    /// What RFC 7638 §3.2 hashes: the required members alone, in lexicographic order.
    #[must_use]
    pub fn thumbprint_input(&self) -> String {
        match self {
            Self::Ec { crv, x, y } => {
                format!(r#"{{"crv":"{crv}","kty":"EC","x":"{x}","y":"{y}"}}"#)
            }
            Self::Okp { crv, x } => format!(r#"{{"crv":"{crv}","kty":"OKP","x":"{x}"}}"#),
        }
    }
}
