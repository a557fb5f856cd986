//! Who calls the management plane: a key, presented itself or by a token, in its present
//! state, from its networks.

use std::net::IpAddr;

use super::Management;
use super::authority::Authority;
use super::refusal::Refusal;
use crate::credentials::explain::network_advice;
use crate::credentials::{Denied, Rejected};
use crate::crypto::jose::trust::{self, Expected, TokenError};
use crate::domain::claims::PresentedClaims;
use crate::domain::issuer::Issuer;
use crate::domain::management::ManagementAction;
use crate::domain::organization::OrganizationId;
use crate::domain::scope::ScopeSet;
use crate::domain::secret::{ApiKeySecret, KeyId};
use crate::domain::text::ActingFor;
use crate::domain::usage::Outcome;
use crate::usage::{Explanation, Use};

/// What was presented as Bearer credential (RFC 6750 §2.1).
#[derive(Debug)]
pub enum Presented<'a> {
    /// An API key.
    Key(ApiKeySecret),
    /// Anything else is taken for a token.
    Token(&'a str),
}

/// What stood for a key when it called. Acts look whether it still does.
#[derive(Clone, Debug)]
pub enum Proof {
    /// The secret of this fingerprint.
    Secret(String),
    /// The token of this `jti`.
    Token(String),
}

/// Whoever is behind a request, or on the command line.
#[derive(Clone, Debug)]
pub enum Actor {
    /// A key.
    Key(Box<Caller>),
    /// Somebody at the machine itself.
    CommandLine,
    /// tenmint by itself, as time passes.
    System,
}

/// A key that called.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The key.
    pub key: KeyId,
    /// Its organization.
    pub organization: OrganizationId,
    /// From where.
    pub address: IpAddr,
    /// Under which request id.
    pub request_id: String,
    /// Which of its own users it calls for, if it said.
    pub acting_for: Option<ActingFor>,
    /// What stood for the key.
    pub proof: Proof,
    /// The scopes of the token, when one was presented.
    pub token: Option<ScopeSet>,
    /// What it could do when it called. Acts ask again.
    pub authority: Authority,
}

impl Management {
    /// Finds out who calls. Tokens are verified in process, audience included; whichever was
    /// presented, the key's present state, scopes and networks decide.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn caller(
        &self,
        presented: Presented<'_>,
        address: Option<IpAddr>,
        user_agent: Option<&[u8]>,
        request_id: String,
    ) -> Result<Caller, Refusal> {
        let now = self.clock.now();
        let (verified, token, proof) = match presented {
            Presented::Key(secret) => {
                let outcome = self.credentials.authenticate(secret, now).await;
                let verified =
                    outcome.map_err(|rejected| self.reject(rejected, address, &request_id))?;
                let fingerprint = verified.credential.fingerprint(verified.which);
                let proof = Proof::Secret(fingerprint.to_owned());
                (verified, None, proof)
            }
            Presented::Token(token) => {
                let claims = self.read_token(token).await?;
                let malformed = || Refusal::Token(TokenError::Malformed);
                let key = claims.client_id.parse().map_err(|_| malformed())?;
                let scopes = ScopeSet::parse_parameter(&claims.scope).map_err(|_| malformed())?;
                if self.credentials.denials.is_denied(&claims.jti, now).await? {
                    return Err(Refusal::TokenDenied);
                }
                let verified = self.credentials.of_token(key, now).await?;
                if *verified.credential.key.organization.as_str() != *claims.org {
                    return Err(Refusal::Token(TokenError::Issuer));
                }
                (verified, Some(scopes), Proof::Token(claims.jti))
            }
        };
        let key = &verified.credential.key;
        let Some(address) = address.filter(|ip| key.networks.contains(*ip)) else {
            if token.is_none() {
                let whose = Some((key.id, &key.organization));
                self.usage
                    .refused(Outcome::NetworkDenied, whose, || Explanation {
                        request_id,
                        detail: network_advice(address),
                        address,
                    });
            }
            return Err(Refusal::NetworkDenied { ip: address });
        };
        if token.is_none() {
            let direct = Use {
                key: key.id,
                organization: &key.organization,
                fingerprint: verified.credential.fingerprint(verified.which),
                address: Some(address),
                user_agent,
                scope: None,
            };
            self.usage.used(Outcome::Managed, direct);
        }
        Ok(Caller {
            key: key.id,
            organization: key.organization.clone(),
            address,
            request_id,
            acting_for: None,
            proof,
            authority: Authority::of(
                &key.effective.to_set(),
                &key.networks,
                key.expires_at,
                token.clone(),
            ),
            token,
        })
    }

    /// Counts the refusal of a key that was presented itself, as the exchange does.
    fn reject(&self, rejected: Rejected, address: Option<IpAddr>, request_id: &str) -> Denied {
        let Rejected { why, credential } = rejected;
        let key = credential.as_ref().map(|credential| &credential.key);
        let whose = key.map(|key| (key.id, &key.organization));
        self.usage.refused(why.outcome(), whose, || Explanation {
            request_id: request_id.to_owned(),
            detail: why.advice().to_owned(),
            address,
        });
        why
    }

    async fn read_token(&self, token: &str) -> Result<PresentedClaims, Refusal> {
        let issuer = Issuer::Deployment;
        let identity = self.issuers.of(&issuer.signing_organization()).await?;
        let identity = identity.ok_or(Refusal::Token(TokenError::Signature))?;
        let expected = Expected {
            issuer: &issuer.name(&self.base),
            audience: self.audiences.management(),
            now: self.clock.now(),
        };
        trust::verify(token, &identity.trusted, expected).map_err(Refusal::Token)
    }
}

impl Actor {
    /// Requires, before anything is looked at, that the caller holds an action's scope.
    ///
    /// # Errors
    /// [`Refusal::Lacks`].
    pub fn require(&self, action: ManagementAction) -> Result<(), Refusal> {
        match self {
            Self::Key(caller) => caller.authority.require(action),
            Self::CommandLine | Self::System => Ok(()),
        }
    }

    /// Requires the operator: what is asked for concerns organizations as such.
    ///
    /// # Errors
    /// [`Refusal::OperatorOnly`].
    pub fn require_operator(&self) -> Result<(), Refusal> {
        match self {
            Self::Key(caller) if !caller.organization.is_operator() => Err(Refusal::OperatorOnly),
            _ => Ok(()),
        }
    }
}
