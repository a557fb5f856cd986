//! Erases what has become too old: every hour, by one node at a time.

use std::sync::Arc;
use std::time::Duration;

use super::turns::Turns;
use crate::domain::timestamp::Timestamp;
use crate::domain::usage::Grain;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::idempotency::REMEMBERED;
use crate::usage::Usage;

/// The name of the lease, and how long one clean-up suffices for all nodes.
const LEASE: (&str, Duration) = ("usage_cleanup", Duration::from_mins(59));

/// How often it is time.
const EVERY: Duration = Duration::from_hours(1);

/// How soon again after a failure.
const RETRY: Duration = Duration::from_mins(5);

const DAY: i64 = 86_400;

/// Runs until stopped.
pub(super) async fn clean_up(store: Store, usage: Arc<Usage>, mut turns: Turns) {
    while let Some(now) = turns.next().await {
        match in_turn(&store, &usage, now).await {
            Ok(()) => turns.again_in(EVERY),
            Err(error) => {
                tracing::warn!(%error, "old usage could not be erased; trying again later");
                turns.again_in(RETRY);
            }
        }
    }
}

async fn in_turn(store: &Store, usage: &Usage, now: Timestamp) -> Result<(), StoreError> {
    let node = usage.node();
    if !store.take_lease(LEASE.0, node, now, LEASE.1).await? {
        return Ok(());
    }
    let outcome = erase(store, usage, now).await;
    if outcome.is_err() {
        store.release_lease(LEASE.0, node).await?;
    }
    outcome
}

async fn erase(store: &Store, usage: &Usage, now: Timestamp) -> Result<(), StoreError> {
    for grain in [Grain::Hour, Grain::Day] {
        store.erase_counts(grain, grain.kept_since(now)).await?;
    }
    let records = if usage.records_exchanges() {
        days_before(now, 7)
    } else {
        // Switched off: what was recorded before goes too.
        now.plus(Duration::from_hours(24))
    };
    store.erase_exchange_records(records).await?;
    let (of_keys, of_strangers) = (days_before(now, 7), days_before(now, 1));
    store.erase_refusals(of_keys, of_strangers).await?;
    store.erase_requests(now.minus(REMEMBERED)).await?;
    store.forget_beginnings(now).await?;
    // A day's grace, for clocks that are ahead.
    store.forget_jwks_max_ages(days_before(now, 1)).await?;
    store.forget_announced_issuers(days_before(now, 1)).await?;
    store.remove_nodes_before(days_before(now, 1)).await
}

fn days_before(now: Timestamp, days: i64) -> Timestamp {
    Timestamp::from_unix((now.unix() - days * DAY).max(0)).expect("between 1970 and now")
}
