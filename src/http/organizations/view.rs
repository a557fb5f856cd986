//! Organizations as answers show them.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::issuer::{BaseUrl, Issuer};
use crate::domain::organization::{Organization, OrganizationId};
use crate::domain::policy::{Policy, Rule};
use crate::domain::text::Name;
use crate::domain::timestamp::Timestamp;
use crate::manage::policy::Breaches;

/// An organization, as itself and the operator see it.
#[derive(Serialize, ToSchema)]
#[schema(as = Organization)]
pub struct OrganizationView<'a> {
    id: &'a OrganizationId,
    name: &'a Name,
    status: &'static str,
    issuer: String,
    created_at: Timestamp,
    #[schema(required)]
    bootstrapped_at: Option<Timestamp>,
    #[schema(required)]
    suspended_at: Option<Timestamp>,
    policy: &'a Policy,
    operator_policy: &'a Policy,
    /// The stricter of both, rule by rule.
    effective_policy: Policy,
    revision: i64,
}

/// The same after an edit.
#[derive(Serialize, ToSchema)]
#[schema(as = EditedOrganization)]
pub(super) struct EditedView<'a> {
    #[serde(flatten)]
    pub(super) organization: OrganizationView<'a>,
    #[serde(flatten)]
    #[schema(value_type = BreachesView)]
    pub(super) breaches: Option<BreachesView>,
}

/// Active keys that the policy finds in breach now, and does not end.
#[derive(Serialize, ToSchema)]
#[schema(as = Breaches)]
pub(super) struct BreachesView {
    #[schema(required = false)]
    violations: Vec<BreachView>,
    /// Whether all active keys were looked at.
    #[schema(required = false)]
    violations_complete: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Breach)]
struct BreachView {
    rule: Rule,
    keys: u64,
    /// Of `exchange_only`: how often services were shown these keys themselves in the last 7 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    direct_uses: Option<u64>,
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
            violations: keys
                .map(|(rule, keys)| BreachView {
                    rule,
                    keys,
                    direct_uses: (rule == Rule::ExchangeOnly).then_some(breaches.shown),
                })
                .collect(),
            violations_complete: breaches.complete,
        }
    }
}
