//! Organizations deleted, for good.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::clock::Clock;
use crate::domain::management::ManagementAction;
use crate::domain::organization::OrganizationId;
use crate::manage::act::{Act, Did};
use crate::manage::api_keys::Precondition;
use crate::manage::caller::Actor;
use crate::manage::refusal::Refusal;
use crate::manage::{Management, to_its_end};
use crate::store::changes::Change;

/// How many portions of it are erased before anybody is answered, some thousand keys, and for how
/// long at most.
const AT_ONCE: (u32, Duration) = (20, Duration::from_secs(5));

/// Deletes an organization: its keys end, its signing key is destroyed, what is personal is
/// erased: of a large one soon after. Its id is not given again, and its audit chain still verifies.
///
/// # Errors
/// [`Refusal::KeysRemain`] while keys are in force, unless `force` says that they are to end;
/// [`Refusal::OperatorNotDeletable`] and [`Refusal::NotFound`] among others.
pub async fn delete(
    management: Arc<Management>,
    actor: Actor,
    id: OrganizationId,
    force: bool,
    precondition: Precondition,
) -> Result<(), Refusal> {
    let action = ManagementAction::OrganizationsWrite;
    actor.require_operator()?;
    actor.require(action)?;
    if id.is_operator() {
        return Err(Refusal::OperatorNotDeletable);
    }
    to_its_end(async move {
        let mut act = Act::begin(&management, &actor, &id, action).await?;
        precondition.require(act.write.organization().revision)?;
        let keys = act.write.count_living_keys(act.now).await?;
        if keys > 0 && !force {
            return Err(Refusal::KeysRemain { keys });
        }
        let mut remains = act.write.delete_organization(act.now).await?;
        act.commit(Did {
            action: "organization.delete",
            target: id.to_string(),
            details: json!({ "forced": force, "keys_ended": keys }),
            changes: vec![Change::Organization(id.clone())],
        })
        .await?;
        // What is left of a larger one, and of one for which the database is away now, goes soon.
        let began = Clock::since_boot();
        for _ in 0..AT_ONCE.0 {
            match management.store.erase_remains(&mut remains, 1).await {
                Ok(false) if Clock::since_boot().saturating_sub(began) < AT_ONCE.1 => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(%error, "the rest of a deleted organization is erased later");
                    break;
                }
            }
        }
        Ok(())
    })
    .await
}
