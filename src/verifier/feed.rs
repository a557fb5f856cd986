//! The issuer's revocation feed: followed behind the requests' backs, and asked by each of them.

mod reading;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use url::Url;

use crate::clock::Clock;
use crate::crypto::jose::revocations::Revoked;
use crate::domain::timestamp::Timestamp;

use super::claims::Verified;
use super::fetch::{Fetch, FetchError};
use super::follow::Follow;
use super::keys::Keys;
use super::revocations::{Revocations, Standing};

/// How long the first request waits for the first feed.
const FIRST: Duration = Duration::from_secs(10);

/// The least time between two answers that brought something new, and between two that did not.
const GAPS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// A feed that ends within that is asked for though nothing in it has changed.
const ENDING: Duration = Duration::from_mins(1);

/// The feed of one issuer. Dropped, it is followed no longer.
pub(super) struct Feed {
    shared: Arc<Shared>,
    following: Mutex<Option<AbortHandle>>,
}

struct Shared {
    issuer: String,
    url: Url,
    how: Follow,
    keys: Arc<Keys>,
    fetch: Arc<dyn Fetch>,
    clock: Clock,
    held: RwLock<Option<Arc<Held>>>,
    /// How often it was tried to get one.
    attempts: watch::Sender<u64>,
    has_failed: AtomicBool,
    /// Whether it was said that tokens are let through.
    has_warned: AtomicBool,
}

/// What is known to be revoked.
struct Held {
    revoked: Revoked,
    seq: i64,
    /// The instant from which it is not known any more whether this is all.
    expires_at: Timestamp,
}

impl Feed {
    pub(super) fn new(
        (issuer, url): (&str, Url),
        how: Follow,
        keys: Arc<Keys>,
        fetch: Arc<dyn Fetch>,
        clock: Clock,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                issuer: issuer.to_owned(),
                url,
                how,
                keys,
                fetch,
                clock,
                held: RwLock::default(),
                attempts: watch::Sender::new(0),
                has_failed: AtomicBool::new(false),
                has_warned: AtomicBool::new(false),
            }),
            following: Mutex::default(),
        }
    }

    /// Begins to follow, if that has not begun, and waits for the first feed or until it is known
    /// that there is none. Whether there is one that counts, or none is needed.
    pub(super) async fn is_ready(&self) -> bool {
        let shared = &self.shared;
        if shared.is_fresh() {
            return true;
        }
        self.follow();
        let mut attempts = shared.attempts.subscribe();
        let first = attempts.wait_for(|attempts| *attempts > 0);
        let _ = tokio::time::timeout(FIRST, first).await;
        shared.is_fresh() || shared.how.is_open
    }

    /// Runs in the runtime of whoever came first; in that of the next when that has ended.
    fn follow(&self) {
        let mut following = self
            .following
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if following.as_ref().is_none_or(AbortHandle::is_finished) {
            let shared = Arc::clone(&self.shared);
            *following = Some(tokio::spawn(shared.follow()).abort_handle());
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let following = self.following.get_mut();
        if let Some(task) = following.unwrap_or_else(PoisonError::into_inner) {
            task.abort();
        }
    }
}

impl Revocations for Feed {
    fn standing(&self, token: &Verified, now: Timestamp) -> Standing {
        let shared = &self.shared;
        let held = shared.held();
        let is_void = |held: &Held| {
            let revoked = &held.revoked;
            !revoked.is_empty() && revoked.voids(token.aliases(), token.issued_at().unix())
        };
        if held.as_deref().is_some_and(is_void) {
            return Standing::Void;
        }
        if held.is_some_and(|held| now < held.expires_at) {
            return Standing::Good;
        }
        if !shared.how.is_open {
            return Standing::Unknown;
        }
        if !shared.has_warned.swap(true, Ordering::SeqCst) {
            tracing::warn!("tokens are let through without knowing whether they are revoked");
        }
        Standing::Good
    }
}

impl Shared {
    async fn follow(self: Arc<Self>) {
        let mut etag = None;
        loop {
            let begun = Instant::now();
            let is_new = self.renew(&mut etag).await;
            if let Err(why) = &is_new {
                if !self.has_failed.swap(true, Ordering::SeqCst) {
                    tracing::warn!(%why, "the issuer's revocation feed was not fetched");
                }
            } else if self.has_failed.swap(false, Ordering::SeqCst) {
                tracing::info!("the issuer's revocation feed is followed again");
            }
            self.attempts.send_modify(|attempts| *attempts += 1);
            let pause = match is_new {
                Ok(true) if self.how.is_pushed => GAPS.0,
                Ok(false) if self.how.is_pushed => GAPS.1.saturating_sub(begun.elapsed()),
                _ => self.how.every,
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Whether there was something new.
    async fn renew(&self, etag: &mut Option<String>) -> Result<bool, FetchError> {
        let ends_soon = |held: &Held| held.expires_at <= self.clock.now().plus(ENDING);
        if self.held().as_deref().is_none_or(ends_soon) {
            *etag = None;
        }
        let is_waiting = self.how.is_pushed && etag.is_some();
        let url = if is_waiting {
            Follow::waiting(&self.url)
        } else {
            self.url.clone()
        };
        let patience = Follow::patience(is_waiting);
        let fetched = self.fetch.newer(url.as_str(), etag.as_deref(), patience);
        let document = match fetched.await {
            Err(FetchError::Status(304)) if etag.is_some() => return Ok(false),
            fetched => fetched?,
        };
        let is_new = self.read(&document.body).await?;
        *etag = document.etag;
        Ok(is_new)
    }

    fn is_fresh(&self) -> bool {
        let held = self.held();
        held.is_some_and(|held| self.clock.now() < held.expires_at)
    }

    fn held(&self) -> Option<Arc<Held>> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.clone()
    }
}
