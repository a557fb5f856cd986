//! The scope catalogue: which actions the scopes of an organization may name.
//!
//! What the operator defines for its own organization is known to every organization, and each
//! adds its own. Where there is neither, every action may be named.

use std::sync::Arc;

use serde_json::json;

use super::act::{Act, Did};
use super::caller::Actor;
use super::refusal::{Kind, Refusal, RoleRefusal};
use super::{Management, to_its_end};
use crate::domain::api_key::Creator;
use crate::domain::management::ManagementAction;
use crate::domain::organization::OrganizationId;
use crate::domain::scope::{ActionName, CatalogueEntry, DefinedBy, Scope, ScopeSet};
use crate::domain::text::Description;
use crate::store::organizations::Page;

/// An action of the catalogue, and whether it is new there.
#[derive(Debug)]
pub struct Defined {
    /// The entry.
    pub entry: CatalogueEntry,
    /// Whether it was not there before.
    pub new: bool,
}

/// A page of what an organization knows in the order of actions.
///
/// # Errors
/// See [`Refusal`].
pub async fn list(
    management: &Management,
    actor: &Actor,
    organization: &OrganizationId,
    after: Option<&ActionName>,
    limit: u8,
) -> Result<Page<CatalogueEntry>, Refusal> {
    actor.require(ManagementAction::RolesRead)?;
    management.require_organization(actor, organization).await?;
    let store = &management.store;
    Ok(store.known_actions(organization, after, limit).await?)
}

/// Defines an action, or describes it anew.
///
/// # Errors
/// [`RoleRefusal::DefinedByOperator`] or [`RoleRefusal::Full`] among others.
pub async fn define(
    management: Arc<Management>,
    actor: Actor,
    organization: OrganizationId,
    action: ActionName,
    description: Option<Description>,
) -> Result<Defined, Refusal> {
    let needed = ManagementAction::RolesWrite;
    actor.require(needed)?;
    to_its_end(async move {
        let mut act = Act::begin(&management, &actor, &organization, needed).await?;
        let own = owner(&organization);
        let before = act.write.catalogue_entry(&action, own).await?;
        if before.is_none() {
            require_not_the_operators(&mut act, &action).await?;
            if act.write.count_actions().await? >= CatalogueEntry::MAX {
                let (what, most) = ("actions in its scope catalogue", CatalogueEntry::MAX);
                return Err(RoleRefusal::Full { what, most }.into());
            }
        }
        let entry = CatalogueEntry {
            action,
            description,
            defined_by: own,
            created_at: before.as_ref().map_or(act.now, |before| before.created_at),
        };
        let new = before.is_none();
        if before.as_ref() == Some(&entry) {
            return Ok(Defined { entry, new });
        }
        act.write.save_action(&entry).await?;
        let from = before.map(|before| before.description);
        act.commit(Did {
            action: "scope.define",
            target: entry.action.to_string(),
            details: json!({ "new": new, "description": { "from": from, "to": &entry.description } }),
            changes: vec![],
        })
        .await?;
        Ok(Defined { entry, new })
    })
    .await
}

/// Removes an action that the organization defined. Scopes that name it stay as they are; no
/// other comes to name it.
///
/// # Errors
/// [`Refusal::NotFound`] or [`RoleRefusal::DefinedByOperator`] among others.
pub async fn remove(
    management: Arc<Management>,
    actor: Actor,
    organization: OrganizationId,
    action: ActionName,
) -> Result<(), Refusal> {
    let needed = ManagementAction::RolesWrite;
    actor.require(needed)?;
    to_its_end(async move {
        let mut act = Act::begin(&management, &actor, &organization, needed).await?;
        let own = owner(&organization);
        let Some(entry) = act.write.catalogue_entry(&action, own).await? else {
            require_not_the_operators(&mut act, &action).await?;
            return Err(Refusal::NotFound(Kind::Action));
        };
        act.write.remove_action(&action).await?;
        act.commit(Did {
            action: "scope.remove",
            target: action.to_string(),
            details: json!({ "description": &entry.description }),
            changes: vec![],
        })
        .await
    })
    .await
}

/// Requires, where there is a catalogue, that it knows every action which `after` names and
/// `before` did not. Whoever sits at the machine itself is not held to it.
pub(super) async fn require_known(
    act: &mut Act<'_>,
    before: &ScopeSet,
    after: &ScopeSet,
) -> Result<(), Refusal> {
    if matches!(act.creator(), Creator::CommandLine) {
        return Ok(());
    }
    for (index, scope) in after.iter().enumerate() {
        let named_before = before.iter().any(|there| there.action() == scope.action());
        if named_before || is_always_known(scope) {
            continue;
        }
        let (first, last) = range(scope.action());
        if act.write.knows_action(&first, &last).await? {
            continue;
        }
        let known = act.write.first_actions().await?;
        if known.is_empty() {
            return Ok(());
        }
        let scope = scope.clone();
        return Err(RoleRefusal::UnknownAction {
            index,
            scope,
            known,
        }
        .into());
    }
    Ok(())
}

/// `*`, tenmint's own actions, and wildcards over these.
fn is_always_known(scope: &Scope) -> bool {
    let (first, last) = range(scope.action());
    let within = |name: &str| *first <= *name && *name <= *last;
    scope.action() == "*" || ManagementAction::ALL.iter().any(|own| within(own.as_str()))
}

/// The first and the last of the actions that one text can stand for, in the order of bytes.
fn range(action: &str) -> (String, String) {
    match action.strip_suffix(".*") {
        // What follows a dot in the order of bytes is a slash, which no action has.
        Some(words) => (format!("{words}."), format!("{words}/")),
        None => (action.to_owned(), action.to_owned()),
    }
}

fn owner(organization: &OrganizationId) -> DefinedBy {
    if organization.is_operator() {
        DefinedBy::Operator
    } else {
        DefinedBy::Organization
    }
}

async fn require_not_the_operators(act: &mut Act<'_>, action: &ActionName) -> Result<(), Refusal> {
    let operators = act
        .write
        .catalogue_entry(action, DefinedBy::Operator)
        .await?;
    operators.map_or(Ok(()), |_| Err(RoleRefusal::DefinedByOperator.into()))
}
