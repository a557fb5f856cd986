//! For resource servers: checks access tokens offline, with nothing but issuer and audience.
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use tenmint::verifier::{Scopes, Verified, Verifier};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let verifier = Verifier::builder("https://auth.example")
//!     .audience("https://api.example")
//!     .build()?;
//! let app: Router = Router::new()
//!     .route("/whoami", get(async |caller: Verified| caller.key_id().to_owned()))
//!     .route_layer(Scopes::require("read:profile"))
//!     .layer(verifier.layer());
//! # Ok(())
//! # }
//! ```
//!
//! A request's way through it:
//!
//! ```text
//! layer ─► Verifier::verify ─► keys          fresh, refreshed behind the request's back
//!  RFC 6750      │             memory        seen before? then no signature is checked again
//!  one header    ├──► rules                  kid, alg, signature, typ, iss, aud, times
//!                └──► revocations, networks  of each request anew; the feed behind its back
//! handler ◄─ Verified ─► scopes              what this request needs
//! ```
//!
//! Checks are sharp: whatever cannot be made out is refused, and a network list that says nothing
//! allows nobody. It runs in a tokio runtime.

mod answer;
mod builder;
mod claims;
mod discovery;
mod extract;
mod feed;
mod fetch;
mod follow;
mod jwks;
mod keys;
mod layer;
mod memory;
mod refused;
mod resource;
mod revocations;
mod rules;
mod scopes;

use std::net::IpAddr;
use std::sync::Arc;

use crate::clock::Clock;
use crate::domain::claims::MAX_TOKEN;

use claims::Networks;
use feed::Feed;
use keys::{Held, Keys};
use memory::Memory;
use rules::Rules;

pub use builder::{BuildError, Builder};
pub use claims::Verified;
pub use fetch::{Document, Fetch, FetchError, Fetching, Https};
pub use follow::Follow;
pub use layer::{Guard, VerifierLayer};
pub use refused::{Cause, Refused};
pub use resource::ResourceMetadata;
pub use revocations::{RevocationList, Revocations, Standing, Void};
pub use scopes::{Scopes, ScopesGuard};

/// Checks access tokens of one issuer for one resource server. Cheap to clone; clones share keys
/// and memory.
#[derive(Clone)]
pub struct Verifier(Arc<Inner>);

struct Inner {
    rules: Rules,
    keys: Arc<Keys>,
    memory: Memory,
    feed: Option<Feed>,
    revocations: Option<Arc<dyn Revocations>>,
    check_networks: bool,
    metadata: Option<ResourceMetadata>,
    clock: Clock,
}

/// What a check is told of the request that brought the token.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request {
    /// The client's address. When it is not known, tokens that are confined to networks are
    /// refused.
    pub ip: Option<IpAddr>,
}

impl Verifier {
    /// Begins with the issuer: `https://auth.example`, or `https://auth.example/orgs/acme` for
    /// tokens that one organization signs itself.
    pub fn builder(issuer: &str) -> Builder {
        Builder::new(issuer)
    }

    /// Checks a token: that the issuer signed it, for this audience, that it is in force at this
    /// instant, not revoked, and shown from a network that it may be used from (RFC 9068 §4).
    ///
    /// What it may be used *for* is asked of the answer, see [`Verified::require`].
    ///
    /// # Errors
    /// The first thing wrong with it, see [`Cause`].
    pub async fn verify(&self, token: &str, request: &Request) -> Result<Verified, Refused> {
        let checked = self.check(token, request).await;
        checked.map_err(|cause| self.refused(cause))
    }

    /// Fetches the issuer's keys, and its revocation feed if that is followed, unless they are held
    /// already: for a start that fails at once when the issuer cannot be reached.
    ///
    /// # Errors
    /// [`Cause::Unavailable`].
    pub async fn ready(&self) -> Result<(), Refused> {
        let held = self.0.keys.current().await;
        let is_ready = match &self.0.feed {
            Some(feed) => held.is_some() && feed.is_ready().await,
            None => held.is_some(),
        };
        is_ready
            .then_some(())
            .ok_or_else(|| self.refused(Cause::Unavailable))
    }

    /// Keeps the keys fresh for as long as it is polled, so that not even the first request after
    /// a quiet hour waits for them: `tokio::spawn(verifier.clone().keep_fresh())`.
    pub async fn keep_fresh(self) {
        loop {
            tokio::time::sleep(self.0.keys.until_refresh()).await;
            let _ = self.0.keys.current().await;
        }
    }

    /// A tower layer that lets requests with a good token through, and answers the others as
    /// RFC 6750 §3 has it.
    #[must_use]
    pub fn layer(&self) -> VerifierLayer {
        VerifierLayer::new(self.clone())
    }

    /// The document that tells clients where to obtain tokens for this resource server
    /// (RFC 9728); `None` when its audience is not a URL.
    #[must_use]
    pub fn resource_metadata(&self) -> Option<&ResourceMetadata> {
        self.0.metadata.as_ref()
    }

    fn refused(&self, cause: Cause) -> Refused {
        Refused::new(cause, self.0.rules.challenge())
    }

    async fn check(&self, token: &str, request: &Request) -> Result<Verified, Cause> {
        // The mint makes none that is longer.
        if token.len() > MAX_TOKEN {
            return Err(Cause::Malformed);
        }
        let inner = &*self.0;
        let held = inner.keys.current().await.ok_or(Cause::Unavailable)?;
        if let Some(feed) = &inner.feed {
            // Which tokens it would refuse is seen below.
            feed.is_ready().await;
        }
        let verified = match inner.memory.recall(token, held.generation) {
            Some(verified) => {
                inner.rules.in_force(&verified, inner.clock.now())?;
                verified
            }
            None => self.verify_anew(token, held).await?,
        };
        self.admit(&verified, request)?;
        Ok(verified)
    }

    async fn verify_anew(&self, token: &str, held: Arc<Held>) -> Result<Verified, Cause> {
        let inner = &*self.0;
        let judge = |held: &Held| inner.rules.judge(token, &held.keys, inner.clock.now());
        let (held, judged) = match judge(&held) {
            Err(Cause::UnknownKey) => {
                // Perhaps a key that is newer than what is held.
                let renewed = inner.keys.renewed(&held).await;
                let judged = judge(&renewed);
                (renewed, judged)
            }
            judged => (held, judged),
        };
        let verified = judged?;
        inner.memory.keep(token, &verified, held.generation);
        Ok(verified)
    }

    /// What depends on the request, or changes while the token stays the same.
    fn admit(&self, verified: &Verified, request: &Request) -> Result<(), Cause> {
        let inner = &*self.0;
        let feed = inner.feed.as_ref().map(|feed| feed as &dyn Revocations);
        for revocations in feed.into_iter().chain(inner.revocations.as_deref()) {
            match revocations.standing(verified, inner.clock.now()) {
                Standing::Good => {}
                Standing::Void => return Err(Cause::Revoked),
                Standing::Unknown => return Err(Cause::Unavailable),
            }
        }
        let allowed = match verified.networks() {
            Networks::Anywhere => true,
            _ if !inner.check_networks => true,
            Networks::Nowhere => false,
            Networks::Within(networks) => request.ip.is_some_and(|ip| networks.contains(ip)),
        };
        allowed
            .then_some(())
            .ok_or(Cause::Network { ip: request.ip })
    }
}
