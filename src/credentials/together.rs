//! Keys that are looked for at the same time are asked for by one query.
//!
//! A query for one key is mostly what any query costs: a connection to take, to test and to put back,
//! a statement to begin and to end. So few are under way at a time, and whoever comes meanwhile goes
//! with the next. Where first uses wait for Argon2 for long anyway, so does a query for a moment, that
//! others may come with it.

mod queue;

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::{Instrument, Span};

use super::Credential;
use super::commons::Commons;
use super::gate::Gate;
use super::generations::Generations;
use super::look_up::Cached;
use crate::domain::secret::KeyId;
use crate::store::Store;
use crate::store::api_keys::StoredCredential;
use crate::store::error::StoreError;
use queue::Queue;

/// For how long a query waits for others while those who wait for Argon2 do so for long, at most: so
/// long a look-up takes more for everybody then.
const MOMENT: Duration = Duration::from_millis(5);

/// How many are told before others have their turn: each has something to do then.
const AT_ONE_GO: usize = 8;

/// How long a query may keep others from being begun. One that takes longer may never be answered.
const SLOW: Duration = Duration::from_millis(250);

/// Asks the database for keys.
pub(super) struct Together(Arc<Shared>);

struct Shared {
    store: Store,
    commons: Commons,
    generations: Arc<Generations>,
    gate: Arc<Gate>,
    queue: Mutex<Queue<Asked>>,
}

/// Somebody who waits for a key.
struct Asked {
    id: KeyId,
    tell: oneshot::Sender<Result<Cached, StoreError>>,
    /// What they do, of which the query is a part.
    within: Span,
}

impl Together {
    /// Nobody asks yet. Whoever proves a secret waits at `gate`.
    pub(super) fn new(store: Store, generations: Arc<Generations>, gate: Arc<Gate>) -> Self {
        Self(Arc::new(Shared {
            store,
            commons: Commons::new(),
            generations,
            gate,
            queue: Mutex::default(),
        }))
    }

    /// A key as the database has it now, or that there is none.
    ///
    /// # Errors
    /// When the database is unavailable, does not answer in time, or the row is corrupt.
    pub(super) async fn find(&self, id: KeyId) -> Result<Cached, StoreError> {
        let (tell, told) = oneshot::channel();
        let within = Span::current();
        if self.0.queue().join(Asked { id, tell, within }) {
            begin(&self.0);
        }
        told.await.unwrap_or(Err(StoreError::TimedOut))
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue<Asked>> {
        // Nothing that holds it can panic half-way through a change.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for all who wait, and for those who come meanwhile.
    async fn gather(self: Arc<Self>) {
        loop {
            if self.gate.is_long() && !self.queue().is_enough() {
                tokio::time::sleep(MOMENT).await;
            }
            let asked = self.queue().depart(|one| !one.tell.is_closed());
            let under_way = UnderWay(&self);
            self.begin_another();
            let mut answered = pin!(self.ask_for(asked));
            let in_time = tokio::time::timeout(SLOW, &mut answered).await;
            drop(under_way);
            if in_time.is_err() {
                self.begin_another();
                answered.await;
            }
            if !self.queue().is_due() {
                return;
            }
        }
    }

    fn begin_another(self: &Arc<Self>) {
        if self.queue().is_due() {
            begin(self);
        }
    }

    /// Asks until they are told, or until none of them waits any longer.
    async fn ask_for(&self, mut asked: Vec<Asked>) {
        let within = asked.iter().map(|one| &one.within);
        let Some(within) = within.min_by_key(|span| span.is_disabled()).cloned() else {
            return;
        };
        let ids: Vec<_> = asked.iter().map(|one| one.id).collect();
        let found = tokio::select! {
            found = self.load(&ids).instrument(within) => found,
            () = all_left(&mut asked) => return,
        };
        match found {
            Ok(found) => {
                for (number, (one, found)) in (1..).zip(asked.into_iter().zip(found)) {
                    one.learn(Ok(found));
                    if number % AT_ONE_GO == 0 {
                        tokio::task::yield_now().await;
                    }
                }
            }
            // One row that is corrupt must not keep others from theirs.
            Err(error) if !error.is_passing() && asked.len() > 1 => self.ask_for_each(asked).await,
            Err(error) => all_learn(asked, error),
        }
    }

    async fn ask_for_each(&self, asked: Vec<Asked>) {
        let mut asked = asked.into_iter();
        while let Some(mut one) = asked.next() {
            let ids = [one.id];
            let load = self.load(&ids).instrument(one.within.clone());
            let found = tokio::select! {
                found = load => found,
                () = one.tell.closed() => continue,
            };
            match found {
                Ok(mut found) => one.learn(Ok(found.remove(0))),
                // It would be the same for the others, one after the other.
                Err(error) if error.is_passing() => {
                    return all_learn([one].into_iter().chain(asked).collect(), error);
                }
                Err(error) => one.learn(Err(error)),
            }
        }
    }

    /// What there is of each, in their order.
    async fn load(&self, ids: &[KeyId]) -> Result<Vec<Cached>, StoreError> {
        // Taken before the query: a change during it makes the result stale.
        let loaded = self.generations.begin();
        let asked = self.store.asked_again(|| self.store.credentials(ids));
        let found = self.generations.patiently(asked).await?;
        tokio::task::yield_now().await;
        let each = found
            .into_iter()
            .map(|stored| (stored.key.id, self.held(stored)));
        let found: HashMap<_, _> = each.collect();
        let each = ids.iter().map(|id| Cached {
            loaded,
            credential: found.get(id).cloned(),
        });
        Ok(each.collect())
    }

    fn held(&self, mut stored: StoredCredential) -> Arc<Credential> {
        self.commons.share(&mut stored);
        Arc::new(Credential::from(stored))
    }
}

/// Not by whoever asks: they may go away, and the others would wait in vain.
fn begin(shared: &Arc<Shared>) {
    tokio::spawn(Arc::clone(shared).gather());
}

/// Waits until nobody waits any longer: what is asked for nobody holds a connection.
async fn all_left(asked: &mut [Asked]) {
    for one in asked {
        one.tell.closed().await;
    }
}

fn all_learn(asked: Vec<Asked>, error: StoreError) {
    let error = Arc::new(error);
    for one in asked {
        one.learn(Err(Arc::clone(&error).into()));
    }
}

impl Asked {
    fn learn(self, found: Result<Cached, StoreError>) {
        // First: what they do may be over once they know.
        drop(self.within);
        // They may have gone away.
        let _ = self.tell.send(found);
    }
}

/// That a query is under way, until this is dropped.
struct UnderWay<'a>(&'a Shared);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.queue().arrive();
    }
}
