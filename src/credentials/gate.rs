//! The gate before Argon2 and other long work: few at once, on threads of its own that everything
//! else goes before, and lines bounded by time.

mod ended;
mod lines;
#[cfg(test)]
mod tests;
mod threads;

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::Span;

use crate::domain::organization::OrganizationId;
use crate::telemetry::spans::inner_span;
use ended::Tell;
use lines::{Line, Lines};
use threads::job;

/// How long the lines may be together, counted in how long they take to drain.
const LONGEST_QUEUE: Duration = Duration::from_secs(5);

/// From how long on lines are long: to who waits in them, some milliseconds more are nothing.
const LONG: Duration = Duration::from_millis(50);

/// Too much work is waiting: come back in a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too much hashing or making of keys at once")]
pub struct Overloaded;

/// Lets as many runs through at once as there are cores, less one for everybody else.
pub struct Gate {
    shared: Arc<Shared>,
    started: Once,
}

/// What the gate and its threads share.
struct Shared {
    state: Mutex<State>,
    more: Condvar,
    width: usize,
    /// How long a run takes lately, in microseconds.
    run_micros: AtomicU64,
    /// How many there were.
    runs: AtomicU64,
}

#[derive(Default)]
struct State {
    lines: Lines<Job>,
    busy: usize,
    is_closed: bool,
}

type Job = Box<dyn FnOnce(&Shared) -> Tell + Send>;

/// A run that is waited for. Whoever stops waiting, and drops this, leaves the line, unless it has
/// begun.
pub struct Run<T> {
    shared: Arc<Shared>,
    line: Line,
    number: u64,
    done: oneshot::Receiver<T>,
}

impl Gate {
    /// As wide as this machine allows.
    #[must_use]
    pub fn new() -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self::of_width(cores.saturating_sub(1).max(1))
    }

    /// For as many at once as this.
    #[must_use]
    pub fn of_width(width: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                more: Condvar::new(),
                width,
                run_micros: AtomicU64::new(1_000),
                runs: AtomicU64::new(0),
            }),
            started: Once::new(),
        }
    }

    /// How many run at once.
    #[must_use]
    pub fn width(&self) -> usize {
        self.shared.width
    }

    /// How many wait for their turn.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.lock().lines.len()
    }

    /// Whether who waits in the lines does so for long, by how long runs take lately: some
    /// milliseconds more are then nothing to them.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.shared.is_long(self.waiting())
    }

    /// How many runs have ended.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.shared.runs.load(Ordering::Relaxed)
    }

    /// Runs `work` for an organization, or for nobody in particular, when its turn comes.
    /// Organizations take turns.
    ///
    /// # Errors
    /// [`Overloaded`], at once, when the lines would take more than five seconds to drain and none
    /// is longer than this one; later, when this one was the longest and another came, or when it
    /// took twice as long after all.
    pub async fn run<T: Send + 'static>(
        &self,
        whose: Option<&OrganizationId>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Overloaded> {
        let line = whose.cloned().map_or(Line::Common, Line::Of);
        let asked = Span::current();
        let work = move || asked.in_scope(|| inner_span!("run").in_scope(work));
        let mut run = self
            .queue(line, work, Some(self.most()))
            .ok_or(Overloaded)?;
        match tokio::time::timeout(LONGEST_QUEUE * 2, run.done()).await {
            Ok(done) => done,
            Err(_) if run.leave() => Err(Overloaded),
            Err(_) => run.done().await,
        }
    }

    /// The same for work that waits its turn, however long the lines are: among those of its
    /// organization, which take turns with the others.
    pub fn in_turn<T: Send + 'static>(
        &self,
        whose: Option<&OrganizationId>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Run<T> {
        self.queue(Line::Patient(whose.cloned()), work, None)
            .expect("this line is never too long")
    }

    /// Puts `work` into a line, unless `most` wait already and none of the lines is longer.
    fn queue<T: Send + 'static>(
        &self,
        line: Line,
        work: impl FnOnce() -> T + Send + 'static,
        most: Option<usize>,
    ) -> Option<Run<T>> {
        let (job, done) = job(work);
        let mut state = self.shared.lock();
        let is_full = most.is_some_and(|most| state.lines.len() >= most);
        let cut = is_full.then(|| state.lines.cut_for(&line));
        if let Some(None) = cut {
            return None;
        }
        let number = state.lines.join(line.clone(), job);
        drop(state);
        // Whoever waits for it is told behind the lock.
        drop(cut);
        self.begin_one();
        Some(Run {
            shared: Arc::clone(&self.shared),
            line,
            number,
            done,
        })
    }

    /// How many may wait, by how long runs take lately.
    fn most(&self) -> usize {
        let run = self.shared.run().as_micros().max(1);
        let turns = usize::try_from(LONGEST_QUEUE.as_micros() / run).unwrap_or(usize::MAX);
        turns.saturating_add(1).saturating_mul(self.shared.width)
    }

    /// Wakes a thread, or makes them all when there is something to do for the first time.
    fn begin_one(&self) {
        self.started.call_once(|| {
            for number in 0..self.shared.width {
                let shared = Arc::clone(&self.shared);
                thread::Builder::new()
                    .name(format!("hashing-{number}"))
                    .spawn(move || shared.work())
                    .expect("the system has room for a few more threads");
            }
        });
        self.shared.more.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that holds it can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a run takes lately.
    fn run(&self) -> Duration {
        Duration::from_micros(self.run_micros.load(Ordering::Relaxed))
    }

    fn is_long(&self, waiting: usize) -> bool {
        let turns = waiting.div_ceil(self.width);
        self.run()
            .saturating_mul(u32::try_from(turns).unwrap_or(u32::MAX))
            >= LONG
    }
}

impl<T> Run<T> {
    /// Waits until it is done, however long that takes; whoever gives up waiting can come again.
    ///
    /// # Errors
    /// [`Overloaded`] when the work broke off.
    ///
    /// # Panics
    /// When it was waited for to its end before.
    pub async fn done(&mut self) -> Result<T, Overloaded> {
        (&mut self.done).await.map_err(|_| Overloaded)
    }

    /// Leaves the line; false if it has begun.
    fn leave(&self) -> bool {
        let left = self.shared.lock().lines.leave(&self.line, self.number);
        left.is_some()
    }
}

impl<T> Drop for Run<T> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.more.notify_all();
    }
}
