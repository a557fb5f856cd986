//! Leads signing keys through their lives: by one node at a time, step by step.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::LOOK;
use super::sweep::Sweep;
use super::turns::Turns;
use crate::domain::organization::OrganizationId;
use crate::domain::timestamp::Timestamp;
use crate::manage::Management;
use crate::manage::signing_keys::advance;
use crate::store::error::StoreError;

/// The name of the lease, and for how long it is taken for each batch. It only saves nodes from
/// doing the same work: that each step is done once does not rest on it.
const LEASE: (&str, Duration) = ("signing_keys", Duration::from_mins(2));

/// How often keys are looked for whose times have come.
const EVERY: Duration = Duration::from_secs(1);

/// How often keys are looked for that near their ends: days ahead, a minute is soon enough.
const LOOK_AHEAD: Duration = Duration::from_mins(1);

/// How many organizations are looked up at once.
const BATCH: i64 = 100;

/// Which organizations a pass is about.
#[derive(Clone, Copy)]
enum Which {
    /// Those with a key that begins to sign, or goes.
    Due,
    /// Those whose active key needs a successor.
    ToFollow,
}

/// Does all that is due at this moment, unless another node is at it.
///
/// # Errors
/// When the database is unavailable: the next pass goes on from there.
pub async fn pass(management: &Arc<Management>) -> Result<(), StoreError> {
    let never = || false;
    work_off(management, &never, Which::Due).await?;
    work_off(management, &never, Which::ToFollow).await
}

/// Runs until stopped.
pub(super) async fn lead(management: Arc<Management>, stopped: watch::Receiver<bool>) {
    let mut turns = Turns::new(management.clock.clone(), LOOK, stopped);
    let mut ahead = management.clock.now();
    while let Some(now) = turns.next().await {
        let stopped = || turns.is_stopped();
        let mut done = work_off(&management, &stopped, Which::Due).await;
        // Farther off than one look: the clock was set back.
        let is_time = now >= ahead || now.plus(LOOK_AHEAD) < ahead;
        if done.is_ok() && is_time {
            done = work_off(&management, &stopped, Which::ToFollow).await;
            ahead = now.plus(LOOK_AHEAD);
        }
        if let Err(error) = done {
            tracing::warn!(%error, "the rotation of signing keys waits for the database");
        }
        turns.again_in(EVERY);
    }
}

/// Works off what is due of one kind.
async fn work_off(
    management: &Arc<Management>,
    is_stopped: &(impl Fn() -> bool + Sync),
    which: Which,
) -> Result<(), StoreError> {
    let (store, node) = (&management.store, management.usage.node());
    let mut sweep = Sweep::new(management, "rotation of a signing key");
    let mut last: Option<OrganizationId> = None;
    let mut held = false;
    'work: loop {
        let now = management.clock.now();
        let due = look_up(management, which, now, last.as_ref()).await?;
        if due.is_empty() || !store.take_lease(LEASE.0, node, now, LEASE.1).await? {
            break;
        }
        held = true;
        for organization in &due {
            if is_stopped() {
                break 'work;
            }
            // What was missed while nobody was there is done in order.
            loop {
                let work = advance(Arc::clone(management), organization.clone());
                if !matches!(sweep.work(organization, work).await?, Some(Some(_))) {
                    break;
                }
            }
        }
        last = due.into_iter().next_back();
    }
    if held {
        store.release_lease(LEASE.0, node).await?;
    }
    Ok(())
}

async fn look_up(
    management: &Management,
    which: Which,
    now: Timestamp,
    after: Option<&OrganizationId>,
) -> Result<Vec<OrganizationId>, StoreError> {
    let store = &management.store;
    match which {
        Which::Due => store.due_signing_keys(now, after, BATCH).await,
        Which::ToFollow => {
            let schedule = &management.schedule;
            store
                .signing_keys_to_follow(schedule, now, after, BATCH)
                .await
        }
    }
}
