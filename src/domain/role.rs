//! Roles: named sets of scopes, edited in one place and held by many keys.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::organization::OrganizationId;
use super::scope::ScopeSet;
use super::secret::contains_api_key;
use super::text::Description;
use super::timestamp::Timestamp;

/// What a role is called within its organization: 1 to 64 of `[a-z0-9_-]`, a letter or digit
/// first. It never changes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(transparent)]
pub struct RoleName(Box<str>);

/// Not usable as the name of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "write a role name of 1 to 64 lower-case letters, digits, - and _, beginning with a letter or \
     digit"
)]
pub struct RoleNameError;

/// At most [`RoleNames::MAX`] different roles, in the order of their names.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
#[serde(transparent)]
pub struct RoleNames(Vec<RoleName>);

/// More roles than a key can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("give at most {} roles", RoleNames::MAX)]
pub struct TooManyRoles;

/// A named set of scopes within an organization.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Role {
    /// What it is called.
    pub name: RoleName,
    /// Whose it is.
    pub organization: OrganizationId,
    /// What it is for.
    pub description: Option<Description>,
    /// What every key that holds it holds.
    pub scopes: ScopeSet,
    /// When it was created.
    pub created_at: Timestamp,
    /// How often it was written: 1 when new.
    pub revision: i64,
}

/// A role, and how many keys hold it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeldRole {
    /// The role.
    pub role: Role,
    /// Keys in any state but revoked.
    pub keys: i64,
}

/// What a caller says about a role to be made, each part already checked by itself.
#[derive(Clone, Debug)]
pub struct NewRole {
    /// What it will be called.
    pub name: RoleName,
    /// What it is for.
    pub description: Option<Description>,
    /// What its holders will hold.
    pub scopes: ScopeSet,
}

/// What a caller says is to change of a role. What is `None` stays.
#[derive(Clone, Default, Debug)]
pub struct RoleEdit {
    /// What it is for; `Some(None)` removes that.
    pub description: Option<Option<Description>>,
    /// What its holders hold.
    pub scopes: Option<ScopeSet>,
}

impl Role {
    /// The most roles an organization may have.
    pub const MAX: i64 = 1000;
}

impl RoleName {
    /// A name that no role can have: it stands in for text that is none.
    #[must_use]
    pub fn of_none() -> Self {
        Self("-".into())
    }

    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RoleName {
    type Err = RoleNameError;

    fn from_str(text: &str) -> Result<Self, RoleNameError> {
        let shaped = (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
            && !text.starts_with(['-', '_']);
        (shaped && !contains_api_key(text))
            .then(|| Self(text.into()))
            .ok_or(RoleNameError)
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RoleName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

impl RoleNames {
    /// The most roles a key may hold.
    pub const MAX: usize = 16;

    /// These roles, each once.
    ///
    /// # Errors
    /// [`TooManyRoles`] if more than [`RoleNames::MAX`] differ.
    pub fn new(names: impl IntoIterator<Item = RoleName>) -> Result<Self, TooManyRoles> {
        let mut names: Vec<_> = names.into_iter().collect();
        names.sort();
        names.dedup();
        (names.len() <= Self::MAX)
            .then_some(Self(names))
            .ok_or(TooManyRoles)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The roles, in the order of their names.
    pub fn iter(&self) -> std::slice::Iter<'_, RoleName> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a RoleNames {
    type Item = &'a RoleName;
    type IntoIter = std::slice::Iter<'a, RoleName>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'de> Deserialize<'de> for RoleNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = RoleNames;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of role names")
            }
            fn visit_str<E: de::Error>(self, _: &str) -> Result<RoleNames, E> {
                Err(E::invalid_type(de::Unexpected::Other("string"), &self))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<RoleNames, A::Error> {
                let mut names = Vec::new();
                // Not read to its end when it is too long.
                while let Some(name) = entries.next_element::<RoleName>()? {
                    if names.len() == RoleNames::MAX {
                        return Err(de::Error::custom(TooManyRoles));
                    }
                    names.push(name);
                }
                RoleNames::new(names).map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_any(Names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_role_can_have_the_name_of_none() {
        assert!(RoleName::of_none().as_str().parse::<RoleName>().is_err());
    }

    #[test]
    fn names_keep_to_their_alphabet() {
        for good in ["a", "0", "read-only_2", &"a".repeat(64)] {
            assert!(good.parse::<RoleName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "A", "a b", "a/b", "é", "a\0", &"a".repeat(65)] {
            assert!(bad.parse::<RoleName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_key_holds_each_role_once_and_at_most_sixteen() {
        let names: RoleNames = serde_json::from_str(r#"["b","a","b"]"#).unwrap();
        assert_eq!(serde_json::to_string(&names).unwrap(), r#"["a","b"]"#);
        let many: Vec<_> = (0..17).map(|n| format!("r{n}")).collect();
        let many = serde_json::to_string(&many).unwrap();
        assert!(serde_json::from_str::<RoleNames>(&many).is_err());
        for bad in ["null", "\"a\"", "[null]", "[\"A\"]", "{}"] {
            assert!(serde_json::from_str::<RoleNames>(bad).is_err(), "{bad}");
        }
    }
}
