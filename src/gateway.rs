//! What stands before services: whoever calls one is let through or not, and may be given a token
//! in place of its API key, so that services see nothing that lives long.

mod held;
mod refusal;

use std::net::IpAddr;
use std::sync::Arc;

use crate::check::{Checker, Expected, Holder, Presented};
use crate::credentials::Denied;
use crate::credentials::limits::Standing;
use crate::domain::audience::{Resource, TargetError};
use crate::domain::issuer::Issuer;
use crate::domain::policy::Effective;
use crate::domain::scope::ScopeSet;
use crate::domain::usage::Outcome;
use crate::issue::{Mint, Refusal as NotIssued};
use crate::usage::Explanation;

use held::{Held, Purpose};

pub use refusal::{Refusal, Refused};

/// How often a decision begins again because its key changed under it, before it gives up.
const ATTEMPTS: usize = 3;

/// Answers gateways.
pub struct Gateway {
    checker: Arc<Checker>,
    mint: Arc<Mint>,
    held: Held,
}

/// A request to a service, as its gateway tells of it.
#[derive(Debug)]
pub struct Asked<'a> {
    /// What it carries.
    pub presented: Presented<'a>,
    /// Where it comes from; `None` when the gateway did not say.
    pub address: Option<IpAddr>,
    /// What its client calls itself.
    pub user_agent: Option<&'a [u8]>,
    /// What it is to be good for, all of it.
    pub required: &'a ScopeSet,
    /// Which service it is for; any of the platform's if not said.
    pub audience: Option<&'a Resource>,
    /// Whether the service is to see a token in place of an API key.
    pub exchange: bool,
}

/// A request that is let through.
#[derive(Debug)]
pub struct Passed {
    /// On whose behalf.
    pub holder: Holder,
    /// The token that the service is to see in place of the API key.
    pub token: Option<Arc<str>>,
}

impl Gateway {
    /// No token held yet.
    #[must_use]
    pub fn new(checker: Arc<Checker>, mint: Arc<Mint>) -> Self {
        Self {
            checker,
            mint,
            held: Held::default(),
        }
    }

    /// Whether a request may go through. The order is that of the exchange: secret, state, network,
    /// whether it may be shown itself, rate, scope, target. An API key spends of its rate, and
    /// `standing` then says how it stands, also beside a refusal; a token spent when it was issued.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn verify(
        &self,
        asked: Asked<'_>,
        standing: &mut Option<Standing>,
    ) -> Result<Passed, Refused> {
        let expected = Expected {
            organization: None,
            issuer: None,
            audience: asked.audience,
        };
        let Asked {
            presented,
            address,
            user_agent,
            required,
            audience,
            exchange,
        } = asked;
        let mut holder = self.checker.holder(presented, expected).await?;
        for _ in 0..ATTEMPTS {
            holder.require_address(address)?;
            // Also where it is to be exchanged here: its client sends what lives long all the same.
            self.checker.require_direct(&holder)?;
            if holder.token.is_some() {
                holder.require_scopes(required)?;
                return Ok(Passed {
                    holder,
                    token: None,
                });
            }
            let refuse = |why: NotIssued| Refused::of(&holder, why.into());
            let spent = self.mint.spend(holder.credential(), standing);
            spent.map_err(refuse)?;
            holder.require_scopes(required)?;
            let target = self.target(&holder, audience);
            let target = target.map_err(|why| refuse(NotIssued::Target(why)))?;
            let token = if exchange {
                // Boxed: every request would carry room for it otherwise.
                let token = Box::pin(self.token_for(&holder, target)).await;
                Some(token.map_err(refuse)?)
            } else {
                None
            };
            if self.checker.credentials.still_stands(&holder.verified) {
                self.checker
                    .count_use(Outcome::Direct, &holder, address, user_agent);
                return Ok(Passed { holder, token });
            }
            let now = self.checker.clock.now();
            let again = self.checker.credentials.again(&holder.verified, now);
            holder.verified = Box::pin(again)
                .await
                .map_err(|why: Denied| refuse(why.into()))?;
        }
        Err(Refused::of(&holder, NotIssued::Unsettled.into()))
    }

    /// Counts a refusal of a key, or of a stranger, and keeps why.
    pub fn count(&self, refused: &Refused, request_id: &str, address: Option<IpAddr>) {
        let Refused { refusal, key } = refused;
        let why = || Explanation {
            request_id: request_id.to_owned(),
            detail: refusal.advice(),
            address,
        };
        self.checker
            .count_refusal(refusal.outcome(), key.as_deref(), why);
    }

    /// Which resource a key is used for. One that it could get no token for it is not let through
    /// to either: the key itself must not be worth more than its tokens.
    fn target(&self, holder: &Holder, asked: Option<&Resource>) -> Result<Resource, TargetError> {
        let policy = holder.credential().policy.as_deref();
        let allowed = policy.and_then(Effective::allowed_audiences);
        self.checker.audiences.select_one(asked, allowed)
    }

    /// A token of everything the key holds, the same one until shortly before it ends.
    async fn token_for(&self, holder: &Holder, resource: Resource) -> Result<Arc<str>, NotIssued> {
        let credential = holder.credential();
        let policy = credential.policy.as_deref();
        let own_issuer = policy.is_some_and(Effective::own_issuer_only);
        let purpose = Purpose {
            key: credential.key.id,
            issuer: if own_issuer {
                Issuer::Organization(credential.key.organization.clone())
            } else {
                Issuer::Deployment
            },
            resource,
        };
        self.held.token(&self.mint, &holder.verified, purpose).await
    }
}
