//! THE use case: a credential, scopes and an address in; a signed token or a refusal out.

mod grant;
mod refusal;
mod signing;
mod ways;

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
use crate::credentials::issuers::Issuers;
use crate::credentials::limits::{Limits, Standing};
use crate::credentials::{Credentials, Verified};
use crate::crypto::random;
use crate::domain::audience::Audiences;
use crate::domain::issuer::{BaseUrl, Issuer};
use crate::domain::scope::{ScopeError, ScopeSet};
use crate::domain::secret::{KeyId, PresentedSecret};
use crate::domain::usage::Outcome;
use crate::telemetry::spans::span;
use crate::usage::{Explanation, Usage, Use};

use refusal::RefusedTo;

pub use refusal::{Refusal, Refused};
pub use signing::Signed;

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

/// An exchange that has to be waited for.
type Later<'a> = Pin<Box<dyn Future<Output = Result<Issued, Refused>> + Send + 'a>>;

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
    #[must_use = "it may have to be waited for"]
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
        if !span.is_disabled() {
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

    fn refuse(&self, asked: &Exchange<'_>, why: RefusedTo) -> Refused {
        let RefusedTo {
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
