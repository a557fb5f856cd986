//! Making API keys, and telling genuine ones from forged ones without a look-up.

use ring::hmac;
use ulid::Ulid;

use super::random;
use super::root_key::{Purpose, RootKey};
use crate::domain::secret::{ApiKeySecret, KeyId, KeyPrefix};

/// Makes API keys under one root key.
pub struct KeyMint {
    tag: hmac::Key,
}

impl KeyMint {
    /// The mint of this root key.
    #[must_use]
    pub fn new(root: &RootKey) -> Self {
        Self::from_tag_key(&root.derive(Purpose::TagApiKeys))
    }

    /// That of a root key of which no more than this is left.
    #[must_use]
    pub(super) fn from_tag_key(derived: &[u8; 32]) -> Self {
        Self {
            tag: hmac::Key::new(hmac::HMAC_SHA256, derived),
        }
    }

    /// A new API key with this id, beginning with `prefix`.
    #[must_use]
    pub fn mint(&self, prefix: &KeyPrefix, ulid: Ulid) -> ApiKeySecret {
        let mut drawn = random::bytes::<64>().into_iter();
        let draw = || {
            drawn.next().unwrap_or_else(|| {
                drawn = random::bytes::<64>().into_iter();
                drawn.next().expect("64 bytes were just drawn")
            })
        };
        ApiKeySecret::compose(prefix, KeyId::new(ulid), draw, |tagged| self.tag_of(tagged))
    }

    /// Whether a key was made under this root key. Says nothing of whether it still counts:
    /// the hash decides that. It keeps strangers' inventions away from everything dear.
    #[must_use]
    pub fn is_genuine(&self, presented: &ApiKeySecret) -> bool {
        presented.carries_tag(self.tag_of(presented.tagged()))
    }

    fn tag_of(&self, tagged: &[u8]) -> u64 {
        let mac = hmac::sign(&self.tag, tagged);
        let first = mac.as_ref()[..8].try_into().expect("a MAC of 32 bytes");
        u64::from_be_bytes(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mint() -> KeyMint {
        KeyMint::new(&RootKey::generate())
    }

    fn key(mint: &KeyMint) -> ApiKeySecret {
        mint.mint(&"tmsk".parse().unwrap(), random::ulid(1))
    }

    #[test]
    fn a_minted_key_is_genuine_under_its_own_root_key_alone() {
        let mint_here = mint();
        let key = key(&mint_here);
        assert!(mint_here.is_genuine(&key));
        assert!(!mint().is_genuine(&key));
    }

    #[test]
    fn a_genuine_tag_does_not_serve_another_key() {
        let mint = mint();
        let (one, two) = (key(&mint), key(&mint));
        // The secret of one with the tag of the other, and a checksum that fits.
        let body = one.tagged();
        let tag = &two.expose()[two.expose().len() - 17..two.expose().len() - 6];
        let forged = ApiKeySecret::compose(
            &"tmsk".parse().unwrap(),
            one.id(),
            {
                let mut bytes = body[body.len() - 43..].iter();
                // compose maps a byte below 62 to its digit, so feed it digit values.
                move || {
                    let c = *bytes.next().unwrap();
                    match c {
                        b'0'..=b'9' => c - b'0',
                        b'A'..=b'Z' => c - b'A' + 10,
                        _ => c - b'a' + 36,
                    }
                }
            },
            |_| {
                tag.bytes().fold(0_u64, |value, c| {
                    let digit = match c {
                        b'0'..=b'9' => c - b'0',
                        b'A'..=b'Z' => c - b'A' + 10,
                        _ => c - b'a' + 36,
                    };
                    value * 62 + u64::from(digit)
                })
            },
        );
        assert_eq!(forged.tagged(), one.tagged());
        assert!(ApiKeySecret::parse(forged.expose()).is_ok());
        assert!(!mint.is_genuine(&forged));
    }
}
