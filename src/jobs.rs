//! Everything periodic, stopped in order at shutdown.

mod changes;
mod cleanup;
mod flush;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::credentials::generations::Generations;
use crate::store::Store;
use crate::usage::Usage;

/// What the jobs of a server work on.
pub struct Work {
    /// What lasts.
    pub store: Store,
    /// What to raise when another process changed something.
    pub generations: Arc<Generations>,
    /// What is counted.
    pub usage: Arc<Usage>,
    /// How often that is flushed.
    pub flush_interval: Duration,
    /// What time it is.
    pub clock: Clock,
}

/// The jobs of a server.
pub struct Jobs {
    stop: watch::Sender<bool>,
    running: Vec<JoinHandle<()>>,
}

impl Jobs {
    /// Starts them all.
    #[must_use]
    pub fn start(work: Work) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (usage, every) = (work.usage, work.flush_interval);
        let follow = changes::follow(work.store.clone(), work.generations, stopped.clone());
        let flush = flush::flush(Arc::clone(&usage), every, stopped.clone());
        let clean_up = cleanup::clean_up(work.store, usage, work.clock, every, stopped);
        let running = vec![
            tokio::spawn(follow),
            tokio::spawn(clean_up),
            tokio::spawn(flush),
        ];
        Self { stop, running }
    }

    /// Asks each to stop, and waits for it. To be called when the last request was served:
    /// what was counted until then is written.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        for job in self.running {
            let _ = job.await;
        }
    }
}
