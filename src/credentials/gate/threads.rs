//! What the gate's threads do.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::ended::{Ended, Tell};
use super::{Job, Shared};

impl Shared {
    /// What each thread of the gate does until that is gone.
    pub(super) fn work(&self) {
        step_back();
        let mut ended = Ended::default();
        while let Some(job) = self.next(&mut ended) {
            ended.add(job(self), Instant::now());
            let waiting = self.lock().lines.len();
            if ended.are_due(self.is_long(waiting), self.run(), Instant::now()) {
                ended.tell();
            }
            // Whoever has something to do on this core has waited for long enough.
            thread::yield_now();
        }
    }

    /// The next run, when there is one. If there is none yet, who waits for those before is told.
    fn next(&self, ended: &mut Ended) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.lines.next() {
                state.busy += 1;
                return Some(job);
            }
            if !ended.is_empty() {
                drop(state);
                ended.tell();
                state = self.lock();
                continue;
            }
            if state.is_closed {
                return None;
            }
            let woken = self.more.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A moving average: one slow run on a busy machine is no reason to turn people away. The first
    /// run tells more than what was taken for granted before.
    fn learn(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX / 16);
        let runs = self.runs.fetch_add(1, Ordering::Relaxed);
        let weight = runs.saturating_add(1).min(16);
        let before = self.run_micros.load(Ordering::Relaxed);
        let after = before - before / weight + took / weight;
        self.run_micros.store(after.max(1), Ordering::Relaxed);
    }
}

/// A run of `work`, and where its end is told.
pub(super) fn job<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> (Job, oneshot::Receiver<T>) {
    let (tell, told) = oneshot::channel();
    let job = Box::new(move |gate: &Shared| {
        let began = Instant::now();
        let done = catch_unwind(AssertUnwindSafe(work));
        gate.learn(began.elapsed());
        // First: whoever is told may want the gate again at once.
        gate.lock().busy -= 1;
        Box::new(move || {
            // Of work that panicked nothing is told: whoever waits finds that it broke off.
            if let Ok(done) = done {
                let _ = tell.send(done);
            }
        }) as Tell
    });
    (job, told)
}

/// Lets this thread have a third of what others have where all together want more than there is: who
/// is known is answered first, and who is not is answered still. Where the system refuses, it is a
/// thread like the others.
fn step_back() {
    #[cfg(target_os = "linux")]
    {
        /// What the system calls nice.
        const STEP: i32 = 5;
        // On Linux this is about the calling thread alone.
        let _ = rustix::process::setpriority_process(None, STEP);
    }
}
