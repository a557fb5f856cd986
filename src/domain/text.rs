//! Text that people write: names, descriptions, external ids and metadata.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::{self, DeserializeSeed, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::secret;

/// A line of text: trimmed, 1 to `MAX` characters, nothing invisible in it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(transparent)]
pub struct Text<const MAX: usize>(Box<str>);

/// What an API key, an organization and the like are called: 1 to 100 characters.
pub type Name = Text<100>;
/// What something is for, in a person's words: 1 to 1000 characters.
pub type Description = Text<1000>;
/// The platform's own id for the customer or service that holds a key: 1 to 255 characters.
pub type ExternalId = Text<255>;
/// Which of its own users a caller acts for: 1 to 200 characters.
pub type ActingFor = Text<200>;

/// Why a text was refused; each says what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Nothing is left after trimming.
    #[error("write between 1 and {max} characters")]
    Empty {
        /// The longest text accepted here, in characters.
        max: usize,
    },
    /// Longer than its field.
    #[error("write at most {max} characters; this has {length}")]
    TooLong {
        /// The longest text accepted here, in characters.
        max: usize,
        /// What was given, in characters.
        length: usize,
    },
    /// A control character, line break, or a character that reorders its neighbours.
    #[error("leave out control characters, line breaks and text-direction characters")]
    Invisible,
    /// An API key, pasted into the wrong field.
    #[error("this contains an API key; keep secrets out of names and notes, and revoke that key")]
    HoldsSecret,
}

impl<const MAX: usize> Text<MAX> {
    /// Trims and checks.
    ///
    /// # Errors
    /// See [`TextError`].
    pub fn new(text: &str) -> Result<Self, TextError> {
        check(text.trim(), 1, MAX).map(|text| Self(text.into()))
    }

    /// The text itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<const MAX: usize> FromStr for Text<MAX> {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        Self::new(text)
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Text<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// Up to 20 strings by name, kept for the platform and never interpreted.
///
/// Names have 1 to 40 characters, values 0 to 500.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Metadata(BTreeMap<String, String>);

impl Metadata {
    /// Most entries one key can hold.
    pub const MAX: usize = 20;

    /// Adds one entry.
    ///
    /// # Errors
    /// Says why the name or the value was refused, or that there is no room, or that the
    /// name is there already: which of two equal names counts is not ours to guess.
    pub fn insert(&mut self, name: &str, value: &str) -> Result<(), String> {
        let name = check(name, 1, 40).map_err(|why| format!("metadata name: {why}"))?;
        let value = check(value, 0, 500).map_err(|why| format!("metadata value: {why}"))?;
        if self.0.contains_key(name) {
            return Err("a metadata name is given twice".to_owned());
        }
        if self.0.len() == Self::MAX {
            return Err(format!("give at most {} metadata entries", Self::MAX));
        }
        self.0.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether every entry of `other` is here too, with the same value.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        let here = |(name, value)| self.0.get(name) == Some(value);
        other.0.iter().all(here)
    }

    /// Removes one entry, if it is there.
    pub fn remove(&mut self, name: &str) {
        self.0.remove(name.trim());
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Metadata;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object whose values are strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metadata, A::Error> {
                let mut entries = Metadata::default();
                while let Some(name) = map.next_key::<String>()? {
                    map.next_value_seed(Entry(&name, &mut entries))?;
                }
                Ok(entries)
            }
        }
        // Refused as an entry, rather than the whole, so that the error points at it.
        struct Entry<'a>(&'a str, &'a mut Metadata);
        impl<'de> DeserializeSeed<'de> for Entry<'_> {
            type Value = ();
            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
                let value = String::deserialize(deserializer)?;
                self.1.insert(self.0, &value).map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

fn check(text: &str, min: usize, max: usize) -> Result<&str, TextError> {
    // Bytes first: counting the characters of a megabyte is work nobody asked for.
    let length = if text.len() > max * 4 {
        text.len()
    } else {
        text.chars().count()
    };
    if length < min {
        return Err(TextError::Empty { max });
    }
    if length > max {
        return Err(TextError::TooLong { max, length });
    }
    if text.chars().any(is_invisible) {
        return Err(TextError::Invisible);
    }
    if secret::contains_api_key(text) {
        return Err(TextError::HoldsSecret);
    }
    Ok(text)
}

/// Characters that hide or reorder what a reader of a list or a log would see.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Nothing to see, wherever they stand. The joiners U+200C and U+200D are not among
            // them: Persian and families of emoji need them.
            '\u{ad}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}' | '\u{200b}'
            | '\u{2060}'..='\u{2064}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
            // Direction and lines.
            | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{206f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_trimmed_and_counted_in_characters() {
        assert_eq!(Name::new("  ci  ").unwrap().as_str(), "ci");
        assert!(Name::new(&"é".repeat(100)).is_ok());
        assert_eq!(
            Name::new(&"é".repeat(101)),
            Err(TextError::TooLong {
                max: 100,
                length: 101
            })
        );
        assert_eq!(Name::new(" \t "), Err(TextError::Empty { max: 100 }));
    }

    #[test]
    fn invisible_characters_are_refused_and_markup_is_only_data() {
        for text in [
            "a\0b",
            "a\nb",
            "a\u{202e}b",
            "a\u{2066}b",
            "a\u{61c}b",
            "\u{7f}",
            "\u{2060}",
            "\u{3164}",
        ] {
            assert_eq!(Name::new(text), Err(TextError::Invisible), "{text:?}");
        }
        assert!(Name::new("👩\u{200d}👧").is_ok());
        let markup = "<script>alert(1)</script>";
        assert_eq!(Name::new(markup).unwrap().as_str(), markup);
    }

    #[test]
    fn metadata_is_flat_bounded_and_names_nothing_twice() {
        let read = |json: &str| serde_json::from_str::<Metadata>(json).map_err(|e| e.to_string());
        assert!(read(r#"{"plan":"pro","note":""}"#).is_ok());
        assert!(read(r#"{"plan":{"a":"b"}}"#).is_err());
        assert!(read(r#"{"plan":1}"#).is_err());
        assert!(read(r#"{"a":"1","a":"2"}"#).unwrap_err().contains("twice"));
        let many: BTreeMap<_, _> = (0..21).map(|i| (i.to_string(), "x")).collect();
        assert!(read(&serde_json::to_string(&many).unwrap()).is_err());
    }
}
