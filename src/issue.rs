//! THE use case: a credential, scopes and an address in; a signed token or a refusal out.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::credentials::issuers::{Identity, IssuerError, Issuers};
use crate::credentials::{Credentials, Denied, Verified};
use crate::crypto::random;
use crate::domain::api_key::Status;
use crate::domain::audience::{Audiences, TargetError};
use crate::domain::claims::{Claims, MAX_TOKEN};
use crate::domain::issuer::{BaseUrl, Issuer};
use crate::domain::scope::{Scope, ScopeError, ScopeSet};
use crate::domain::secret::{ApiKeySecret, KeyId};

/// How often an exchange begins again because its key changed under it, before it gives up.
const ATTEMPTS: usize = 3;

/// Issues access tokens.
pub struct Mint {
    /// Who is who.
    pub credentials: Arc<Credentials>,
    /// Who signs.
    pub issuers: Arc<Issuers>,
    /// What tokens are for.
    pub audiences: Audiences,
    /// Where this deployment is.
    pub base: BaseUrl,
    /// How long a token lives, whole seconds.
    pub lifetime: Duration,
    /// What time it is.
    pub clock: Clock,
}

/// A token request, as it was parsed.
#[derive(Debug)]
pub struct Exchange<'a> {
    /// Which issuer was asked.
    pub issuer: &'a Issuer,
    /// The API key presented.
    pub secret: ApiKeySecret,
    /// Which scopes.
    pub scope: AskedScope,
    /// The `resource` parameters (RFC 8707 §2), as written.
    pub resources: Vec<&'a str>,
    /// Where the request comes from; `None` when a trusted proxy's header did not say.
    pub address: Option<IpAddr>,
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

/// Why no token was issued.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The client is not who it says, or no longer anybody.
    #[error("{0}")]
    Client(Denied),
    /// The key belongs to an organization with an issuer of its own, not to this one.
    #[error("key of another organization")]
    OtherOrganization,
    /// The address is outside the key's networks, or unknown.
    #[error("address {} is outside the key's networks", .ip.map_or_else(|| "unknown".to_owned(), |ip| ip.to_string()))]
    NetworkDenied {
        /// The address, if one could be made out.
        ip: Option<IpAddr>,
        /// Whose key it was.
        key: KeyId,
    },
    /// The `scope` parameter is not of the syntax.
    #[error("malformed scope: {0}")]
    MalformedScope(ScopeError),
    /// A scope is beyond the key.
    #[error("scope beyond the key")]
    ScopeBeyondKey {
        /// The first such scope.
        scope: Scope,
        /// Whose key it was.
        key: KeyId,
    },
    /// No token is issued for the resources asked for.
    #[error("{0}")]
    Target(TargetError),
    /// With everything asked for, the token would be too long to travel in a header.
    #[error("the token would be longer than {MAX_TOKEN} bytes")]
    TokenTooLong,
    /// The issuer has no signing key.
    #[error("this issuer has no signing key")]
    NoSigningKey,
    /// The key kept changing while it was used.
    #[error("the key kept changing while it was used")]
    Unsettled,
    /// The signing key could not be had.
    #[error("{0}")]
    Signing(IssuerError),
}

impl Mint {
    /// Exchanges an API key for an access token (RFC 6749 §4.4).
    ///
    /// The order is: secret, state, network, scope, target. What fails earlier tells nothing
    /// of what comes later.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn exchange(&self, asked: Exchange<'_>) -> Result<Issued, Refusal> {
        let Exchange {
            issuer,
            secret,
            scope,
            resources,
            address,
        } = asked;
        let mut verified = self
            .credentials
            .authenticate(secret, self.clock.now())
            .await
            .map_err(Refusal::Client)?;
        for _ in 0..ATTEMPTS {
            let issued = self
                .sign(issuer, &verified, &scope, &resources, address)
                .await?;
            // A revocation may have been answered while the signature was made: it wins.
            if self.credentials.still_stands(&verified) {
                return Ok(issued);
            }
            // The secret was proven; what changed is the key. A rotated-out secret must not
            // slip through here, so only a credential with the same hash carries on.
            verified = self
                .credentials
                .again(&verified, self.clock.now())
                .await
                .map_err(Refusal::Client)?;
        }
        Err(Refusal::Unsettled)
    }

    async fn sign(
        &self,
        issuer: &Issuer,
        verified: &Verified,
        scope: &AskedScope,
        resources: &[&str],
        address: Option<IpAddr>,
    ) -> Result<Issued, Refusal> {
        let credential = &*verified.credential;
        let key = &credential.key;
        if let Issuer::Organization(organization) = issuer
            && *organization != key.organization
        {
            return Err(Refusal::OtherOrganization);
        }
        if !address.is_some_and(|ip| key.networks.contains(ip)) {
            return Err(Refusal::NetworkDenied {
                ip: address,
                key: key.id,
            });
        }
        let scope = match scope {
            AskedScope::Everything => credential.claims.scope.clone(),
            AskedScope::Malformed(why) => return Err(Refusal::MalformedScope(why.clone())),
            AskedScope::These(asked) => match key.effective.uncovered(asked) {
                None => asked.to_parameter(),
                Some(beyond) => {
                    return Err(Refusal::ScopeBeyondKey {
                        scope: beyond.clone(),
                        key: key.id,
                    });
                }
            },
        };
        let management_here = *issuer == Issuer::Deployment;
        let audience = self
            .audiences
            .select(resources, management_here)
            .map_err(Refusal::Target)?;
        let identity = self.identity(issuer).await?;

        let now = self.clock.now();
        // A first use may have waited for its turn, and the key's end came meanwhile.
        let status = key.status(now);
        if status != Status::Active {
            return Err(Refusal::Client(Denied::Ended(status)));
        }
        let mut end = now.plus(self.lifetime);
        if let Some(key_end) = key.expires_at {
            end = end.min(key_end);
        }
        let token = identity.signer.sign(&Claims {
            iss: &issuer.name(&self.base),
            sub: &credential.claims.id,
            client_id: &credential.claims.id,
            aud: &audience,
            iat: now,
            nbf: now,
            exp: end,
            jti: &random::token_id(),
            scope: &scope,
            org: &key.organization,
            allowed_ip_cidrs: credential.claims.networks.as_deref(),
        });
        if token.len() > MAX_TOKEN {
            return Err(Refusal::TokenTooLong);
        }
        Ok(Issued {
            token,
            expires_in: end.seconds_since(now),
            scope,
            key: key.id,
        })
    }

    async fn identity(&self, issuer: &Issuer) -> Result<Arc<Identity>, Refusal> {
        self.issuers
            .of(&issuer.signing_organization())
            .await
            .map_err(Refusal::Signing)?
            .ok_or(Refusal::NoSigningKey)
    }
}
