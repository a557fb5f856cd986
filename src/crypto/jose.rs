//! JOSE: key pairs, JWKs, signing and verifying tokens, on ring.

pub mod jwks;
pub mod key_pair;
pub mod pem;
pub mod provider;
mod rsa;
pub mod signer;
pub mod trust;
