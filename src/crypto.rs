//! Everything that touches key material: hashing secrets, sealing, signing, verifying.

#[cfg(feature = "server")]
mod deployment;
#[cfg(feature = "server")]
pub mod fingerprint;
#[cfg(feature = "server")]
pub mod imported;
pub mod jose;
#[cfg(feature = "server")]
pub mod key_mint;
#[cfg(feature = "server")]
pub mod keyring;
#[cfg(feature = "server")]
pub mod random;
#[cfg(feature = "server")]
pub mod root_key;
#[cfg(feature = "server")]
pub mod root_key_file;
#[cfg(feature = "server")]
pub mod seal;
#[cfg(feature = "server")]
pub mod secret_hash;

#[cfg(feature = "server")]
pub use deployment::{Crypto, Hashed};

#[cfg(feature = "server")]
use crate::domain::hex::hex;
