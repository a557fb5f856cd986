//! JOSE: key pairs, JWKs, signing and verifying tokens, on ring. Who only verifies has no key to make
//! or to sign with.

#[cfg(feature = "server")]
pub mod jwks;
#[cfg(feature = "server")]
pub mod key_pair;
#[cfg(feature = "server")]
pub mod pem;
pub mod provider;
pub mod revocations;
#[cfg(feature = "server")]
mod rsa;
#[cfg(feature = "server")]
pub mod signer;
pub mod trust;
