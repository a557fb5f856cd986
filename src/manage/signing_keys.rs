//! Signing keys: shown, listed, rotated, imported, withdrawn, and led through their lives by time.

mod advance;
mod haste;
mod import;
mod new;
mod places;
mod relief;
mod revoke;
mod rotate;
mod rsa;

use super::Management;
use super::caller::Actor;
use super::refusal::{Kind, Refusal};
use crate::domain::management::ManagementAction;
use crate::domain::organization::OrganizationId;
use crate::domain::signing_key::{Kid, Schedule, SigningKey};
use crate::store::organizations::Page;

pub use advance::{Which, advance};
pub use import::{Import, import};
pub(super) use new::{Prepared, Signs, active};
pub use revoke::{Revoked, revoke};
pub use rotate::{Rotated, Rotation, rotate};
pub use rsa::RsaMaker;

/// How many signing keys of an issuer may be published at once. Rotations by hand pile up until
/// the tokens that their keys signed have expired, and every validator fetches all of them. An
/// emergency goes beyond that.
pub const MOST_PUBLISHED: usize = 50;

/// One signing key of an organization, whatever became of it, and the schedule that it is on.
///
/// # Errors
/// [`Refusal::NotFound`] when there is none, or it is another organization's.
pub async fn show(
    management: &Management,
    actor: &Actor,
    organization: &OrganizationId,
    kid: &Kid,
) -> Result<(SigningKey, Schedule), Refusal> {
    actor.require(ManagementAction::SigningKeysRead)?;
    management.require_organization(actor, organization).await?;
    let found = management.store.signing_key(organization, kid).await?;
    let found = found.ok_or(Refusal::NotFound(Kind::SigningKey))?;
    Ok((found, management.schedule().await?))
}

/// A page of an organization's signing keys, the newest first, and the schedule that they are on.
///
/// # Errors
/// See [`Refusal`].
pub async fn list(
    management: &Management,
    actor: &Actor,
    organization: &OrganizationId,
    after: Option<&Kid>,
    limit: u8,
) -> Result<(Page<SigningKey>, Schedule), Refusal> {
    actor.require(ManagementAction::SigningKeysRead)?;
    management.require_organization(actor, organization).await?;
    let keys = management.store.signing_keys(organization, after, limit);
    Ok((keys.await?, management.schedule().await?))
}
