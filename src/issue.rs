//! THE use case: a credential, scopes and an address in; a signed token or a refusal out.

mod refusal;
mod signing;

use std::future::{Ready, ready};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::Either;
use tracing::field::{Empty, display};
use tracing::{Instrument, Span};
use ulid::ULID_LEN;

use crate::clock::Clock;
use crate::credentials::issuers::{Identity, Issuers};
use crate::credentials::limits::{Limits, Standing};
use crate::credentials::{Credential, Credentials, Denied, Rejected, Verified};
use crate::crypto::random;
use crate::domain::audience::{Audience, Audiences};
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

/// Why there is no token, and the key that was named by a genuine string.
struct NotIssued {
    refusal: Refusal,
    credential: Option<Arc<Credential>>,
}

/// An exchange that has to be waited for.
type Later<'a> = Pin<Box<dyn Future<Output = Result<Issued, Refused>> + Send + 'a>>;

/// What a token is to say beside who holds it.
struct Grant {
    audience: Audience,
    /// Space-separated.
    scope: String,
}

impl Mint {
    /// Exchanges an API key for an access token (RFC 6749 §4.4), and counts how that ended.
    ///
    /// The order is: secret, state, network, rate, scope, target. What fails earlier tells nothing
    /// of what comes later. Whatever passed the network spends of the key's rate, once, and
    /// `standing` then says how the key stands, also beside a refusal. Done when this returns, where
    /// memory tells all that it takes.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn exchange<'a>(
        &'a self,
        mut asked: Exchange<'a>,
        standing: &'a mut Option<Standing>,
    ) -> Either<Ready<Result<Issued, Refused>>, Later<'a>> {
        let secret = asked.secret.take();
        let span = span!(
            "exchange",
            tenmint.outcome = Empty,
            tenmint.key = Empty,
            tenmint.request_id = Empty,
        );
        // Boxed: every request would carry room for it otherwise.
        if !span.is_none() {
            return Either::Right(Box::pin(async move {
                let exchange = self.exchange_patiently(secret, &asked, standing);
                let done = exchange.instrument(span.clone()).await;
                let done = done.map_err(|why| self.refuse(&asked, why));
                note(&span, &done);
                done
            }));
        }
        match self.exchange_at_once(secret.as_ref(), &asked, standing) {
            Ok(Some(issued)) => Either::Left(ready(Ok(issued))),
            Err(why) => Either::Left(ready(Err(self.refuse(&asked, why)))),
            Ok(None) => Either::Right(Box::pin(async move {
                let done = self.exchange_patiently(secret, &asked, standing).await;
                done.map_err(|why| self.refuse(&asked, why))
            })),
        }
    }

    /// Exchanges it if memory tells enough; `None` otherwise, and nothing was counted then. What was
    /// spent, `standing` says to whoever tries again.
    fn exchange_at_once(
        &self,
        secret: Option<&PresentedSecret>,
        asked: &Exchange<'_>,
        standing: &mut Option<Standing>,
    ) -> Result<Option<Issued>, NotIssued> {
        let secret = match secret {
            Some(PresentedSecret::Own(own)) => own,
            Some(PresentedSecret::Foreign(_)) => return Ok(None),
            None => return Err(NotIssued::nobody()),
        };
        let now = self.clock.now();
        let known = self.credentials.authenticate_at_once(secret, now);
        let known = known.map_err(|why| NotIssued::not_proven(Some(secret.id()), why))?;
        let Some(verified) = known else {
            return Ok(None);
        };
        let refuse = |why| NotIssued::to(&verified, why);
        let grant = self.grant(asked, &verified, standing).map_err(refuse)?;
        let issuer = asked.issuer.signing_organization();
        let Some(identity) = self.issuers.at_once(&issuer) else {
            return Ok(None);
        };
        let issued = self.issue(asked.issuer, &verified, &identity, grant);
        let issued = issued.map_err(refuse)?;
        // A revocation may have been answered while the signature was made: it wins.
        if !self.credentials.still_stands(&verified) {
            return Ok(None);
        }
        self.count_issued(asked, &verified, &issued);
        Ok(Some(issued))
    }

    async fn exchange_patiently(
        &self,
        secret: Option<PresentedSecret>,
        asked: &Exchange<'_>,
        standing: &mut Option<Standing>,
    ) -> Result<Issued, NotIssued> {
        let secret = secret.ok_or_else(NotIssued::nobody)?;
        let named = secret.id();
        let outcome = self.credentials.authenticate(secret, self.clock.now());
        let outcome = outcome.await;
        let mut verified = outcome.map_err(|why| NotIssued::not_proven(named, why))?;
        let issued = self.issue_what_stands(asked, &mut verified, standing).await;
        let issued = issued.map_err(|why| NotIssued::to(&verified, why))?;
        self.count_issued(asked, &verified, &issued);
        Ok(issued)
    }

    fn count_issued(&self, asked: &Exchange<'_>, verified: &Verified, issued: &Issued) {
        let credential = &verified.credential;
        let key = &credential.key;
        self.usage.used(
            Outcome::Issued,
            Use {
                key: key.id,
                organization: &key.organization,
                fingerprint: credential.fingerprint(verified.which),
                address: asked.address,
                user_agent: asked.user_agent,
                scope: Some(match asked.scope {
                    AskedScope::Everything => "",
                    AskedScope::These(_) | AskedScope::Malformed(_) => &issued.scope,
                }),
            },
        );
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

    fn refuse(&self, asked: &Exchange<'_>, why: NotIssued) -> Refused {
        let NotIssued {
            refusal,
            credential,
        } = why;
        let request_id = self.request_id();
        let key = credential.as_ref().map(|credential| &credential.key);
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
    async fn issue_what_stands(
        &self,
        asked: &Exchange<'_>,
        verified: &mut Verified,
        standing: &mut Option<Standing>,
    ) -> Result<Issued, Refusal> {
        for _ in 0..ATTEMPTS {
            let grant = self.grant(asked, verified, standing)?;
            let identity = self.identity(asked.issuer).await?;
            let issued = self.issue(asked.issuer, verified, &identity, grant)?;
            // A revocation may have been answered while the signature was made: it wins.
            if self.credentials.still_stands(verified) {
                return Ok(issued);
            }
            // The secret was proven; what changed is the key. A rotated-out secret must not
            // slip through here, so only a credential with the same hash carries on.
            let again = self.credentials.again(verified, self.clock.now()).await;
            *verified = again.map_err(Refusal::Client)?;
        }
        Err(Refusal::Unsettled)
    }

    /// What a key is granted of what is asked for.
    fn grant(
        &self,
        asked: &Exchange<'_>,
        verified: &Verified,
        standing: &mut Option<Standing>,
    ) -> Result<Grant, Refusal> {
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
        Ok(Grant { audience, scope })
    }

    fn issue(
        &self,
        issuer: &Issuer,
        verified: &Verified,
        identity: &Identity,
        grant: Grant,
    ) -> Result<Issued, Refusal> {
        let Grant { audience, scope } = grant;
        let signed = self.sign(identity, verified, issuer, &audience, &scope)?;
        Ok(Issued {
            token: signed.token,
            expires_in: signed.ends.seconds_since(signed.begins),
            scope,
            key: verified.credential.key.id,
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

impl NotIssued {
    /// To whoever presents what cannot be a key.
    fn nobody() -> Self {
        Self::not_proven(None, Denied::Forged.into())
    }

    /// To whoever presents a secret that names this key, and proves nothing.
    fn not_proven(named: Option<KeyId>, rejected: Rejected) -> Self {
        Self {
            refusal: match (rejected.why, named) {
                (Denied::Unknown, Some(named)) => Refusal::UnknownKey(named),
                (why, _) => Refusal::Client(why),
            },
            credential: rejected.credential,
        }
    }

    fn to(verified: &Verified, refusal: Refusal) -> Self {
        Self {
            refusal,
            credential: Some(Arc::clone(&verified.credential)),
        }
    }
}

/// Notes in a trace how an exchange ended.
fn note(span: &Span, done: &Result<Issued, Refused>) {
    let (outcome, key) = match done {
        Ok(issued) => (Outcome::Issued, Some(issued.key)),
        Err(refused) => (refused.refusal.outcome(), refused.key),
    };
    span.record("tenmint.outcome", outcome.as_str());
    span.record("tenmint.key", key.map(display));
    if let Err(refused) = done {
        span.record("tenmint.request_id", &*refused.request_id);
    }
}
