//! Making API keys, and telling genuine ones from forged ones without a look-up.

use ring::hmac;
use ulid::Ulid;

use super::random;
use super::root_key::{Purpose, RootKey};
use crate::domain::secret::{ApiKeySecret, KeyId, KeyPrefix};

/// What a genuine key string is recognised by: 128 bits of the MAC of which others are its tag. Nobody
/// without the root key can tell them of a string, and they tell nothing of it.
pub type Likeness = [u8; 16];

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
        ApiKeySecret::compose(prefix, KeyId::new(ulid), draw, |tagged| self.mac(tagged).0)
    }

    /// What a key is recognised by, if it was made under this root key. Says nothing of whether it
    /// still counts: the hash decides that. It keeps strangers' inventions away from everything dear.
    #[must_use]
    pub fn recognise(&self, presented: &ApiKeySecret) -> Option<Likeness> {
        let (tag, likeness) = self.mac(presented.tagged());
        presented.carries_tag(tag).then_some(likeness)
    }

    /// The tag of a key string, and what recognises it: the beginning of a MAC, and what follows.
    fn mac(&self, tagged: &[u8]) -> (u64, Likeness) {
        let mac = hmac::sign(&self.tag, tagged);
        let (tag, rest) = mac.as_ref().split_first_chunk().expect("a MAC of 32 bytes");
        let likeness = rest.first_chunk().expect("24 bytes are left of it");
        (u64::from_be_bytes(*tag), *likeness)
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
        assert!(mint_here.recognise(&key).is_some());
        assert!(mint().recognise(&key).is_none());
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
        assert!(mint.recognise(&forged).is_none());
    }

    #[test]
    fn what_recognises_a_key_is_its_own_and_is_not_in_it() {
        let mint = mint();
        let (one, two) = (key(&mint), key(&mint));
        let likeness = mint.recognise(&one).unwrap();
        let again = ApiKeySecret::parse(one.expose()).unwrap();
        assert_eq!(mint.recognise(&again), Some(likeness));
        assert_ne!(mint.recognise(&two), Some(likeness));
        // The tag, which is in the string, tells nothing of it.
        assert_ne!(likeness[..8], mint.mac(one.tagged()).0.to_be_bytes());
    }
}
