//! THE use case: a credential, scopes and an address in; a signed token or a refusal out.

mod refusal;
mod signing;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument;
use tracing::field::{Empty, display};
use ulid::ULID_LEN;

use crate::clock::Clock;
use crate::credentials::issuers::Issuers;
use crate::credentials::limits::{Limits, Standing};
use crate::credentials::{Credential, Credentials, Denied, Verified};
use crate::crypto::random;
use crate::domain::audience::Audiences;
use crate::domain::issuer::{BaseUrl, Issuer};
use crate::domain::policy::Effective;
use crate::domain::scope::{ScopeError, ScopeSet};
use crate::domain::secret::{KeyId, PresentedSecret};
use crate::domain::usage::Outcome;
use crate::telemetry::spans::span;
use crate::usage::{Explanation, Usage, Use};

pub use refusal::{Refusal, Refused};
pub use signing::Signed;

/// How often an exchange begins again because its key changed under it, before it gives up.
const ATTEMPTS: usize = 3;

/// Issues access tokens.
pub struct Mint {
    /// Who is who.
    pub credentials: Arc<Credentials>,
    /// How often keys were exchanged lately.
    pub limits: Limits,
    /// Who signs.
    pub issuers: Arc<Issuers>,
    /// What keys are used for.
    pub usage: Arc<Usage>,
    /// What tokens are for.
    pub audiences: Audiences,
    /// Where this deployment is.
    pub base: BaseUrl,
    /// How long a token lives where no policy says, whole seconds.
    pub lifetime: Duration,
    /// What time it is.
    pub clock: Clock,
}

/// A token request, as it was parsed.
#[derive(Debug)]
pub struct Exchange<'a> {
    /// Which issuer was asked.
    pub issuer: &'a Issuer,
    /// The API key presented; `None` when what was presented cannot be one.
    pub secret: Option<PresentedSecret>,
    /// Which scopes.
    pub scope: AskedScope,
    /// The `resource` parameters (RFC 8707 §2), as written.
    pub resources: Vec<&'a str>,
    /// Where the request comes from; `None` when a trusted proxy's header did not say.
    pub address: Option<IpAddr>,
    /// What the client calls itself: its `User-Agent` header.
    pub user_agent: Option<&'a [u8]>,
}

/// The `scope` parameter (RFC 6749 §3.3).
#[derive(Debug)]
pub enum AskedScope {
    /// Not given: whatever the key holds.
    Everything,
    /// These.
    These(ScopeSet),
    /// Not of the syntax. Said only to those who hold a key.
    Malformed(ScopeError),
}

/// A token, and what its holder is told beside it (RFC 6749 §5.1).
#[derive(Debug)]
pub struct Issued {
    /// The signed token.
    pub token: String,
    /// Its life in whole seconds.
    pub expires_in: u64,
    /// Its scopes, space-separated.
    pub scope: String,
    /// Whose it is.
    pub key: KeyId,
}

impl Mint {
    /// Exchanges an API key for an access token (RFC 6749 §4.4), and counts how that ended.
    ///
    /// The order is: secret, state, network, rate, scope, target. What fails earlier tells nothing
    /// of what comes later. Whatever passed the network spends of the key's rate, once, and
    /// `standing` then says how the key stands, also beside a refusal.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn exchange(
        &self,
        mut asked: Exchange<'_>,
        standing: &mut Option<Standing>,
    ) -> Result<Issued, Refused> {
        let secret = asked.secret.take();
        let span = span!(
            "exchange",
            tenmint.outcome = Empty,
            tenmint.key = Empty,
            tenmint.request_id = Empty,
        );
        if span.is_none() {
            return self.exchange_one(secret, &asked, standing).await;
        }
        let exchange = self.exchange_one(secret, &asked, standing);
        let done = exchange.instrument(span.clone()).await;
        let (outcome, key) = match &done {
            Ok(issued) => (Outcome::Issued, Some(issued.key)),
            Err(refused) => (refused.refusal.outcome(), refused.key),
        };
        span.record("tenmint.outcome", outcome.as_str());
        span.record("tenmint.key", key.map(display));
        if let Err(refused) = &done {
            span.record("tenmint.request_id", &*refused.request_id);
        }
        done
    }

    async fn exchange_one(
        &self,
        secret: Option<PresentedSecret>,
        asked: &Exchange<'_>,
        standing: &mut Option<Standing>,
    ) -> Result<Issued, Refused> {
        let authenticated = match secret {
            Some(secret) => self.authenticate(secret).await,
            None => Err((Denied::Forged.into(), None)),
        };
        let verified = authenticated
            .map_err(|(why, credential)| self.refuse(asked, why, credential.as_deref()))?;
        let (credential, which) = (Arc::clone(&verified.credential), verified.which);
        let issued = self
            .issue(asked, verified, standing)
            .await
            .map_err(|why| self.refuse(asked, why, Some(&credential)))?;
        let key = &credential.key;
        self.usage.used(
            Outcome::Issued,
            Use {
                key: key.id,
                organization: &key.organization,
                fingerprint: credential.fingerprint(which),
                address: asked.address,
                user_agent: asked.user_agent,
                scope: Some(match asked.scope {
                    AskedScope::Everything => "",
                    AskedScope::These(_) | AskedScope::Malformed(_) => &issued.scope,
                }),
            },
        );
        Ok(issued)
    }

    /// Counts a request that was no token request, so that what was wrong with it is found
    /// under the request id that this gives.
    #[must_use]
    pub fn refuse_malformed(&self, why: &str, address: Option<IpAddr>) -> String {
        let request_id = self.request_id();
        self.usage
            .refused(Outcome::Malformed, None, || Explanation {
                request_id: request_id.clone(),
                detail: why.to_owned(),
                address,
            });
        request_id
    }

    /// A new request id: `req_` and a ULID.
    #[must_use]
    pub fn request_id(&self) -> String {
        let ulid = random::ulid(self.clock.unix_millis());
        ["req_", ulid.array_to_str(&mut [0; ULID_LEN])].concat()
    }

    async fn authenticate(
        &self,
        secret: PresentedSecret,
    ) -> Result<Verified, (Refusal, Option<Arc<Credential>>)> {
        let named = secret.id();
        let outcome = self.credentials.authenticate(secret, self.clock.now());
        outcome.await.map_err(|rejected| match rejected.why {
            Denied::Unknown if let Some(named) = named => (Refusal::UnknownKey(named), None),
            why => (Refusal::Client(why), rejected.credential),
        })
    }

    fn refuse(
        &self,
        asked: &Exchange<'_>,
        refusal: Refusal,
        credential: Option<&Credential>,
    ) -> Refused {
        let request_id = self.request_id();
        let key = credential.map(|credential| &credential.key);
        let whose = key.map(|key| (key.id, &key.organization));
        self.usage
            .refused(refusal.outcome(), whose, || Explanation {
                request_id: request_id.clone(),
                detail: refusal.advice(),
                address: asked.address,
            });
        Refused {
            refusal,
            request_id,
            key: key.map(|key| key.id),
        }
    }

    /// Signs until what was signed still holds when it is signed.
    async fn issue(
        &self,
        asked: &Exchange<'_>,
        mut verified: Verified,
        standing: &mut Option<Standing>,
    ) -> Result<Issued, Refusal> {
        for _ in 0..ATTEMPTS {
            let issued = self.decide(asked, &verified, standing).await?;
            // A revocation may have been answered while the signature was made: it wins.
            if self.credentials.still_stands(&verified) {
                return Ok(issued);
            }
            // The secret was proven; what changed is the key. A rotated-out secret must not
            // slip through here, so only a credential with the same hash carries on.
            let again = self.credentials.again(&verified, self.clock.now());
            // Boxed: every request would carry room for it otherwise.
            verified = Box::pin(again).await.map_err(Refusal::Client)?;
        }
        Err(Refusal::Unsettled)
    }

    async fn decide(
        &self,
        asked: &Exchange<'_>,
        verified: &Verified,
        standing: &mut Option<Standing>,
    ) -> Result<Issued, Refusal> {
        let (issuer, address) = (asked.issuer, asked.address);
        let credential = &*verified.credential;
        let key = &credential.key;
        if let Issuer::Organization(organization) = issuer
            && *organization != key.organization
        {
            return Err(Refusal::OtherOrganization);
        }
        if !address.is_some_and(|ip| key.networks.contains(ip)) {
            return Err(Refusal::NetworkDenied { ip: address });
        }
        self.spend(credential, standing)?;
        let scope = match &asked.scope {
            AskedScope::Everything => credential.scope().to_owned(),
            AskedScope::Malformed(why) => return Err(Refusal::MalformedScope(why.clone())),
            AskedScope::These(asked) => match key.effective.uncovered(asked) {
                None => asked.to_parameter(),
                Some(beyond) => {
                    return Err(Refusal::ScopeBeyondKey {
                        scope: beyond.clone(),
                    });
                }
            },
        };
        let management_here = *issuer == Issuer::Deployment;
        let policy = credential.policy.as_deref();
        let allowed = policy.and_then(Effective::allowed_audiences);
        let audience = self
            .audiences
            .select(&asked.resources, management_here, allowed)
            .map_err(Refusal::Target)?;
        if management_here
            && policy.is_some_and(Effective::own_issuer_only)
            && !audience.is_exactly(self.audiences.management())
        {
            let own = Issuer::Organization(key.organization.clone());
            return Err(Refusal::OwnIssuerOnly {
                endpoint: format!("{}/oauth/token", own.name(&self.base)),
            });
        }
        let identity = self.identity(issuer).await?;
        let signed = self.sign(&identity, verified, issuer, &audience, &scope)?;
        Ok(Issued {
            token: signed.token,
            expires_in: signed.ends.seconds_since(signed.begins),
            scope,
            key: key.id,
        })
    }

    /// Spends of the key's rate, unless this request did already.
    ///
    /// # Errors
    /// [`Refusal::RateLimited`].
    pub fn spend(
        &self,
        credential: &Credential,
        standing: &mut Option<Standing>,
    ) -> Result<(), Refusal> {
        let Some(limit) = credential.rate_limit().filter(|_| standing.is_none()) else {
            return Ok(());
        };
        let key = credential.key.id;
        match self.limits.spend(key, limit, self.clock.monotonic()) {
            Ok(now) => {
                *standing = Some(now);
                Ok(())
            }
            Err(now) => {
                *standing = Some(now);
                let seconds = now.seconds;
                Err(Refusal::RateLimited { seconds })
            }
        }
    }
}
