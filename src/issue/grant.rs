//! What a key is granted of what is asked for.

use super::{AskedScope, Exchange, Mint, Refusal};
use crate::credentials::limits::Standing;
use crate::credentials::{Credential, Verified};
use crate::domain::audience::Audience;
use crate::domain::issuer::Issuer;
use crate::domain::policy::Effective;

/// What a token is to say beside who holds it.
pub(super) struct Grant {
    pub(super) audience: Audience,
    /// Space-separated.
    pub(super) scope: String,
}

impl Mint {
    /// What a key is granted of what is asked for.
    pub(super) fn grant(
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
