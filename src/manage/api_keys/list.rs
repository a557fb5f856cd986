//! Lists of an organization's keys.

use crate::domain::api_key::{KeyFilter, KeyOrder, Position};
use crate::domain::management::ManagementAction;
use crate::domain::organization::OrganizationId;
use crate::manage::Management;
use crate::manage::caller::Actor;
use crate::manage::refusal::Refusal;
use crate::store::api_keys::KeyPage;

/// A page of an organization's keys, 1 to 100 of them, beginning behind `after`.
///
/// # Errors
/// See [`Refusal`].
pub async fn list(
    management: &Management,
    actor: &Actor,
    organization: &OrganizationId,
    filter: &KeyFilter,
    order: KeyOrder,
    after: Option<Position>,
    limit: u8,
) -> Result<KeyPage, Refusal> {
    actor.require(ManagementAction::ApiKeysRead)?;
    management.require_organization(actor, organization).await?;
    let now = management.clock.now();
    Ok(management
        .store
        .api_keys(organization, filter, now, after, order, limit)
        .await?)
}
