//! Everything periodic, stopped in order at shutdown.

mod changes;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::credentials::generations::Generations;
use crate::store::Store;

/// The jobs of a server.
pub struct Jobs {
    stop: watch::Sender<bool>,
    running: Vec<JoinHandle<()>>,
}

impl Jobs {
    /// Starts them all.
    #[must_use]
    pub fn start(store: Store, generations: Arc<Generations>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let running = vec![tokio::spawn(changes::follow(store, generations, stopped))];
        Self { stop, running }
    }

    /// Asks each to stop, and waits for it.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        for job in self.running {
            let _ = job.await;
        }
    }
}
