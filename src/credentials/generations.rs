//! Generations: how a cache knows, without being searched, that something it holds is old.
//!
//! One counter ticks at every change; each key and each organization falls into a slot that
//! remembers the tick of its last change. What was loaded at a tick is true while no slot
//! it depends on has a later one. Slots are shared, so a change can make a stranger's entry
//! look old: that costs a query, never a wrong answer.

use std::hash::BuildHasher;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foldhash::quality::RandomState;
use tokio::sync::watch;

use super::freshness::{DOUBT, Freshness, Trust};
use crate::clock::Clock;
use crate::domain::organization::OrganizationId;
use crate::domain::secret::KeyId;
use crate::store::changes::Change;
use crate::store::error::StoreError;

const KEY_SLOTS: usize = 4096;
const ORGANIZATION_SLOTS: usize = 1024;

/// How long a request waits for the database where nothing else will do.
const PATIENCE: Duration = Duration::from_secs(5);

/// The same once it has been away for too long.
const IMPATIENCE: Duration = Duration::from_secs(1);

/// For how long silence is borne where no setting says.
const STALE_LIMIT: Duration = Duration::from_secs(10);

/// The tick at which a load began, and when that was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Generation {
    tick: u64,
    at: Duration,
}

impl Generation {
    /// Whether this load began when that one had: what was committed before that is in it.
    #[must_use]
    pub fn is_since(self, other: Self) -> bool {
        self.at >= other.at
    }
}

/// When what was last changed.
pub struct Generations {
    tick: AtomicU64,
    everything: AtomicU64,
    denials: AtomicU64,
    imports: AtomicU64,
    keys: Box<[AtomicU64]>,
    organizations: Box<[AtomicU64]>,
    hasher: RandomState,
    freshness: Freshness,
    /// Rung at every change.
    bell: watch::Sender<()>,
}

impl Default for Generations {
    fn default() -> Self {
        Self::new(STALE_LIMIT)
    }
}

impl Generations {
    /// Nothing changed and nothing heard yet; `stale_limit` is for how long silence is borne.
    #[must_use]
    pub fn new(stale_limit: Duration) -> Self {
        let slots = |count| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            tick: AtomicU64::new(0),
            everything: AtomicU64::new(0),
            denials: AtomicU64::new(0),
            imports: AtomicU64::new(0),
            keys: slots(KEY_SLOTS),
            organizations: slots(ORGANIZATION_SLOTS),
            hasher: RandomState::default(),
            freshness: Freshness::new(stale_limit),
            bell: watch::Sender::new(()),
        }
    }

    /// The generation of a load that begins now.
    #[must_use]
    pub fn begin(&self) -> Generation {
        Generation {
            at: Clock::since_boot(),
            tick: self.tick.load(Ordering::SeqCst),
        }
    }

    /// How far what was loaded may be relied on, if no change of it is known.
    #[must_use]
    pub fn trust(&self, loaded: Generation) -> Trust {
        self.freshness.trust(loaded.at, Clock::since_boot())
    }

    /// Notes that every change committed before that time has been heard.
    pub fn hear(&self, sent: Duration) {
        self.freshness.hear(sent);
    }

    /// Notes that the database was asked first and did not answer.
    pub fn asked_in_vain(&self) {
        self.freshness.asked_in_vain(Clock::since_boot());
    }

    /// Waits for what the database is asked, when nothing is held that may be used otherwise. Where
    /// nothing has been heard for too long, hardly at all, and not one after the other: whoever
    /// asks is better off with another node. Boxed, because it is rare: every request would carry
    /// room for it otherwise, and be copied with it.
    ///
    /// # Errors
    /// [`StoreError::TimedOut`], or what the database says.
    pub fn patiently<'a, T: 'a, E: From<StoreError> + 'a>(
        &'a self,
        asked: impl Future<Output = Result<T, E>> + Send + 'a,
    ) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>> {
        Box::pin(async move {
            let deaf = self.freshness.is_deaf(Clock::since_boot());
            let patience = if deaf { IMPATIENCE } else { PATIENCE };
            let answer = tokio::time::timeout(patience, asked).await;
            if deaf && answer.is_err() {
                self.asked_in_vain();
            }
            answer.unwrap_or_else(|_| Err(StoreError::TimedOut.into()))
        })
    }

    /// Whether the database has been away for too long, and was asked in vain a moment ago.
    #[must_use]
    pub fn is_hopeless(&self) -> bool {
        self.freshness.is_hopeless(Clock::since_boot())
    }

    /// Whether nothing has been heard for so long that the database is to be asked before what is
    /// held is used.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.silence() > DOUBT
    }

    /// For how long nothing has been heard of what other nodes change.
    #[must_use]
    pub fn silence(&self) -> Duration {
        self.freshness.silence(Clock::since_boot())
    }

    /// Notes a change that has been committed. When this returns, nothing loaded before
    /// counts as current.
    pub fn raise(&self, change: &Change) {
        let tick = self.tick.fetch_add(1, Ordering::SeqCst) + 1;
        let slot = match change {
            Change::Key(id) => self.key_slot(*id),
            Change::Organization(id) => self.organization_slot(id),
            Change::Denials => &self.denials,
            Change::Imports => &self.imports,
            Change::Everything => &self.everything,
        };
        slot.fetch_max(tick, Ordering::SeqCst);
        self.ring();
    }

    /// Wakes everybody who listens, though nothing changed.
    pub fn ring(&self) {
        self.bell.send_replace(());
    }

    /// Hears of every change from now on.
    #[must_use]
    pub fn listen(&self) -> watch::Receiver<()> {
        self.bell.subscribe()
    }

    /// Whether nothing at all has changed since something was loaded, as far as can be relied on.
    #[must_use]
    pub fn is_latest(&self, loaded: Generation) -> bool {
        self.tick.load(Ordering::SeqCst) == loaded.tick && self.trust(loaded) == Trust::Whole
    }

    /// Whether what was loaded of an organization, and of a key if one is named, still holds.
    #[must_use]
    pub fn is_current(
        &self,
        loaded: Generation,
        key: Option<KeyId>,
        organization: &OrganizationId,
    ) -> bool {
        self.organization_slot(organization).load(Ordering::SeqCst) <= loaded.tick
            && self.everything.load(Ordering::SeqCst) <= loaded.tick
            && key.is_none_or(|id| self.key_slot(id).load(Ordering::SeqCst) <= loaded.tick)
    }

    /// Whether what was loaded of a key alone still holds.
    #[must_use]
    pub fn is_key_current(&self, loaded: Generation, key: KeyId) -> bool {
        self.everything.load(Ordering::SeqCst) <= loaded.tick
            && self.key_slot(key).load(Ordering::SeqCst) <= loaded.tick
    }

    /// Whether the list of tokens denied still holds.
    #[must_use]
    pub fn are_denials_current(&self, loaded: Generation) -> bool {
        self.everything.load(Ordering::SeqCst) <= loaded.tick
            && self.denials.load(Ordering::SeqCst) <= loaded.tick
    }

    /// Whether what was found out of imported strings still holds.
    #[must_use]
    pub fn are_imports_current(&self, loaded: Generation) -> bool {
        self.everything.load(Ordering::SeqCst) <= loaded.tick
            && self.imports.load(Ordering::SeqCst) <= loaded.tick
    }

    fn key_slot(&self, id: KeyId) -> &AtomicU64 {
        &self.keys[self.slot(&id, KEY_SLOTS)]
    }

    fn organization_slot(&self, id: &OrganizationId) -> &AtomicU64 {
        &self.organizations[self.slot(id, ORGANIZATION_SLOTS)]
    }

    fn slot(&self, of: &impl std::hash::Hash, slots: usize) -> usize {
        let hash = self.hasher.hash_one(of) % slots as u64;
        usize::try_from(hash).expect("fewer slots than a usize counts")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u128) -> KeyId {
        KeyId::new(ulid::Ulid(n))
    }

    #[test]
    fn a_change_ends_what_was_loaded_before_it_and_nothing_after() {
        let generations = Generations::default();
        let acme: OrganizationId = "acme".parse().unwrap();
        for change in [
            Change::Key(key(1)),
            Change::Organization(acme.clone()),
            Change::Everything,
        ] {
            let before = generations.begin();
            assert!(generations.is_current(before, Some(key(1)), &acme));
            generations.raise(&change);
            assert!(
                !generations.is_current(before, Some(key(1)), &acme),
                "{change:?}"
            );
            let after = generations.begin();
            assert!(generations.is_current(after, Some(key(1)), &acme));
        }
    }

    #[test]
    fn a_denial_ends_the_list_of_denials_alone() {
        let generations = Generations::default();
        let acme: OrganizationId = "acme".parse().unwrap();
        let before = generations.begin();
        generations.raise(&Change::Key(key(1)));
        assert!(generations.are_denials_current(before));
        for change in [Change::Denials, Change::Everything] {
            let before = generations.begin();
            generations.raise(&change);
            assert!(!generations.are_denials_current(before), "{change:?}");
            let untouched = generations.is_current(before, Some(key(1)), &acme);
            assert_eq!(untouched, change == Change::Denials);
            assert!(generations.are_denials_current(generations.begin()));
        }
    }

    #[test]
    fn a_change_of_one_key_leaves_nearly_all_others_alone() {
        let generations = Generations::default();
        let acme: OrganizationId = "acme".parse().unwrap();
        let before = generations.begin();
        generations.raise(&Change::Key(key(1)));
        let alive = (2..1_000)
            .filter(|n| generations.is_current(before, Some(key(*n)), &acme))
            .count();
        assert!(alive > 980, "{alive}");
    }
}
