//! Runs that have ended, and who waits for them: told together while lines of short runs are long.
//! Each telling wakes a thread that answers, and then another for the client's next request; four at
//! once wake them once.

use std::time::{Duration, Instant};

/// For how long one that has ended may wait for others, beside the run that begins meanwhile: as if
/// it had stood some places further back in the line.
const MOMENT: Duration = Duration::from_millis(2);

/// How long runs may take for that: those that take longer are told one by one.
const SHORT: Duration = Duration::from_millis(1);

/// Tells whoever waits for a run that it has ended.
pub(super) type Tell = Box<dyn FnOnce() + Send>;

/// Runs that have ended, of which nobody has been told yet.
#[derive(Default)]
pub(super) struct Ended {
    first: Option<Instant>,
    tell: Vec<Tell>,
}

impl Ended {
    /// One that has ended now.
    pub(super) fn add(&mut self, tell: Tell, now: Instant) {
        self.first.get_or_insert(now);
        self.tell.push(tell);
    }

    /// Whether there are any that may not wait for the next, which takes about as long as `run`, the
    /// lines being long or not.
    pub(super) fn are_due(&self, is_long: bool, run: Duration, now: Instant) -> bool {
        self.first.is_some_and(|first| {
            !is_long || run > SHORT || now.saturating_duration_since(first) >= MOMENT
        })
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.tell.is_empty()
    }

    /// Tells who waits for them, in their order.
    pub(super) fn tell(&mut self) {
        self.first = None;
        for tell in self.tell.drain(..) {
            tell();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn who_waited_for_long_is_told_with_those_of_the_next_moment_and_others_at_once() {
        let (say, heard) = mpsc::channel();
        let tell = |number| {
            let say = say.clone();
            Box::new(move || say.send(number).unwrap()) as Tell
        };
        let now = Instant::now();
        let mut ended = Ended::default();
        for is_long in [false, true] {
            assert!(!ended.are_due(is_long, SHORT, now));
        }
        ended.add(tell(1), now);
        assert!(ended.are_due(false, SHORT, now));
        assert!(ended.are_due(true, SHORT * 2, now));
        assert!(!ended.are_due(true, SHORT, now));
        let soon = now + MOMENT / 2;
        ended.add(tell(2), soon);
        assert!(!ended.are_due(true, SHORT, soon));
        assert!(ended.are_due(true, SHORT, now + MOMENT));
        assert!(heard.try_recv().is_err());
        ended.tell();
        assert!(ended.is_empty());
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), [1, 2]);
        // The next waits for as long, from its own end on.
        ended.add(tell(3), now + MOMENT);
        assert!(!ended.are_due(true, SHORT, now + MOMENT));
    }
}
