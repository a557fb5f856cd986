//! What callers say about organizations.

use serde::Deserialize;
use utoipa::ToSchema;

use crate::domain::organization::ChosenOrganizationId;
use crate::domain::policy::PolicyEdit;
use crate::domain::text::Name;
use crate::http::json;

/// A new organization.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewOrganization)]
pub(super) struct NewOrganizationBody {
    #[serde(default, deserialize_with = "json::present")]
    #[schema(nullable = false)]
    pub(super) id: Option<ChosenOrganizationId>,
    #[serde(default, deserialize_with = "json::present")]
    #[schema(nullable = false)]
    pub(super) name: Option<Name>,
}

/// What an organization may edit of itself, as a merge patch (RFC 7396). A name cannot be removed,
/// so `null` is refused; rules can.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OwnOrganizationEdit)]
pub(super) struct OwnEditBody {
    #[serde(default, deserialize_with = "json::present")]
    #[schema(nullable = false)]
    pub(super) name: Option<Name>,
    #[serde(default, deserialize_with = "json::object")]
    #[schema(nullable = false)]
    pub(super) policy: Option<PolicyEdit>,
}

/// What the operator may edit.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OrganizationEdit)]
pub(super) struct EditBody {
    #[serde(default, deserialize_with = "json::present")]
    #[schema(nullable = false)]
    pub(super) name: Option<Name>,
    #[serde(default, deserialize_with = "json::object")]
    #[schema(nullable = false)]
    pub(super) policy: Option<PolicyEdit>,
    #[serde(default, deserialize_with = "json::object")]
    #[schema(nullable = false)]
    pub(super) operator_policy: Option<PolicyEdit>,
}
