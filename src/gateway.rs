//! What stands before services: whoever calls one is let through or not, and may be given a token
//! in place of its API key, so that services see nothing that lives long.

mod held;
mod refusal;

use std::net::IpAddr;
use std::sync::Arc;

use crate::check::{Checker, Expected, Holder, Presented};
use crate::credentials::Denied;
use crate::credentials::limits::Standing;
use crate::domain::audience::Resource;
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

/// A request to a service, as its gateway tells of it, beside the credential that it carries.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
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
    /// whether it may be shown itself, rate, scope, target. An API key spends of its rate, once, and
    /// `standing` then says how it stands, also beside a refusal; a token spent when it was issued.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn verify(
        &self,
        presented: Presented<'_>,
        asked: Asked<'_>,
        standing: &mut Option<Standing>,
    ) -> Result<Passed, Refused> {
        let mut holder = self.checker.holder(presented, asked.expected()).await?;
        for _ in 0..ATTEMPTS {
            let Some(target) = self.require_passable(&holder, &asked, standing)? else {
                return Ok(Passed {
                    holder,
                    token: None,
                });
            };
            let refuse = |why: NotIssued| Refused::of(&holder, why.into());
            let token = if asked.exchange {
                let purpose = purpose(&holder, target);
                let token = self.held.token(&self.mint, &holder.verified, purpose);
                Some(token.await.map_err(refuse)?)
            } else {
                None
            };
            if self.checker.credentials.still_stands(&holder.verified) {
                return Ok(self.pass(holder, token, &asked));
            }
            let now = self.checker.clock.now();
            let again = self.checker.credentials.again(&holder.verified, now).await;
            holder.verified = again.map_err(|why: Denied| refuse(why.into()))?;
        }
        Err(Refused::of(&holder, NotIssued::Unsettled.into()))
    }

    /// The same; `None` where memory does not tell, and no use was counted then. What was spent by
    /// then, `standing` says to [`Self::verify`].
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn verify_at_once(
        &self,
        presented: &Presented<'_>,
        asked: Asked<'_>,
        standing: &mut Option<Standing>,
    ) -> Result<Option<Passed>, Refused> {
        let known = self.checker.holder_at_once(presented, asked.expected())?;
        let Some(holder) = known else {
            return Ok(None);
        };
        let Some(target) = self.require_passable(&holder, &asked, standing)? else {
            return Ok(Some(Passed {
                holder,
                token: None,
            }));
        };
        if !asked.exchange {
            return Ok(Some(self.pass(holder, None, &asked)));
        }
        let purpose = purpose(&holder, target);
        let known = self.held.at_once(&self.mint, &holder.verified, &purpose);
        Ok(known.map(|token| self.pass(holder, Some(token), &asked)))
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

    /// Requires that a holder may go through. Of an API key this tells the resource that it is used
    /// for: one that it could get no token for it is not let through to either, because the key
    /// itself must not be worth more than its tokens.
    fn require_passable<'a>(
        &'a self,
        holder: &'a Holder,
        asked: &Asked<'a>,
        standing: &mut Option<Standing>,
    ) -> Result<Option<&'a Resource>, Refused> {
        holder.require_address(asked.address)?;
        // Also where it is to be exchanged here: its client sends what lives long all the same.
        self.checker.require_direct(holder)?;
        if holder.token.is_some() {
            holder.require_scopes(asked.required)?;
            return Ok(None);
        }
        let refuse = |why: NotIssued| Refused::of(holder, why.into());
        let spent = self.mint.spend(holder.credential(), standing);
        spent.map_err(refuse)?;
        holder.require_scopes(asked.required)?;
        let policy = holder.credential().policy.as_deref();
        let allowed = policy.and_then(Effective::allowed_audiences);
        let target = self.checker.audiences.select_one(asked.audience, allowed);
        match target {
            Ok(target) => Ok(Some(target)),
            Err(why) => Err(refuse(NotIssued::Target(why))),
        }
    }

    /// Lets the holder of an API key through, and counts that.
    fn pass(&self, holder: Holder, token: Option<Arc<str>>, asked: &Asked<'_>) -> Passed {
        let (address, user_agent) = (asked.address, asked.user_agent);
        self.checker
            .count_use(Outcome::Direct, &holder, address, user_agent);
        Passed { holder, token }
    }
}

impl<'a> Asked<'a> {
    fn expected(&self) -> Expected<'a> {
        Expected {
            organization: None,
            issuer: None,
            audience: self.audience,
        }
    }
}

/// What a token of everything the key holds is for, the same one until shortly before it ends.
fn purpose(holder: &Holder, resource: &Resource) -> Purpose {
    let credential = holder.credential();
    let policy = credential.policy.as_deref();
    let own_issuer = policy.is_some_and(Effective::own_issuer_only);
    Purpose {
        key: credential.key.id,
        issuer: if own_issuer {
            Issuer::Organization(credential.key.organization.clone())
        } else {
            Issuer::Deployment
        },
        resource: resource.clone(),
    }
}
