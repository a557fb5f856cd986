//! Requests that clients may send again: what was done is done once.

use ring::digest;

use super::Management;
use super::act::Act;
use super::refusal::Refusal;
use crate::crypto::random;
use crate::domain::secret::KeyId;
use crate::store::idempotency::{Claim, Known};

/// Whether a request may have been sent before: under which `Idempotency-Key`, and with what.
#[derive(Clone, Debug, Default)]
pub struct Once(Option<Sent>);

#[derive(Clone, Debug)]
struct Sent {
    id: String,
    request: String,
}

/// A request that is at its first, and so far only, attempt.
pub(super) struct Attempt(Option<Claim>);

/// What became of a request so far.
pub(super) enum Begun {
    /// Nothing: it is ours to do.
    Now(Attempt),
    /// This was made by it.
    Before(String),
}

impl Once {
    /// A request by `caller` to `route` (method and path) under a key that it chose. Only
    /// digests are kept: what people write into such keys is theirs.
    #[must_use]
    pub fn under(caller: KeyId, route: &str, key: &str, body: &[u8]) -> Self {
        let caller = caller.to_string();
        Self(Some(Sent {
            id: digest_of(&[caller.as_bytes(), route.as_bytes(), key.as_bytes()]),
            request: digest_of(&[body]),
        }))
    }
}

impl Management {
    /// Begins a request, unless it was done before.
    ///
    /// # Errors
    /// [`Refusal::SentDifferently`] or [`Refusal::InFlight`] among others.
    pub(super) async fn begin_once(&self, once: Once) -> Result<Begun, Refusal> {
        let Some(Sent { id, request }) = once.0 else {
            return Ok(Begun::Now(Attempt(None)));
        };
        let claim = Claim {
            id,
            request,
            claim: random::token_id(),
        };
        match self.store.claim_request(&claim, self.clock.now()).await? {
            Known::Nothing => Ok(Begun::Now(Attempt(Some(claim)))),
            Known::InFlight => Err(Refusal::InFlight),
            Known::Different => Err(Refusal::SentDifferently),
            Known::Done(result) => Ok(Begun::Before(result)),
        }
    }

    /// Lets go of a request that was refused, so that it can be sent again at once.
    pub(super) async fn unless_done<T>(
        &self,
        attempt: Attempt,
        outcome: Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        if outcome.is_err() {
            self.let_go(attempt).await;
        }
        outcome
    }

    /// Lets go of a request under which nothing was done.
    pub(super) async fn let_go(&self, attempt: Attempt) {
        if let Some(claim) = &attempt.0
            && let Err(error) = self.store.release_request(claim).await
        {
            // It is waited for, and then taken over.
            tracing::warn!(%error, "a request could not be let go of");
        }
    }
}

impl Attempt {
    /// Notes within the act what it makes. Both become true together.
    pub(super) async fn settle(&self, act: &mut Act<'_>, result: &str) -> Result<(), Refusal> {
        let Some(claim) = &self.0 else {
            return Ok(());
        };
        if act.write.settle_request(claim, result).await? {
            Ok(())
        } else {
            Err(Refusal::InFlight)
        }
    }
}

/// The parts' lengths are part of it: no two lists of parts read alike.
fn digest_of(parts: &[&[u8]]) -> String {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    URL_SAFE_NO_PAD.encode(context.finish())
}
