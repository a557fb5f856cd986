//! Organizations: created, listed, suspended by the operator; shown and edited by the operator
//! and by their own.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::act::{Act, Did};
use super::api_keys::Precondition;
use super::caller::Actor;
use super::idempotency::{Attempt, Begun, Once};
use super::policy::{self, Breaches};
use super::refusal::{Kind, Refusal};
use super::{Management, to_its_end};
use crate::crypto::random;
use crate::domain::management::ManagementAction;
use crate::domain::organization::{ChosenOrganizationId, Organization, OrganizationId};
use crate::domain::policy::{AllowedAudiences, AtMost, PolicyEdit};
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

/// From which side an organization is looked at: each has scopes of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// From within.
    Own,
    /// The operator's.
    Operator,
}

/// What should change of an organization. What is `None` stays.
#[derive(Debug, Default)]
pub struct OrganizationEdit {
    /// Another name.
    pub name: Option<Name>,
    /// Its own policy.
    pub policy: Option<PolicyEdit>,
    /// The operator's policy for it. For the operator alone to say.
    pub operator_policy: Option<PolicyEdit>,
}

/// An organization after an edit.
#[derive(Debug)]
pub struct Edited {
    /// The organization.
    pub organization: Organization,
    /// Which keys its policy finds in breach, if the edit was about policy.
    pub breaches: Option<Breaches>,
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

/// Edits an organization's name and policies, and says which of its keys a new policy finds in
/// breach: it ends none of them. Nothing said, or nothing different, changes nothing.
///
/// # Errors
/// [`Refusal::LooserPolicy`] or [`Refusal::Changed`] among others.
pub async fn edit(
    management: Arc<Management>,
    actor: Actor,
    id: OrganizationId,
    side: Side,
    edit: OrganizationEdit,
    precondition: Precondition,
) -> Result<Edited, Refusal> {
    side.require_write(&actor)?;
    to_its_end(async move {
        let mut act = Act::begin(&management, &actor, &id, side.write_action()).await?;
        let before = act.write.organization().clone();
        precondition.require(before.revision)?;
        let mut after = before.clone();
        if let Some(name) = edit.name {
            after.name = name;
        }
        let concerns_policy = edit.policy.is_some() || edit.operator_policy.is_some();
        if let Some(edit) = edit.operator_policy {
            after.operator_policy = edit.apply(&before.operator_policy);
        }
        if let Some(edit) = edit.policy {
            after.policy = edit.apply(&before.policy);
        }
        let details = differences(&before, &after);
        if !details.is_empty() {
            require_known_audiences(&management, &before, &after)?;
            require_within_operators(&management, &before, &after)?;
            after.revision += 1;
            act.write.save_organization(&after).await?;
            act.commit(Did {
                action: "organization.update",
                target: id.to_string(),
                details: Value::Object(details),
                changes: vec![Change::Organization(id)],
            })
            .await?;
        }
        let breaches = match concerns_policy {
            true => Some(policy::breaches(&management, &after).await?),
            false => None,
        };
        Ok(Edited {
            organization: after,
            breaches,
        })
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

/// An organization allows what the deployment issues tokens for, and nothing else: a resource
/// that is misspelt would lock its keys out.
fn require_known_audiences(
    management: &Management,
    before: &Organization,
    after: &Organization,
) -> Result<(), Refusal> {
    for (pointer, before, after) in [
        (
            "/operator_policy/allowed_audiences",
            &before.operator_policy,
            &after.operator_policy,
        ),
        ("/policy/allowed_audiences", &before.policy, &after.policy),
    ] {
        if before.allowed_audiences == after.allowed_audiences {
            continue;
        }
        let all = after.allowed_audiences.iter();
        let mut resources = all.flat_map(AllowedAudiences::as_slice);
        if let Some(unknown) = resources.find(|resource| !management.audiences.has(resource)) {
            let why = format!("no tokens are issued for {unknown} here");
            return Err(Refusal::invalid(pointer, why));
        }
    }
    Ok(())
}

/// Where the operator says nothing about the life of tokens, the deployment's settings do.
fn require_within_operators(
    management: &Management,
    before: &Organization,
    after: &Organization,
) -> Result<(), Refusal> {
    let mut bound = after.operator_policy.clone();
    let deployments = AtMost::clamped(management.token_lifetime.as_secs());
    bound.token_lifetime_seconds.get_or_insert(deployments);
    match after.policy.loosened(&before.policy, &bound) {
        Some(looser) => Err(Refusal::LooserPolicy(looser)),
        None => Ok(()),
    }
}

/// What changed, from what to what: of policies, rule by rule.
fn differences(before: &Organization, after: &Organization) -> Map<String, Value> {
    let mut details = Map::new();
    if before.name != after.name {
        let change = json!({ "from": before.name, "to": after.name });
        details.insert("name".to_owned(), change);
    }
    for (layer, before, after) in [
        (
            "operator_policy",
            &before.operator_policy,
            &after.operator_policy,
        ),
        ("policy", &before.policy, &after.policy),
    ] {
        let rules = before.differences(after);
        if !rules.is_empty() {
            details.insert(layer.to_owned(), Value::Object(rules));
        }
    }
    details
}
