//! Usage: what API keys are used for. Counted in memory, where it costs an exchange next to
//! nothing, and flushed to the database in batches.

mod flush;
mod forwarding;
mod tally;

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::quality::RandomState;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::domain::organization::OrganizationId;
use crate::domain::secret::{KeyId, redact};
use crate::domain::usage::{Origin, Outcome};
use crate::store::Store;
use crate::store::usage::RefusalRow;
use crate::telemetry::counts::Counts;
use tally::{MOST_KEYS, Proven, Shard};

/// In how many parts the tally is, each behind a lock of its own.
const SHARDS: usize = 16;

/// Most refusals of keys that are explained between two flushes.
const MOST_REFUSALS: usize = 2_000;

/// The same of strangers, who would fill any room.
const MOST_OF_STRANGERS: usize = 20;

/// Longest explanation, in characters. They are ASCII: no database refuses those.
const LONGEST_DETAIL: usize = 500;

/// Everything that was used since the last flush, and the way to the database.
pub struct Usage {
    shards: [Mutex<Shard>; SHARDS],
    refusals: Mutex<Refusals>,
    /// Whether there is no more room for strangers: a flood of them is not to meet at a lock.
    strangers_left_out: AtomicBool,
    totals: Counts<{ Outcome::COUNT }>,
    hasher: RandomState,
    filling: Notify,
    clock: Clock,
    store: Store,
    record_exchanges: bool,
    forwarding: forwarding::Forwarding,
    node: flush::Node,
}

/// A use that proved a secret.
#[derive(Clone, Copy, Debug)]
pub struct Use<'a> {
    /// Of which key.
    pub key: KeyId,
    /// Whose.
    pub organization: &'a OrganizationId,
    /// Which of the key's secrets.
    pub fingerprint: &'a str,
    /// From where.
    pub address: Option<IpAddr>,
    /// The `User-Agent` header, as it came.
    pub user_agent: Option<&'a [u8]>,
    /// Which scopes were asked for, empty for none; `None` where there is nothing to ask for.
    pub scope: Option<&'a str>,
}

/// What is kept of a refusal, so that an administrator finds the cause.
#[derive(Debug)]
pub struct Explanation {
    /// What the client was told to quote.
    pub request_id: String,
    /// What to do about it. API keys in it are blacked out.
    pub detail: String,
    /// From where.
    pub address: Option<IpAddr>,
}

#[derive(Default)]
struct Refusals {
    of_keys: Vec<RefusalRow>,
    of_strangers: Vec<RefusalRow>,
}

impl Usage {
    /// Nothing counted yet, on the node of this id, which no other ever had.
    #[must_use]
    pub fn new(store: Store, clock: Clock, node: String, record_exchanges: bool) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            refusals: Mutex::default(),
            strangers_left_out: AtomicBool::new(false),
            totals: Counts::default(),
            hasher: RandomState::default(),
            filling: Notify::new(),
            forwarding: forwarding::Forwarding::default(),
            node: flush::Node::new(node, clock.now()),
            clock,
            store,
            record_exchanges,
        }
    }

    /// Counts a use that proved a secret: [`Outcome::Issued`] or [`Outcome::Direct`].
    pub fn used(&self, outcome: Outcome, what: Use<'_>) {
        self.totals.add(outcome as usize, 1);
        let proven = Proven {
            fingerprint: what.fingerprint,
            address: what.address.map(Origin::of),
            user_agent: what.user_agent,
            agent_hash: self.hasher.hash_one(what.user_agent),
            scope: what.scope.filter(|_| self.record_exchanges),
        };
        let mut shard = self.shard(what.key);
        // Read behind the lock: what a flush has taken is from before the flush, to the second.
        let now = self.clock.now();
        shard.used(what.key, what.organization, outcome, now, &proven);
        self.notice(&shard);
    }

    /// Counts a refusal: of a key of an organization, or of a stranger. It is explained
    /// unless too much is waiting to be.
    pub fn refused(
        &self,
        outcome: Outcome,
        whose: Option<(KeyId, &OrganizationId)>,
        explain: impl FnOnce() -> Explanation,
    ) {
        self.totals.add(outcome as usize, 1);
        if let Some((key, organization)) = whose {
            let mut shard = self.shard(key);
            let worth_it = shard.refused(key, organization, outcome, self.clock.now());
            self.notice(&shard);
            drop(shard);
            if !worth_it {
                return;
            }
        } else if self.strangers_left_out.load(Ordering::Relaxed) {
            return;
        }
        let mut refusals = lock(&self.refusals);
        let room = match whose {
            Some(_) => refusals.of_keys.len() < MOST_REFUSALS,
            None => refusals.of_strangers.len() < MOST_OF_STRANGERS,
        };
        if !room {
            return;
        }
        let why = explain();
        let row = RefusalRow {
            request_id: why.request_id,
            organization: whose.map(|(_, organization)| organization.clone()),
            key: whose.map(|(key, _)| key),
            at: self.clock.now(),
            cause: outcome,
            detail: clean(&why.detail),
            address: why.address,
        };
        match whose {
            Some(_) => refusals.of_keys.push(row),
            None => refusals.of_strangers.push(row),
        }
        let full = refusals.of_strangers.len() == MOST_OF_STRANGERS;
        self.strangers_left_out.store(full, Ordering::Relaxed);
    }

    /// How often this process has seen an outcome since it started, strangers included.
    #[must_use]
    pub fn total(&self, outcome: Outcome) -> u64 {
        self.totals.total(outcome as usize)
    }

    /// Waits until so many keys are in the tally that it should be flushed before its time.
    pub async fn is_filling(&self) {
        self.filling.notified().await;
    }

    /// Whether exchanges are recorded key by key.
    #[must_use]
    pub const fn records_exchanges(&self) -> bool {
        self.record_exchanges
    }

    fn shard(&self, key: KeyId) -> MutexGuard<'_, Shard> {
        let hash = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64);
        lock(&self.shards[hash.expect("below the number of shards")])
    }

    fn notice(&self, shard: &Shard) {
        if shard.len() == MOST_KEYS / 2 {
            self.filling.notify_one();
        }
    }
}

/// Nothing that holds these locks can panic half-way through a change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn clean(detail: &str) -> String {
    redact(detail)
        .chars()
        .map(|c| if matches!(c, ' '..='~') { c } else { '?' })
        .take(LONGEST_DETAIL)
        .collect()
}
