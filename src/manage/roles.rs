//! Roles: created, shown, listed, edited, deleted. Writing one is a grant of its scopes to
//! whoever holds it, now or later.

mod holders;

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::act::{Act, Did};
use super::api_keys::{Precondition, Warning};
use super::caller::Actor;
use super::idempotency::{Attempt, Begun, Once};
use super::refusal::{Excess, Kind, Refusal, RoleRefusal};
use super::scopes::require_known;
use super::{Management, to_its_end};
use crate::domain::management::ManagementAction;
use crate::domain::organization::OrganizationId;
use crate::domain::role::{HeldRole, NewRole, Role, RoleEdit, RoleName};
use crate::domain::scope::ScopeSet;
use crate::store::changes::Change;
use crate::store::organizations::Page;

/// A role after its edit.
#[derive(Debug)]
pub struct EditedRole {
    /// The role, and how many keys hold it.
    pub held: HeldRole,
    /// What its editor may not have meant.
    pub warnings: Vec<Warning>,
}

/// A role that was made, by this request or when it was sent before.
#[derive(Debug)]
pub struct Created {
    /// The role, as it is now.
    pub held: HeldRole,
    /// Whether this very request was done before.
    pub replayed: bool,
}

/// Makes a role in an organization.
///
/// # Errors
/// [`RoleRefusal::Exists`], [`RoleRefusal::Full`], or [`Refusal::Exceeds`] when it would hold more
/// than its maker, among others.
pub async fn create(
    management: Arc<Management>,
    actor: Actor,
    organization: OrganizationId,
    new: NewRole,
    once: Once,
) -> Result<Created, Refusal> {
    actor.require(ManagementAction::RolesWrite)?;
    to_its_end(async move {
        let attempt = match management.begin_once(once).await? {
            Begun::Now(attempt) => attempt,
            Begun::Before(name) => {
                let no_such = || Refusal::NotFound(Kind::Role);
                let name = name.parse().map_err(|_| no_such())?;
                let found = management.store.role(&organization, &name).await?;
                return Ok(Created {
                    held: found.ok_or_else(no_such)?,
                    replayed: true,
                });
            }
        };
        let made = create_now(&management, &actor, &organization, new, &attempt).await;
        let held = management.unless_done(attempt, made).await?;
        Ok(Created {
            held,
            replayed: false,
        })
    })
    .await
}

async fn create_now(
    management: &Management,
    actor: &Actor,
    organization: &OrganizationId,
    new: NewRole,
    attempt: &Attempt,
) -> Result<HeldRole, Refusal> {
    let action = ManagementAction::RolesWrite;
    let mut act = Act::begin(management, actor, organization, action).await?;
    if act.write.role(&new.name).await?.is_some() {
        return Err(RoleRefusal::Exists.into());
    }
    if act.write.count_roles().await? >= Role::MAX {
        let (what, most) = ("roles", Role::MAX);
        return Err(RoleRefusal::Full { what, most }.into());
    }
    let role = Role {
        name: new.name,
        organization: organization.clone(),
        description: new.description,
        scopes: new.scopes,
        created_at: act.now,
        revision: 1,
    };
    require_scopes(&mut act, &ScopeSet::default(), &role.scopes).await?;
    act.write.save_role(&role).await?;
    attempt.settle(&mut act, role.name.as_str()).await?;
    act.commit(Did {
        action: "role.create",
        target: role.name.to_string(),
        details: json!({ "description": &role.description, "scopes": &role.scopes }),
        // Nobody holds it yet.
        changes: vec![],
    })
    .await?;
    Ok(HeldRole { role, keys: 0 })
}

/// One role of an organization.
///
/// # Errors
/// [`Refusal::NotFound`] when there is none, or it is another organization's.
pub async fn show(
    management: &Management,
    actor: &Actor,
    organization: &OrganizationId,
    name: &RoleName,
) -> Result<HeldRole, Refusal> {
    actor.require(ManagementAction::RolesRead)?;
    management.require_organization(actor, organization).await?;
    let found = management.store.role(organization, name).await?;
    found.ok_or(Refusal::NotFound(Kind::Role))
}

/// A page of an organization's roles in the order of their names.
///
/// # Errors
/// See [`Refusal`].
pub async fn list(
    management: &Management,
    actor: &Actor,
    organization: &OrganizationId,
    after: Option<&RoleName>,
    limit: u8,
) -> Result<Page<HeldRole>, Refusal> {
    actor.require(ManagementAction::RolesRead)?;
    management.require_organization(actor, organization).await?;
    Ok(management.store.roles(organization, after, limit).await?)
}

/// Edits a role, and with it every key that holds it. Nothing said, or nothing different,
/// changes nothing.
///
/// What an edit adds must be within its editor's own authority, on the networks and for the life
/// of every key that is given it; what was there may stay.
///
/// # Errors
/// [`Refusal::Changed`] when the precondition fails, [`Refusal::Exceeds`],
/// [`RoleRefusal::HolderExceeds`], and others.
pub async fn edit(
    management: Arc<Management>,
    actor: Actor,
    organization: OrganizationId,
    name: RoleName,
    edit: RoleEdit,
    precondition: Precondition,
) -> Result<EditedRole, Refusal> {
    let action = ManagementAction::RolesWrite;
    actor.require(action)?;
    to_its_end(async move {
        let mut act = Act::begin(&management, &actor, &organization, action).await?;
        let found = act.write.role(&name).await?;
        let mut held = found.ok_or(Refusal::NotFound(Kind::Role))?;
        precondition.require(held.role.revision)?;
        let before = held.role.clone();
        let after = &mut held.role;
        if let Some(description) = edit.description {
            after.description = description;
        }
        if let Some(scopes) = edit.scopes {
            after.scopes = scopes;
        }
        let details = differences(&before, after);
        if details.is_empty() {
            let warnings = vec![];
            return Ok(EditedRole { held, warnings });
        }
        if after.scopes != before.scopes {
            require_scopes(&mut act, &before.scopes, &after.scopes).await?;
            holders::require_fit(&management, &mut act, &before, &after.scopes).await?;
            act.write.still_holders(&name).await?;
            if after.scopes.uncovered(&before.scopes).is_some() {
                act.write.narrow_holders(&name, act.now).await?;
            }
        }
        after.revision += 1;
        act.write.save_role(after).await?;
        act.commit(Did {
            action: "role.update",
            target: name.to_string(),
            details: Value::Object(details),
            changes: vec![Change::Organization(organization)],
        })
        .await?;
        let widened = before.scopes.uncovered(&after.scopes).is_some();
        let warnings = widened.then_some(Warning::WidenedScopes);
        Ok(EditedRole {
            held,
            warnings: warnings.into_iter().collect(),
        })
    })
    .await
}

/// Deletes a role. While keys hold it, that takes force, which takes it from all of them.
///
/// # Errors
/// [`Refusal::NotFound`], [`RoleRefusal::InUse`], or [`RoleRefusal::Needed`], which no force
/// overcomes, among others.
pub async fn delete(
    management: Arc<Management>,
    actor: Actor,
    organization: OrganizationId,
    name: RoleName,
    force: bool,
    precondition: Precondition,
) -> Result<(), Refusal> {
    let action = ManagementAction::RolesWrite;
    actor.require(action)?;
    to_its_end(async move {
        let mut act = Act::begin(&management, &actor, &organization, action).await?;
        let found = act.write.role(&name).await?;
        let HeldRole { role, keys } = found.ok_or(Refusal::NotFound(Kind::Role))?;
        precondition.require(role.revision)?;
        if keys > 0 && !force {
            return Err(RoleRefusal::InUse { keys }.into());
        }
        if let Some((keys, first)) = act.write.only_held(&name).await? {
            return Err(RoleRefusal::Needed { keys, first }.into());
        }
        act.write.still_holders(&name).await?;
        act.write.narrow_holders(&name, act.now).await?;
        act.write.delete_role(&name).await?;
        act.commit(Did {
            action: "role.delete",
            target: name.to_string(),
            details: json!({ "scopes": &role.scopes, "taken_from": keys }),
            changes: vec![Change::Organization(organization)],
        })
        .await
    })
    .await
}

/// Requires that a role holds something, that whoever writes it may give what it adds, and that
/// there are such actions.
async fn require_scopes(
    act: &mut Act<'_>,
    before: &ScopeSet,
    after: &ScopeSet,
) -> Result<(), Refusal> {
    if after.is_empty() {
        let why = "give at least one scope; to take everything from its holders, delete the role";
        return Err(Refusal::invalid("/scopes", why));
    }
    let mut added = after.iter().filter(|scope| !before.covers(scope));
    if let Some(beyond) = added.find(|scope| !act.authority.covers(scope)) {
        return Err(Refusal::Exceeds(Excess::Scope(beyond.clone())));
    }
    require_known(act, before, after).await
}

/// What changed, from what to what.
fn differences(before: &Role, after: &Role) -> Map<String, Value> {
    let mut details = Map::new();
    let mut note = |field: &str, from: Value, to: Value| {
        if from != to {
            details.insert(field.to_owned(), json!({ "from": from, "to": to }));
        }
    };
    let description = |role: &Role| json!(role.description);
    note("description", description(before), description(after));
    note("scopes", json!(before.scopes), json!(after.scopes));
    details
}
