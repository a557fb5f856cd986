//! Follows what other processes change in the database, and forgets what is cached of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::credentials::generations::Generations;
use crate::store::Store;
use crate::store::changes::{Change, News};

/// How long to wait before listening anew after nothing could be heard.
const PAUSE: Duration = Duration::from_millis(250);

/// Runs until stopped. While nothing can be heard, caches know how old what they hold is: they then
/// ask the database first, and soon answer from it alone.
pub(super) async fn follow(
    store: Store,
    generations: Arc<Generations>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut warned = false;
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            error = listen(&store, &generations, &mut warned) => {
                if !warned {
                    tracing::warn!(%error, "changes by other nodes cannot be heard");
                    warned = true;
                }
            }
        }
        tokio::select! {
            _ = stopped.changed() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Listens until that fails. What was changed before listening began may have been missed,
/// so it begins by forgetting.
async fn listen(
    store: &Store,
    generations: &Generations,
    warned: &mut bool,
) -> crate::store::error::StoreError {
    let mut changes = match store.listen(Clock::since_boot).await {
        Ok(changes) => changes,
        Err(error) => return error,
    };
    generations.raise(&Change::Everything);
    if std::mem::take(warned) {
        tracing::info!("changes by other nodes are heard again");
    }
    loop {
        match changes.next().await {
            Ok(News::Changed(change)) => generations.raise(&change),
            Ok(News::Heard(sent)) => generations.hear(sent),
            Err(error) => return error,
        }
    }
}
