//! Organizations as answers show them.

use serde::Serialize;

use crate::domain::issuer::{BaseUrl, Issuer};
use crate::domain::organization::{Organization, OrganizationId};
use crate::domain::policy::{Policy, Rule};
use crate::domain::text::Name;
use crate::domain::timestamp::Timestamp;
use crate::manage::policy::Breaches;

/// An organization, as itself and the operator see it.
#[derive(Serialize)]
pub struct OrganizationView<'a> {
    id: &'a OrganizationId,
    name: &'a Name,
    status: &'static str,
    issuer: String,
    created_at: Timestamp,
    bootstrapped_at: Option<Timestamp>,
    suspended_at: Option<Timestamp>,
    policy: &'a Policy,
    operator_policy: &'a Policy,
    /// The stricter of both, rule by rule.
    effective_policy: Policy,
    revision: i64,
}

/// The same after an edit.
#[derive(Serialize)]
pub(super) struct EditedView<'a> {
    #[serde(flatten)]
    pub(super) organization: OrganizationView<'a>,
    #[serde(flatten)]
    pub(super) breaches: Option<BreachesView>,
}

/// Active keys that the policy finds in breach now, and does not end.
#[derive(Serialize)]
pub(super) struct BreachesView {
    violations: Vec<BreachView>,
    /// Whether all active keys were looked at.
    violations_complete: bool,
}

#[derive(Serialize)]
struct BreachView {
    rule: Rule,
    keys: u64,
}

impl<'a> OrganizationView<'a> {
    /// The organization as it is.
    #[must_use]
    pub fn of(organization: &'a Organization, base: &BaseUrl) -> Self {
        Self {
            id: &organization.id,
            name: &organization.name,
            status: if organization.suspended_at.is_some() {
                "suspended"
            } else {
                "active"
            },
            issuer: Issuer::Organization(organization.id.clone()).name(base),
            created_at: organization.created_at,
            bootstrapped_at: organization.bootstrapped_at,
            suspended_at: organization.suspended_at,
            policy: &organization.policy,
            operator_policy: &organization.operator_policy,
            effective_policy: organization.effective_policy().rules,
            revision: organization.revision,
        }
    }
}

impl From<Breaches> for BreachesView {
    fn from(breaches: Breaches) -> Self {
        let keys = breaches.keys.into_iter();
        Self {
            violations: keys.map(|(rule, keys)| BreachView { rule, keys }).collect(),
            violations_complete: breaches.complete,
        }
    }
}
