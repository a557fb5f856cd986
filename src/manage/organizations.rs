//! Organizations: created, shown, renamed, suspended. All of it is the operator's.

use std::sync::Arc;

use serde_json::json;

use super::act::{Act, Did};
use super::caller::Actor;
use super::idempotency::{Attempt, Begun, Once};
use super::refusal::{Kind, Refusal};
use super::{Management, to_its_end};
use crate::crypto::random;
use crate::domain::management::ManagementAction;
use crate::domain::organization::{ChosenOrganizationId, Organization, OrganizationId};
use crate::domain::text::Name;
use crate::store::changes::Change;
use crate::store::organizations::Page;

/// An organization that was made, by this request or when it was sent before.
#[derive(Debug)]
pub struct Created {
    /// The organization, as it is now.
    pub organization: Organization,
    /// Whether this very request was done before.
    pub replayed: bool,
}

/// Creates an organization; without an id, one is generated, and without a name, it is
/// called by its id.
///
/// # Errors
/// [`Refusal::OrganizationExists`] among others.
pub async fn create(
    management: Arc<Management>,
    actor: Actor,
    id: Option<ChosenOrganizationId>,
    name: Option<Name>,
    once: Once,
) -> Result<Created, Refusal> {
    actor.require_operator()?;
    actor.require(ManagementAction::OrganizationsWrite)?;
    to_its_end(async move {
        let attempt = match management.begin_once(once).await? {
            Begun::Now(attempt) => attempt,
            Begun::Before(id) => {
                let id = id
                    .parse()
                    .map_err(|_| Refusal::NotFound(Kind::Organization))?;
                let organization = show(&management, &actor, &id).await?;
                return Ok(Created {
                    organization,
                    replayed: true,
                });
            }
        };
        let made = create_now(&management, &actor, id, name, &attempt).await;
        let organization = management.unless_done(attempt, made).await?;
        Ok(Created {
            organization,
            replayed: false,
        })
    })
    .await
}

async fn create_now(
    management: &Management,
    actor: &Actor,
    id: Option<ChosenOrganizationId>,
    name: Option<Name>,
    attempt: &Attempt,
) -> Result<Organization, Refusal> {
    let id = id.map_or_else(
        || OrganizationId::generated(random::ulid(management.clock.unix_millis())),
        OrganizationId::from,
    );
    let organization = Organization {
        name: name
            .unwrap_or_else(|| Name::new(id.as_str()).expect("an id is a short, visible text")),
        id,
        created_at: management.clock.now(),
        suspended_at: None,
        bootstrapped_at: None,
        management_key: None,
    };
    let mut act = Act::begin_new(management, actor, &organization).await?;
    attempt.settle(&mut act, organization.id.as_str()).await?;
    act.commit(Did {
        action: "organization.create",
        target: organization.id.to_string(),
        details: json!({ "name": &organization.name }),
        changes: vec![Change::Organization(organization.id.clone())],
    })
    .await?;
    Ok(organization)
}

/// One organization.
///
/// # Errors
/// [`Refusal::NotFound`] among others.
pub async fn show(
    management: &Management,
    actor: &Actor,
    id: &OrganizationId,
) -> Result<Organization, Refusal> {
    actor.require_operator()?;
    actor.require(ManagementAction::OrganizationsRead)?;
    let found = management.store.organization(id).await?;
    found.ok_or(Refusal::NotFound(Kind::Organization))
}

/// A page of organizations in the order of their ids.
///
/// # Errors
/// See [`Refusal`].
pub async fn list(
    management: &Management,
    actor: &Actor,
    after: Option<&OrganizationId>,
    limit: u8,
) -> Result<Page<Organization>, Refusal> {
    actor.require_operator()?;
    actor.require(ManagementAction::OrganizationsRead)?;
    Ok(management.store.organizations(after, limit).await?)
}

/// Gives an organization another name.
///
/// # Errors
/// [`Refusal::NotFound`] among others.
pub async fn rename(
    management: Arc<Management>,
    actor: Actor,
    id: OrganizationId,
    name: Option<Name>,
) -> Result<Organization, Refusal> {
    actor.require_operator()?;
    actor.require(ManagementAction::OrganizationsWrite)?;
    to_its_end(async move {
        let action = ManagementAction::OrganizationsWrite;
        let mut act = Act::begin(&management, &actor, &id, action).await?;
        let mut organization = act.write.organization().clone();
        let Some(name) = name.filter(|name| *name != organization.name) else {
            return Ok(organization);
        };
        act.write.rename_organization(&name).await?;
        let before = std::mem::replace(&mut organization.name, name);
        act.commit(Did {
            action: "organization.update",
            target: id.to_string(),
            details: json!({ "name": { "from": before, "to": &organization.name } }),
            changes: vec![],
        })
        .await?;
        Ok(organization)
    })
    .await
}

/// Suspends an organization, or lets it work again. Repeating either changes nothing.
///
/// # Errors
/// [`Refusal::NotFound`] or [`Refusal::OperatorNotSuspendable`] among others.
pub async fn set_suspended(
    management: Arc<Management>,
    actor: Actor,
    id: OrganizationId,
    suspended: bool,
) -> Result<Organization, Refusal> {
    actor.require_operator()?;
    actor.require(ManagementAction::OrganizationsWrite)?;
    if suspended && id.is_operator() {
        return Err(Refusal::OperatorNotSuspendable);
    }
    to_its_end(async move {
        let action = ManagementAction::OrganizationsWrite;
        let mut act = Act::begin(&management, &actor, &id, action).await?;
        let mut organization = act.write.organization().clone();
        if organization.suspended_at.is_some() == suspended {
            return Ok(organization);
        }
        organization.suspended_at = suspended.then_some(act.now);
        act.write.set_suspension(organization.suspended_at).await?;
        act.commit(Did {
            action: if suspended {
                "organization.suspend"
            } else {
                "organization.resume"
            },
            target: id.to_string(),
            details: json!({}),
            changes: vec![Change::Organization(id)],
        })
        .await?;
        Ok(organization)
    })
    .await
}
