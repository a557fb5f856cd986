//! Tokens held for API keys that come again and again: one signature for many requests.

use std::sync::{Arc, Weak};
use std::time::Duration;

use quick_cache::sync::Cache;

use crate::credentials::Verified;
use crate::credentials::issuers::Identity;
use crate::domain::audience::{Audience, Resource};
use crate::domain::issuer::Issuer;
use crate::domain::secret::KeyId;
use crate::domain::timestamp::Timestamp;
use crate::issue::{Mint, Refusal};

/// How many tokens are held at most. A key that others displace costs a signature.
const CAPACITY: usize = 10_000;

/// How long a token that is handed out still lives at least, unless its whole life is shorter
/// than twice that: whatever is behind the gateway has that long to finish.
const MARGIN: u64 = 60;

/// Tokens that keys were exchanged for.
pub(super) struct Held {
    tokens: Cache<Purpose, Arc<HeldToken>>,
}

/// What a token is held for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Purpose {
    pub(super) key: KeyId,
    pub(super) issuer: Issuer,
    pub(super) resource: Resource,
}

struct HeldToken {
    token: Arc<str>,
    jti: String,
    /// From when on it counts: in the future once the clock was set back.
    begins: Timestamp,
    /// The instant from which it is not handed out any more.
    until: Timestamp,
    /// The state of its key that it was made from: any change of that ends it.
    of: Verified,
    /// By whose key it is signed.
    by: Weak<Identity>,
}

impl Default for Held {
    fn default() -> Self {
        Self {
            tokens: Cache::new(CAPACITY),
        }
    }
}

impl Held {
    /// The token held for this purpose, or a new one. That `verified` still stands is for the
    /// caller to see, afterwards.
    pub(super) async fn token(
        &self,
        mint: &Mint,
        verified: &Verified,
        purpose: Purpose,
    ) -> Result<Arc<str>, Refusal> {
        let identity = mint.identity(&purpose.issuer).await?;
        let now = mint.clock.now();
        if let Some(held) = self.good(mint, &purpose, &identity, now) {
            let denied = mint.credentials.denials.is_denied(&held.jti, now).await;
            if !denied.map_err(|error| Refusal::Client(error.into()))? {
                return Ok(Arc::clone(&held.token));
            }
        }
        let audience = Audience::one(purpose.resource.clone());
        let scope = verified.credential.scope();
        let signed = mint.sign(&identity, verified, &purpose.issuer, &audience, scope)?;
        let token: Arc<str> = Arc::from(signed.token);
        let life = signed.ends.seconds_since(signed.begins);
        let useful = life - MARGIN.min(life / 2);
        let held = HeldToken {
            token: Arc::clone(&token),
            jti: signed.jti,
            begins: signed.begins,
            until: signed.begins.plus(Duration::from_secs(useful)),
            of: verified.clone(),
            by: Arc::downgrade(&identity),
        };
        self.tokens.insert(purpose, Arc::new(held));
        Ok(token)
    }

    /// The token held for this purpose; `None` where there is none that is good, or memory does not
    /// tell.
    pub(super) fn at_once(
        &self,
        mint: &Mint,
        verified: &Verified,
        purpose: &Purpose,
    ) -> Option<Arc<str>> {
        let issuer = purpose.issuer.signing_organization();
        let identity = mint.issuers.at_once(&issuer)?;
        let now = mint.clock.now();
        let held = self.good(mint, purpose, &identity, now)?;
        let denied = mint.credentials.denials.is_denied_at_once(&held.jti, now)?;
        (!denied && mint.credentials.still_stands(verified)).then(|| Arc::clone(&held.token))
    }

    /// The token that may be handed out again, unless it was denied: neither its key nor who signed
    /// it has changed since.
    fn good(
        &self,
        mint: &Mint,
        purpose: &Purpose,
        identity: &Arc<Identity>,
        now: Timestamp,
    ) -> Option<Arc<HeldToken>> {
        self.tokens.get(purpose).filter(|held| {
            (held.begins..held.until).contains(&now)
                && std::ptr::eq(held.by.as_ptr(), Arc::as_ptr(identity))
                && mint.credentials.still_stands(&held.of)
        })
    }
}
