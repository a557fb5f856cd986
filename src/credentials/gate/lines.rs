//! Lines before a gate: each organization has one of its own, and they take turns. However much one
//! of them wants at once, nobody in another waits for more than one of it in each round; and where
//! there is no more room, it is the longest line that is cut.

use std::collections::{HashMap, VecDeque};

use crate::domain::organization::OrganizationId;

/// Which line.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Line {
    /// An organization's.
    Of(OrganizationId),
    /// That of what is for nobody in particular.
    Common,
    /// An organization's, or that of nobody in particular, of those who wait however long it takes:
    /// it is never cut.
    Patient(Option<OrganizationId>),
}

/// Whoever waits.
pub(super) struct Lines<T> {
    waiting: usize,
    last: u64,
    of_each: HashMap<Line, VecDeque<(u64, T)>>,
    /// Each line once, in the order of their turns. One that all have left stays until its turn.
    order: VecDeque<Line>,
}

impl<T> Default for Lines<T> {
    fn default() -> Self {
        Self {
            waiting: 0,
            last: 0,
            of_each: HashMap::new(),
            order: VecDeque::new(),
        }
    }
}

impl<T> Lines<T> {
    /// How many wait.
    pub(super) const fn len(&self) -> usize {
        self.waiting
    }

    /// Puts one at the end of a line: the number by which it can leave.
    pub(super) fn join(&mut self, line: Line, one: T) -> u64 {
        self.last += 1;
        if let Some(there) = self.of_each.get_mut(&line) {
            there.push_back((self.last, one));
        } else {
            self.order.push_back(line.clone());
            self.of_each
                .insert(line, VecDeque::from([(self.last, one)]));
        }
        self.waiting += 1;
        self.last
    }

    /// Takes out the first of the line whose turn it is.
    pub(super) fn next(&mut self) -> Option<T> {
        while let Some(line) = self.order.pop_front() {
            let there = self.of_each.get_mut(&line)?;
            let first = there.pop_front();
            if there.is_empty() {
                self.of_each.remove(&line);
            } else {
                self.order.push_back(line);
            }
            if let Some((_, first)) = first {
                self.waiting -= 1;
                return Some(first);
            }
        }
        None
    }

    /// Takes out the one of this number, if it is still there.
    pub(super) fn leave(&mut self, line: &Line, number: u64) -> Option<T> {
        let there = self.of_each.get_mut(line)?;
        let at = there.binary_search_by_key(&number, |(number, _)| *number);
        let (_, left) = there.remove(at.ok()?)?;
        self.waiting -= 1;
        Some(left)
    }

    /// Takes out the last of the longest line, if that is still longer when one more has joined
    /// this one.
    pub(super) fn cut_for(&mut self, line: &Line) -> Option<T> {
        let own = self.of_each.get(line).map_or(0, VecDeque::len);
        let cuttable = self
            .of_each
            .iter_mut()
            .filter(|(line, _)| !matches!(line, Line::Patient(_)));
        let (_, longest) = cuttable.max_by_key(|(_, there)| there.len())?;
        if longest.len() <= own + 1 {
            return None;
        }
        let (_, cut) = longest.pop_back()?;
        self.waiting -= 1;
        Some(cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str) -> Line {
        Line::Of(name.parse().unwrap())
    }

    /// Those who wait, each called by its line and its place there, such as `a1`.
    fn lines(names: &[&str]) -> Lines<String> {
        let mut lines = Lines::default();
        let mut counts = HashMap::new();
        for name in names {
            let count = counts.entry(name).or_insert(0);
            *count += 1;
            lines.join(line(name), format!("{name}{count}"));
        }
        lines
    }

    fn served(mut lines: Lines<String>) -> String {
        let served: Vec<_> = std::iter::from_fn(|| lines.next()).collect();
        assert_eq!(lines.len(), 0);
        assert!(lines.of_each.is_empty() && lines.order.is_empty());
        served.join(" ")
    }

    #[test]
    fn lines_take_turns_however_long_one_of_them_is() {
        let lines = lines(&["a", "a", "a", "b", "a", "c", "b"]);
        assert_eq!(lines.len(), 7);
        assert_eq!(served(lines), "a1 b1 c1 a2 b2 a3 a4");
    }

    #[test]
    fn whoever_comes_late_to_a_long_line_does_not_jump_it() {
        let mut lines = lines(&["a", "a"]);
        assert_eq!(lines.next().unwrap(), "a1");
        lines.join(line("b"), "b1".to_owned());
        lines.join(line("a"), "a3".to_owned());
        assert_eq!(served(lines), "a2 b1 a3");
    }

    #[test]
    fn whoever_leaves_leaves_no_gap() {
        let mut lines = Lines::default();
        let join =
            |lines: &mut Lines<String>, name: &str| lines.join(line(&name[..1]), name.to_owned());
        let numbers = ["a1", "b1", "a2", "a3"].map(|name| join(&mut lines, name));
        assert_eq!(lines.leave(&line("b"), numbers[1]).unwrap(), "b1");
        assert_eq!(lines.leave(&line("a"), numbers[2]).unwrap(), "a2");
        assert_eq!(lines.leave(&line("a"), numbers[2]), None, "it has left");
        assert_eq!(lines.leave(&line("b"), numbers[0]), None, "of another line");
        assert_eq!(lines.len(), 2);
        join(&mut lines, "b2");
        assert_eq!(served(lines), "a1 b2 a3");
    }

    #[test]
    fn the_longest_line_is_cut_for_a_shorter_one_and_none_for_itself() {
        let mut lines = lines(&["a", "a", "a", "b", "b"]);
        assert_eq!(lines.cut_for(&line("a")), None);
        assert_eq!(lines.cut_for(&line("b")), None, "they would change places");
        assert_eq!(lines.cut_for(&line("c")).unwrap(), "a3");
        for _ in 0..9 {
            lines.join(Line::Patient(None), "p".to_owned());
        }
        assert_eq!(lines.cut_for(&line("c")).map(|cut| cut.len()), Some(2));
        assert_eq!(lines.len(), 12);
    }
}
