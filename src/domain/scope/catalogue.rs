//! The scope catalogue: which actions there are, in the words of whoever runs the platform.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::{Scope, ScopeError};
use crate::domain::management::ManagementAction;
use crate::domain::text::Description;
use crate::domain::timestamp::Timestamp;

/// One action of the platform: dot-separated words, 1 to 200 bytes, no wildcard, and none of
/// tenmint's own, which are always known.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(transparent)]
pub struct ActionName(Box<str>);

/// Why a text is no action that a catalogue can have.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ActionNameError {
    /// It is no scope at all.
    #[error("{0}")]
    Scope(#[from] ScopeError),
    /// It is a scope that is more, or less, than one action.
    #[error("name one action, without a wildcard and without a resource filter, such as `read`")]
    NotOne,
    /// It is one of tenmint's own.
    #[error("this is an action of tenmint itself, which is known everywhere: leave it out")]
    Management,
}

/// Who says that there is an action.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DefinedBy {
    /// The operator, for every organization.
    Operator,
    /// An organization, for itself.
    Organization,
}

/// An action that is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CatalogueEntry {
    /// Which.
    pub action: ActionName,
    /// What it is for.
    pub description: Option<Description>,
    /// Who says so.
    pub defined_by: DefinedBy,
    /// Since when.
    pub created_at: Timestamp,
}

impl CatalogueEntry {
    /// The most actions an organization may define.
    pub const MAX: i64 = 2000;
}

impl ActionName {
    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ActionName {
    type Err = ActionNameError;

    fn from_str(text: &str) -> Result<Self, ActionNameError> {
        let scope: Scope = text.parse()?;
        if scope.as_str() != text || text.contains([':', '*']) {
            return Err(ActionNameError::NotOne);
        }
        if ManagementAction::from_name(text).is_some() {
            return Err(ActionNameError::Management);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for ActionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_catalogue_has_single_actions_of_the_platform() {
        for good in ["read", "chats.completion", "a_b-c.9", &"a".repeat(200)] {
            assert_eq!(good.parse::<ActionName>().unwrap().as_str(), good);
        }
        for bad in ["*", "files.*", "read:a", "read:**", "read:*", "*:a"] {
            assert_eq!(
                bad.parse::<ActionName>(),
                Err(ActionNameError::NotOne),
                "{bad}"
            );
        }
        for bad in ["", "Read", "a..b", "read:", "a b", "é", &"a".repeat(201)] {
            let refusal = bad.parse::<ActionName>();
            assert!(
                matches!(refusal, Err(ActionNameError::Scope(_))),
                "{bad}: {refusal:?}"
            );
        }
        for own in ManagementAction::ALL {
            assert_eq!(
                own.as_str().parse::<ActionName>(),
                Err(ActionNameError::Management)
            );
        }
    }
}
