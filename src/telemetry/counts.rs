//! Counts that very many requests add to: every thread in a place of its own. One place for all would
//! go to and fro between the processors, and be waited for, with each request.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_utils::CachePadded;
use thread_local::ThreadLocal;

/// `N` counts that only grow.
pub struct Counts<const N: usize>(ThreadLocal<CachePadded<[AtomicU64; N]>>);

/// How long something took, each time.
#[derive(Default)]
pub struct Timings {
    /// By [`BOUNDS`]; the last counts what took longer.
    counts: Counts<{ BOUNDS.len() + 1 }>,
    /// In all, in nanoseconds.
    took: Counts<1>,
}

/// What was timed until now.
#[derive(Clone, Debug)]
pub struct Timed {
    /// How long it took in all.
    pub took: Duration,
    /// How often it took no longer than each bound, in seconds, and longer than the one before; the
    /// last bound is infinite.
    pub buckets: Vec<(f64, u64)>,
}

/// From a warm exchange to one that waited for its turn at Argon2.
const BOUNDS: [Duration; 13] = [
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(5),
];

impl<const N: usize> Counts<N> {
    /// Adds to one of them.
    pub fn add(&self, which: usize, more: u64) {
        let own = self
            .0
            .get_or(|| array::from_fn(|_| AtomicU64::new(0)).into());
        let count = &own[which];
        // No other thread writes here.
        count.store(count.load(Ordering::Relaxed) + more, Ordering::Relaxed);
    }

    /// What was added to one of them by now.
    #[must_use]
    pub fn total(&self, which: usize) -> u64 {
        let of_threads = self.0.iter();
        of_threads
            .map(|own| own[which].load(Ordering::Relaxed))
            .sum()
    }
}

impl<const N: usize> Default for Counts<N> {
    fn default() -> Self {
        Self(ThreadLocal::new())
    }
}

impl Timings {
    /// Notes that it took so long once.
    pub fn note(&self, took: Duration) {
        let bucket = BOUNDS.partition_point(|bound| *bound < took);
        self.counts.add(bucket, 1);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.took.add(0, nanos);
    }

    /// All that was noted.
    #[must_use]
    pub fn timed(&self) -> Timed {
        let bounds = BOUNDS.iter().map(Duration::as_secs_f64);
        let bounds = bounds.chain([f64::INFINITY]).enumerate();
        Timed {
            took: Duration::from_nanos(self.took.total(0)),
            buckets: bounds
                .map(|(at, bound)| (bound, self.counts.total(at)))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn what_all_threads_count_is_there_also_after_they_ended() {
        let counts = Counts::<2>::default();
        for _ in 0..3 {
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| (0..1_000).for_each(|n| counts.add(n % 2, 3)));
                }
            });
        }
        assert_eq!([0, 1].map(|which| counts.total(which)), [18_000; 2]);
    }

    #[test]
    fn what_takes_as_long_as_a_bound_is_below_it() {
        let timings = Timings::default();
        let took = [100, 101, 250, 6_000_000];
        for micros in took {
            timings.note(Duration::from_micros(micros));
        }
        let timed = timings.timed();
        assert_eq!(timed.took, Duration::from_micros(took.iter().sum()));
        assert_eq!(
            timed.buckets[..3],
            [(0.000_1, 1), (0.000_25, 2), (0.000_5, 0)]
        );
        assert_eq!(timed.buckets.last(), Some(&(f64::INFINITY, 1)));
        assert_eq!(timed.buckets.iter().map(|(_, count)| count).sum::<u64>(), 4);
    }
}
