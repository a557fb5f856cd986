//! Signing keys, as the world sees them: algorithm, public JWK, `kid`, and what they are for.

mod life;
mod pem;
mod spec;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use super::organization::OrganizationId;
use super::timestamp::Timestamp;

pub use life::{CLOCK_SKEW, LONGEST_TOKEN, Life, Schedule, ScheduleError, State, Step};
pub use pem::PrivateKeyPem;
pub use spec::{KeySpec, KeySpecError, RsaBits, RsaBitsError};

/// How a token is signed (RFC 7518 §3.1, RFC 8037 §3.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256: what nearly every validator knows.
    #[default]
    ES256,
    /// Ed25519, under the name that deployed validators look for.
    EdDSA,
    /// RSASSA-PKCS1-v1_5 with SHA-256: what validators take that know nothing else.
    RS256,
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
    /// An RSA key (RFC 7518 §6.3).
    #[serde(rename = "RSA")]
    Rsa {
        /// The modulus, base64url, without leading zero bytes.
        n: String,
        /// The exponent, the same.
        e: String,
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
    /// Which key began to sign when this one stopped.
    pub replaced_by: Option<Kid>,
}

/// Not an algorithm that tenmint signs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write ES256, EdDSA or RS256")]
pub struct AlgorithmError;

/// Not usable as the id of a signing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "write a kid of 1 to {} characters out of A-Z a-z 0-9 . _ ~ -",
    Kid::MAX
)]
pub struct KidError;

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 3] = [Self::ES256, Self::EdDSA, Self::RS256];

    /// The `alg` value, in token headers and JWKs alike.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ES256 => "ES256",
            Self::EdDSA => "EdDSA",
            Self::RS256 => "RS256",
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
        let known = Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str() == text);
        known.ok_or(AlgorithmError)
    }
}

impl<'de> Deserialize<'de> for Algorithm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map_err(serde::de::Error::custom)
    }
}

impl Kid {
    /// Longest, in characters.
    pub const MAX: usize = 128;

    /// From a thumbprint already in base64url, or an id that was read as one before.
    #[must_use]
    pub fn new(thumbprint: &str) -> Self {
        Self(Arc::from(thumbprint))
    }

    /// The id of no signing key: for what cannot be one.
    #[must_use]
    pub fn of_none() -> Self {
        Self::new("")
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An id that somebody chose. It goes into token headers as it is, so nothing in it may need
/// escaping there, nor in a URL.
impl FromStr for Kid {
    type Err = KidError;

    fn from_str(text: &str) -> Result<Self, KidError> {
        let unreserved = |c: char| c.is_ascii_alphanumeric() || "._~-".contains(c);
        let fits = (1..=Self::MAX).contains(&text.len()) && text.chars().all(unreserved);
        // In a path these two lead elsewhere.
        (fits && text != "." && text != "..")
            .then(|| Self::new(text))
            .ok_or(KidError)
    }
}

impl<'de> Deserialize<'de> for Kid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl SigningKey {
    /// What kind of key its issuer is to sign with: its own, or the one that it stands in for.
    #[must_use]
    pub fn kind(&self) -> KeySpec {
        let own = || self.public.spec();
        self.life.stands_in_for.map_or_else(own, KeySpec::RS256)
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
            Self::Rsa { n, e } => format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chosen_kid_needs_no_escaping_anywhere() {
        for text in ["a", "2019-key.1_~", &"k".repeat(Kid::MAX)] {
            assert_eq!(text.parse::<Kid>().unwrap().as_str(), text);
        }
        let long = "k".repeat(Kid::MAX + 1);
        for text in [
            "", &long, "a b", "a\"b", "a/b", "a\\b", "a\n", "\u{e9}", "a+b", "%41",
        ] {
            assert_eq!(text.parse::<Kid>(), Err(KidError), "{text}");
        }
    }

    #[test]
    fn an_algorithm_is_read_as_it_is_written() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.as_str().parse(), Ok(algorithm));
        }
        for text in ["", "es256", "RS512", "none", "HS256", "PS256"] {
            assert_eq!(text.parse::<Algorithm>(), Err(AlgorithmError));
        }
    }
}
