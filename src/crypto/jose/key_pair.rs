//! Signing key pairs: made, read back, and their public halves.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use zeroize::Zeroizing;

use super::rsa;
use crate::domain::signing_key::{Algorithm, KeySpec, Kid, PublicJwk, RsaBits};

/// A private key ready to sign: parsed once, used for every token.
pub enum KeyPair {
    /// For ES256.
    P256(EcdsaKeyPair),
    /// For EdDSA.
    Ed25519(Ed25519KeyPair),
    /// For RS256.
    Rsa(RsaKeyPair),
}

/// A private key that was just made or brought, and the PKCS#8 to seal.
pub struct Generated {
    /// The key, ready to sign.
    pub pair: KeyPair,
    /// PKCS#8 DER.
    pub pkcs8: Zeroizing<Vec<u8>>,
}

/// A signature, as a token carries it (RFC 7518 §3.3 and §3.4, RFC 8037 §3.1).
pub enum Signature {
    /// Of an elliptic curve: 64 bytes, held in place.
    Curve(ring::signature::Signature),
    /// Of an RSA key: as long as its modulus.
    Rsa(Vec<u8>),
}

/// What was stored is not a private key of its algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stored signing key is not a private key of its algorithm")]
pub struct NotAKey;

impl KeyPair {
    /// Makes a key pair. An RSA key takes from a tenth of a second to many seconds: off the async
    /// threads, then, and outside any transaction.
    ///
    /// # Panics
    /// When the operating system has no randomness to give.
    #[must_use]
    pub fn generate(spec: KeySpec) -> Generated {
        let rng = SystemRandom::new();
        let document = match spec {
            KeySpec::ES256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng),
            KeySpec::EdDSA => Ed25519KeyPair::generate_pkcs8(&rng),
            KeySpec::RS256(bits) => return Self::generate_rsa(bits, || {}),
        }
        .expect("the operating system gives random bytes");
        Self::just_made(spec, Zeroizing::new(document.as_ref().to_vec()))
    }

    /// Makes an RSA key pair, and calls `rest` every few milliseconds, which may take its time.
    ///
    /// # Panics
    /// When the operating system has no randomness to give.
    #[must_use]
    pub fn generate_rsa(bits: RsaBits, rest: impl Fn()) -> Generated {
        Self::just_made(KeySpec::RS256(bits), rsa::generate(bits, rest))
    }

    fn just_made(spec: KeySpec, pkcs8: Zeroizing<Vec<u8>>) -> Generated {
        let pair =
            Self::from_pkcs8(spec.algorithm(), &pkcs8).expect("ring reads what was made for it");
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
            // OpenSSL leaves the public half out, and ring then derives it; where it is there,
            // ring holds it against the private one all the same.
            Algorithm::EdDSA => {
                Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).map(Self::Ed25519)
            }
            Algorithm::RS256 => RsaKeyPair::from_pkcs8(pkcs8).map(Self::Rsa),
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
            Self::Rsa(pair) => {
                let PublicKeyComponents { n, e } =
                    PublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                PublicJwk::Rsa {
                    n: URL_SAFE_NO_PAD.encode(n),
                    e: URL_SAFE_NO_PAD.encode(e),
                }
            }
        }
    }

    /// How long its signatures are, in bytes.
    #[must_use]
    pub fn signature_len(&self) -> usize {
        match self {
            Self::P256(_) | Self::Ed25519(_) => 64,
            Self::Rsa(pair) => pair.public().modulus_len(),
        }
    }

    /// Signs.
    ///
    /// # Panics
    /// When the operating system has no randomness to give.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        let rng = SystemRandom::new();
        match self {
            Self::P256(pair) => Signature::Curve(
                pair.sign(&rng, message)
                    .expect("the operating system gives random bytes"),
            ),
            Self::Ed25519(pair) => Signature::Curve(pair.sign(message)),
            Self::Rsa(pair) => Signature::Rsa(
                sign_by_rsa(pair, message).expect("an imported key has signed before it was taken"),
            ),
        }
    }

    /// Whether it signs at all: ring does not look at an RSA key's private exponents until they
    /// are used, and then refuses a signature that its public half does not verify.
    pub(super) fn signs(&self) -> bool {
        match self {
            Self::P256(_) | Self::Ed25519(_) => true,
            Self::Rsa(pair) => sign_by_rsa(pair, b"tenmint").is_some(),
        }
    }
}

fn sign_by_rsa(pair: &RsaKeyPair, message: &[u8]) -> Option<Vec<u8>> {
    let mut signature = vec![0; pair.public().modulus_len()];
    let rng = SystemRandom::new();
    let signed = pair.sign(&RSA_PKCS1_SHA256, &rng, message, &mut signature);
    signed.ok().map(|()| signature)
}

impl AsRef<[u8]> for Signature {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Curve(signature) => signature.as_ref(),
            Self::Rsa(signature) => signature,
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
    use crate::domain::signing_key::RsaBits;

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
    fn the_thumbprint_is_the_one_rfc_7638_prints() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tS\
                 oc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65\
                 YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyr\
                 dkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzK\
                 nqDKgw";
        let public = PublicJwk::Rsa {
            n: n.to_owned(),
            e: "AQAB".to_owned(),
        };
        let expected = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";
        assert_eq!(thumbprint(&public).as_str(), expected);
    }

    #[test]
    fn a_key_pair_is_read_back_and_keeps_its_public_half() {
        for algorithm in Algorithm::ALL {
            let made = KeyPair::generate(algorithm.into());
            let read = KeyPair::from_pkcs8(algorithm, &made.pkcs8).unwrap();
            assert_eq!(read.public(), made.pair.public());
            for other in Algorithm::ALL {
                let read = KeyPair::from_pkcs8(other, &made.pkcs8);
                assert_eq!(read.is_ok(), other == algorithm);
            }
        }
    }

    #[test]
    fn an_rsa_key_is_of_the_size_asked_for_and_signs_as_long() {
        for bits in [RsaBits::B2048, RsaBits::B3072] {
            let spec = KeySpec::RS256(bits);
            let made = KeyPair::generate(spec).pair;
            let public = made.public();
            assert_eq!(public.spec(), spec);
            let PublicJwk::Rsa { n, e } = public else {
                panic!("an RSA key");
            };
            let n = URL_SAFE_NO_PAD.decode(n).unwrap();
            assert_eq!(n.len() * 8, usize::from(bits.get()));
            assert!(n[0] >= 0x80, "RFC 7518 §6.3.1.1: no leading zeros");
            assert_eq!(e, "AQAB");
            assert!(made.signs());
            assert_eq!(made.sign(b"x").as_ref().len(), n.len());
            assert_eq!(made.signature_len(), n.len());
        }
    }
}
