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
use crate::manage::signing_keys::{Which, advance};
use crate::store::error::StoreError;

/// How many organizations are looked up at once.
const BATCH: i64 = 100;

/// Does all that is due at this moment, unless another node is at it.
///
/// # Errors
/// When the database is unavailable: the next pass goes on from there.
pub async fn pass(management: &Arc<Management>) -> Result<(), StoreError> {
    for which in Which::ALL {
        work_off(management, &|| false, which).await?;
    }
    Ok(())
}

/// Runs until stopped. For each kind of step there is one: those that make RSA keys, which takes
/// seconds, keep no others waiting.
pub(super) async fn lead(
    management: Arc<Management>,
    which: Which,
    stopped: watch::Receiver<bool>,
) {
    let mut turns = Turns::new(management.clock.clone(), LOOK, stopped);
    while turns.next().await.is_some() {
        let stopped = || turns.is_stopped();
        if let Err(error) = work_off(&management, &stopped, which).await {
            tracing::warn!(%error, "the rotation of signing keys waits for the database");
        }
        turns.again_in(every(which));
    }
}

/// The name of the lease.
const fn lease(which: Which) -> &'static str {
    match which {
        Which::Turns => "signing_keys",
        Which::Relief => "signing_keys.relief",
        Which::Successors => "signing_keys.successors",
        Which::RsaSuccessors => "signing_keys.rsa_successors",
    }
}

/// For how long the lease is taken, and taken again when half of that is over. It only saves nodes
/// from doing the same work: that each step is done once does not rest on it.
const fn span(which: Which) -> Duration {
    match which {
        Which::Turns | Which::Successors | Which::RsaSuccessors => Duration::from_mins(2),
        // Validators wait, also for who takes over from a node that died at it.
        Which::Relief => Duration::from_secs(20),
    }
}

/// How often keys are looked for.
const fn every(which: Which) -> Duration {
    match which {
        Which::Turns | Which::Relief => Duration::from_secs(1),
        // It is done days ahead.
        Which::Successors | Which::RsaSuccessors => Duration::from_mins(1),
    }
}

/// Works off what is due of one kind.
async fn work_off(
    management: &Arc<Management>,
    is_stopped: &(impl Fn() -> bool + Sync),
    which: Which,
) -> Result<(), StoreError> {
    let (store, node) = (&management.store, management.usage.node());
    let (lease, span) = (lease(which), span(which));
    let mut sweep = Sweep::new(management, "rotation of a signing key");
    let mut last: Option<OrganizationId> = None;
    let mut held = false;
    'work: loop {
        let now = management.clock.now();
        let due = look_up(management, which, now, last.as_ref()).await?;
        if due.is_empty() || !store.take_lease(lease, node, now, span).await? {
            break;
        }
        held = true;
        let mut extend_at = now.plus(span / 2);
        for organization in &due {
            if is_stopped() {
                break 'work;
            }
            // Some steps take seconds.
            let now = management.clock.now();
            if now >= extend_at {
                if !store.take_lease(lease, node, now, span).await? {
                    break 'work;
                }
                extend_at = now.plus(span / 2);
            }
            // What was missed while nobody was there is done in order.
            loop {
                let work = advance(Arc::clone(management), organization.clone(), which);
                if !matches!(sweep.work(organization, work).await?, Some(Some(_))) {
                    break;
                }
            }
        }
        last = due.into_iter().next_back();
    }
    if held {
        store.release_lease(lease, node).await?;
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
        Which::Turns => store.due_signing_keys(now, after, BATCH).await,
        Which::Relief => store.signing_keys_to_relieve(now, after, BATCH).await,
        Which::Successors => {
            let schedule = management.schedule().await?;
            let quick = store.signing_keys_to_follow(&schedule, false, now, after, BATCH);
            quick.await
        }
        Which::RsaSuccessors => {
            let schedule = management.schedule().await?;
            let slow = store.signing_keys_to_follow(&schedule, true, now, after, BATCH);
            slow.await
        }
    }
}
