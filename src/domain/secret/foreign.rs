//! Strings that another system gave out as its API keys, and customers go on using.
//!
//! They have no form of their own: what tells one is that it is neither an API key of tenmint nor
//! an access token, and that there is room for a secret in it.

use std::fmt;

use zeroize::Zeroizing;

use super::{ApiKeySecret, KeyId, KeyStringError};

/// Shortest and longest such string, in characters.
const LENGTHS: (usize, usize) = (20, 512);

/// Bits below which a string can be guessed by whoever has the time.
const ENOUGH_BITS: f64 = 64.0;

/// What stands for the id of a client that knows only the string it always had.
pub const ANY_CLIENT: &str = "api_key";

/// How the fingerprints of imported keys begin, and no others.
pub const IMPORTED: &str = "imported:";

/// A string that may be an imported API key. Cannot print, clone or serialize itself.
pub struct ForeignSecret {
    text: Zeroizing<String>,
    named: Option<KeyId>,
}

/// A string that was presented as an API key.
#[derive(Debug)]
pub enum PresentedSecret {
    /// Of the form that tenmint gives to its own.
    Own(ApiKeySecret),
    /// Of any other.
    Foreign(ForeignSecret),
}

/// Why a string cannot be an imported API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ForeignError {
    /// Too short, too long, or not of visible ASCII characters.
    #[error("an API key has 20 to 512 visible ASCII characters and no space")]
    Shape,
    /// It would be taken for an API key of tenmint's own.
    #[error("it has the form of tenmint's own API keys: these cannot be imported")]
    Own,
    /// It would be taken for an access token.
    #[error("it has the form of a JWT, and would be taken for an access token")]
    Token,
    /// It can be guessed.
    #[error("it can be guessed: it holds less than 64 bits by the variety of its characters")]
    Guessable,
}

impl ForeignSecret {
    /// Reads a string that was presented.
    ///
    /// # Errors
    /// All but [`ForeignError::Guessable`].
    pub fn parse(text: &str) -> Result<Self, ForeignError> {
        let (least, most) = LENGTHS;
        if !(least..=most).contains(&text.len()) {
            return Err(ForeignError::Shape);
        }
        // First, because it is what services are shown most.
        if is_token(text) {
            return Err(ForeignError::Token);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ForeignError::Shape);
        }
        match ApiKeySecret::parse(text) {
            Ok(_) | Err(KeyStringError::Checksum) => return Err(ForeignError::Own),
            Err(KeyStringError::Shape) => {}
        }
        Ok(Self {
            text: Zeroizing::new(text.to_owned()),
            named: None,
        })
    }

    /// Reads a string that is to be imported.
    ///
    /// # Errors
    /// See [`ForeignError`].
    pub fn import(text: &str) -> Result<Self, ForeignError> {
        let secret = Self::parse(text)?;
        if bits(text) < ENOUGH_BITS {
            return Err(ForeignError::Guessable);
        }
        Ok(secret)
    }

    /// The same, presented as that of one key.
    #[must_use]
    pub fn of(self, named: KeyId) -> Self {
        Self {
            named: Some(named),
            ..self
        }
    }

    /// Whether it may be that of this key, as far as its presenter said.
    #[must_use]
    pub fn may_be_of(&self, id: KeyId) -> bool {
        self.named.is_none_or(|named| named == id)
    }

    /// The whole string. Each caller is a place where a secret could escape: digests alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl PresentedSecret {
    /// What this text is, if it can be an API key.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        match ApiKeySecret::parse(text) {
            Ok(own) => Some(Self::Own(own)),
            Err(_) => ForeignSecret::parse(text).ok().map(Self::Foreign),
        }
    }

    /// The string, if it has the form that tenmint gives to its own.
    #[must_use]
    pub fn own(self) -> Option<ApiKeySecret> {
        match self {
            Self::Own(own) => Some(own),
            Self::Foreign(_) => None,
        }
    }

    /// The id of the key, if the string names it.
    #[must_use]
    pub fn id(&self) -> Option<KeyId> {
        match self {
            Self::Own(own) => Some(own.id()),
            Self::Foreign(foreign) => foreign.named,
        }
    }

    /// The same beside a `client_id`, which must be the key's own; of an imported one
    /// [`ANY_CLIENT`] as well.
    #[must_use]
    pub fn beside(self, client_id: &str) -> Option<Self> {
        let named = client_id.parse::<KeyId>().ok();
        match self {
            Self::Own(own) => (named == Some(own.id())).then_some(Self::Own(own)),
            Self::Foreign(foreign) if client_id == ANY_CLIENT => Some(Self::Foreign(foreign)),
            Self::Foreign(foreign) => Some(Self::Foreign(foreign.of(named?))),
        }
    }
}

impl From<ApiKeySecret> for PresentedSecret {
    fn from(own: ApiKeySecret) -> Self {
        Self::Own(own)
    }
}

impl From<ForeignSecret> for PresentedSecret {
    fn from(foreign: ForeignSecret) -> Self {
        Self::Foreign(foreign)
    }
}

impl fmt::Debug for ForeignSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ForeignSecret(..)")
    }
}

/// Whether a text has the form of a signed JWT (RFC 7515 §7.1): its header is an object.
fn is_token(text: &str) -> bool {
    text.starts_with("eyJ") && text.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// How much the characters vary, as Shannon counts it, times how many there are. A random string
/// has at least that much; one that has less is none.
fn bits(text: &str) -> f64 {
    let mut counts = [0_u32; 128];
    for byte in text.bytes() {
        counts[usize::from(byte & 127)] += 1;
    }
    let length = f64::from(u32::try_from(text.len()).unwrap_or(u32::MAX));
    let used = counts.into_iter().filter(|count| *count > 0);
    used.map(|count| f64::from(count) * (length / f64::from(count)).log2())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    static_assertions::assert_not_impl_any!(ForeignSecret: fmt::Display, Clone, serde::Serialize);

    #[test]
    fn what_platforms_give_out_can_be_imported() {
        for good in [
            "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
            "f47ac10b-58cc-4372-a567-0e02b2c3d479",
            "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
            "SG.ngeVfQFYQlKU0ufo8x5d1A.TwL2iGABf9DHoTf-09kqeF8tAmbihYzrnopKc",
            "dGhpcyBpcyBhIHNlY3JldCE/+abcd==",
        ] {
            assert!(ForeignSecret::import(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn what_is_something_else_or_can_be_guessed_cannot() {
        let token = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJ4In0.c2lnbmF0dXJl";
        let key = format!("tmsk_{}_{}", ulid::Ulid(7), "a".repeat(60));
        for (bad, why) in [
            ("short-but-random-7Q", ForeignError::Shape),
            ("has a space in it, and is long", ForeignError::Shape),
            ("eigenheimstraße-41-hinterhaus", ForeignError::Shape),
            (&*"x".repeat(513), ForeignError::Shape),
            (token, ForeignError::Token),
            (&*key, ForeignError::Own),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", ForeignError::Guessable),
            ("11112222333344445555", ForeignError::Guessable),
            ("passwordpasswordpass", ForeignError::Guessable),
        ] {
            assert_eq!(ForeignSecret::import(bad).unwrap_err(), why, "{bad}");
        }
    }

    #[test]
    fn a_client_says_its_key_or_that_it_knows_none() {
        let read = || PresentedSecret::read("sk_live_4eC39HqLyjWDarjtT1zdp7dc").unwrap();
        let id = KeyId::new(ulid::Ulid(7));
        assert_eq!(read().beside(ANY_CLIENT).unwrap().id(), None);
        assert_eq!(read().beside(&id.to_string()).unwrap().id(), Some(id));
        assert!(read().beside("somebody").is_none());
    }
}
