//! Organizations: the owners of API keys and of a signing key.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use ulid::Ulid;

use super::policy::{Effective, Policy};
use super::secret::{self, KeyId};
use super::text::Name;
use super::timestamp::Timestamp;

/// The public name of an organization: 1 to 64 of `[a-z0-9_-]`, a letter or digit first.
/// It never changes. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(transparent)]
pub struct OrganizationId(Arc<str>);

/// An id that a caller may give a new organization: neither reserved nor generated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChosenOrganizationId(OrganizationId);

/// Why an organization id was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OrganizationIdError {
    /// Not of the permitted shape.
    #[error("write 1 to 64 lower-case letters, digits, - and _, beginning with a letter or digit")]
    Shape,
    /// `operator`, or beginning with `org_`.
    #[error("choose another id: operator is reserved, and org_… ids are generated (leave id out)")]
    Reserved,
}

/// What is known of an organization.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Organization {
    /// Its public name.
    pub id: OrganizationId,
    /// What people call it.
    pub name: Name,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was suspended, if it is: none of its keys then obtains or manages anything.
    pub suspended_at: Option<Timestamp>,
    /// When its signing key and first management key were made, if they were.
    pub bootstrapped_at: Option<Timestamp>,
    /// The management key made by bootstrap, the one that `reissue` replaces.
    pub management_key: Option<KeyId>,
    /// What the operator lets it do with its keys.
    pub operator_policy: Policy,
    /// What it lets itself do, within that.
    pub policy: Policy,
    /// Raised by every edit of its name or of a policy: 1 when new.
    pub revision: i64,
}

impl Organization {
    /// One that nothing has happened to yet.
    #[must_use]
    pub fn new(id: OrganizationId, name: Name, created_at: Timestamp) -> Self {
        Self {
            id,
            name,
            created_at,
            suspended_at: None,
            bootstrapped_at: None,
            management_key: None,
            operator_policy: Policy::default(),
            policy: Policy::default(),
            revision: 1,
        }
    }

    /// The policy that counts.
    #[must_use]
    pub fn effective_policy(&self) -> Effective {
        Effective::of(&self.operator_policy, &self.policy)
    }
}

impl OrganizationId {
    /// The reserved organization of whoever runs tenmint.
    #[must_use]
    pub fn operator() -> Self {
        Self(Arc::from("operator"))
    }

    /// A generated id.
    #[must_use]
    pub fn generated(ulid: Ulid) -> Self {
        Self(Arc::from(format!(
            "org_{}",
            ulid.to_string().to_ascii_lowercase()
        )))
    }

    /// Whether this is the operator's organization.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        &*self.0 == "operator"
    }

    /// The id itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OrganizationId {
    type Err = OrganizationIdError;

    fn from_str(text: &str) -> Result<Self, OrganizationIdError> {
        let shaped = (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
            && !text.starts_with(['-', '_']);
        if !shaped || secret::contains_api_key(text) {
            return Err(OrganizationIdError::Shape);
        }
        Ok(Self(Arc::from(text)))
    }
}

impl fmt::Display for OrganizationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ChosenOrganizationId {
    type Err = OrganizationIdError;

    fn from_str(text: &str) -> Result<Self, OrganizationIdError> {
        let id: OrganizationId = text.parse()?;
        if id.is_operator() || text.starts_with("org_") {
            return Err(OrganizationIdError::Reserved);
        }
        Ok(Self(id))
    }
}

impl<'de> Deserialize<'de> for ChosenOrganizationId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl From<ChosenOrganizationId> for OrganizationId {
    fn from(chosen: ChosenOrganizationId) -> Self {
        chosen.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_keep_to_their_alphabet() {
        for good in ["acme", "0", "a-b_c", "operator", "org_x", &"a".repeat(64)] {
            assert!(good.parse::<OrganizationId>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "-a",
            "_a",
            "Acme",
            "a b",
            "a/b",
            "..",
            "é",
            "a\0",
            &"a".repeat(65),
        ] {
            assert!(bad.parse::<OrganizationId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn nobody_can_choose_a_reserved_or_generated_id() {
        for reserved in ["operator", "org_", "org_01"] {
            assert_eq!(
                reserved.parse::<ChosenOrganizationId>(),
                Err(OrganizationIdError::Reserved)
            );
        }
        assert!("operators".parse::<ChosenOrganizationId>().is_ok());
        assert!("organic".parse::<ChosenOrganizationId>().is_ok());
    }

    #[test]
    fn a_generated_id_is_an_id() {
        let id = OrganizationId::generated(Ulid(7));
        assert_eq!(id.as_str().parse(), Ok(id.clone()));
    }
}
