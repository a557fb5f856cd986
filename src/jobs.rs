//! Everything periodic, stopped in order at shutdown.

mod announcements;
mod changes;
mod cleanup;
mod erasures;
mod flush;
mod mark;
mod notices;
mod root_keys;
mod schema;
pub mod signing_keys;
mod sweep;
mod turns;
mod unused;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::manage::Management;
use crate::manage::signing_keys::Which;
use turns::Turns;

/// How often jobs look at the clock to see whether it is their turn.
const LOOK: Duration = Duration::from_millis(500);

/// What the jobs of a server work on.
pub struct Work {
    /// What they share with whoever manages.
    pub management: Arc<Management>,
    /// How often usage is flushed.
    pub flush_interval: Duration,
    /// Where root keys come from; `None` when that is the environment.
    pub root_key_file: Option<PathBuf>,
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
        let (management, every) = (work.management, work.flush_interval);
        let store = management.store.clone();
        let usage = Arc::clone(&management.usage);
        let generations = Arc::clone(&management.generations);
        let follow = changes::follow(store.clone(), generations, stopped.clone());
        let renewing = (Arc::clone(&management.credentials), stopped.clone());
        let renew = async move { renewing.0.renew_hashes(renewing.1).await };
        let flush = flush::flush(Arc::clone(&usage), every, stopped.clone());
        let mark = mark::mark(store.clone(), stopped.clone());
        let schema = schema::watch(store.clone(), stopped.clone());
        let turns = Turns::new(management.clock.clone(), every, stopped.clone());
        let looks = Turns::new(management.clock.clone(), LOOK, stopped.clone());
        let announce = announcements::announce(Arc::clone(&management), looks);
        let erase = erasures::erase(Arc::clone(&management), stopped.clone());
        let clean_up = cleanup::clean_up(store, usage, turns);
        let tell = notices::tell(Arc::clone(&management), stopped.clone());
        let lead = |which| signing_keys::lead(Arc::clone(&management), which, stopped.clone());
        let keys = Which::ALL.map(|which| tokio::spawn(lead(which)));
        let hold = root_keys::hold(Arc::clone(&management), work.root_key_file, stopped.clone());
        let attend = unused::attend(management, stopped);
        let mut running = vec![
            tokio::spawn(follow),
            tokio::spawn(renew),
            tokio::spawn(announce),
            tokio::spawn(clean_up),
            tokio::spawn(erase),
            tokio::spawn(tell),
            tokio::spawn(attend),
            tokio::spawn(hold),
            tokio::spawn(flush),
            tokio::spawn(mark),
            tokio::spawn(schema),
        ];
        running.extend(keys);
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
