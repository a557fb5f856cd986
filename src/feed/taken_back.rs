//! What was taken back, of all issuers: read once for each change, held in memory.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Mutex;

use crate::clock::Clock;
use crate::credentials::generations::{Generation, Generations};
use crate::crypto::jose::revocations::{Alias, Revoked, note};
use crate::domain::issuer::Issuer;
use crate::domain::organization::OrganizationId;
use crate::domain::signing_key::{CLOCK_SKEW, LONGEST_TOKEN, Schedule};
use crate::domain::timestamp::Timestamp;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::revocations::{Since, TakenBack, What};

/// How long what ended is told of: until the last token that was issued before is past its end by
/// everybody's clock, whatever settings and policies say of the life of tokens.
const TOLD: Duration = Duration::from_secs(LONGEST_TOKEN.as_secs() + CLOCK_SKEW.as_secs());

/// No withdrawn signing key is told of for longer: `JWKS_MAX_AGE` is at most a day.
const LONGEST_TOLD: Duration = Duration::from_hours(2 * 24);

/// Of how many keys and tokens of one organization a feed tells one by one: the latest. Of what was
/// taken back before it says only until when, and voids all that the organization was issued by
/// then: a feed grows with the organizations, and not with what any of them does.
pub const MOST_OF_ONE: usize = 1_000;

/// How much later than it was taken back a token may say that it was issued: tokens of the second
/// in which their key was narrowed are dated one second ahead.
const AHEAD: Duration = Duration::from_secs(1);

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

/// One entry of a feed.
struct Entry {
    list: List,
    alias: Alias,
    /// Tokens issued before are void.
    before: i64,
    /// The instant from which nobody needs to be told.
    until: Timestamp,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum List {
    Keys,
    Organizations,
    SigningKeys,
    Tokens,
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
        let mut of: BTreeMap<_, Vec<_>> = BTreeMap::new();
        // One more tells that there is more.
        for taken in store.taken_back(since, MOST_OF_ONE + 1).await? {
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

/// Of a signing key that was withdrawn is told for as long as anybody goes on with a JWKS that has
/// it.
fn signing_keys_told(schedule: &Schedule) -> Duration {
    schedule
        .outdated_at_most_for()
        .max(TOLD + schedule.outdated_for())
}

/// What an organization's feed says, and the deployment's of it.
fn entries(
    organization: &OrganizationId,
    taken: Vec<TakenBack>,
    signing_keys_told: Duration,
) -> Vec<Entry> {
    let (mut each, others): (Vec<_>, Vec<_>) = taken
        .into_iter()
        .partition(|one| matches!(one.what, What::Key | What::NarrowedKey | What::Token));
    each.sort_unstable_by(|one, other| {
        let latest = |one: &TakenBack| Reverse(one.done_at);
        (latest(one), &one.name).cmp(&(latest(other), &other.name))
    });
    let older = each.get(MOST_OF_ONE).map(|latest| Entry {
        list: List::Organizations,
        alias: Alias::of(organization.as_str()),
        // Everything that was issued by the end of that second.
        before: latest.done_at.plus(Duration::from_secs(1) + AHEAD).unix(),
        until: latest.done_at.plus(TOLD),
    });
    each.truncate(MOST_OF_ONE);
    let entries = others.iter().chain(&each);
    let entries = entries.map(|taken| entry(taken, signing_keys_told));
    entries.chain(older).collect()
}

fn entry(taken: &TakenBack, signing_keys_told: Duration) -> Entry {
    let at = taken.at;
    let (list, before, until) = match taken.what {
        // Nothing is issued any more, but for what a node issues that has not heard of it, by
        // whatever clock it has: all that can still be out is void.
        What::Key => (List::Keys, at.plus(TOLD), at.plus(TOLD)),
        What::Organization => (List::Organizations, at.plus(TOLD), at.plus(TOLD)),
        // What is issued from the next second on is as narrow as the key.
        What::NarrowedKey => (List::Keys, at.plus(Duration::from_secs(1)), at.plus(TOLD)),
        // Whoever has got at it dates its tokens as he likes.
        What::SigningKey => (
            List::SigningKeys,
            Timestamp::MAX,
            at.plus(signing_keys_told),
        ),
        What::Token => (List::Tokens, at, at.plus(CLOCK_SKEW)),
    };
    Entry {
        list,
        alias: Alias::of(&taken.name),
        before: before.unix(),
        until,
    }
}
