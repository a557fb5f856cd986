//! The line of those who wait until they are attended to: each once, so many at most, one after the
//! other.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::credentials::held_hash::End;
use crate::domain::secret::KeyId;

/// What waits: a hash of a key, and which of its hashes.
pub(super) type Place = (KeyId, End);

/// Whoever waits. Nobody does while nobody attends to them.
pub(super) struct Line<T> {
    most: usize,
    state: Mutex<State<T>>,
    more: Notify,
}

struct State<T> {
    is_open: bool,
    waiting: VecDeque<(Place, T)>,
    /// Of all who wait, and of the one that is attended to.
    places: HashSet<Place>,
    /// How many came while there was no room.
    left_out: u64,
}

impl<T> Line<T> {
    /// An empty one that nobody can join yet, with room for so many.
    pub(super) fn of(most: usize) -> Self {
        Self {
            most,
            state: Mutex::new(State {
                is_open: false,
                waiting: VecDeque::new(),
                places: HashSet::new(),
                left_out: 0,
            }),
            more: Notify::new(),
        }
    }

    /// Lets whoever comes join, from now on.
    pub(super) fn open(&self) {
        self.lock().is_open = true;
    }

    /// Lets nobody join any more. Those who wait are still attended to.
    pub(super) fn close(&self) {
        self.lock().is_open = false;
        self.more.notify_one();
    }

    /// Sends everybody away.
    pub(super) fn clear(&self) {
        let mut state = self.lock();
        state.places.clear();
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        drop(waiting);
    }

    /// Puts one at the end, unless it is in the line already, or there is no room: then it is for
    /// its next use to join.
    pub(super) fn join(&self, place: Place, one: impl FnOnce() -> T) {
        let mut state = self.lock();
        if !state.is_open || state.places.contains(&place) {
            return;
        }
        if state.places.len() >= self.most {
            state.left_out += 1;
            if state.left_out == 1 {
                tracing::debug!(
                    waiting = self.most,
                    "as many hashes wait to be made anew as may: others wait for their next use"
                );
            }
            return;
        }
        state.places.insert(place);
        state.waiting.push_back((place, one()));
        drop(state);
        self.more.notify_one();
    }

    /// The first, whose place stays its own until it leaves or comes back; waits for one while the
    /// line is open. For one who attends alone.
    pub(super) async fn next(&self) -> Option<(Place, T)> {
        loop {
            {
                let mut state = self.lock();
                if let Some(first) = state.waiting.pop_front() {
                    return Some(first);
                }
                if !state.is_open {
                    return None;
                }
                let left_out = std::mem::take(&mut state.left_out);
                if left_out > 0 {
                    tracing::debug!(left_out, "there is room again for hashes to be made anew");
                }
            }
            self.more.notified().await;
        }
    }

    /// Puts one that was attended to at the end again.
    pub(super) fn back(&self, place: Place, one: T) {
        self.lock().waiting.push_back((place, one));
    }

    /// Gives the place up of one that was attended to.
    pub(super) fn leave(&self, place: Place) {
        self.lock().places.remove(&place);
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing that holds it can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn place(n: u128) -> Place {
        (KeyId::new(ulid::Ulid(n)), [0; 8])
    }

    fn open(most: usize) -> Line<&'static str> {
        let line = Line::of(most);
        line.open();
        line
    }

    #[tokio::test]
    async fn each_waits_once_also_while_it_is_attended_to() {
        let line = open(9);
        for name in ["first", "again"] {
            line.join(place(1), || name);
        }
        line.join((place(1).0, [1; 8]), || "its other hash");
        let (of_first, first) = line.next().await.unwrap();
        assert_eq!(first, "first");
        line.join(of_first, || "again");
        assert_eq!(line.next().await.unwrap().1, "its other hash");
        line.leave(of_first);
        line.join(of_first, || "afterwards");
        assert_eq!(line.next().await.unwrap().1, "afterwards");
    }

    #[tokio::test]
    async fn where_there_is_no_room_the_next_use_joins() {
        let line = open(2);
        for n in 1..=3 {
            line.join(place(n), || "waits");
        }
        let (first, one) = line.next().await.unwrap();
        // Whoever goes back has kept its place.
        line.join(place(3), || "no room");
        line.back(first, one);
        line.leave(line.next().await.unwrap().0);
        line.join(place(3), || "came again");
        assert_eq!(line.next().await.unwrap().0, first);
        assert_eq!(line.next().await.unwrap().1, "came again");
    }

    #[tokio::test]
    async fn a_line_that_closes_ends_with_those_who_wait() {
        let line = Line::of(2);
        line.join(place(1), || "before anybody attends");
        line.open();
        line.join(place(2), || "waits");
        line.close();
        line.join(place(3), || "too late");
        assert_eq!(line.next().await.unwrap().1, "waits");
        assert!(line.next().await.is_none());
    }

    #[tokio::test]
    async fn whoever_attends_is_woken_by_who_comes_and_by_the_end() {
        let line = std::sync::Arc::new(open(2));
        let attending = {
            let line = std::sync::Arc::clone(&line);
            tokio::spawn(async move {
                let mut seen = 0;
                while let Some((place, _)) = line.next().await {
                    line.leave(place);
                    seen += 1;
                }
                seen
            })
        };
        for n in 1..=3 {
            line.join(place(n), || "waits");
            while !line.lock().places.is_empty() {
                tokio::task::yield_now().await;
            }
        }
        line.close();
        let seen = tokio::time::timeout(Duration::from_mins(1), attending).await;
        assert_eq!(seen.unwrap().unwrap(), 3);
        // Whoever is sent away leaves nothing behind.
        line.open();
        line.join(place(1), || "sent away");
        line.clear();
        assert!(line.lock().waiting.is_empty() && line.lock().places.is_empty());
    }
}
