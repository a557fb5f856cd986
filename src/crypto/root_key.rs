//! The root key: the deployment's one secret outside the database.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hkdf;
use zeroize::Zeroizing;

use super::random;

/// How a root key begins when written down, so that it is recognised as one.
const MARK: &str = "tenmint-root-key-1:";

/// 256 random bits from which every other long-lived secret is derived. Cannot print itself.
pub struct RootKey(Zeroizing<[u8; 32]>);

/// Names a root key without telling anything of it: 16 hex digits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RootKeyId(String);

/// What a key derived from the root key is for. Each gets independent bits (RFC 5869).
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    /// AES-256-GCM over signing keys.
    SealSigningKeys,
    /// The pepper of secret hashes.
    PepperSecrets,
    /// The MAC that ends each API key.
    TagApiKeys,
    /// The MACs that chain audit entries.
    ChainAudit,
    /// The MACs over where an audit chain stood when its root key was replaced.
    AnchorAudit,
    /// The MACs by which imported strings are found.
    FindImports,
    /// The MACs by which they are proved.
    ProveImports,
    /// The public name of the root key.
    Identify,
}

/// The text holds no root key, or a damaged one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is damaged: each root key is one line, {MARK} followed by 43 characters")]
pub struct RootKeyError;

impl RootKey {
    /// A new one.
    #[must_use]
    pub fn generate() -> Self {
        Self(Zeroizing::new(random::bytes()))
    }

    /// The one line that holds the key. Whoever writes it down guards it.
    #[must_use]
    pub fn to_line(&self) -> Zeroizing<String> {
        let mut line = Zeroizing::new(String::with_capacity(MARK.len() + 44));
        line.push_str(MARK);
        URL_SAFE_NO_PAD.encode_string(*self.0, &mut line);
        line.push('\n');
        line
    }

    /// The root keys of a text: one a line, or several separated by commas. Lines that begin with
    /// `#` are for people. One that is there twice counts once.
    ///
    /// # Errors
    /// [`RootKeyError`] when there is none, or something that is none.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, RootKeyError> {
        let written = text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
            .flat_map(|line| line.split(','))
            .filter(|part| !part.trim().is_empty());
        let mut all: Vec<Self> = Vec::new();
        for part in written {
            let key: Self = part.parse()?;
            if all.iter().all(|other| other.id() != key.id()) {
                all.push(key);
            }
        }
        if all.is_empty() {
            return Err(RootKeyError);
        }
        Ok(all)
    }

    /// 256 bits for one purpose, by HKDF-SHA256.
    #[must_use]
    pub fn derive(&self, purpose: Purpose) -> Zeroizing<[u8; 32]> {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"tenmint root key 1");
        let mut out = Zeroizing::new([0; 32]);
        salt.extract(&*self.0)
            .expand(&[purpose.label()], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut *out))
            .expect("32 bytes is the length of one HKDF-SHA256 output");
        out
    }

    /// The name of this key.
    #[must_use]
    pub fn id(&self) -> RootKeyId {
        let derived = self.derive(Purpose::Identify);
        RootKeyId(super::hex(&derived[..8]))
    }
}

impl FromStr for RootKey {
    type Err = RootKeyError;

    fn from_str(text: &str) -> Result<Self, RootKeyError> {
        let encoded = text.trim().strip_prefix(MARK).ok_or(RootKeyError)?;
        let mut key = Zeroizing::new([0; 32]);
        match URL_SAFE_NO_PAD.decode_slice(encoded, &mut *key) {
            Ok(32) => Ok(Self(key)),
            _ => Err(RootKeyError),
        }
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootKey({}, ..)", self.id())
    }
}

impl RootKeyId {
    /// From the database.
    #[must_use]
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The 16 hex digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RootKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Purpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::SealSigningKeys => b"seal signing keys",
            Self::PepperSecrets => b"pepper secrets",
            Self::TagApiKeys => b"tag api keys",
            Self::ChainAudit => b"chain audit entries",
            Self::AnchorAudit => b"anchor audit chains",
            Self::FindImports => b"find imports",
            Self::ProveImports => b"prove imports",
            Self::Identify => b"identify",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Crypto;
    use crate::crypto::jose::key_pair::KeyPair;
    use crate::crypto::jose::signer::Signer;

    // Key material cannot be printed, copied or serialized by accident: such code does not compile.
    static_assertions::assert_not_impl_any!(RootKey: fmt::Display, Clone, serde::Serialize);
    static_assertions::assert_not_impl_any!(Crypto: fmt::Debug, Clone, serde::Serialize);
    static_assertions::assert_not_impl_any!(KeyPair: fmt::Debug, Clone, serde::Serialize);
    static_assertions::assert_not_impl_any!(Signer: fmt::Debug, Clone, serde::Serialize);

    #[test]
    fn a_root_key_is_read_back_from_its_line() {
        let key = RootKey::generate();
        let read: RootKey = key.to_line().parse().unwrap();
        assert_eq!(read.id(), key.id());
        assert_ne!(RootKey::generate().id(), key.id());
    }

    #[test]
    fn damaged_lines_are_refused() {
        let line = RootKey::generate().to_line();
        for bad in [
            "",
            "tenmint-root-key-1:",
            &line[..line.len() - 2],
            &line[3..],
        ] {
            assert_eq!(bad.parse::<RootKey>().unwrap_err(), RootKeyError);
        }
    }

    #[test]
    fn several_root_keys_are_read_from_lines_or_between_commas() {
        let (one, two) = (RootKey::generate(), RootKey::generate());
        let (first, second) = (one.to_line(), two.to_line());
        let ids = |text: &str| {
            let read = RootKey::parse_all(text)?;
            Ok::<_, RootKeyError>(read.iter().map(RootKey::id).collect::<Vec<_>>())
        };
        let both = vec![one.id(), two.id()];
        assert_eq!(ids(&first).unwrap(), both[..1]);
        for text in [
            format!("{}{}", *first, *second),
            format!("# kept\n\n{}\r\n  # new\n {}", first.trim(), *second),
            format!("{},{}", first.trim(), second.trim()),
            format!("{} , {},\n{}", first.trim(), second.trim(), *first),
        ] {
            assert_eq!(ids(&text).unwrap(), both, "{text:?}");
        }
        for bad in [
            "",
            "# nothing\n",
            &format!("{}x", *first),
            &format!("{}{}", first.trim(), *second),
        ] {
            assert_eq!(ids(bad), Err(RootKeyError), "{bad:?}");
        }
    }

    #[test]
    fn each_purpose_has_bits_of_its_own() {
        let key = RootKey::generate();
        let purposes = [
            Purpose::SealSigningKeys,
            Purpose::PepperSecrets,
            Purpose::TagApiKeys,
            Purpose::ChainAudit,
            Purpose::AnchorAudit,
            Purpose::FindImports,
            Purpose::ProveImports,
            Purpose::Identify,
        ];
        let derived: std::collections::HashSet<_> =
            purposes.iter().map(|p| *key.derive(*p)).collect();
        assert_eq!(derived.len(), purposes.len());
    }

    #[test]
    fn debugging_a_root_key_shows_its_id_alone() {
        let key = RootKey::generate();
        let line = key.to_line();
        let encoded = line.trim().strip_prefix(MARK).unwrap();
        assert!(!format!("{key:?}").contains(&encoded[..8]));
    }
}
