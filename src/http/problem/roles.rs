//! What stands in the way of roles and of the scope catalogue, in the standard's terms.

use super::Problem;
use crate::domain::secret::KeyId;
use crate::manage::refusal::{Excess, RoleRefusal};

/// The problem of a refusal.
pub(super) fn problem(refusal: RoleRefusal) -> Problem {
    match refusal {
        RoleRefusal::Exists => Problem::conflict(
            "role_exists",
            "a role of this name exists: choose another name, or edit that one",
        ),
        RoleRefusal::InUse { keys } => Problem::conflict(
            "role_in_use",
            format!(
                "{keys} API keys hold this role: take it from them first, or say ?force=true, \
                 which takes it from all of them"
            ),
        ),
        RoleRefusal::Needed { keys, first } => Problem::conflict(
            "role_needed",
            format!(
                "{keys} API keys hold this role and nothing else, {first} among them, and a \
                 key needs at least one scope or role: give them another first, or revoke them"
            ),
        ),
        RoleRefusal::HolderExceeds { key, excess } => holder_exceeds(key, &excess),
        RoleRefusal::UnknownAction {
            index,
            scope,
            known,
        } => Problem::invalid(
            format!("/scopes/{index}"),
            format!(
                "there is no action {} in the scope catalogue; known here are {}",
                scope.action(),
                known.join(", ")
            ),
        ),
        RoleRefusal::DefinedByOperator => Problem::conflict(
            "defined_by_operator",
            "the operator defines this action for every organization, and the operator alone \
             changes it",
        ),
        RoleRefusal::Full { what, most } => Problem::conflict(
            "limit_reached",
            format!("an organization has at most {most} {what}: delete one of them first"),
        ),
    }
}

/// Of a key that holds a role, through which it would be given what goes too far.
fn holder_exceeds(key: KeyId, excess: &Excess) -> Problem {
    let lacking = match excess {
        Excess::Scope(scope) => format!("{scope}, and your own credential does not hold it"),
        Excess::Networks => "scopes on networks that your own key is not open to, and you do \
                             not hold api_keys.any_network"
            .to_owned(),
        Excess::Lifetime(end) => format!("scopes beyond {end}, when your own key ends"),
    };
    Problem {
        pointer: Some("/scopes".to_owned()),
        ..Problem::forbidden(
            "exceeds_authority",
            "Beyond your own authority",
            format!("the API key {key} holds this role, and would be given {lacking}"),
        )
    }
}
