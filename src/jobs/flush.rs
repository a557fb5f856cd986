//! Brings what was counted to the database: every few seconds, and once more at the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::usage::Usage;

/// How often the last flush is tried, and how long to wait in between.
const LAST_TRIES: (u32, Duration) = (3, Duration::from_millis(500));

/// Runs until stopped, which is after the last request was served: what a graceful stop
/// leaves behind is exact.
pub(super) async fn flush(usage: Arc<Usage>, every: Duration, mut stopped: watch::Receiver<bool>) {
    let mut failing = false;
    loop {
        match usage.flush().await {
            Ok(()) if failing => {
                tracing::info!("usage reaches the database again; nothing of it was lost");
                failing = false;
            }
            Err(error) if !failing => {
                tracing::warn!(%error, "usage stays in memory: it cannot be written");
                failing = true;
            }
            Ok(()) | Err(_) => {}
        }
        if let Err(error) = usage.write_forwarding().await {
            tracing::debug!(%error, "who sent a forwarding header is written down later");
        }
        tokio::select! {
            _ = stopped.changed() => break,
            () = usage.is_filling(), if !failing => {}
            () = tokio::time::sleep(every) => {}
        }
    }
    finish(&usage).await;
}

async fn finish(usage: &Usage) {
    for tries_left in (0..LAST_TRIES.0).rev() {
        match usage.flush().await {
            Ok(()) => {
                if let Err(error) = usage.leave().await {
                    tracing::warn!(%error, "this node could not strike itself out of the database");
                }
                return;
            }
            Err(error) if tries_left == 0 => {
                tracing::error!(%error, "the last counts of usage are lost: they could not be written");
            }
            Err(_) => tokio::time::sleep(LAST_TRIES.1).await,
        }
    }
}
