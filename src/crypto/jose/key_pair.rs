//! Signing key pairs: made, read back, and their public halves.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use zeroize::Zeroizing;

use crate::domain::signing_key::{Algorithm, Kid, PublicJwk};

/// A private key ready to sign: parsed once, used for every token.
pub enum KeyPair {
    /// For ES256.
    P256(EcdsaKeyPair),
    /// For EdDSA.
    Ed25519(Ed25519KeyPair),
}

/// A private key that was just made, and the PKCS#8 to seal.
pub struct Generated {
    /// The key, ready to sign.
    pub pair: KeyPair,
    /// PKCS#8 DER.
    pub pkcs8: Zeroizing<Vec<u8>>,
}

/// What was stored is not a private key of its algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stored signing key is not a private key of its algorithm")]
pub struct NotAKey;

impl KeyPair {
    /// Makes a key pair.
    ///
    /// # Panics
    /// When the operating system has no randomness to give.
    #[must_use]
    pub fn generate(algorithm: Algorithm) -> Generated {
        let rng = SystemRandom::new();
        let document = match algorithm {
            Algorithm::ES256 => {
                EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng)
            }
            Algorithm::EdDSA => Ed25519KeyPair::generate_pkcs8(&rng),
        }
        .expect("the operating system gives random bytes");
        let pkcs8 = Zeroizing::new(document.as_ref().to_vec());
        let pair = Self::from_pkcs8(algorithm, &pkcs8).expect("ring reads what it wrote");
        Generated { pair, pkcs8 }
    }

    /// Reads a private key in PKCS#8 DER.
    ///
    /// # Errors
    /// [`NotAKey`] when it is none, or of another algorithm.
    pub fn from_pkcs8(algorithm: Algorithm, pkcs8: &[u8]) -> Result<Self, NotAKey> {
        match algorithm {
            Algorithm::ES256 => EcdsaKeyPair::from_pkcs8(
                &ECDSA_P256_SHA256_FIXED_SIGNING,
                pkcs8,
                &SystemRandom::new(),
            )
            .map(Self::P256),
            Algorithm::EdDSA => Ed25519KeyPair::from_pkcs8(pkcs8).map(Self::Ed25519),
        }
        .map_err(|_| NotAKey)
    }

    /// The public half. Built from its components: `Jwk::from_encoding_key` does not read
    /// the PKCS#8 that ring writes for Ed25519.
    #[must_use]
    pub fn public(&self) -> PublicJwk {
        match self {
            Self::P256(pair) => {
                let point = pair.public_key().as_ref();
                PublicJwk::Ec {
                    crv: "P-256".to_owned(),
                    x: URL_SAFE_NO_PAD.encode(&point[1..33]),
                    y: URL_SAFE_NO_PAD.encode(&point[33..]),
                }
            }
            Self::Ed25519(pair) => PublicJwk::Okp {
                crv: "Ed25519".to_owned(),
                x: URL_SAFE_NO_PAD.encode(pair.public_key()),
            },
        }
    }

    /// Signs, in the form of RFC 7518 §3.4 and RFC 8037 §3.1: 64 bytes.
    ///
    /// # Panics
    /// When the operating system has no randomness to give.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> ring::signature::Signature {
        match self {
            Self::P256(pair) => pair
                .sign(&SystemRandom::new(), message)
                .expect("the operating system gives random bytes"),
            Self::Ed25519(pair) => pair.sign(message),
        }
    }
}

/// The RFC 7638 SHA-256 thumbprint of a public key.
#[must_use]
pub fn thumbprint(public: &PublicJwk) -> Kid {
    let digest = digest::digest(&digest::SHA256, public.thumbprint_input().as_bytes());
    Kid::new(&URL_SAFE_NO_PAD.encode(digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_is_the_one_rfc_8037_prints() {
        let public = PublicJwk::Okp {
            crv: "Ed25519".to_owned(),
            x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".to_owned(),
        };
        let expected = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
        assert_eq!(thumbprint(&public).as_str(), expected);
    }

    #[test]
    fn a_key_pair_is_read_back_and_keeps_its_public_half() {
        for algorithm in [Algorithm::ES256, Algorithm::EdDSA] {
            let made = KeyPair::generate(algorithm);
            let read = KeyPair::from_pkcs8(algorithm, &made.pkcs8).unwrap();
            assert_eq!(read.public(), made.pair.public());
            let other = match algorithm {
                Algorithm::ES256 => Algorithm::EdDSA,
                Algorithm::EdDSA => Algorithm::ES256,
            };
            assert!(KeyPair::from_pkcs8(other, &made.pkcs8).is_err());
        }
    }
}
