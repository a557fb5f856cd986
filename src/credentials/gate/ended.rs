//! Runs that have ended, and who waits for them: told together while lines are long. Each telling
//! wakes a thread that answers, and their client another, which asks for its next key; four at once
//! wake them once.

use std::time::{Duration, Instant};

/// For how long one that has ended may wait for others, beside the run that begins meanwhile: as if
/// it had stood some places further back in the line.
const MOMENT: Duration = Duration::from_millis(2);

/// Tells whoever waits for a run that it has ended.
pub(super) type Told = Box<dyn FnOnce() + Send>;

/// Runs that have ended, of which nobody has been told yet.
#[derive(Default)]
pub(super) struct Ended {
    first: Option<Instant>,
    tell: Vec<Told>,
}

impl Ended {
    /// One that has ended now.
    pub(super) fn add(&mut self, told: Told, now: Instant) {
        self.first.get_or_insert(now);
        self.tell.push(told);
    }

    /// Whether there are any that may not wait for another, the lines being long or not.
    pub(super) fn must_be_told(&self, is_long: bool, now: Instant) -> bool {
        self.first
            .is_some_and(|first| !is_long || now.saturating_duration_since(first) >= MOMENT)
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
    fn who_has_waited_in_a_long_line_is_told_with_those_of_the_next_moment_and_else_at_once() {
        let (told, heard) = mpsc::channel();
        let told = |number| {
            let told = told.clone();
            Box::new(move || told.send(number).unwrap()) as Told
        };
        let now = Instant::now();
        let mut ended = Ended::default();
        for is_long in [false, true] {
            assert!(!ended.must_be_told(is_long, now));
        }
        ended.add(told(1), now);
        assert!(ended.must_be_told(false, now));
        assert!(!ended.must_be_told(true, now));
        let soon = now + MOMENT / 2;
        ended.add(told(2), soon);
        assert!(!ended.must_be_told(true, soon));
        assert!(ended.must_be_told(true, now + MOMENT));
        assert!(heard.try_recv().is_err());
        ended.tell();
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), [1, 2]);
        // The next waits for as long, from its own end on.
        ended.add(told(3), now + MOMENT);
        assert!(!ended.must_be_told(true, now + MOMENT));
    }
}
