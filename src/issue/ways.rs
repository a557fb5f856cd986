//! The two ways of an exchange: at once, where memory tells all that it takes, and patiently.

use super::grant::Grant;
use super::refusal::RefusedTo;
use super::{Exchange, Issued, Mint, Refusal};
use crate::credentials::Verified;
use crate::credentials::issuers::Identity;
use crate::credentials::limits::Standing;
use crate::domain::issuer::Issuer;
use crate::domain::secret::PresentedSecret;

/// How often an exchange begins again because its key changed under it, before it gives up.
const ATTEMPTS: usize = 3;

impl Mint {
    /// Exchanges it if memory tells enough; `None` otherwise, and no use was counted then. What was
    /// spent, `standing` says to whoever tries again.
    pub(super) fn exchange_at_once(
        &self,
        secret: Option<&PresentedSecret>,
        asked: &Exchange<'_>,
        standing: &mut Option<Standing>,
    ) -> Result<Option<Issued>, RefusedTo> {
        let secret = match secret {
            Some(PresentedSecret::Own(own)) => own,
            Some(PresentedSecret::Foreign(_)) => return Ok(None),
            None => return Err(RefusedTo::nobody()),
        };
        let now = self.clock.now();
        let known = self.credentials.authenticate_at_once(secret, now);
        let known = known.map_err(|why| RefusedTo::not_proven(Some(secret.id()), why))?;
        let Some(verified) = known else {
            return Ok(None);
        };
        let refuse = |why| RefusedTo::to(&verified, why);
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

    /// Exchanges it, and waits for what it takes.
    pub(super) async fn exchange_patiently(
        &self,
        secret: Option<PresentedSecret>,
        asked: &Exchange<'_>,
        standing: &mut Option<Standing>,
    ) -> Result<Issued, RefusedTo> {
        let secret = secret.ok_or_else(RefusedTo::nobody)?;
        let named = secret.id();
        let outcome = self.credentials.authenticate(secret, self.clock.now());
        let outcome = outcome.await;
        let mut verified = outcome.map_err(|why| RefusedTo::not_proven(named, why))?;
        let issued = self.issue_what_stands(asked, &mut verified, standing).await;
        let issued = issued.map_err(|why| RefusedTo::to(&verified, why))?;
        self.count_issued(asked, &verified, &issued);
        Ok(issued)
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
}
