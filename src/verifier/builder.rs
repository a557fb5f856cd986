//! What a verifier is told: whom to trust, for what, and how patiently.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::clock::Clock;
use crate::crypto::jose::provider;
use crate::domain::audience::{Resource, ResourceError};
use crate::domain::issuer::{BaseUrl, BaseUrlError, is_confidential};

use super::discovery::Source;
use super::feed::Feed;
use super::fetch::{Fetch, Https};
use super::follow::Follow;
use super::keys::{Keys, Timing};
use super::memory::Memory;
use super::refused::Challenge;
use super::resource::ResourceMetadata;
use super::revocations::Revocations;
use super::rules::Rules;
use super::{Inner, Verifier};

/// A verifier to be. What is not acceptable is told by [`Builder::build`].
#[must_use = "it verifies nothing before it is built"]
pub struct Builder {
    issuer: String,
    audiences: Vec<String>,
    jwks_url: Option<String>,
    allow_jwt: bool,
    leeway: Duration,
    timing: Timing,
    remembered: usize,
    check_networks: bool,
    scopes_supported: Vec<String>,
    follow: Option<Follow>,
    revocations: Option<Arc<dyn Revocations>>,
    fetch: Option<Arc<dyn Fetch>>,
    clock: Clock,
}

/// Why a verifier cannot be built.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BuildError {
    /// The issuer is not one.
    #[error("the issuer: {0}")]
    Issuer(#[from] BaseUrlError),
    /// An audience is not one.
    #[error("an audience: {0}")]
    Audience(#[from] ResourceError),
    /// Without an audience, tokens for every other service would count.
    #[error("name at least one audience: the resource that tokens must be for")]
    NoAudience,
    /// The JWKS would cross a network in the clear.
    #[error("the JWKS: write an https URL; plain http is accepted for loopback addresses alone")]
    JwksUrl,
    /// What is revoked would cross a network in the clear.
    #[error(
        "the revocation feed: write an https URL; plain http is accepted for loopback addresses \
         alone"
    )]
    FeedUrl,
    /// Clocks that are so far apart are wrong.
    #[error("the leeway: at most {} s", LONGEST_LEEWAY.as_secs())]
    Leeway,
}

const LONGEST_LEEWAY: Duration = Duration::from_mins(2);

impl Builder {
    pub(super) fn new(issuer: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            audiences: Vec::new(),
            jwks_url: None,
            allow_jwt: false,
            leeway: Duration::from_secs(5),
            timing: Timing {
                cooldown: Duration::from_secs(10),
                stale_for: Duration::from_hours(1),
            },
            remembered: 10_000,
            check_networks: true,
            scopes_supported: Vec::new(),
            follow: None,
            revocations: None,
            fetch: None,
            clock: Clock::system(),
        }
    }

    /// A resource that tokens may be for: this server's name, in the mint's `AUDIENCE`. At least
    /// one; the first is the one that [`Verifier::resource_metadata`] speaks of.
    pub fn audience(mut self, resource: &str) -> Self {
        self.audiences.push(resource.to_owned());
        self
    }

    /// Where the JWKS is, in place of what the issuer's metadata say.
    pub fn jwks_url(mut self, url: &str) -> Self {
        self.jwks_url = Some(url.to_owned());
        self
    }

    /// Accepts `typ: JWT` as well, for a mint whose `TOKEN_TYP` is `JWT`.
    pub fn allow_typ_jwt(mut self) -> Self {
        self.allow_jwt = true;
        self
    }

    /// How far this machine's clock and the issuer's may be apart: 5 s unless said, at most
    /// 2 min. Tokens count for that much longer.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// The least time between two fetches of the JWKS: 10 s unless said. So often at most can a
    /// stranger who makes up key names have the issuer asked.
    pub fn cooldown(mut self, cooldown: Duration) -> Self {
        self.timing.cooldown = cooldown;
        self
    }

    /// How long keys still count beyond their `max-age` while the issuer cannot be reached: an
    /// hour unless said.
    pub fn stale_for(mut self, stale_for: Duration) -> Self {
        self.timing.stale_for = stale_for;
        self
    }

    /// How many verified tokens are remembered: 10,000 unless said, each some kilobytes at most;
    /// 0 has every signature checked.
    pub fn remember(mut self, tokens: usize) -> Self {
        self.remembered = tokens;
        self
    }

    /// Leaves `allowed_ip_cidrs` to somebody else, such as a gateway that sees the clients'
    /// addresses. Without one, tokens that leak can be used from anywhere.
    pub fn networks_are_checked_elsewhere(mut self) -> Self {
        self.check_networks = false;
        self
    }

    /// Scopes that clients may ask for, for the metadata alone (RFC 9728 §2).
    pub fn scopes_supported<'a>(mut self, scopes: impl IntoIterator<Item = &'a str>) -> Self {
        self.scopes_supported
            .extend(scopes.into_iter().map(str::to_owned));
        self
    }

    /// Follows the issuer's revocation feed, so that tokens of a key that is revoked are refused
    /// before they end, also those that are remembered. Until it was read for the first time, none
    /// is let through.
    pub fn follow_revocations(mut self, follow: Follow) -> Self {
        self.follow = Some(follow);
        self
    }

    /// What else must be refused, asked for every request.
    pub fn revocations(mut self, revocations: impl Revocations) -> Self {
        self.revocations = Some(Arc::new(revocations));
        self
    }

    /// How documents are fetched, in place of [`Https`].
    pub fn fetch(mut self, fetch: impl Fetch) -> Self {
        self.fetch = Some(Arc::new(fetch));
        self
    }

    /// Another clock than the machine's: for simulations and tests.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The verifier. It fetches nothing yet: see [`Verifier::ready`].
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn build(self) -> Result<Verifier, BuildError> {
        provider::install();
        let issuer: BaseUrl = self.issuer.parse()?;
        let audiences = self.audiences.iter().map(|text| text.parse());
        let audiences = audiences.collect::<Result<Vec<Resource>, _>>()?;
        let resource = audiences.first().ok_or(BuildError::NoAudience)?;
        if self.leeway > LONGEST_LEEWAY {
            return Err(BuildError::Leeway);
        }
        let jwks = match self.jwks_url.map(|url| Url::parse(&url)) {
            None => None,
            Some(Ok(url)) if is_confidential(&url) => Some(url),
            Some(_) => return Err(BuildError::JwksUrl),
        };
        let metadata = ResourceMetadata::of(resource, &issuer, &self.scopes_supported);
        let challenge = Arc::new(Challenge {
            realm: resource.as_str().to_owned(),
            metadata: metadata.as_ref().map(|known| known.url().to_owned()),
        });
        let rules = Rules {
            issuer: issuer.as_str().to_owned(),
            audiences,
            allow_jwt: self.allow_jwt,
            leeway: self.leeway,
            challenge,
        };
        let fetch = self.fetch.unwrap_or_else(|| Arc::new(Https::new()));
        let feed = match &self.follow {
            None => None,
            Some(follow) => {
                let known = || format!("{}/.well-known/revocations", issuer.as_str());
                let url = follow.url.clone().unwrap_or_else(known);
                let url = Url::parse(&url).ok().filter(is_confidential);
                Some((url.ok_or(BuildError::FeedUrl)?, follow.clone()))
            }
        };
        let source = Source::new(issuer, jwks, Arc::clone(&fetch));
        let keys = Arc::new(Keys::new(source, self.timing, self.clock.clone()));
        let feed = feed.map(|(url, follow)| {
            let whose = (&*rules.issuer, url);
            Feed::new(whose, follow, Arc::clone(&keys), fetch, self.clock.clone())
        });
        Ok(Verifier(Arc::new(Inner {
            rules,
            keys,
            feed,
            memory: Memory::new(self.remembered),
            revocations: self.revocations,
            check_networks: self.check_networks,
            metadata,
            clock: self.clock,
        })))
    }
}
