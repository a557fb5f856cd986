//! Several scopes together, as a key holds them and a token request asks for them.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::{Serialize, Serializer};

use super::pieces::pieces;
use super::{Scope, ScopeError};

/// At most [`ScopeSet::MAX`] different scopes, in the order first given. It may
/// be empty, and then covers nothing.
///
/// In JSON it is an array of scopes. A list that arrives from outside, in JSON
/// or in a parameter, has at most [`ScopeSet::MAX`] entries, repeated ones
/// counted: an oversized one is refused without being read to its end.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ScopeSet(Box<[Scope]>);

impl ScopeSet {
    /// The most scopes a set may hold.
    pub const MAX: usize = 64;

    /// These scopes, each once.
    ///
    /// # Errors
    ///
    /// [`ScopeError::TooMany`] if more than [`ScopeSet::MAX`] differ.
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Result<Self, ScopeError> {
        let mut set = Vec::new();
        for scope in scopes {
            if set.contains(&scope) {
                continue;
            }
            if set.len() == Self::MAX {
                return Err(ScopeError::TooMany);
            }
            set.push(scope);
        }
        Ok(Self(set.into()))
    }

    /// Reads a `scope` parameter (RFC 6749 §3.3): scopes separated by exactly
    /// one space each.
    ///
    /// # Errors
    ///
    /// That of the first entry which is not a scope; [`ScopeError::Separator`]
    /// for an empty entry, and so for an empty text: RFC 6749 §3.2 treats a
    /// parameter without a value as left out, which is for the caller to see;
    /// [`ScopeError::TooMany`] beyond [`ScopeSet::MAX`] entries.
    pub fn parse_parameter(text: &str) -> Result<Self, ScopeError> {
        let mut scopes = Vec::new();
        for entry in pieces(text, b' ') {
            if scopes.len() == Self::MAX {
                return Err(ScopeError::TooMany);
            }
            if entry.is_empty() {
                return Err(ScopeError::Separator);
            }
            scopes.push(entry.parse()?);
        }
        Self::new(scopes)
    }

    /// The `scope` parameter, and `scope` claim, that says this set: its scopes
    /// joined by single spaces. Empty for an empty set.
    #[must_use]
    pub fn to_parameter(&self) -> String {
        let length: usize = self.iter().map(|scope| scope.as_str().len() + 1).sum();
        let mut text = String::with_capacity(length);
        for scope in self {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(scope.as_str());
        }
        text
    }

    /// Whether one scope of this set covers `asked`.
    #[must_use]
    pub fn covers(&self, asked: &Scope) -> bool {
        self.iter().any(|held| held.covers(asked))
    }

    /// The first scope of `asked` that none of this set covers; `None` if this
    /// set covers all of them.
    #[must_use]
    pub fn uncovered<'a>(&self, asked: &'a Self) -> Option<&'a Scope> {
        asked.iter().find(|asked| !self.covers(asked))
    }

    /// The scopes of both, each once, those of this set first.
    ///
    /// # Errors
    ///
    /// [`ScopeError::TooMany`] if more than [`ScopeSet::MAX`] differ.
    pub fn union(&self, other: &Self) -> Result<Self, ScopeError> {
        Self::new(self.iter().chain(other).cloned())
    }

    /// Whether there is no scope in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many scopes there are, at most [`ScopeSet::MAX`].
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The scopes, in the order first given.
    pub fn iter(&self) -> std::slice::Iter<'_, Scope> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a ScopeSet {
    type Item = &'a Scope;
    type IntoIter = std::slice::Iter<'a, Scope>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Serialize for ScopeSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ScopeSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not `deserialize_seq`: given a string, its error would repeat all of it.
        deserializer.deserialize_any(SetVisitor)
    }
}

struct SetVisitor;

impl<'de> Visitor<'de> for SetVisitor {
    type Value = ScopeSet;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of scopes, such as [\"read\", \"write:projects/42/**\"]")
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<ScopeSet, E> {
        Err(E::invalid_type(de::Unexpected::Other("string"), &self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<ScopeSet, A::Error> {
        let mut scopes = Vec::new();
        while scopes.len() < ScopeSet::MAX {
            match entries.next_element()? {
                Some(scope) => scopes.push(scope),
                None => return ScopeSet::new(scopes).map_err(de::Error::custom),
            }
        }
        entries.next_element::<OneTooMany>()?;
        ScopeSet::new(scopes).map_err(de::Error::custom)
    }
}

/// The entry after the last one allowed. That it fails as an entry, rather than
/// the list as a whole, lets the error point at it.
struct OneTooMany;

impl<'de> Deserialize<'de> for OneTooMany {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(de::Error::custom(ScopeError::TooMany))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> ScopeSet {
        ScopeSet::parse_parameter(text).unwrap()
    }

    #[test]
    fn a_set_keeps_the_order_first_given_and_each_scope_once() {
        let scopes = set("write read:** write:a read write read:*");
        assert_eq!(scopes.to_parameter(), "write read write:a");
        assert_eq!(set(&scopes.to_parameter()), scopes);
        assert_eq!(scopes.len(), 3);
    }

    #[test]
    fn a_parameter_is_separated_by_single_spaces_and_nothing_else() {
        for text in ["", " ", " a", "a ", "a  b"] {
            let refusal = ScopeSet::parse_parameter(text);
            assert_eq!(refusal, Err(ScopeError::Separator), "{text:?}");
        }
        for text in ["a\tb", "a\nb", "\"a\"", "a\\b", "a\0", "a\u{a0}b", "a,b"] {
            let refusal = ScopeSet::parse_parameter(text);
            let expected = matches!(refusal, Err(ScopeError::Character { .. }));
            assert!(expected, "{text:?}: {refusal:?}");
        }
    }

    #[test]
    fn one_scope_covers_or_none_does() {
        let held = set("files.* read:projects/*");
        assert!(held.covers(&"files.write:a".parse().unwrap()));
        let asked = set("files.read read:projects/1 read:projects/1/a files");
        assert_eq!(
            held.uncovered(&asked).unwrap().as_str(),
            "read:projects/1/a"
        );
        assert_eq!(held.uncovered(&ScopeSet::default()), None);
        assert!(ScopeSet::default().uncovered(&held).is_some());
    }

    #[test]
    fn a_set_holds_at_most_64_scopes() {
        let scopes = |count| (0..count).map(|n| format!("a{n}").parse::<Scope>().unwrap());
        assert_eq!(ScopeSet::new(scopes(64)).unwrap().len(), 64);
        assert_eq!(ScopeSet::new(scopes(65)), Err(ScopeError::TooMany));
        let repeated = scopes(64).chain(scopes(64));
        assert_eq!(ScopeSet::new(repeated).unwrap().len(), 64);
    }

    #[test]
    fn an_oversized_list_is_not_read_to_its_end() {
        // What follows the limit is not even well-formed, and nobody notices.
        let texts = [vec!["a"; 64], vec!["\0"; 10_000]].concat();
        let refusal = ScopeSet::parse_parameter(&texts.join(" "));
        assert_eq!(refusal, Err(ScopeError::TooMany));

        let json = serde_json::to_string(&texts).unwrap();
        let refusal = serde_json::from_str::<ScopeSet>(&json).unwrap_err();
        let expected = ScopeError::TooMany.to_string();
        assert!(refusal.to_string().starts_with(&expected), "{refusal}");
    }

    #[test]
    fn json_is_an_array_of_scopes_in_either_spelling() {
        let json = r#"["read",{"action":"write","resource":"a/**"},"read:**"]"#;
        let scopes: ScopeSet = serde_json::from_str(json).unwrap();
        let written = serde_json::to_string(&scopes).unwrap();
        assert_eq!(written, r#"["read","write:a/**"]"#);
        assert!(serde_json::from_str::<ScopeSet>("[]").unwrap().is_empty());
        for other in ["null", "{}", "5", r#"["read",null]"#, r#"["read",["a"]]"#] {
            serde_json::from_str::<ScopeSet>(other).unwrap_err();
        }
    }

    #[test]
    fn a_string_in_place_of_the_array_is_not_repeated() {
        let refusal = serde_json::from_str::<ScopeSet>(r#""hunter2""#).unwrap_err();
        assert!(!refusal.to_string().contains("hunter2"), "{refusal}");
    }
}
