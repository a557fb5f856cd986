//! Sees to it that what was destroyed leaves the tables and the files of the database too: soon, by
//! one node at a time, and for all that was destroyed meanwhile at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::manage::Management;
use crate::store::error::StoreError;

/// The name of the lease, and for how long it is taken.
const LEASE: (&str, Duration) = ("erasures", Duration::from_mins(1));

/// Portions of a deleted organization that are erased before the lease is taken anew.
const PORTIONS: u32 = 20;

/// How often to look whether any is owed.
const EVERY: Duration = Duration::from_secs(1);

/// How soon again when it could not be done: whoever reads there may do so for long.
const RETRY: Duration = Duration::from_secs(3);

/// Runs until stopped.
pub(super) async fn erase(management: Arc<Management>, mut stopped: watch::Receiver<bool>) {
    let mut waits = false;
    loop {
        let done = in_turn(&management, &stopped).await;
        let pause = if matches!(done, Ok(true)) {
            EVERY
        } else {
            RETRY
        };
        match done {
            Ok(true) => waits = false,
            // Said once, until it is done.
            _ if waits => {}
            Ok(false) => {
                waits = true;
                tracing::info!(
                    "what was destroyed is still in the database's files, because somebody reads \
                     there: it goes when they are done"
                );
            }
            Err(error) => {
                waits = true;
                tracing::warn!(%error, "what was destroyed is still in the database's files: tried again");
            }
        }
        tokio::select! {
            _ = stopped.changed() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Whether nothing is owed any more, or another node is at it.
async fn in_turn(
    management: &Management,
    stopped: &watch::Receiver<bool>,
) -> Result<bool, StoreError> {
    let (store, node) = (&management.store, management.usage.node());
    if !store.owes_erasure().await? {
        return Ok(true);
    }
    let now = management.clock.now();
    if !store.take_lease(LEASE.0, node, now, LEASE.1).await? {
        return Ok(true);
    }
    let done = see_to_it(management, stopped).await;
    store.release_lease(LEASE.0, node).await?;
    done
}

/// Rows first: what they leave in files goes with the rest.
async fn see_to_it(
    management: &Management,
    stopped: &watch::Receiver<bool>,
) -> Result<bool, StoreError> {
    let (store, node) = (&management.store, management.usage.node());
    for mut remains in store.remains().await? {
        while !store.erase_remains(&mut remains, PORTIONS).await? {
            let now = management.clock.now();
            // There may be much of it: whoever starts next goes on.
            if *stopped.borrow() || !store.take_lease(LEASE.0, node, now, LEASE.1).await? {
                return Ok(true);
            }
        }
    }
    store.forget_destroyed().await
}
