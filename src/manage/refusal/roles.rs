//! Why a role, an entry of the scope catalogue, or a scope that names none was refused.

use super::Excess;
use crate::domain::scope::Scope;
use crate::domain::secret::KeyId;

/// What of roles and of the scope catalogue stands in the way of an act.
#[derive(Debug, thiserror::Error)]
pub enum RoleRefusal {
    /// A role of this name exists.
    #[error("a role of this name exists")]
    Exists,
    /// Keys hold the role that was to be deleted.
    #[error("{keys} keys hold the role")]
    InUse {
        /// How many, revoked ones left out.
        keys: i64,
    },
    /// Without the role, keys would hold nothing at all.
    #[error("{keys} keys hold nothing but the role, {first} among them")]
    Needed {
        /// How many, revoked ones left out.
        keys: i64,
        /// One of them.
        first: KeyId,
    },
    /// What is added to a role goes, for a key that holds it, beyond whoever adds it.
    #[error("key {key} would be given more than its giver has: {excess}")]
    HolderExceeds {
        /// The first such key.
        key: KeyId,
        /// In what.
        excess: Excess,
    },
    /// There is a catalogue of actions, and a scope names one that is not in it.
    #[error("the catalogue does not know the action of {scope}")]
    UnknownAction {
        /// Which of the scopes it is, counted from 0.
        index: usize,
        /// The scope.
        scope: Scope,
        /// The first few actions that are known.
        known: Vec<String>,
    },
    /// The entry is the operator's, and this is another organization.
    #[error("the operator defines this action")]
    DefinedByOperator,
    /// There are as many as there may be.
    #[error("there are {most} {what}, and no room for more")]
    Full {
        /// Of what, in the plural.
        what: &'static str,
        /// How many there may be.
        most: i64,
    },
}
