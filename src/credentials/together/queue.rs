//! Who waits for the next query, and how many are under way.

use std::mem;

/// How many queries are under way at a time, so that one that takes long does not keep all waiting.
const SIDE_BY_SIDE: usize = 4;

/// For how many one query asks: its answer is taken in at one go, by a thread that has other things
/// to do.
const MOST: usize = 64;

/// Those who wait.
pub(super) struct Queue<T> {
    waiting: Vec<T>,
    is_gathering: bool,
    under_way: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            waiting: Vec::new(),
            is_gathering: false,
            under_way: 0,
        }
    }
}

impl<T> Queue<T> {
    /// Lets one wait: whether somebody is to gather now.
    pub(super) fn join(&mut self, one: T) -> bool {
        self.waiting.push(one);
        self.is_due()
    }

    /// Whether somebody is to gather those who wait: whoever asks this, if so.
    pub(super) fn is_due(&mut self) -> bool {
        let is_due =
            !self.waiting.is_empty() && !self.is_gathering && self.under_way < SIDE_BY_SIDE;
        self.is_gathering |= is_due;
        is_due
    }

    /// Whether as many wait as one query asks for.
    pub(super) const fn is_enough(&self) -> bool {
        self.waiting.len() >= MOST
    }

    /// Those whom the next query is for, of all who are still there: it is under way now, and another
    /// may gather.
    pub(super) fn depart(&mut self, is_there: impl Fn(&T) -> bool) -> Vec<T> {
        self.is_gathering = false;
        self.under_way += 1;
        self.waiting.retain(is_there);
        let later = self.waiting.split_off(self.waiting.len().min(MOST));
        mem::replace(&mut self.waiting, later)
    }

    /// A query is over.
    pub(super) fn arrive(&mut self) {
        self.under_way -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_first_gathers_and_those_who_come_meanwhile_go_along() {
        let mut queue = Queue::default();
        assert!(queue.join(1));
        assert!(!queue.join(2), "somebody gathers");
        assert_eq!(queue.depart(|_| true), [1, 2]);
        assert!(!queue.is_due(), "nobody waits");
        assert!(queue.join(3), "beside the one under way");
    }

    #[test]
    fn whoever_does_not_fit_in_is_due_at_once_and_whoever_left_takes_no_room() {
        let mut queue = Queue::default();
        for n in 0..MOST + 2 {
            queue.join(n);
        }
        assert!(queue.is_enough());
        let departed = queue.depart(|n| *n != 1);
        assert_eq!((departed.len(), departed[1]), (MOST, 2));
        assert!(!queue.is_enough());
        assert!(queue.is_due(), "beside it");
        assert_eq!(queue.depart(|_| true), [MOST + 1]);
    }

    #[test]
    fn few_are_under_way_at_a_time_and_nobody_is_forgotten() {
        let mut queue = Queue::default();
        for n in 0..SIDE_BY_SIDE {
            assert!(queue.join(n));
            assert_eq!(queue.depart(|_| true), [n]);
        }
        let late: Vec<_> = (100..=100 + MOST).collect();
        for n in &late {
            assert!(!queue.join(*n));
        }
        queue.arrive();
        assert!(queue.is_due());
        assert!(!queue.is_due(), "once");
        assert_eq!(queue.depart(|_| true), late[..MOST]);
        queue.arrive();
        assert!(queue.is_due(), "one did not fit in");
        assert_eq!(queue.depart(|_| true), late[MOST..]);
        for _ in 0..SIDE_BY_SIDE {
            queue.arrive();
            assert!(!queue.is_due());
        }
        assert!(queue.join(0));
    }
}
