//! Notices that a newer tenmint migrated the database beneath this one, and says what that means.

use std::time::Duration;

use tokio::sync::watch;

use crate::store::Store;
use crate::store::error::StoreError;

/// How often to look. Whether this server is ready is asked of the database each time.
const EVERY: Duration = Duration::from_secs(5);

/// Runs until stopped.
pub(super) async fn watch(store: Store, mut stopped: watch::Receiver<bool>) {
    // Of which version it was said, and whether this server can go on with it.
    let mut told = None;
    loop {
        let seen = match store.newer_schema().await {
            Ok(newer) => newer.map(|schema| (schema, true)),
            Err(StoreError::SchemaTooNew(schema)) => Some((schema, false)),
            // That the database does not answer, others say.
            Err(_) => told,
        };
        if seen != told {
            tell(seen);
            told = seen;
        }
        tokio::select! {
            _ = stopped.changed() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

fn tell(seen: Option<(i64, bool)>) {
    match seen {
        Some((schema, true)) => tracing::warn!(
            schema,
            "a newer tenmint migrated this database; this one goes on, and is to be upgraded too"
        ),
        Some((schema, false)) => tracing::error!(
            schema,
            "a newer tenmint migrated this database to what this one cannot work with: it is not \
             ready any more. Stop it, and start the newer one"
        ),
        None => {}
    }
}
