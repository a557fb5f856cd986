//! Organizations: created, listed, suspended by the operator; shown and edited by the operator
//! and by their own.

mod delete;
mod edit;

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

pub use delete::delete;
pub use edit::{Edited, OrganizationEdit, edit};

/// An organization that was made, by this request or when it was sent before.
#[derive(Debug)]
pub struct Created {
    /// The organization, as it is now.
    pub organization: Organization,
    /// Whether this very request was done before.
    pub replayed: bool,
}

/// From which side an organization is looked at: each has scopes of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// From within.
    Own,
    /// The operator's.
    Operator,
}

impl Side {
    const fn write_action(self) -> ManagementAction {
        match self {
            Self::Own => ManagementAction::OrganizationWrite,
            Self::Operator => ManagementAction::OrganizationsWrite,
        }
    }

    /// Requires that the actor may look.
    ///
    /// # Errors
    /// [`Refusal::OperatorOnly`] or [`Refusal::Lacks`].
    pub fn require_read(self, actor: &Actor) -> Result<(), Refusal> {
        match self {
            Self::Own => actor.require(ManagementAction::OrganizationRead),
            Self::Operator => {
                actor.require_operator()?;
                actor.require(ManagementAction::OrganizationsRead)
            }
        }
    }

    /// Requires that the actor may edit.
    ///
    /// # Errors
    /// [`Refusal::OperatorOnly`] or [`Refusal::Lacks`].
    pub fn require_write(self, actor: &Actor) -> Result<(), Refusal> {
        if self == Self::Operator {
            actor.require_operator()?;
        }
        actor.require(self.write_action())
    }
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
                let organization = show(&management, &actor, &id, Side::Operator).await?;
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
    let name =
        name.unwrap_or_else(|| Name::new(id.as_str()).expect("an id is a short, visible text"));
    let organization = Organization::new(id, name, management.clock.now());
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
    side: Side,
) -> Result<Organization, Refusal> {
    side.require_read(actor)?;
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
