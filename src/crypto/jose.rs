//! JOSE: key pairs, JWKs, signing and verifying tokens, on ring.

pub mod jwks;
pub mod key_pair;
pub mod provider;
pub mod signer;
pub mod trust;
