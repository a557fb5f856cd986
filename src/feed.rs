//! The revocation feed: everything that an offline validator must refuse although signature and
//! times are good, signed by the issuer that it is about.
//!
//! ```text
//! a change ─► generations ─► taken back  one query for all issuers, however many ask
//!                 │               │
//!                 └─► waiters     └─► published  one signature for each issuer and change
//! ```
//!
//! It is read by strangers, as the keys are, and so what they ask for costs nothing: neither a
//! query nor a signature is made per request, and whoever waits holds no database connection.

mod entries;
mod published;
mod taken_back;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quick_cache::sync::Cache;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::error::Elapsed;

use crate::clock::Clock;
use crate::credentials::generations::Generations;
use crate::credentials::issuers::{Identity, IssuerError, Issuers};
use crate::domain::issuer::{BaseUrl, Issuer};
use crate::domain::organization::OrganizationId;
use crate::domain::signing_key::Schedule;
use crate::store::Store;
use crate::store::error::StoreError;

pub use entries::{MOST_OF_KEY, MOST_OF_ONE};
pub use published::{Feed, Tag, VALIDITY};
use taken_back::{Held, Snapshot};

/// How many issuers' feeds are held at most. One that others displace costs a signature.
const CAPACITY: usize = 10_000;

/// How long a request waits for the database to tell what was taken back; and where there is a feed
/// that still counts, and the database has not been heard of lately.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(1));

/// How long changes are gathered before those who wait look at what came of them.
const GATHER: Duration = Duration::from_millis(10);

/// The longest that anybody waits for a change, where requests may take as long.
const LONGEST_WAIT: Duration = Duration::from_secs(25);

/// The revocation feeds of all issuers.
pub struct Feeds {
    store: Store,
    issuers: Arc<Issuers>,
    generations: Arc<Generations>,
    base: BaseUrl,
    clock: Clock,
    held: Arc<Held>,
    published: Cache<OrganizationId, Arc<Feed>>,
    /// One signature at a time, and none twice.
    signing: Mutex<()>,
    waiting: Semaphore,
    longest_wait: Duration,
    closing: AtomicBool,
}

/// What the feeds are kept within.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How long a request may take.
    pub request: Duration,
    /// How many connections are served at the same time.
    pub connections: usize,
    /// When signing keys come and go, by the settings of this server.
    pub schedule: Schedule,
}

impl Feeds {
    /// Nothing read yet.
    #[must_use]
    pub fn new(
        store: Store,
        issuers: Arc<Issuers>,
        generations: Arc<Generations>,
        base: BaseUrl,
        clock: Clock,
        bounds: Bounds,
    ) -> Self {
        Self {
            store,
            issuers,
            generations,
            base,
            clock,
            held: Arc::new(Held::new(bounds.schedule)),
            published: Cache::new(CAPACITY),
            signing: Mutex::default(),
            // The others are for those who want tokens.
            waiting: Semaphore::new((bounds.connections / 4).max(1)),
            longest_wait: (bounds.request * 3 / 4).min(LONGEST_WAIT),
            closing: AtomicBool::new(false),
        }
    }

    /// The feed of an issuer as it is now; `None` if there is no such issuer. While the database
    /// does not answer, the last one for as long as it counts.
    ///
    /// # Errors
    /// See [`IssuerError`].
    pub async fn of(&self, issuer: &Issuer) -> Result<Option<Arc<Feed>>, IssuerError> {
        let last = self.published.get(&issuer.signing_organization());
        let last = last.filter(|feed| feed.counts_at(self.clock.now()));
        let patience = if last.is_some() && self.generations.is_silent() {
            PATIENCE.1
        } else {
            PATIENCE.0
        };
        let made = tokio::time::timeout(patience, self.make(issuer)).await;
        if is_silence(&made) && last.is_some() {
            self.generations.asked_in_vain();
        }
        let made = made.unwrap_or(Err(IssuerError::Store(StoreError::TimedOut)));
        match (made, last) {
            (Err(IssuerError::Store(error)), Some(feed)) if error.is_passing() => Ok(Some(feed)),
            (made, _) => made,
        }
    }

    /// Signs with what signs now, never with what may have been withdrawn since: as for tokens.
    async fn make(&self, issuer: &Issuer) -> Result<Option<Arc<Feed>>, IssuerError> {
        let organization = issuer.signing_organization();
        let Some(identity) = self.issuers.of(&organization).await? else {
            return Ok(None);
        };
        let snapshot = self.snapshot().await?;
        Ok(Some(self.sign(issuer, &identity, &snapshot).await))
    }

    /// The same once it is another than those that `held` names, or `wait` is over, which is cut
    /// to what a request may take. When too many wait already, it does not.
    ///
    /// # Errors
    /// See [`IssuerError`].
    pub async fn unlike(
        &self,
        held: &[Tag],
        issuer: &Issuer,
        wait: Duration,
    ) -> Result<Option<Arc<Feed>>, IssuerError> {
        let deadline = tokio::time::Instant::now() + wait.min(self.longest_wait);
        let mut changes = self.generations.listen();
        let mut place = None;
        loop {
            changes.mark_unchanged();
            let feed = self.of(issuer).await?;
            let Some(current) = &feed else {
                return Ok(None);
            };
            if held.is_empty() || !held.iter().any(|tag| current.is_as_good_as(tag)) {
                return Ok(feed);
            }
            place = place.or_else(|| self.waiting.try_acquire().ok());
            if place.is_none() || self.closing.load(Ordering::SeqCst) {
                return Ok(feed);
            }
            tokio::select! {
                _ = changes.changed() => tokio::time::sleep(GATHER).await,
                () = tokio::time::sleep_until(deadline) => return Ok(feed),
            }
        }
    }

    /// Lets everybody go who waits.
    pub fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        self.generations.ring();
    }

    async fn snapshot(&self) -> Result<Arc<Snapshot>, StoreError> {
        self.held
            .current(&self.store, &self.generations, &self.clock)
            .await
    }

    async fn sign(
        &self,
        issuer: &Issuer,
        identity: &Arc<Identity>,
        snapshot: &Arc<Snapshot>,
    ) -> Arc<Feed> {
        let organization = issuer.signing_organization();
        let current = |snapshot| {
            let feed = self.published.get(&organization)?;
            feed.is_current(identity, snapshot, self.clock.now())
                .then_some(feed)
        };
        if let Some(feed) = current(snapshot) {
            return feed;
        }
        let _turn = self.signing.lock().await;
        // Another may have signed a later one meanwhile, and an older must not follow it.
        let newest = self.held.newest();
        let snapshot = newest.as_ref().unwrap_or(snapshot);
        if let Some(feed) = current(snapshot) {
            return feed;
        }
        let before = self.published.get(&organization);
        let millis = self.clock.unix_millis();
        let feed = Feed::of(
            (issuer, &self.base),
            identity,
            snapshot,
            millis,
            before.as_deref(),
        );
        let feed = Arc::new(feed);
        self.published.insert(organization, Arc::clone(&feed));
        feed
    }
}

/// Whether the database does not answer, as far as that was found out. Who only ran out of patience
/// has not found out anything: what is read may be much, and goes on being read for whoever asks
/// next.
fn is_silence<T>(made: &Result<Result<T, IssuerError>, Elapsed>) -> bool {
    matches!(made, Ok(Err(IssuerError::Store(error))) if error.is_passing())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_load_is_no_silence_of_the_database() {
        let slow = std::future::pending::<Result<(), IssuerError>>();
        let slow = tokio::time::timeout(Duration::ZERO, slow).await;
        assert!(slow.is_err() && !is_silence(&slow));
        let away = || IssuerError::Store(StoreError::TimedOut);
        let said = tokio::time::timeout(Duration::from_secs(5), async { Err::<(), _>(away()) });
        assert!(is_silence(&said.await));
        assert!(!is_silence(&Ok(Ok(()))));
    }
}
