//! A private key that somebody sends along, on its way to where it is read.

use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

/// A private key in PEM, not looked at yet. Cannot print, clone or serialize itself.
pub struct PrivateKeyPem(Zeroizing<String>);

impl PrivateKeyPem {
    /// The text, for whoever reads the key out of it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<Zeroizing<String>> for PrivateKeyPem {
    fn from(text: Zeroizing<String>) -> Self {
        Self(text)
    }
}

impl<'de> Deserialize<'de> for PrivateKeyPem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static_assertions::assert_not_impl_any!(
        PrivateKeyPem: Clone, Copy, std::fmt::Debug, std::fmt::Display, serde::Serialize
    );
}
