//! The making of RSA keys, which takes a core for seconds: whoever orders many is not to keep
//! others waiting, and nobody at all an emergency.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::credentials::gate::Gate;
use crate::crypto::jose::key_pair::{Generated, KeyPair};
use crate::domain::organization::OrganizationId;
use crate::domain::signing_key::{KeySpec, RsaBits};
use crate::manage::refusal::Refusal;

/// How long an emergency waits for an RSA key that is being made for it. A key of 2048 bits takes
/// a tenth of that on an idle machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// Makes RSA keys, apart from the threads that serve.
pub struct RsaMaker {
    /// Where orders wait their turn: one is made at a time.
    pub ordinary: Gate,
    /// Where emergencies do not wait: one that finds another there does without.
    pub urgent: Gate,
    /// Who has an order.
    ordered: Mutex<HashSet<OrganizationId>>,
}

/// An order, until it is done or given up.
struct Order<'a>(&'a RsaMaker, &'a OrganizationId);

impl RsaMaker {
    /// With nothing to do.
    #[must_use]
    pub fn new() -> Self {
        Self {
            ordinary: Gate::of_width(1),
            urgent: Gate::of_width(1),
            ordered: Mutex::default(),
        }
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
        let _order = Order::of(self, organization).ok_or(Refusal::SigningKeyBeingMade)?;
        Ok(self.ordinary.run(Some(organization), make(bits)).await?)
    }

    /// Makes a key for nobody who waits: in its turn, whenever that is.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] when it could not be made at all.
    pub(super) async fn in_turn(&self, bits: RsaBits) -> Result<Generated, Refusal> {
        Ok(self.ordinary.run_in_turn(make(bits)).await?)
    }

    /// Makes a key for an emergency, unless that takes too long.
    pub(super) async fn at_once(&self, bits: RsaBits) -> Option<Generated> {
        self.urgent.run_at_once(PATIENCE, make(bits)).await
    }
}

impl Default for RsaMaker {
    fn default() -> Self {
        Self::new()
    }
}

fn make(bits: RsaBits) -> impl FnOnce() -> Generated + Send + 'static {
    move || KeyPair::generate(KeySpec::RS256(bits))
}

impl<'a> Order<'a> {
    fn of(maker: &'a RsaMaker, organization: &'a OrganizationId) -> Option<Self> {
        let mut ordered = maker.ordered.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = ordered.insert(organization.clone());
        // Made only if it is one: dropped, it gives the place of the first away.
        is_first.then(|| Self(maker, organization))
    }
}

impl Drop for Order<'_> {
    fn drop(&mut self) {
        let Self(maker, organization) = self;
        let mut ordered = maker.ordered.lock().unwrap_or_else(PoisonError::into_inner);
        ordered.remove(*organization);
    }
}
