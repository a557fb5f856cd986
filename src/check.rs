//! Who is this credential, and what may it? The one decision behind introspection and gateways.

mod at_once;
mod holder;
pub mod introspection;
mod refusal;
mod tokens;

use std::net::IpAddr;
use std::sync::Arc;

use crate::clock::Clock;
use crate::credentials::issuers::Issuers;
use crate::credentials::{Credential, Credentials, Verified};
use crate::crypto::jose::trust::TokenError;
use crate::domain::audience::{Audiences, Resource};
use crate::domain::issuer::{BaseUrl, Issuer};
use crate::domain::organization::OrganizationId;
use crate::domain::policy::Effective;
use crate::domain::secret::{ApiKeySecret, ForeignSecret, PresentedSecret};
use crate::domain::usage::Outcome;
use crate::usage::{Explanation, Usage, Use};

pub use holder::Holder;
pub use refusal::{Refusal, Refused, Trouble};
pub use tokens::{Token, Tokens};

/// How often a decision begins again because its key changed under it, before it gives up.
const ATTEMPTS: usize = 3;

/// Tells who holds a credential that a service was shown, and what it may at this moment.
pub struct Checker {
    /// Who is who.
    pub credentials: Arc<Credentials>,
    /// Whose signatures count.
    pub issuers: Arc<Issuers>,
    /// What keys are used for.
    pub usage: Arc<Usage>,
    /// What tokens are for.
    pub audiences: Audiences,
    /// Where this deployment is.
    pub base: BaseUrl,
    /// What time it is.
    pub clock: Clock,
    /// Which tokens were found genuine before.
    pub tokens: Tokens,
}

/// What a service was shown.
#[derive(Debug)]
pub enum Presented<'a> {
    /// An API key.
    Key(ApiKeySecret),
    /// What may be an API key that another system gave out.
    Foreign(ForeignSecret),
    /// Anything else is taken for an access token.
    Token(&'a str),
}

/// What a credential must be to count where it was shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected<'a> {
    /// Whose it must be; anybody's if not said.
    pub organization: Option<&'a OrganizationId>,
    /// Whose tokens count; those of every issuer of this deployment if not said.
    pub issuer: Option<&'a Issuer>,
    /// What a token must be for; any of the platform's resources if not said.
    pub audience: Option<&'a Resource>,
}

impl Expected<'_> {
    /// The holder of a key whose secret was proven, if it is a key that counts.
    fn key(&self, verified: Verified) -> Result<Holder, Refused> {
        let holder = Holder {
            verified,
            token: None,
        };
        match self.organization {
            Some(one) if *one != holder.key().organization => {
                Err(holder.refuse(Refusal::OtherOrganization))
            }
            _ => Ok(holder),
        }
    }
}

impl<'a> Presented<'a> {
    /// What this text is.
    #[must_use]
    pub fn read(text: &'a str) -> Self {
        match ApiKeySecret::parse(text) {
            Ok(secret) => Self::Key(secret),
            Err(_) => match ForeignSecret::parse(text) {
                Ok(foreign) => Self::Foreign(foreign),
                Err(_) => Self::Token(text),
            },
        }
    }
}

impl Checker {
    /// Who holds a credential, if it is one and in force. The order is that of the exchange:
    /// secret or signature, state, whose it is. Address and scopes are the holder's to be asked.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn holder(
        &self,
        presented: Presented<'_>,
        expected: Expected<'_>,
    ) -> Result<Holder, Refused> {
        match self.holder_at_once(&presented, expected)? {
            Some(holder) => Ok(holder),
            // Boxed: every request would carry room for it otherwise.
            None => Box::pin(self.find_holder(presented, expected)).await,
        }
    }

    async fn find_holder(
        &self,
        presented: Presented<'_>,
        expected: Expected<'_>,
    ) -> Result<Holder, Refused> {
        match presented {
            Presented::Key(secret) => self.holder_of_key(secret.into(), expected).await,
            Presented::Foreign(secret) => {
                let known = self.credentials.is_imported(&secret).await;
                if !known.map_err(Refusal::Key)? {
                    return Err(Refusal::Token(TokenError::Malformed).into());
                }
                self.holder_of_key(secret.into(), expected).await
            }
            Presented::Token(text) => self
                .holder_of_token(text, expected)
                .await
                .map_err(Refused::from),
        }
    }

    async fn holder_of_key(
        &self,
        secret: PresentedSecret,
        expected: Expected<'_>,
    ) -> Result<Holder, Refused> {
        let named = secret.id();
        let outcome = self.credentials.authenticate(secret, self.clock.now());
        let outcome = outcome.await.map_err(|why| Refused::not_proven(named, why));
        let mut holder = expected.key(outcome?)?;
        for _ in 0..ATTEMPTS {
            // A first use waits for its turn, and a revocation may have been answered meanwhile.
            let now = self.clock.now();
            let verified = &holder.verified;
            let in_force = verified.require_in_force(now);
            in_force.map_err(|why| holder.refuse(Refusal::Key(why)))?;
            if self.credentials.still_stands(verified) {
                return Ok(holder);
            }
            let again = self.credentials.again(verified, now).await;
            holder.verified = again.map_err(|why| holder.refuse(Refusal::Key(why)))?;
        }
        Err(holder.refuse(Refusal::Unsettled))
    }

    async fn holder_of_token(&self, text: &str, expected: Expected<'_>) -> Result<Holder, Refusal> {
        let token = self.token(text, expected.issuer).await?;
        self.require_expected(&token, expected)?;
        for _ in 0..ATTEMPTS {
            let now = self.clock.now();
            let outcome = self.credentials.of_token(token.key, now).await;
            let verified = outcome.map_err(Refusal::KeyOfToken)?;
            token.require_key_of_its_organization(&verified)?;
            let denials = &self.credentials.denials;
            let denied = denials.is_denied(&token.claims.jti, now).await;
            if denied.map_err(|error| Refusal::KeyOfToken(error.into()))? {
                return Err(Refusal::TokenDenied);
            }
            if self.credentials.still_stands(&verified) {
                return Ok(Holder {
                    verified,
                    token: Some(token),
                });
            }
        }
        Err(Refusal::Unsettled)
    }

    /// Requires of a key that was presented itself that it may be: one that is to be exchanged is
    /// worth nothing where services are shown it.
    ///
    /// # Errors
    /// [`Refusal::ExchangeOnly`].
    pub fn require_direct(&self, holder: &Holder) -> Result<(), Refused> {
        let credential = holder.credential();
        if holder.token.is_some() || !credential.exchange_only() {
            return Ok(());
        }
        let policy = credential.policy.as_deref();
        let issuer = if policy.is_some_and(Effective::own_issuer_only) {
            Issuer::Organization(credential.key.organization.clone())
        } else {
            Issuer::Deployment
        };
        let endpoint = format!("{}/oauth/token", issuer.name(&self.base));
        Err(holder.refuse(Refusal::ExchangeOnly { endpoint }))
    }

    /// Counts a refusal of a key, or of a stranger, and keeps why. Of tokens nothing is counted:
    /// they are no use of their key.
    pub fn count_refusal(
        &self,
        outcome: Option<Outcome>,
        key: Option<&Credential>,
        why: impl FnOnce() -> Explanation,
    ) {
        let key = key.map(|credential| &credential.key);
        let whose = key.map(|key| (key.id, &key.organization));
        if let Some(outcome) = outcome {
            self.usage.refused(outcome, whose, why);
        }
    }

    /// Counts that a key was presented itself, and good for what it was presented for.
    pub fn count_use(
        &self,
        outcome: Outcome,
        holder: &Holder,
        address: Option<IpAddr>,
        user_agent: Option<&[u8]>,
    ) {
        let credential = holder.credential();
        let of_key = Use {
            key: credential.key.id,
            organization: &credential.key.organization,
            fingerprint: credential.fingerprint(holder.verified.which),
            address,
            user_agent,
            scope: None,
        };
        self.usage.used(outcome, of_key);
    }
}
