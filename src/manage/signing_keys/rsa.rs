//! The making of RSA keys, which takes a core for seconds: emergencies go before everything else,
//! organizations take turns, and nobody has two of a sort made at once.

mod pause;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::places::{Place, Places};
use crate::credentials::gate::{Gate, Run};
use crate::crypto::jose::key_pair::{Generated, KeyPair};
use crate::domain::organization::OrganizationId;
use crate::domain::signing_key::RsaBits;
use crate::manage::refusal::Refusal;
use pause::Pause;

/// How long an emergency waits for an RSA key that is being made for it, at most. A key of 2048 bits
/// takes a tenth of that on an idle machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many keys are made for emergencies at once, at most. Each has a core, and as many are left
/// for everything else.
const MOST_URGENT: usize = 4;

/// Makes RSA keys, apart from the threads that serve.
pub struct RsaMaker {
    /// Where what is no emergency waits its turn: one is made at a time.
    pub ordinary: Gate,
    /// Where emergencies wait for nothing but each other.
    pub urgent: Gate,
    /// Who has an order.
    ordered: Places,
    /// Who has an emergency.
    pressed: Places,
    /// How long an emergency waits before it does without.
    pub(super) patience: Duration,
    /// What is no emergency stands still meanwhile.
    pause: Arc<Pause>,
    begun: Arc<AtomicU64>,
}

/// What is made for an emergency of an organization: one thing at a time, until this is dropped.
pub(super) struct Urgent {
    place: Place,
    run: Option<(RsaBits, Run<Generated>)>,
}

impl RsaMaker {
    /// With nothing to do, for requests that are answered within this time: whoever asks in an
    /// emergency is to hear what came of it.
    #[must_use]
    pub fn new(request_timeout: Duration) -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            ordinary: Gate::of_width(1),
            urgent: Gate::of_width((cores / 2).clamp(1, MOST_URGENT)),
            ordered: Places::default(),
            pressed: Places::default(),
            patience: PATIENCE.min(request_timeout / 2),
            pause: Arc::default(),
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
        let order = self.ordered.take(organization);
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
        Ok(self.ordinary.in_turn(None, self.make(bits)).done().await?)
    }

    /// Begins an emergency of an organization; `None` while somebody here is at one.
    pub(super) fn urgent(&self, organization: &OrganizationId) -> Option<Urgent> {
        self.pressed.take(organization).map(Urgent::at)
    }

    /// The same once it is the only one.
    pub(super) async fn urgent_in_turn(&self, organization: &OrganizationId) -> Urgent {
        Urgent::at(self.pressed.wait_for(organization).await)
    }

    fn make(&self, bits: RsaBits) -> impl FnOnce() -> Generated + Send + use<> {
        let (begun, pause) = (Arc::clone(&self.begun), Arc::clone(&self.pause));
        move || {
            begun.fetch_add(1, Ordering::Relaxed);
            KeyPair::generate_rsa(bits, || pause.heed())
        }
    }

    fn make_urgently(&self, bits: RsaBits) -> impl FnOnce() -> Generated + Send + use<> {
        let (begun, pause) = (Arc::clone(&self.begun), Arc::clone(&self.pause));
        move || {
            begun.fetch_add(1, Ordering::Relaxed);
            let _others = pause.begin();
            KeyPair::generate_rsa(bits, || {})
        }
    }
}

impl Urgent {
    const fn at(place: Place) -> Self {
        Self { place, run: None }
    }

    /// Makes a key, before everything that is no emergency. Whoever gives up waiting for it can come
    /// again, and finds what was made meanwhile.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] when it could not be made at all.
    pub(super) async fn make(
        &mut self,
        maker: &RsaMaker,
        bits: RsaBits,
    ) -> Result<Generated, Refusal> {
        let begun = self.run.take().filter(|(size, _)| *size == bits);
        let (_, run) = self.run.insert(begun.unwrap_or_else(|| {
            let work = maker.make_urgently(bits);
            (bits, maker.urgent.in_turn(Some(self.place.whose()), work))
        }));
        let made = run.done().await;
        self.run = None;
        Ok(made?)
    }
}
