//! What was taken back, of all issuers: read once for each change, held in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Mutex;

use super::entries::{Entry, List, MOST_OF_KEY, MOST_OF_ONE, TOLD, entries, signing_keys_told};
use crate::clock::Clock;
use crate::credentials::generations::{Generation, Generations};
use crate::crypto::jose::revocations::{Revoked, note};
use crate::domain::issuer::Issuer;
use crate::domain::organization::OrganizationId;
use crate::domain::signing_key::{CLOCK_SKEW, Schedule};
use crate::domain::timestamp::Timestamp;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::revocations::{Most, Since};

/// No withdrawn signing key is told of for longer: `JWKS_MAX_AGE` is at most a day.
const LONGEST_TOLD: Duration = Duration::from_hours(2 * 24);

/// How long a load may take. Others wait for it meanwhile, and begin another when it is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is held of what was taken back.
pub(super) struct Held {
    snapshot: RwLock<Option<Arc<Snapshot>>>,
    /// One load at a time.
    turn: Arc<Mutex<()>>,
    /// By the settings of this server.
    schedule: Schedule,
}

/// What was taken back as of one instant.
pub(super) struct Snapshot {
    loaded: Generation,
    /// Which instant that is: what was over by then is not in it.
    at: Timestamp,
    of: BTreeMap<OrganizationId, Vec<Entry>>,
}

impl Held {
    /// Nothing.
    pub(super) fn new(schedule: Schedule) -> Self {
        Self {
            snapshot: RwLock::default(),
            turn: Arc::default(),
            schedule,
        }
    }

    /// What was taken back before this was asked. Needs the database only when something changed
    /// since it was last asked, or news may have been missed: then one load for all who asked before
    /// it began. It goes on when whoever asked is gone, and what it found is for the next.
    pub(super) async fn current(
        self: &Arc<Self>,
        store: &Store,
        generations: &Arc<Generations>,
        clock: &Clock,
    ) -> Result<Arc<Snapshot>, StoreError> {
        if let Some(snapshot) = self.latest(generations, clock) {
            return Ok(snapshot);
        }
        let asked = generations.begin();
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let begun_since = self
            .newest()
            .filter(|newest| newest.loaded.is_since(asked) && newest.at <= clock.now());
        if let Some(snapshot) = begun_since {
            return Ok(snapshot);
        }
        let (held, store, clock) = (Arc::clone(self), store.clone(), clock.clone());
        let generations = Arc::clone(generations);
        let load = tokio::spawn(async move {
            let _turn = turn;
            let load = held.load(&store, generations.begin(), clock.now());
            let loaded = tokio::time::timeout(PATIENCE, load).await;
            loaded.unwrap_or(Err(StoreError::TimedOut))
        });
        load.await.unwrap_or(Err(StoreError::TimedOut))
    }

    async fn load(
        &self,
        store: &Store,
        loaded: Generation,
        now: Timestamp,
    ) -> Result<Arc<Snapshot>, StoreError> {
        let since = Since {
            keys: now.minus(TOLD),
            signing_keys: now.minus(LONGEST_TOLD),
            tokens: now.minus(CLOCK_SKEW),
        };
        let most = Most {
            // One more tells that there is more.
            of_organization: MOST_OF_ONE + 1,
            of_key: MOST_OF_KEY,
        };
        let mut of: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for taken in store.taken_back(since, most).await? {
            let of_one = of.entry(taken.organization.clone()).or_default();
            of_one.push(taken);
        }
        // Read last: what was said before a key was withdrawn is then reckoned with.
        let schedule = store.schedule(&self.schedule, now).await?;
        let signing_keys_told = signing_keys_told(&schedule);
        let of = of.into_iter();
        let of = of.map(|(organization, taken)| {
            let entries = entries(&organization, taken, signing_keys_told);
            (organization, entries)
        });
        let snapshot = Arc::new(Snapshot {
            loaded,
            at: now,
            of: of.collect(),
        });
        *self
            .snapshot
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&snapshot));
        Ok(snapshot)
    }

    /// What is held, unless something changed, or the clock was set back.
    fn latest(&self, generations: &Generations, clock: &Clock) -> Option<Arc<Snapshot>> {
        self.newest()
            .filter(|held| generations.is_latest(held.loaded) && held.at <= clock.now())
    }

    /// What the last load found: they take turns, so none that began later is older.
    pub(super) fn newest(&self) -> Option<Arc<Snapshot>> {
        let held = self.snapshot.read().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().map(Arc::clone)
    }
}

impl Snapshot {
    /// What voids tokens of this issuer at `now`. The deployment's tokens are of the keys of every
    /// organization; they are signed by the operator's signing keys alone.
    pub(super) fn revoked(&self, issuer: &Issuer, now: Timestamp) -> Revoked {
        let mut revoked = Revoked::default();
        let signing = issuer.signing_organization();
        for (organization, entries) in &self.of {
            let is_own = *organization == signing;
            if !is_own && *issuer != Issuer::Deployment {
                continue;
            }
            for entry in entries.iter().filter(|entry| now < entry.until) {
                let list = match entry.list {
                    List::Keys => &mut revoked.keys,
                    List::Organizations => &mut revoked.organizations,
                    List::SigningKeys if is_own => &mut revoked.signing_keys,
                    List::SigningKeys => continue,
                    List::Tokens => &mut revoked.tokens,
                };
                note(list, entry.alias.clone(), entry.before);
            }
        }
        revoked
    }
}
