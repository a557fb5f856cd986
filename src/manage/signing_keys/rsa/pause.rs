//! Work that stands still while something more pressing is done, however few cores there are.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How much is more pressing at this moment.
#[derive(Default)]
pub(super) struct Pause {
    pressing: Mutex<usize>,
    over: Condvar,
}

/// Something more pressing, until this is dropped.
pub(super) struct Pressing<'a>(&'a Pause);

impl Pause {
    /// Something more pressing begins.
    pub(super) fn begin(&self) -> Pressing<'_> {
        *self.locked() += 1;
        Pressing(self)
    }

    /// Holds up the calling thread until nothing is more pressing.
    pub(super) fn heed(&self) {
        let mut pressing = self.locked();
        while *pressing > 0 {
            let woken = self.over.wait(pressing);
            pressing = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn locked(&self) -> MutexGuard<'_, usize> {
        // Nothing that holds it can panic half-way through a change.
        self.pressing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pressing<'_> {
    fn drop(&mut self) {
        *self.0.locked() -= 1;
        self.0.over.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn work_stands_still_while_anything_is_more_pressing_and_goes_on_after() {
        let (pause, steps) = (Arc::new(Pause::default()), Arc::new(AtomicU64::new(0)));
        let two = [pause.begin(), pause.begin()];
        let work = thread::spawn({
            let (pause, steps) = (Arc::clone(&pause), Arc::clone(&steps));
            move || {
                for _ in 0..3 {
                    pause.heed();
                    steps.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        for one in two {
            thread::sleep(Duration::from_millis(20));
            assert_eq!(steps.load(Ordering::SeqCst), 0);
            drop(one);
        }
        work.join().unwrap();
        assert_eq!(steps.load(Ordering::SeqCst), 3);
    }
}
