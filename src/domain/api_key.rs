//! API keys: what is known of one, what a new one may be, and when one is usable.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use super::network::NetworkSet;
use super::organization::OrganizationId;
use super::scope::ScopeSet;
use super::secret::KeyId;
use super::text::{Description, ExternalId, Metadata, Name};
use super::timestamp::Timestamp;

/// What is known of an API key: everything but its secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiKey {
    /// Its public id and OAuth `client_id`.
    pub id: KeyId,
    /// Whose it is.
    pub organization: OrganizationId,
    /// What people call it.
    pub name: Name,
    /// What it is for.
    pub description: Option<Description>,
    /// The most a token of this key can carry.
    pub scopes: ScopeSet,
    /// Where the key may be used from.
    pub networks: NetworkSet,
    /// The platform's own id for the holder.
    pub external_id: Option<ExternalId>,
    /// The platform's own notes.
    pub metadata: Metadata,
    /// The beginning of the SHA-256 of the secret: tells keys apart, opens nothing.
    pub fingerprint: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// Who created it.
    pub created_by: Creator,
    /// The instant from which it is of no use, if any.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked, if it was: for good.
    pub revoked_at: Option<Timestamp>,
}

/// Who made a key: another key, the operator, or tenmint's own command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Creator {
    /// The API key of the same organization whose authority was used.
    Key(KeyId),
    /// The operator, who reached in from its own organization with this key. Which key it was
    /// is not this organization's to know.
    Operator(KeyId),
    /// `tenmint` on the machine itself: first start, `operator-key`, `quickstart`.
    CommandLine,
}

/// Whether a key is of any use at an instant, and if not, why not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Usable.
    Active,
    /// Past its `expires_at`.
    Expired,
    /// Ended for good by a person.
    Revoked,
}

/// Which keys of an organization a list is to show.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum StatusFilter {
    /// Those that are of use now.
    #[default]
    Active,
    /// Those past their end, not revoked.
    Expired,
    /// Those ended by a person.
    Revoked,
    /// All.
    All,
}

/// What a caller says about a key to be made, each part already checked by itself.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    /// What people will call it.
    pub name: Name,
    /// What it is for.
    pub description: Option<Description>,
    /// Its scopes.
    pub scopes: ScopeSet,
    /// Where it may be used from.
    pub networks: NetworkSet,
    /// The platform's own id for the holder.
    pub external_id: Option<ExternalId>,
    /// The platform's own notes.
    pub metadata: Metadata,
    /// When it ends, if ever.
    pub expiry: Option<Expiry>,
}

/// When a new key ends: at an instant, or a number of days from now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expiry {
    /// At this instant.
    At(Timestamp),
    /// So many days after it is made.
    In(Days),
}

/// A number of days from 1 to 36500 (a hundred years).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Days(u16);

/// The instant named for a key's end is not after now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write a time in the future")]
pub struct AlreadyPast;

impl ApiKey {
    /// Whether the key is of use at `now`.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> Status {
        if self.revoked_at.is_some() {
            Status::Revoked
        } else if self.expires_at.is_some_and(|end| end <= now) {
            Status::Expired
        } else {
            Status::Active
        }
    }
}

impl StatusFilter {
    /// The name, as requests and SQL have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::All => "all",
        }
    }
}

impl Expiry {
    /// The instant meant, counted from `now`.
    ///
    /// # Errors
    /// Refuses an instant that has already come: such a key would be born dead.
    pub fn instant(self, now: Timestamp) -> Result<Timestamp, AlreadyPast> {
        match self {
            Self::At(at) if at > now => Ok(at),
            Self::At(_) => Err(AlreadyPast),
            Self::In(days) => Ok(now.plus(Duration::from_secs(u64::from(days.0) * 86_400))),
        }
    }
}

impl Days {
    /// Longest life in days: a hundred years.
    pub const MAX: u16 = 36_500;
}

impl<'de> Deserialize<'de> for Days {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WholeDays;
        impl serde::de::Visitor<'_> for WholeDays {
            type Value = Days;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "a whole number of days from 1 to {}", Days::MAX)
            }
            fn visit_u64<E: serde::de::Error>(self, days: u64) -> Result<Days, E> {
                u16::try_from(days)
                    .ok()
                    .filter(|days| (1..=Days::MAX).contains(days))
                    .map(Days)
                    .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Unsigned(days), &self))
            }
        }
        deserializer.deserialize_u64(WholeDays)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_whole_and_between_one_and_a_hundred_years() {
        assert_eq!(serde_json::from_str::<Days>("90").unwrap(), Days(90));
        for bad in [
            "0",
            "-1",
            "1e308",
            "9223372036854775808",
            "1.5",
            "\"90\"",
            "36501",
            "null",
        ] {
            let error = serde_json::from_str::<Days>(bad).unwrap_err().to_string();
            assert!(error.contains("whole number of days"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_key_is_never_born_dead() {
        let now = Timestamp::from_unix(1_000).unwrap();
        assert_eq!(Expiry::At(now).instant(now), Err(AlreadyPast));
        let next = Timestamp::from_unix(1_001).unwrap();
        assert_eq!(Expiry::At(next).instant(now), Ok(next));
        assert_eq!(Expiry::In(Days(1)).instant(now).unwrap().unix(), 87_400);
    }
}
