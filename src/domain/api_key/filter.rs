//! Which keys of an organization are meant: for lists, and for what is done to many at once.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::status::StatusFilter;
use super::{ApiKey, Creator};
use crate::domain::role::RoleName;
use crate::domain::scope::Scope;
use crate::domain::secret::KeyId;
use crate::domain::text::{ExternalId, Metadata, Text};
use crate::domain::timestamp::Timestamp;

/// What is looked for in names and ids: 1 to 100 characters.
pub type Search = Text<100>;

/// Which keys are meant: those for which all that is given holds.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct KeyFilter {
    /// In this state.
    pub status: StatusFilter,
    /// With this in the name, or at the beginning of the id; A to Z are as a to z.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<Search>,
    /// Held for this customer or service of the platform.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<ExternalId>,
    /// With all of these entries.
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
    /// Holding this role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<RoleName>,
    /// Able to do all of this, by its own scopes or its roles'.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// Made by these.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<Makers>,
    /// Ending before this instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_before: Option<Timestamp>,
    /// Made before this instant, and never used since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unused_since: Option<Timestamp>,
}

/// A maker of keys, and how far what it made reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Makers {
    /// Who made them.
    #[serde(rename = "created_by")]
    pub maker: Maker,
    /// Also what those keys made, and so on.
    pub transitive: bool,
    /// Also the maker itself.
    pub include_creator: bool,
}

/// Who makes keys, as a key shows it: a key of the organization, or the operator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Maker {
    /// This key.
    Key(KeyId),
    /// The operator, with whichever of its keys.
    Operator,
}

/// Not a maker of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write the id of a key, or operator")]
pub struct MakerError;

impl KeyFilter {
    /// Whether a key is among those that are meant, as it is at `now`.
    ///
    /// Of makers it says nothing where [`Makers::transitive`] is set: one key does not tell who
    /// made its maker. Nor does it tell when it was used.
    #[must_use]
    pub fn holds(&self, key: &ApiKey, now: Timestamp) -> bool {
        fn given<T>(part: Option<&T>, holds: impl FnOnce(&T) -> bool) -> bool {
            part.is_none_or(holds)
        }
        self.status.holds(key.status(now))
            && given(self.search.as_ref(), |search| found(search, key))
            && given(self.external_id.as_ref(), |id| {
                key.external_id.as_ref() == Some(id)
            })
            && key.metadata.includes(&self.metadata)
            && given(self.role.as_ref(), |role| {
                key.roles.iter().any(|held| held == role)
            })
            && given(self.scope.as_ref(), |scope| key.effective.covers(scope))
            && given(self.created_by.as_ref(), |makers| makers.hold(key))
            && given(self.expires_before.as_ref(), |end| {
                key.expires_at.is_some_and(|at| at < *end)
            })
            && given(self.unused_since.as_ref(), |since| key.created_at < *since)
    }
}

impl Makers {
    /// What this one made, and nothing more.
    #[must_use]
    pub const fn only(maker: Maker) -> Self {
        Self {
            maker,
            transitive: false,
            include_creator: false,
        }
    }

    fn hold(&self, key: &ApiKey) -> bool {
        let made = match self.maker {
            Maker::Key(id) => key.created_by == Creator::Key(id),
            Maker::Operator => matches!(key.created_by, Creator::Operator(_)),
        };
        let itself = self.include_creator && self.maker == Maker::Key(key.id);
        self.transitive || made || itself
    }
}

/// ASCII alone changes case: both engines then find the same keys.
fn found(search: &Search, key: &ApiKey) -> bool {
    let search = search.as_str().to_ascii_lowercase();
    key.name.as_str().to_ascii_lowercase().contains(&search)
        || key.id.to_string().to_ascii_lowercase().starts_with(&search)
}

impl FromStr for Maker {
    type Err = MakerError;

    fn from_str(text: &str) -> Result<Self, MakerError> {
        match text {
            "operator" => Ok(Self::Operator),
            id => id.parse().map(Self::Key).map_err(|_| MakerError),
        }
    }
}

impl fmt::Display for Maker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => id.fmt(f),
            Self::Operator => f.write_str("operator"),
        }
    }
}

impl Serialize for Maker {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Maker {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}
