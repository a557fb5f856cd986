//! Notes beside an SQLite database how far it has come, so that an older copy put in its place is
//! noticed: every few seconds, and once more at the end.

use std::time::Duration;

use tokio::sync::watch;

use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::history::History;

/// How often. Acts of the last few seconds before a crash are not missed by their number.
const EVERY: Duration = Duration::from_secs(10);

/// Runs until stopped, which is after the last request was served.
pub(super) async fn mark(store: Store, mut stopped: watch::Receiver<bool>) {
    if store.file().is_none() {
        return;
    }
    let mut noted = None;
    loop {
        if let Err(error) = note(&store, &mut noted).await {
            tracing::warn!(%error, "how far the database has come could not be noted beside it");
        }
        tokio::select! {
            _ = stopped.changed() => break,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
    let _ = note(&store, &mut noted).await;
}

async fn note(store: &Store, noted: &mut Option<History>) -> Result<(), StoreError> {
    let history = store.history().await?;
    if history != *noted
        && let Some(there) = &history
    {
        store.mark(there)?;
        *noted = history;
    }
    Ok(())
}
