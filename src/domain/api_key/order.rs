//! In which order keys are listed, and places in that order.

use super::ApiKey;
use crate::domain::secret::KeyId;
use crate::domain::timestamp::Timestamp;

/// In which order keys are listed. Among equals, ids decide.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum KeyOrder {
    /// The newest first.
    #[default]
    Newest,
    /// The oldest first.
    Oldest,
    /// By name, A to Z as a to z, other characters by their code points.
    Name,
    /// The other way round.
    NameDescending,
    /// Those that end first; those without an end last.
    Expiry,
    /// The other way round.
    ExpiryDescending,
}

/// A place in an order: behind one key, which need not exist any longer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Position {
    /// In which order.
    pub order: KeyOrder,
    /// What that order sorts by, of the key.
    pub value: SortValue,
    /// The key's id.
    pub id: KeyId,
}

/// What an order sorts by, beside ids.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SortValue {
    /// Nothing: ids sort by their making.
    None,
    /// A name, with a to z for A to Z.
    Name(String),
    /// An end, if there is one.
    End(Option<Timestamp>),
}

impl KeyOrder {
    /// Every order, once.
    pub const ALL: [Self; 6] = [
        Self::Newest,
        Self::Oldest,
        Self::Name,
        Self::NameDescending,
        Self::Expiry,
        Self::ExpiryDescending,
    ];

    /// The name, as requests have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Newest => "-created_at",
            Self::Oldest => "created_at",
            Self::Name => "name",
            Self::NameDescending => "-name",
            Self::Expiry => "expires_at",
            Self::ExpiryDescending => "-expires_at",
        }
    }
}

impl Position {
    /// The place behind a key.
    #[must_use]
    pub fn behind(key: &ApiKey, order: KeyOrder) -> Self {
        let value = match order {
            KeyOrder::Newest | KeyOrder::Oldest => SortValue::None,
            KeyOrder::Name | KeyOrder::NameDescending => {
                SortValue::Name(key.name.as_str().to_ascii_lowercase())
            }
            KeyOrder::Expiry | KeyOrder::ExpiryDescending => SortValue::End(key.expires_at),
        };
        let id = key.id;
        Self { order, value, id }
    }
}
