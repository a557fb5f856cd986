//! The string of an API key: its layout, its checksum, and how it stays out of sight.
//!
//! `<prefix>_<ULID>_<secret><tag><crc>`: 43 characters of secret, 11 of tag, 6 of checksum,
//! all base62, so that no form-encoding, header or shell changes it on its way.

mod foreign;
mod spotting;

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use ulid::Ulid;
use zeroize::Zeroizing;

use super::timestamp::Timestamp;

pub use foreign::{ANY_CLIENT, ForeignError, ForeignSecret, IMPORTED, PresentedSecret};
pub use spotting::{contains_api_key, redact};

const SECRET: usize = 43;
const TAG: usize = 11;
const CRC: usize = 6;
const TAIL: usize = SECRET + TAG + CRC;
const ULID: usize = 26;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The public id of an API key and its OAuth `client_id`: `key_` and a ULID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct KeyId(Ulid);

/// A [`KeyId`] as it is written.
#[derive(Clone, Copy, Debug)]
pub struct KeyIdText([u8; KEY_ID.len() + ULID]);

/// What every [`KeyId`] begins with.
const KEY_ID: &str = "key_";

/// What starts every API key of a deployment: 1 to 16 of `[a-z0-9_]`, a letter first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyPrefix(String);

/// A whole API key: the OAuth `client_secret`. Cannot print, clone or serialize itself.
pub struct ApiKeySecret {
    text: Zeroizing<String>,
    id: KeyId,
}

/// Why a text is not an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyStringError {
    /// Not of the shape `<prefix>_<ULID>_<60 characters>`.
    #[error("this is not an API key: the shape is <prefix>_<26 characters>_<60 characters>")]
    Shape,
    /// The shape is right, the checksum is not.
    #[error("this API key is mistyped or damaged: its checksum does not match")]
    Checksum,
}

/// Not of the form `key_` and a ULID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write an API key id: key_ followed by 26 characters")]
pub struct KeyIdError;

/// Not usable as a prefix of API keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write a key prefix of 1 to 16 lower-case letters, digits and _, beginning with a letter")]
pub struct KeyPrefixError;

impl KeyId {
    /// The id made of this ULID.
    #[must_use]
    pub const fn new(ulid: Ulid) -> Self {
        Self(ulid)
    }

    /// The ULID in it.
    #[must_use]
    pub const fn ulid(self) -> Ulid {
        self.0
    }

    /// The id as it is written, without an allocation.
    #[must_use]
    pub fn text(self) -> KeyIdText {
        let mut text = [0; KEY_ID.len() + ULID];
        let (prefix, ulid) = text.split_at_mut(KEY_ID.len());
        prefix.copy_from_slice(KEY_ID.as_bytes());
        let ulid: &mut [u8; ULID] = ulid.try_into().expect("as long as a ULID");
        self.0.array_to_str(ulid);
        KeyIdText(text)
    }

    /// When the key of this id was made.
    #[must_use]
    pub fn made_at(self) -> Timestamp {
        let seconds = i64::try_from(self.0.timestamp_ms() / 1_000).unwrap_or(i64::MAX);
        Timestamp::from_unix(seconds).unwrap_or(Timestamp::MAX)
    }
}

impl KeyIdText {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("a key id is ASCII")
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().as_str())
    }
}

impl FromStr for KeyId {
    type Err = KeyIdError;

    fn from_str(text: &str) -> Result<Self, KeyIdError> {
        let ulid = text.strip_prefix(KEY_ID).ok_or(KeyIdError)?;
        canonical_ulid(ulid).map(Self).ok_or(KeyIdError)
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for KeyPrefix {
    type Err = KeyPrefixError;

    fn from_str(text: &str) -> Result<Self, KeyPrefixError> {
        Self::is_one(text)
            .then(|| Self(text.to_owned()))
            .ok_or(KeyPrefixError)
    }
}

impl KeyPrefix {
    fn is_one(text: &str) -> bool {
        let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase());
        let all_well = text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        starts_well && all_well && text.len() <= 16
    }
}

impl fmt::Display for KeyPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ApiKeySecret {
    /// Reads a presented API key, checking shape and checksum, nothing else.
    ///
    /// Any prefix is accepted: the tag covers it, and a deployment that changes its prefix
    /// keeps its old keys.
    ///
    /// # Errors
    /// See [`KeyStringError`].
    pub fn parse(text: &str) -> Result<Self, KeyStringError> {
        let (head, tail) = split_before(text, TAIL).ok_or(KeyStringError::Shape)?;
        let (prefix, ulid) = split_before(head, ULID).ok_or(KeyStringError::Shape)?;
        let id = canonical_ulid(ulid).ok_or(KeyStringError::Shape)?;
        let shaped = tail.bytes().all(|b| b.is_ascii_alphanumeric());
        if !shaped || !KeyPrefix::is_one(prefix) {
            return Err(KeyStringError::Shape);
        }
        let (checked, crc) = text.split_at(text.len() - CRC);
        if base62::<CRC>(u64::from(crc32fast::hash(checked.as_bytes()))) != *crc.as_bytes() {
            return Err(KeyStringError::Checksum);
        }
        Ok(Self {
            text: Zeroizing::new(text.to_owned()),
            id: KeyId(id),
        })
    }

    /// Puts a new API key together. `draw` gives uniformly random bytes, `tag` is the MAC
    /// over what stands before it.
    pub fn compose(
        prefix: &KeyPrefix,
        id: KeyId,
        draw: impl FnMut() -> u8,
        tag: impl FnOnce(&[u8]) -> u64,
    ) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(prefix.0.len() + 2 + ULID + TAIL));
        text.push_str(&prefix.0);
        text.push('_');
        text.push_str(&id.0.to_string());
        text.push('_');
        // 248 is the greatest multiple of 62 a byte can hold: above it, draw again, and
        // every character is equally likely. 43 such characters carry 256 bits.
        let drawn = std::iter::repeat_with(draw).filter(|byte| *byte < 248);
        text.extend(
            drawn
                .take(SECRET)
                .map(|byte| char::from(BASE62[usize::from(byte % 62)])),
        );
        let tag = tag(text.as_bytes());
        text.extend(base62::<TAG>(tag).map(char::from));
        let crc = crc32fast::hash(text.as_bytes());
        text.extend(base62::<CRC>(u64::from(crc)).map(char::from));
        Self { text, id }
    }

    /// The public id inside the key.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// What the key begins with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.text[..self.text.len() - TAIL - ULID - 2]
    }

    /// What the tag is a MAC of.
    #[must_use]
    pub fn tagged(&self) -> &[u8] {
        &self.text.as_bytes()[..self.text.len() - TAG - CRC]
    }

    /// Whether the key carries this tag. Constant time: the tag is a MAC.
    #[must_use]
    pub fn carries_tag(&self, tag: u64) -> bool {
        let end = self.text.len() - CRC;
        let carried = &self.text.as_bytes()[end - TAG..end];
        subtle::ConstantTimeEq::ct_eq(carried, &base62::<TAG>(tag)[..]).into()
    }

    /// The whole key. Each caller is a place where a secret could escape: hashing it, and
    /// the one answer that shows it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for ApiKeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKeySecret({}, ..)", self.id)
    }
}

/// The last so many bytes of a text, and what stands before the `_` in front of them.
fn split_before(text: &str, last: usize) -> Option<(&str, &str)> {
    let (head, last) = text.split_at_checked(text.len().checked_sub(last)?)?;
    Some((head.strip_suffix('_')?, last))
}

/// A ULID in its one canonical spelling: two strings must never name one key.
fn canonical_ulid(text: &str) -> Option<Ulid> {
    let ulid = Ulid::from_string(text).ok()?;
    (ulid.array_to_str(&mut [0; ULID]) == text).then_some(ulid)
}

/// `value` in exactly so many base62 digits, leading zeros included.
fn base62<const WIDTH: usize>(mut value: u64) -> [u8; WIDTH] {
    let mut digits = [b'0'; WIDTH];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[usize::try_from(value % 62).expect("below 62")];
        value /= 62;
    }
    debug_assert_eq!(value, 0, "the width holds every value of its type");
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // A secret cannot be printed, copied or serialized by accident: such code does not compile.
    static_assertions::assert_not_impl_any!(ApiKeySecret: fmt::Display, Clone, Serialize, AsRef<str>);

    fn sample(prefix: &str, id: u128, seed: u8, tag: u64) -> ApiKeySecret {
        let mut byte = seed;
        let draw = || {
            byte = byte.wrapping_mul(37).wrapping_add(11);
            byte
        };
        ApiKeySecret::compose(&prefix.parse().unwrap(), KeyId::new(Ulid(id)), draw, |_| {
            tag
        })
    }

    proptest! {
        #[test]
        fn every_composed_key_reads_back(id: u128, seed: u8, tag: u64, prefix in "[a-z][a-z0-9_]{0,14}[a-z0-9]") {
            let key = sample(&prefix, id, seed, tag);
            let read = ApiKeySecret::parse(key.expose()).unwrap();
            prop_assert_eq!(read.id(), key.id());
            prop_assert!(read.carries_tag(tag));
            prop_assert!(!read.carries_tag(tag ^ 1));
            prop_assert!(key.expose().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
            prop_assert_eq!(key.id().to_string().parse(), Ok(key.id()));
        }

        #[test]
        fn one_changed_character_is_noticed_offline(id: u128, seed: u8, at in 0usize..80, to in "[a-zA-Z0-9]") {
            let key = sample("tmsk", id, seed, 7);
            let mut text = key.expose().to_owned();
            let at = at % text.len();
            prop_assume!(text[at..=at] != to);
            text.replace_range(at..=at, &to);
            prop_assert!(ApiKeySecret::parse(&text).is_err());
        }

        #[test]
        fn reading_never_panics(text in ".*") {
            let _ = ApiKeySecret::parse(&text);
            let _ = text.parse::<KeyId>();
        }
    }

    #[test]
    fn a_truncated_key_is_not_a_key() {
        let key = sample("tmsk", 1, 3, 9);
        let text = key.expose();
        assert_eq!(
            ApiKeySecret::parse(&text[..text.len() - 1]).unwrap_err(),
            KeyStringError::Shape
        );
        let lower = text.replace("tmsk_0", "tmsk_o");
        assert!(ApiKeySecret::parse(&lower).is_err());
    }

    #[test]
    fn debugging_a_key_shows_its_id_alone() {
        let key = sample("tmsk", 1, 3, 9);
        let shown = format!("{key:?}");
        assert!(shown.contains(&key.id().to_string()));
        assert!(!contains_api_key(&shown));
    }

    #[test]
    fn prefixes_keep_to_characters_that_survive_every_encoding() {
        for good in ["tmsk", "acme_live", "a", "sk_2"] {
            assert!(good.parse::<KeyPrefix>().is_ok(), "{good}");
        }
        for bad in ["", "1a", "_a", "A", "a-b", "a b", "abcdefghijklmnopq", "é"] {
            assert_eq!(bad.parse::<KeyPrefix>(), Err(KeyPrefixError), "{bad}");
        }
    }
}
