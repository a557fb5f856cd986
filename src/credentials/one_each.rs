//! One string for each key at a time: whoever guesses at one key keeps nobody from another.
//!
//! Behind it stands a queue in which everybody's turn comes. There each key waits once, however many
//! strings are presented for it. A few more wait here, so that keys whose strings begin alike can be
//! used for the first time at once; the others are told to come again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as Lock, MutexGuard, PoisonError};

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::domain::secret::KeyId;

/// How many strings wait for each key, beside the one that is tried.
const WAITING: usize = 4;

/// Which keys strings are tried against at this moment.
#[derive(Clone, Default)]
pub(super) struct OneEach {
    keys: Arc<Lock<HashMap<KeyId, Queue>>>,
}

/// That a string is tried against a key, until this is dropped.
pub(super) struct Trial {
    _turn: OwnedMutexGuard<()>,
    _place: Place,
}

/// The strings that are there for one key.
#[derive(Default)]
struct Queue {
    places: usize,
    turn: Arc<Mutex<()>>,
}

struct Place {
    id: KeyId,
    of: OneEach,
}

impl OneEach {
    /// Waits until a string can be tried against a key; `None`, at once, where too many do.
    pub(super) async fn turn(&self, id: KeyId) -> Option<Trial> {
        let (place, turn) = {
            let mut keys = self.keys();
            let queue = keys.entry(id).or_default();
            if queue.places > WAITING {
                return None;
            }
            queue.places += 1;
            let of = self.clone();
            (Place { id, of }, Arc::clone(&queue.turn))
        };
        Some(Trial {
            _turn: turn.lock_owned().await,
            _place: place,
        })
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<KeyId, Queue>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut keys = self.of.keys();
        if let Some(queue) = keys.get_mut(&self.id) {
            queue.places -= 1;
            if queue.places == 0 {
                keys.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_guesses_at_one_key_keeps_nobody_from_another() {
        let [guessed, other] = [1, 2].map(|n| KeyId::new(ulid::Ulid(n)));
        let each = OneEach::default();
        let tried = each.turn(guessed).await;
        assert!(tried.is_some());
        let waiting: Vec<_> = (0..WAITING)
            .map(|_| {
                let each = each.clone();
                tokio::spawn(async move { each.turn(guessed).await.is_some() })
            })
            .collect();
        while each.keys()[&guessed].places <= WAITING {
            tokio::task::yield_now().await;
        }
        assert!(each.turn(guessed).await.is_none(), "enough wait");
        assert!(waiting.iter().all(|one| !one.is_finished()));
        assert!(each.turn(other).await.is_some(), "another key's turn comes");
        drop(tried);
        for one in waiting {
            assert!(one.await.unwrap(), "each in its turn");
        }
        assert!(each.keys().is_empty());
    }
}
