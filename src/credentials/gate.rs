//! The gate before Argon2 and other long work: few at once, off the async threads, and a queue
//! bounded by time.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument;

use crate::telemetry::spans::inner_span;

/// How long the queue may be, counted in how long it takes to drain.
const LONGEST_QUEUE: Duration = Duration::from_secs(5);

/// Too much work is waiting: come back in a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too much hashing or making of keys at once")]
pub struct Overloaded;

/// Lets as many runs through at once as there are cores, less one for everybody else.
pub struct Gate {
    permits: Arc<Semaphore>,
    width: usize,
    waiting: AtomicUsize,
    /// How long a run takes lately, in microseconds.
    run_micros: AtomicU64,
}

struct Waiting<'a>(&'a AtomicUsize);

impl Gate {
    /// As wide as this machine allows.
    #[must_use]
    pub fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self::of_width(cores.saturating_sub(1).max(1))
    }

    /// For as many at once as this.
    #[must_use]
    pub fn of_width(width: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(width)),
            width,
            waiting: AtomicUsize::new(0),
            run_micros: AtomicU64::new(1_000),
        }
    }

    /// How many wait for their turn.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Runs `work` on a blocking thread when its turn comes.
    ///
    /// # Errors
    /// [`Overloaded`], at once, when the queue would take more than five seconds to drain,
    /// or when it took twice as long after all.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Overloaded> {
        let permit = {
            let ahead = self.waiting.fetch_add(1, Ordering::Relaxed);
            let _waiting = Waiting(&self.waiting);
            if self.drain(ahead) > LONGEST_QUEUE {
                return Err(Overloaded);
            }
            let turn = Arc::clone(&self.permits).acquire_owned();
            tokio::time::timeout(LONGEST_QUEUE * 2, turn)
                .await
                .map_err(|_| Overloaded)?
                .expect("the gate is never closed")
        };
        let run = inner_span!("run");
        self.through(permit, work).instrument(run).await
    }

    /// The same for work that nobody waits for: it waits its turn, however long the queue is.
    ///
    /// # Errors
    /// [`Overloaded`] when the work broke off.
    pub async fn run_in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Overloaded> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.expect("the gate is never closed");
        self.through(permit, work).await
    }

    /// Runs `work` if its turn is now, and it is done within `patience`; `None` otherwise, and then
    /// it goes on to its end for nobody, and holds the gate until that.
    pub async fn run_at_once<T: Send + 'static>(
        &self,
        patience: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        let done = tokio::time::timeout(patience, self.through(permit, work)).await;
        done.ok()?.ok()
    }

    async fn through<T: Send + 'static>(
        &self,
        permit: OwnedSemaphorePermit,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Overloaded> {
        let (done, took) = tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            let done = work();
            // Given back here, not by the waiter: who hangs up does not free a busy core.
            drop(permit);
            (done, began.elapsed())
        })
        .await
        .map_err(|_| Overloaded)?;
        self.learn(took);
        Ok(done)
    }

    fn drain(&self, ahead: usize) -> Duration {
        let run = Duration::from_micros(self.run_micros.load(Ordering::Relaxed));
        let turns = u32::try_from(ahead / self.width).unwrap_or(u32::MAX);
        run.saturating_mul(turns)
    }

    /// A moving average: one slow run on a busy machine is no reason to turn people away.
    fn learn(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX / 16);
        let before = self.run_micros.load(Ordering::Relaxed);
        let after = before - before / 16 + took / 16;
        self.run_micros.store(after.max(1), Ordering::Relaxed);
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn no_more_run_at_once_than_the_gate_is_wide() {
        let gate = Arc::new(Gate::of_width(2));
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let runs: Vec<_> = (0..20)
            .map(|_| {
                let (gate, now, most) = (Arc::clone(&gate), Arc::clone(&now), Arc::clone(&most));
                tokio::spawn(async move {
                    gate.run(move || {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_millis(2));
                        now.fetch_sub(1, Ordering::SeqCst);
                    })
                    .await
                })
            })
            .collect();
        for run in runs {
            assert_eq!(run.await.unwrap(), Ok(()));
        }
        assert_eq!(most.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_queue_too_long_turns_newcomers_away_at_once() {
        let gate = Arc::new(Gate::of_width(1));
        gate.run_micros.store(2_000_000, Ordering::Relaxed);
        let (open, closed) = std::sync::mpsc::channel::<()>();
        let busy = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.run(move || closed.recv().is_ok()).await }
        });
        while gate.permits.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let queued: Vec<_> = (0..3)
            .map(|_| {
                let gate = Arc::clone(&gate);
                tokio::spawn(async move { gate.run(|| ()).await })
            })
            .collect();
        while gate.waiting.load(Ordering::SeqCst) < 3 {
            tokio::task::yield_now().await;
        }
        assert_eq!(gate.run(|| ()).await, Err(Overloaded));
        open.send(()).unwrap();
        assert_eq!(busy.await.unwrap(), Ok(true));
        for one in queued {
            assert_eq!(one.await.unwrap(), Ok(()));
        }
        assert_eq!(gate.waiting.load(Ordering::SeqCst), 0);
    }
    #[tokio::test(flavor = "multi_thread")]
    async fn what_cannot_be_done_at_once_is_not_waited_for() {
        let gate = Gate::of_width(1);
        let patience = Duration::from_mins(1);
        assert_eq!(gate.run_at_once(patience, || 1).await, Some(1));
        let (open, closed) = std::sync::mpsc::channel::<()>();
        let busy = gate.run_at_once(Duration::ZERO, move || closed.recv().is_ok());
        assert_eq!(busy.await, None);
        assert_eq!(gate.run_at_once(patience, || 2).await, None, "it is held");
        open.send(()).unwrap();
        assert_eq!(gate.run_in_turn(|| 3).await, Ok(3));
    }
}
