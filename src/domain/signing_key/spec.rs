//! What kind of signing key to make: an algorithm, and a size where there is a choice of sizes.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Algorithm, PublicJwk};

/// What kind of signing key to make, or what kind one is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KeySpec {
    /// On the curve P-256.
    ES256,
    /// On the curve Ed25519.
    EdDSA,
    /// RSA, of this size.
    RS256(RsaBits),
}

/// How long the modulus of an RSA key is: 2048, 3072 or 4096 bits. RFC 7518 §3.3 wants no
/// shorter one; ring signs with no longer one, and with none between.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum RsaBits {
    /// 2048 bits: what nearly every validator expects, and the quickest.
    #[default]
    B2048,
    /// 3072 bits.
    B3072,
    /// 4096 bits: tokens grow by 340 characters, and making a key takes seconds.
    B4096,
}

/// Not a size of RSA key that tenmint signs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write 2048, 3072 or 4096")]
pub struct RsaBitsError;

/// A size was given for a key that has but one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("only RS256 keys have a choice of sizes: say \"alg\":\"RS256\", or leave rsa_bits out")]
pub struct KeySpecError;

impl KeySpec {
    /// A key of this algorithm, and of this size. Not said: 2048 bits, for RS256.
    ///
    /// # Errors
    /// [`KeySpecError`] when a size is given and the algorithm is not RS256.
    pub fn new(algorithm: Algorithm, rsa_bits: Option<RsaBits>) -> Result<Self, KeySpecError> {
        match (algorithm, rsa_bits) {
            (Algorithm::RS256, bits) => Ok(Self::RS256(bits.unwrap_or_default())),
            (_, Some(_)) => Err(KeySpecError),
            (Algorithm::ES256, None) => Ok(Self::ES256),
            (Algorithm::EdDSA, None) => Ok(Self::EdDSA),
        }
    }

    /// What it signs with.
    #[must_use]
    pub const fn algorithm(self) -> Algorithm {
        match self {
            Self::ES256 => Algorithm::ES256,
            Self::EdDSA => Algorithm::EdDSA,
            Self::RS256(_) => Algorithm::RS256,
        }
    }

    /// How long its modulus is, if it is an RSA key.
    #[must_use]
    pub const fn rsa_bits(self) -> Option<RsaBits> {
        match self {
            Self::RS256(bits) => Some(bits),
            Self::ES256 | Self::EdDSA => None,
        }
    }

    /// Whether a request for this algorithm and size, where they are said, is met by it.
    #[must_use]
    pub fn is(self, algorithm: Option<Algorithm>, rsa_bits: Option<RsaBits>) -> bool {
        algorithm.is_none_or(|asked| asked == self.algorithm())
            && rsa_bits.is_none_or(|asked| Some(asked) == self.rsa_bits())
    }
}

impl Default for KeySpec {
    fn default() -> Self {
        Algorithm::default().into()
    }
}

impl From<Algorithm> for KeySpec {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::ES256 => Self::ES256,
            Algorithm::EdDSA => Self::EdDSA,
            Algorithm::RS256 => Self::RS256(RsaBits::default()),
        }
    }
}

/// As people say it: `ES256`, `RS256 of 3072 bits`.
impl fmt::Display for KeySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.algorithm().as_str())?;
        match self.rsa_bits() {
            Some(bits) => write!(f, " of {} bits", bits.get()),
            None => Ok(()),
        }
    }
}

impl PublicJwk {
    /// What kind of key it is the public half of, so that another can be made of the same kind.
    #[must_use]
    pub fn spec(&self) -> KeySpec {
        match self {
            Self::Ec { .. } => KeySpec::ES256,
            Self::Okp { .. } => KeySpec::EdDSA,
            // Six bits a character. Keys of other sizes do not sign here; one would be replaced by
            // the next larger.
            Self::Rsa { n, .. } => KeySpec::RS256(match n.len() {
                0..=342 => RsaBits::B2048,
                343..=512 => RsaBits::B3072,
                _ => RsaBits::B4096,
            }),
        }
    }
}

impl RsaBits {
    /// Every size.
    pub const ALL: [Self; 3] = [Self::B2048, Self::B3072, Self::B4096];

    /// The size in bits.
    #[must_use]
    pub const fn get(self) -> u16 {
        match self {
            Self::B2048 => 2048,
            Self::B3072 => 3072,
            Self::B4096 => 4096,
        }
    }
}

impl TryFrom<u64> for RsaBits {
    type Error = RsaBitsError;

    fn try_from(bits: u64) -> Result<Self, RsaBitsError> {
        let known = Self::ALL
            .into_iter()
            .find(|size| u64::from(size.get()) == bits);
        known.ok_or(RsaBitsError)
    }
}

impl Serialize for RsaBits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.get())
    }
}

impl<'de> Deserialize<'de> for RsaBits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bits = u64::deserialize(deserializer)?;
        bits.try_into().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_for_rsa_keys_alone() {
        for algorithm in Algorithm::ALL {
            let plain = KeySpec::new(algorithm, None).unwrap();
            assert_eq!(plain, algorithm.into());
            assert_eq!(plain.algorithm(), algorithm);
            for bits in RsaBits::ALL {
                let sized = KeySpec::new(algorithm, Some(bits));
                if algorithm == Algorithm::RS256 {
                    assert_eq!(sized, Ok(KeySpec::RS256(bits)));
                } else {
                    assert_eq!(sized, Err(KeySpecError));
                }
            }
        }
        assert_eq!(
            KeySpec::from(Algorithm::RS256).rsa_bits(),
            Some(RsaBits::B2048)
        );
    }

    #[test]
    fn a_public_key_tells_what_kind_it_is() {
        for bits in RsaBits::ALL {
            let bytes = usize::from(bits.get()) / 8;
            let public = PublicJwk::Rsa {
                n: "x".repeat((bytes * 4).div_ceil(3)),
                e: "AQAB".to_owned(),
            };
            assert_eq!(public.spec(), KeySpec::RS256(bits));
        }
    }

    #[test]
    fn a_spec_meets_what_is_asked_and_minds_nothing_else() {
        let spec = KeySpec::RS256(RsaBits::B3072);
        assert!(spec.is(None, None));
        assert!(spec.is(Some(Algorithm::RS256), None));
        assert!(spec.is(Some(Algorithm::RS256), Some(RsaBits::B3072)));
        assert!(!spec.is(Some(Algorithm::RS256), Some(RsaBits::B2048)));
        assert!(!spec.is(Some(Algorithm::ES256), None));
        assert!(!KeySpec::ES256.is(None, Some(RsaBits::B2048)));
    }

    #[test]
    fn other_sizes_are_refused() {
        for bits in [0, 1024, 2047, 2049, 8192, u64::MAX] {
            assert_eq!(RsaBits::try_from(bits), Err(RsaBitsError));
        }
        assert_eq!(
            serde_json::from_str::<RsaBits>("3072").unwrap(),
            RsaBits::B3072
        );
        assert!(serde_json::from_str::<RsaBits>("1024").is_err());
        assert_eq!(
            KeySpec::RS256(RsaBits::B4096).to_string(),
            "RS256 of 4096 bits"
        );
        assert_eq!(KeySpec::ES256.to_string(), "ES256");
    }
}
