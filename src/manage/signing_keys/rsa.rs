//! The making of RSA keys, which takes a core for seconds: whoever orders many is not to keep
//! others waiting, and nobody at all an emergency.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::credentials::gate::Gate;
use crate::crypto::jose::key_pair::{Generated, KeyPair};
use crate::domain::organization::OrganizationId;
use crate::domain::signing_key::{KeySpec, RsaBits};
use crate::manage::refusal::Refusal;

/// How long an emergency waits for an RSA key that is being made for it. A key of 2048 bits takes
/// a tenth of that on an idle machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// For how long a key is good that came too late for the emergency it was made for. Whoever leaked
/// another may have read the memory of this process before.
const FRESH: Duration = Duration::from_secs(30);

/// Makes RSA keys, apart from the threads that serve.
pub struct RsaMaker {
    /// Where orders wait their turn: one is made at a time.
    pub ordinary: Gate,
    /// Where emergencies go: one that finds another there does without until it is its turn.
    pub urgent: Gate,
    /// Who has an order.
    ordered: Mutex<HashSet<OrganizationId>>,
    /// Whose key that stands in for another is being relieved here.
    relieved: Mutex<HashSet<OrganizationId>>,
    /// Where emergencies find what was made for them, and since when it is there: what came too
    /// late to sign at once need not be made again to relieve what does.
    shelf: Arc<Mutex<HashMap<RsaBits, (Instant, Generated)>>>,
    begun: Arc<AtomicU64>,
}

/// The place of an organization among those that something is made for, until it is given back.
struct Place<'a>(&'a Mutex<HashSet<OrganizationId>>, &'a OrganizationId);

/// The relief of a key that stands in for another, until it is done or given up.
pub(super) struct Relief<'a> {
    maker: &'a RsaMaker,
    _place: Place<'a>,
}

impl RsaMaker {
    /// With nothing to do.
    #[must_use]
    pub fn new() -> Self {
        Self {
            ordinary: Gate::of_width(1),
            urgent: Gate::of_width(1),
            ordered: Mutex::default(),
            relieved: Mutex::default(),
            shelf: Arc::default(),
            begun: Arc::default(),
        }
    }

    /// How many keys were begun to be made.
    #[must_use]
    pub fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Makes a key for somebody who waits for it: one for each organization at a time, so that the
    /// queue is as long as there are organizations in it, whatever one of them does.
    ///
    /// # Errors
    /// [`Refusal::SigningKeyBeingMade`], or [`Refusal::Overloaded`] when the queue is too long.
    pub(super) async fn order(
        &self,
        organization: &OrganizationId,
        bits: RsaBits,
    ) -> Result<Generated, Refusal> {
        let order = Place::among(&self.ordered, organization);
        let _order = order.ok_or(Refusal::SigningKeyBeingMade)?;
        Ok(self
            .ordinary
            .run(Some(organization), self.make(bits))
            .await?)
    }

    /// Makes a key for nobody who waits: in its turn, whenever that is.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] when it could not be made at all.
    pub(super) async fn in_turn(&self, bits: RsaBits) -> Result<Generated, Refusal> {
        Ok(self.ordinary.run_in_turn(self.make(bits)).await?)
    }

    /// Makes a key for an emergency, unless that takes too long.
    pub(super) async fn at_once(&self, bits: RsaBits) -> Option<Generated> {
        let made = self.urgent.run_at_once(PATIENCE, self.shelve(bits));
        made.await?;
        self.taken(bits)
    }

    /// Begins the relief of an organization's key that stands in for another; `None` while somebody
    /// here is at it.
    pub(super) fn relief<'a>(&'a self, organization: &'a OrganizationId) -> Option<Relief<'a>> {
        Some(Relief {
            maker: self,
            _place: Place::among(&self.relieved, organization)?,
        })
    }

    fn make(&self, bits: RsaBits) -> impl FnOnce() -> Generated + Send + use<> {
        let begun = Arc::clone(&self.begun);
        move || {
            begun.fetch_add(1, Ordering::Relaxed);
            KeyPair::generate(KeySpec::RS256(bits))
        }
    }

    /// Makes a key unless there is a fresh one on the shelf.
    fn shelve(&self, bits: RsaBits) -> impl FnOnce() + Send + use<> {
        let (shelf, make) = (Arc::clone(&self.shelf), self.make(bits));
        move || {
            let is_there = locked(&shelf).get(&bits).is_some_and(is_fresh);
            if !is_there {
                let made = make();
                locked(&shelf).insert(bits, (Instant::now(), made));
            }
        }
    }

    /// A key from the shelf, if nobody was faster.
    fn taken(&self, bits: RsaBits) -> Option<Generated> {
        let found = locked(&self.shelf).remove(&bits).filter(is_fresh);
        found.map(|(_, made)| made)
    }
}

fn is_fresh((since, _): &(Instant, Generated)) -> bool {
    since.elapsed() < FRESH
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Relief<'_> {
    /// Makes the key that was stood in for: among emergencies, apart from what is ordered.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] when it could not be made at all.
    pub(super) async fn make(&self, bits: RsaBits) -> Result<Generated, Refusal> {
        let maker = self.maker;
        loop {
            maker.urgent.run_in_turn(maker.shelve(bits)).await?;
            if let Some(made) = maker.taken(bits) {
                return Ok(made);
            }
        }
    }
}

impl Default for RsaMaker {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> Place<'a> {
    fn among(
        places: &'a Mutex<HashSet<OrganizationId>>,
        organization: &'a OrganizationId,
    ) -> Option<Self> {
        let is_first = locked(places).insert(organization.clone());
        // Made only if it is one: dropped, it gives the place of the first away.
        is_first.then(|| Self(places, organization))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Self(places, organization) = self;
        locked(places).remove(*organization);
    }
}
