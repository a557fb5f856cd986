//! From memory to the database: drained at once, delivered in batches, each exactly once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::vec;

use tokio::sync::Mutex;

use super::tally::KeyTally;
use super::{Usage, lock};
use crate::domain::organization::OrganizationId;
use crate::domain::secret::KeyId;
use crate::domain::timestamp::Timestamp;
use crate::domain::usage::{Grain, Outcome};
use crate::store::error::StoreError;
use crate::store::usage::nodes::Delivery;
use crate::store::usage::{Batch, CountRow, ExchangeRow, OTHER, RefusalRow, ShownRow, UseRow};

/// How many keys go into one batch: the database's one writer must not be kept for long.
const KEYS_TO_A_BATCH: usize = 500;

/// Seconds after which a node that has nothing to deliver shows that it lives.
const SIGN_OF_LIFE: u64 = 60;

/// This process, among those on the same database.
pub(super) struct Node {
    id: String,
    started_at: Timestamp,
    /// How often the tally was drained.
    drains: AtomicU64,
    way: Mutex<Way>,
}

/// What is on its way to the database. While it cannot get there, the tally grows instead.
struct Way {
    /// The batch that is being delivered, the same until it has arrived.
    batch: Option<Batch>,
    /// What comes after it. Batches are made one by one, between deliveries: all at once, those of
    /// many keys would keep a thread from answering requests.
    keys: vec::IntoIter<Entry>,
    /// What goes with the last.
    refusals: Vec<RefusalRow>,
    /// When the tally was drained of them.
    drained_at: Timestamp,
    /// The number of the last batch that has arrived.
    delivered: i64,
    /// Everything before this second has arrived, and the database knows.
    flushed_at: Option<Timestamp>,
}

impl Node {
    pub(super) fn new(id: String, started_at: Timestamp) -> Self {
        Self {
            id,
            started_at,
            drains: AtomicU64::new(0),
            way: Mutex::new(Way {
                batch: None,
                keys: Vec::new().into_iter(),
                refusals: Vec::new(),
                drained_at: started_at,
                delivered: 0,
                flushed_at: None,
            }),
        }
    }
}

impl Usage {
    /// Brings everything that was counted before this call to the database.
    ///
    /// # Errors
    /// When the database is unavailable. Nothing is lost: a later flush brings it, once.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let drains = self.node.drains.load(Ordering::SeqCst);
        let mut way = self.node.way.lock().await;
        let drained_meanwhile = self.node.drains.load(Ordering::SeqCst) > drains;
        self.deliver(&mut way).await?;
        if drained_meanwhile {
            return Ok(());
        }
        let now = self.clock.now();
        self.node.drains.fetch_add(1, Ordering::SeqCst);
        let (keys, refusals) = self.drain();
        let alive = way
            .flushed_at
            .is_some_and(|then| now.seconds_since(then) < SIGN_OF_LIFE);
        if keys.is_empty() && refusals.is_empty() {
            if alive {
                return Ok(());
            }
            way.batch = Some(Batch::default());
        }
        way.keys = keys.into_iter();
        way.refusals = refusals;
        way.drained_at = now;
        self.deliver(&mut way).await
    }

    /// Strikes this node out, after its last flush.
    ///
    /// # Errors
    /// When the database is unavailable; others then wait for this node until it counts as dead.
    pub async fn leave(&self) -> Result<(), StoreError> {
        self.store.remove_node(&self.node.id).await
    }

    /// The id of this node.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node.id
    }

    /// A batch leaves the queue when it has arrived. One whose arrival is not known is sent
    /// again under its number, which the database takes once.
    async fn deliver(&self, way: &mut Way) -> Result<(), StoreError> {
        loop {
            way.make_next();
            let Some(batch) = &way.batch else {
                return Ok(());
            };
            let last = way.keys.len() == 0;
            let flushed_at = if last {
                way.drained_at
            } else {
                way.flushed_at.unwrap_or(self.node.started_at)
            };
            let delivery = Delivery {
                node: &self.node.id,
                started_at: self.node.started_at,
                flushed_at,
                batch: way.delivered + 1,
            };
            self.store.add_usage(&delivery, batch).await?;
            way.delivered += 1;
            way.batch = None;
            way.flushed_at = Some(flushed_at);
        }
    }

    fn drain(&self) -> (Vec<Entry>, Vec<RefusalRow>) {
        let (mut keys, mut lost) = (Vec::new(), 0);
        for shard in &self.shards {
            let mut shard = lock(shard);
            keys.extend(shard.take());
            lost += std::mem::take(&mut shard.lost);
        }
        if lost > 0 {
            tracing::warn!(
                uses = lost,
                "too many keys were used at once: some uses were not counted"
            );
        }
        // Neighbours in the database go into one batch: it then touches few pages.
        keys.sort_unstable_by(|((one, _), a), ((other, _), b)| {
            (&a.organization, one).cmp(&(&b.organization, other))
        });
        let refusals = {
            let mut held = lock(&self.refusals);
            self.strangers_left_out.store(false, Ordering::Relaxed);
            std::mem::take(&mut *held)
        };
        let mut explained = refusals.of_keys;
        explained.extend(refusals.of_strangers);
        (keys, explained)
    }
}

impl Way {
    /// Makes the next batch, if there is none yet and something is left for it.
    fn make_next(&mut self) {
        let is_left = self.keys.len() > 0 || !self.refusals.is_empty();
        if self.batch.is_some() || !is_left {
            return;
        }
        let keys: Vec<_> = self.keys.by_ref().take(KEYS_TO_A_BATCH).collect();
        let mut next = batch(&keys);
        if self.keys.len() == 0 {
            next.refusals = std::mem::take(&mut self.refusals);
        }
        self.batch = Some(next);
    }
}

type Entry = ((KeyId, Timestamp), KeyTally);

fn batch(keys: &[Entry]) -> Batch {
    let mut batch = Batch {
        counts: counts(keys),
        ..Batch::default()
    };
    let mut uses = BTreeMap::new();
    let mut shown = BTreeMap::new();
    let mut exchanges = BTreeMap::new();
    for ((key, hour), tally) in keys {
        for last in &tally.uses {
            // A key that was used in two hours since the last flush is here twice.
            let slot = uses.entry((*key, last.fingerprint.clone())).or_insert(last);
            if last.at > slot.at {
                *slot = last;
            }
        }
        if let Some(last) = tally.shown {
            let slot = shown.entry(*key).or_insert((&tally.organization, last));
            slot.1 = slot.1.max(last);
        }
        let day = Grain::Day.start(*hour);
        let pairs = tally.pairs.iter();
        let pairs = pairs.map(|p| (Some(p.origin), &*p.scope, p.count, p.last_seen));
        let others = tally.others.map(|(count, at)| (None, OTHER, count, at));
        for (origin, scope, count, last_seen) in pairs.chain(others) {
            let slot = exchanges
                .entry((*key, day, origin, scope))
                .or_insert((0, last_seen));
            *slot = (slot.0 + count, slot.1.max(last_seen));
        }
    }
    batch.uses = uses
        .into_iter()
        .map(|((key, fingerprint), last)| UseRow {
            key,
            fingerprint: fingerprint.into(),
            at: last.at,
            address: last.address,
            user_agent: last.user_agent.clone(),
        })
        .collect();
    batch.shown = shown
        .into_iter()
        .map(|(key, (organization, (at, address)))| ShownRow {
            organization: organization.clone(),
            key,
            at,
            address,
        })
        .collect();
    batch.exchanges = exchanges
        .into_iter()
        .map(
            |((key, day, address, scope), (count, last_seen))| ExchangeRow {
                key,
                day,
                address,
                scope: scope.to_owned(),
                count,
                last_seen,
            },
        )
        .collect();
    batch
}

/// Each use counts for its key and for its organization, in its hour and in its day.
fn counts(keys: &[Entry]) -> Vec<CountRow> {
    let mut sums: BTreeMap<(&OrganizationId, Option<KeyId>, Grain, Timestamp, Outcome), u64> =
        BTreeMap::new();
    for ((key, hour), tally) in keys {
        for outcome in Outcome::ALL {
            let count = tally.counts[outcome as usize];
            if count == 0 {
                continue;
            }
            for whose in [Some(*key), None] {
                for grain in [Grain::Hour, Grain::Day] {
                    let place = (
                        &tally.organization,
                        whose,
                        grain,
                        grain.start(*hour),
                        outcome,
                    );
                    *sums.entry(place).or_default() += count;
                }
            }
        }
    }
    sums.into_iter()
        .map(
            |((organization, key, grain, starts_at, outcome), count)| CountRow {
                organization: organization.clone(),
                key,
                grain,
                starts_at,
                outcome,
                count,
            },
        )
        .collect()
}
