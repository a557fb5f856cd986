//! Tells of keys that near their ends: every minute, by one node at a time.

use std::sync::Arc;
use std::time::Duration;

use super::LOOK;
use super::sweep::Sweep;
use super::turns::Turns;
use crate::manage::Management;
use crate::manage::notices::{Announced, announce};
use crate::store::error::StoreError;

/// The name of the lease, and for how long it is taken for each batch. It only saves nodes from
/// doing the same work: that each notice is written once does not rest on it.
const LEASE: (&str, Duration) = ("key_notices", Duration::from_mins(2));

/// How often it is time.
const EVERY: Duration = Duration::from_mins(1);

/// How many notices are looked up at once.
const BATCH: i64 = 100;

/// Runs until stopped.
pub(super) async fn tell(management: Arc<Management>, stopped: tokio::sync::watch::Receiver<bool>) {
    let mut turns = Turns::new(management.clock.clone(), LOOK, stopped);
    while turns.next().await.is_some() {
        if let Err(error) = in_turn(&management, &turns).await {
            tracing::warn!(%error, "notices of expiring keys wait for the database");
        }
        turns.again_in(EVERY);
    }
}

/// Works off what is due.
async fn in_turn(management: &Management, turns: &Turns) -> Result<(), StoreError> {
    let (store, node) = (&management.store, management.usage.node());
    let mut sweep = Sweep::new(management, "notice of an expiring key");
    let mut last = None;
    let mut held = false;
    'work: loop {
        let now = management.clock.now();
        let due = store.due_notices(now, last.as_ref(), BATCH).await?;
        if due.is_empty() || !store.take_lease(LEASE.0, node, now, LEASE.1).await? {
            break;
        }
        held = true;
        for notice in &due {
            if turns.is_stopped() {
                break 'work;
            }
            match notice.key() {
                Ok((organization, id)) => {
                    // What a key missed, it is told of in order.
                    let mut told = Some(Announced::MoreDue);
                    while told == Some(Announced::MoreDue) {
                        let work = announce(management, &organization, id);
                        told = sweep.work(&organization, work).await?;
                    }
                }
                Err(error) => sweep.failed(&error),
            }
        }
        last = due.into_iter().next_back();
    }
    if held {
        store.release_lease(LEASE.0, node).await?;
    }
    Ok(())
}
