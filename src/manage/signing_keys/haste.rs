//! How often an organization may act in a hurry. Each such act leaves a key that validators fetch
//! and a row that stays, and has the database clean up behind it.

use std::time::Duration;

use crate::domain::organization::OrganizationId;
use crate::domain::signing_key::SigningKey;
use crate::domain::timestamp::Timestamp;
use crate::manage::Management;
use crate::manage::act::Act;
use crate::manage::caller::Actor;
use crate::manage::refusal::Refusal;

/// How many keys of an organization may be made in a hurry within [`SPAN`]: keys that signed at
/// once, and young ones that were withdrawn.
const MOST: usize = 20;

/// Within which time they are counted, and how long a key is young.
const SPAN: Duration = Duration::from_hours(1);

/// Refuses a tenant that acted in a hurry too often. Whoever runs tenmint is not bound: there has
/// to be a way out for those that somebody else, who has their credential, brought to this.
///
/// # Errors
/// [`Refusal::TooManyEmergencies`].
pub(super) async fn require_calm(act: &mut Act<'_>, actor: &Actor) -> Result<(), Refusal> {
    let now = act.now;
    let hurried = act.write.hurried_signing_keys(now.minus(SPAN)).await?;
    judge(actor, &hurried, now)
}

/// The same before the work of making a key is done for it.
///
/// # Errors
/// [`Refusal::TooManyEmergencies`].
pub(super) async fn require_calm_before(
    management: &Management,
    actor: &Actor,
    organization: &OrganizationId,
) -> Result<(), Refusal> {
    let now = management.clock.now();
    let since = now.minus(SPAN);
    let hurried = management.store.hurried_signing_keys(organization, since);
    judge(actor, &hurried.await?, now)
}

fn judge(actor: &Actor, hurried: &[Timestamp], now: Timestamp) -> Result<(), Refusal> {
    if actor.require_operator().is_ok() || hurried.len() < MOST {
        return Ok(());
    }
    // Calm is again when fewer than the most are left.
    let last = hurried[hurried.len() - MOST];
    let wait = last.plus(SPAN).seconds_since(now);
    Err(Refusal::TooManyEmergencies { wait })
}

/// Whether a key is so young that withdrawing it counts. An older one can always be withdrawn: of
/// those there are only so many, and whoever leaked one must not be able to prevent it. The same
/// holds of imported keys, which only the operator brings, and which others knew before.
pub(super) fn is_young(key: &SigningKey, now: Timestamp) -> bool {
    !key.imported && key.life.published_at > now.minus(SPAN)
}
