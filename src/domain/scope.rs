//! What a credential may do: scopes, and the one relation between them.

mod action;
mod catalogue;
mod filter;
mod held;
mod meet;
mod pieces;
mod set;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::{Serialize, Serializer};
use thiserror::Error;

use crate::domain::secret::contains_api_key;

pub use self::catalogue::{ActionName, ActionNameError, CatalogueEntry, DefinedBy};
pub use self::held::HeldScopes;
pub use self::set::ScopeSet;

use self::pieces::pieces;

/// A permission in canonical form: `action` or `action:resource-filter`, such
/// as `read` or `read:projects/42/**`. At most [`Scope::MAX_BYTES`] bytes.
///
/// A scope stands for a set of pairs, an action and a resource. Its action is
/// dot-separated words (`chats.completion`), everything under such words
/// (`files.*`, which leaves out `files` itself), or `*`: every action of the
/// platform and no management action. Its filter is `/`-separated segments in
/// which `*` stands for exactly one segment and a final `**` for any remainder,
/// also none; without a filter it is about every resource.
///
/// Two scopes are equal exactly when they stand for the same pairs. The order
/// of `Ord` is that of the text; what includes what is [`Scope::covers`].
///
/// The text is also a scope-token of RFC 6749 §3.3. JSON may say it as a string
/// or as `{"action":"read","resource":"projects/42/**"}`, and is answered with
/// the string.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Scope(Box<str>);

impl Scope {
    /// The longest scope, in bytes, as it was written.
    pub const MAX_BYTES: usize = 200;

    /// Whether everything `asked` permits is permitted by this scope.
    ///
    /// This is set inclusion, and so a partial order: it narrows a token, limits
    /// what one key may grant another, and decides a request.
    #[must_use]
    pub fn covers(&self, asked: &Self) -> bool {
        includes(self.halves(), asked.halves())
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The action, or the actions, that it is about.
    #[must_use]
    pub fn action(&self) -> &str {
        self.halves().0
    }

    fn halves(&self) -> Halves<'_> {
        split(&self.0)
    }

    fn from_halves(action: &str, filter: Option<&str>) -> Result<Self, ScopeError> {
        let bytes = action.len() + filter.map_or(0, |filter| filter.len() + 1);
        if bytes > Self::MAX_BYTES {
            return Err(ScopeError::TooLong { bytes });
        }
        // Every refusal below quotes its input, so this comes before them: a
        // secret pasted into the wrong field must not come back in an error.
        for half in [Some(action), filter].into_iter().flatten() {
            if contains_api_key(half) {
                return Err(ScopeError::ApiKey);
            }
            if let Some(character) = half.chars().find(|c| !belongs_in_a_half(*c)) {
                return Err(ScopeError::Character { character });
            }
        }
        action::check(action)?;
        Ok(match filter.map(filter::canonical).transpose()?.flatten() {
            Some(filter) => Self(format!("{action}:{filter}").into()),
            None => Self(action.into()),
        })
    }
}

/// Why a text is not a scope, or a list of them not a set of scopes.
///
/// The messages hold only characters that RFC 6749 §5.2 allows in
/// `error_description`, and quote at most some 80 bytes of what was given.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ScopeError {
    /// There is no action.
    #[error("a scope needs an action: write one such as `read`, or `*` for every action")]
    Empty,
    /// It is longer than [`Scope::MAX_BYTES`].
    #[error(
        "a scope has at most {} bytes, and this one has {bytes}: shorten it, for instance with `**`",
        Scope::MAX_BYTES
    )]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// It holds what looks like an API key.
    #[error(
        "this scope holds what looks like an API key: write an action such as `read`, \
         and replace that key if anyone may have seen it"
    )]
    ApiKey,
    /// A character that no scope has, or a second colon.
    #[error(
        "{} does not belong here: write an action such as `files.read`, \
         or with one colon a resource filter after it, such as `files.read:projects/42/**`",
        named(*character)
    )]
    Character {
        /// The first such character.
        character: char,
    },
    /// The action is not dot-separated words.
    #[error(
        "`{action}` is not an action: write words of a-z, 0-9, `_` and `-` joined by dots, \
         such as `chats.completion`"
    )]
    Action {
        /// The action, cut short.
        action: String,
    },
    /// A wildcard where an action has none.
    #[error(
        "`{action}` is not an action: write `*` alone for every action, \
         or end in `.*` as `files.*` does for everything under `files`"
    )]
    ActionWildcard {
        /// The action, cut short.
        action: String,
    },
    /// There is nothing after the colon.
    #[error("the resource filter is empty: leave it and its colon out for every resource")]
    EmptyFilter,
    /// Two slashes in a row, or one at an end.
    #[error(
        "`{filter}` has an empty segment: put single slashes between segments and none at the ends"
    )]
    EmptySegment {
        /// The filter, cut short.
        filter: String,
    },
    /// A segment `.` or `..`.
    #[error("`{filter}` steps through `.` or `..`: write the path that it leads to")]
    DotSegment {
        /// The filter, cut short.
        filter: String,
    },
    /// A wildcard where a filter has none.
    #[error(
        "`{filter}` is not a resource filter: write `*` as a whole segment for any one segment, \
         and `**` at the very end for any remainder"
    )]
    FilterWildcard {
        /// The filter, cut short.
        filter: String,
    },
    /// More than [`ScopeSet::MAX`] scopes.
    #[error(
        "there are more than {} scopes: combine some with wildcards such as `files.*` or `projects/**`",
        ScopeSet::MAX
    )]
    TooMany,
    /// A `scope` parameter with a space too many, or with nothing in it.
    #[error("scopes are separated by exactly one space: remove the others, also at either end")]
    Separator,
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let (action, filter) = split(text);
        Self::from_halves(action, filter)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScopeVisitor)
    }
}

struct ScopeVisitor;

impl<'de> Visitor<'de> for ScopeVisitor {
    type Value = Scope;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a scope: a string such as `read:projects/42/**`, \
             or an object with `action` and, unless it is every resource, `resource`",
        )
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Scope, E> {
        text.parse().map_err(E::custom)
    }

    // By hand rather than derived: a derived one quotes an unknown field whole,
    // and takes `"resource": null`, most often a variable that somebody forgot
    // to set, for every resource.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scope, A::Error> {
        let (mut action, mut resource) = (None::<String>, None::<String>);
        while let Some(field) = map.next_key::<String>()? {
            let (name, half) = match field.as_str() {
                "action" => ("action", &mut action),
                "resource" => ("resource", &mut resource),
                _ if field.len() > QUOTED_BYTES || contains_api_key(&field) => {
                    let message = "unknown field, expected `action` or `resource`";
                    return Err(de::Error::custom(message));
                }
                unknown => return Err(de::Error::unknown_field(unknown, &["action", "resource"])),
            };
            if half.is_some() {
                return Err(de::Error::duplicate_field(name));
            }
            *half = Some(map.next_value()?);
        }
        let action = action.ok_or_else(|| de::Error::missing_field("action"))?;
        Scope::from_halves(&action, resource.as_deref()).map_err(de::Error::custom)
    }
}

const QUOTED_BYTES: usize = 80;

/// Action and filter.
type Halves<'a> = (&'a str, Option<&'a str>);

fn includes((held, held_filter): Halves<'_>, (asked, asked_filter): Halves<'_>) -> bool {
    action::includes(held, asked) && filter::includes(held_filter, asked_filter)
}

fn split(text: &str) -> Halves<'_> {
    let mut halves = pieces(text, b':');
    (halves.next().unwrap_or_default(), halves.rest())
}

/// Whether the action or the filter of a scope may have this character at all.
fn belongs_in_a_half(character: char) -> bool {
    character.is_ascii_alphanumeric() || "._~-/*".contains(character)
}

/// As much of a half as an error quotes. Only for a half that has passed the
/// checks of [`Scope::from_halves`]: no secret, and nothing but ASCII.
fn quoted(half: &str) -> String {
    match half.get(..QUOTED_BYTES) {
        Some(start) if start.len() < half.len() => format!("{start}..."),
        _ => half.to_owned(),
    }
}

/// A character as `error_description` may show it, which allows neither
/// quotation marks nor backslashes nor anything beyond printable ASCII.
fn named(character: char) -> String {
    match character {
        ' ' => "a space".to_owned(),
        '"' | '\\' => format!("the character U+{:04X}", u32::from(character)),
        '!'..='~' => format!("`{character}`"),
        other => format!("the character U+{:04X}", u32::from(other)),
    }
}
