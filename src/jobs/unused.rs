//! Warns of keys that nobody uses, and revokes them: every hour, by one node at a time.

use std::sync::Arc;
use std::time::Duration;

use super::LOOK;
use super::sweep::Sweep;
use super::turns::Turns;
use crate::domain::api_key::UNUSED_WARNING;
use crate::domain::organization::OrganizationId;
use crate::domain::timestamp::Timestamp;
use crate::manage::{Management, unused};
use crate::store::error::StoreError;

/// The name of the lease, and how long one pass suffices for all nodes.
const LEASE: (&str, Duration) = ("unused_keys", Duration::from_mins(59));

/// How often it is time.
const EVERY: Duration = Duration::from_hours(1);

/// How soon again while usage is on its way to the database.
const PAUSE: Duration = Duration::from_secs(30);

/// How soon again after a failure.
const RETRY: Duration = Duration::from_mins(5);

/// How many organizations, or keys, are looked up at once.
const BATCH: i64 = 100;

/// Runs until stopped. A pass judges keys as of the instant at which it was due, and begins once
/// every living node has delivered what it knew at that instant.
pub(super) async fn attend(
    management: Arc<Management>,
    stopped: tokio::sync::watch::Receiver<bool>,
) {
    let mut turns = Turns::new(management.clock.clone(), LOOK, stopped);
    let mut seen = None;
    while let Some(now) = turns.next().await {
        match Box::pin(in_turn(&management, &turns, &mut seen, now)).await {
            Ok(()) if seen.is_some() => turns.again_in(PAUSE),
            Ok(()) => turns.again_in(EVERY),
            Err(error) => {
                tracing::warn!(%error, "unused keys wait for the database");
                turns.again_in(RETRY);
            }
        }
    }
}

/// Leaves in `seen` since when the pass waits for usage, if it does.
async fn in_turn(
    management: &Management,
    turns: &Turns,
    seen: &mut Option<Timestamp>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (store, node) = (&management.store, management.usage.node());
    // What is yet to come was seen before the clock was set back.
    let since = match seen.filter(|since| *since <= now) {
        Some(since) => since,
        None if store.take_lease(LEASE.0, node, now, LEASE.1).await? => *seen.insert(now),
        None => return Ok(()),
    };
    if !store.all_nodes_flushed_since(since, now).await? {
        return Ok(());
    }
    // Of this node, what was used since then as well.
    management.usage.flush().await?;
    // Statements make it large, and it is begun rarely.
    let outcome = Box::pin(pass(management, turns, since)).await;
    *seen = None;
    if outcome.is_err() {
        store.release_lease(LEASE.0, node).await?;
    }
    outcome
}

async fn pass(management: &Management, turns: &Turns, seen: Timestamp) -> Result<(), StoreError> {
    let mut sweep = Sweep::new(management, "look at an unused key");
    let mut after = String::new();
    loop {
        let batch = management
            .store
            .organizations_of_unused_keys(&after, BATCH)
            .await?;
        let Some(last) = batch.last() else {
            return Ok(());
        };
        after.clone_from(last);
        for id in batch {
            match id.parse() {
                Ok(organization) => {
                    Box::pin(of_organization(
                        management,
                        turns,
                        &mut sweep,
                        &organization,
                        seen,
                    ))
                    .await?;
                }
                Err(error) => sweep.failed(&error),
            }
            if turns.is_stopped() {
                return Ok(());
            }
        }
    }
}

async fn of_organization(
    management: &Management,
    turns: &Turns,
    sweep: &mut Sweep<'_>,
    organization: &OrganizationId,
    seen: Timestamp,
) -> Result<(), StoreError> {
    let store = &management.store;
    let policy = async { Ok(unused::unused_after(management, organization).await?) };
    let Some(days) = sweep.work(organization, policy).await? else {
        return Ok(());
    };
    let span = |days: u32| Duration::from_secs(u64::from(days) * 86_400);
    let since = days.map(|days| seen.minus(span(days).saturating_sub(UNUSED_WARNING)));
    let mut after = None;
    loop {
        let keys = async {
            let keys = store.unused_keys(organization, since, seen, after, BATCH);
            Ok(keys.await?)
        };
        let keys = sweep.work(organization, keys).await?.unwrap_or_default();
        let Some(last) = keys.last() else {
            return Ok(());
        };
        after = Some(*last);
        for id in keys {
            if turns.is_stopped() {
                return Ok(());
            }
            let work = unused::attend(management, organization, id, seen);
            sweep.work(organization, work).await?;
        }
    }
}
