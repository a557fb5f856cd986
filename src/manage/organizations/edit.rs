//! Organizations edited: their names, and policies in two layers.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Side;
use crate::domain::organization::{Organization, OrganizationId};
use crate::domain::policy::{AllowedAudiences, AtMost, PolicyEdit};
use crate::domain::text::Name;
use crate::manage::act::{Act, Did};
use crate::manage::api_keys::Precondition;
use crate::manage::caller::Actor;
use crate::manage::policy::{self, Breaches};
use crate::manage::refusal::Refusal;
use crate::manage::{Management, to_its_end};
use crate::store::changes::Change;

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

impl OrganizationEdit {
    /// The organization as it becomes.
    fn apply(self, before: &Organization) -> Organization {
        let mut after = before.clone();
        if let Some(name) = self.name {
            after.name = name;
        }
        if let Some(edit) = self.operator_policy {
            after.operator_policy = edit.apply(&before.operator_policy);
        }
        if let Some(edit) = self.policy {
            after.policy = edit.apply(&before.policy);
        }
        if after != *before {
            after.revision += 1;
        }
        after
    }
}

/// Edits an organization's name and policies, and says which of its keys a new policy finds in
/// breach: it ends none of them. Nothing said, or nothing different, changes nothing. To lift a rule
/// that keeps keys from being worth anything somewhere is a grant to all of them.
///
/// # Errors
/// [`Refusal::LooserPolicy`], [`Refusal::LiftsBeyond`] or [`Refusal::Changed`] among others.
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
        let concerns_policy = edit.policy.is_some() || edit.operator_policy.is_some();
        let after = edit.apply(&before);
        let details = differences(&before, &after);
        if details.is_empty() {
            // Others need not wait while keys are counted.
            drop(act);
        } else {
            require_known_audiences(&management, &before, &after)?;
            require_within_operators(&management, &before, &after)?;
            policy::require_lifting(&mut act, &before, &after).await?;
            act.write.save_organization(&after).await?;
            act.commit(Did {
                action: "organization.update",
                target: id.to_string(),
                details: Value::Object(details),
                changes: vec![Change::Organization(id)],
            })
            .await?;
        }
        let breaches = if concerns_policy {
            Some(policy::breaches(&management, &after).await?)
        } else {
            None
        };
        Ok(Edited {
            organization: after,
            breaches,
        })
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
