//! What a verified token says.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::crypto::jose::revocations::Aliases;
use crate::domain::claims::PresentedClaims;
use crate::domain::network::NetworkSet;
use crate::domain::scope::{Scope, ScopeSet};
use crate::domain::signing_key::Kid;
use crate::domain::timestamp::Timestamp;

use super::refused::{Cause, Challenge, Refused};

/// A token that was checked. Cheap to clone. In axum it is an extractor, behind
/// [`VerifierLayer`](super::VerifierLayer).
#[derive(Clone)]
pub struct Verified(Arc<Facts>);

struct Facts {
    presented: PresentedClaims,
    scopes: ScopeSet,
    networks: Networks,
    not_before: Option<i64>,
    kid: Kid,
    /// Once they were needed.
    aliases: OnceLock<Aliases>,
    all: Map<String, Value>,
    challenge: Arc<Challenge>,
}

/// Where a token may be used from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Networks {
    /// The claim is absent.
    Anywhere,
    /// From these networks alone.
    Within(NetworkSet),
    /// The claim is there and cannot be made out: empty, of another type, with an entry that is
    /// no network. Whoever wrote it meant to confine the token.
    Nowhere,
}

impl Verified {
    /// From the claims of a signed token; `None` when they are not those of an access token.
    pub(super) fn read(
        mut all: Map<String, Value>,
        kid: Kid,
        challenge: &Arc<Challenge>,
    ) -> Option<Self> {
        // Apart from the others: a list that cannot be made out is one that allows nobody, which
        // is for whoever checks networks to say.
        let confined = all.remove_entry("allowed_ip_cidrs");
        let claims = Value::Object(all);
        let presented = PresentedClaims::deserialize(&claims).ok()?;
        let Value::Object(mut all) = claims else {
            return None;
        };
        all.extend(confined);
        let not_before = match all.get("nbf") {
            None => None,
            Some(nbf) => Some(nbf.as_i64()?),
        };
        // A scope that this verifier does not know the grammar of grants nothing; the others do.
        let known = presented.scope.split(' ').filter_map(|s| s.parse().ok());
        let scopes = ScopeSet::new(known).ok()?;
        Some(Self(Arc::new(Facts {
            scopes,
            networks: Networks::read(all.get("allowed_ip_cidrs")),
            not_before,
            kid,
            aliases: OnceLock::new(),
            presented,
            all,
            challenge: Arc::clone(challenge),
        })))
    }

    /// Refuses what the token's scopes do not cover, such as `read:projects/42`.
    ///
    /// # Errors
    /// [`Cause::Scope`]; [`Cause::ScopeText`] when what is needed is not a scope, as happens when
    /// it is put together from a path that a stranger wrote.
    pub fn require(&self, scope: &str) -> Result<(), Refused> {
        match scope.parse() {
            Ok(scope) => self.require_scope(&scope),
            Err(why) => Err(self.refused(Cause::ScopeText(why))),
        }
    }

    /// The same for a scope already read.
    ///
    /// # Errors
    /// [`Cause::Scope`].
    pub fn require_scope(&self, scope: &Scope) -> Result<(), Refused> {
        if self.0.scopes.covers(scope) {
            Ok(())
        } else {
            Err(self.refused(Cause::Scope(scope.clone())))
        }
    }

    /// What it may be used for.
    #[must_use]
    pub fn scopes(&self) -> &ScopeSet {
        &self.0.scopes
    }

    /// The API key it was issued to: `client_id`, and `sub`.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.0.presented.client_id
    }

    /// The organization of that key: `org`.
    #[must_use]
    pub fn organization(&self) -> &str {
        &self.0.presented.org
    }

    /// The token's own id: `jti`.
    #[must_use]
    pub fn token_id(&self) -> &str {
        &self.0.presented.jti
    }

    /// The key that signed it.
    #[must_use]
    pub fn signing_key(&self) -> &Kid {
        &self.0.kid
    }

    /// When it was issued.
    #[must_use]
    pub fn issued_at(&self) -> Timestamp {
        self.0.presented.iat
    }

    /// When it ends.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.0.presented.exp
    }

    /// Whether it may be used from this address, which [`Verifier::verify`](super::Verifier::verify)
    /// has seen to already.
    #[must_use]
    pub fn allows_address(&self, ip: IpAddr) -> bool {
        match &self.0.networks {
            Networks::Anywhere => true,
            Networks::Within(networks) => networks.contains(ip),
            Networks::Nowhere => false,
        }
    }

    /// The platform's own name for whom the key belongs to, when the token carries it:
    /// `external_id`.
    #[must_use]
    pub fn external_id(&self) -> Option<&str> {
        self.claim("external_id")?.as_str()
    }

    /// The key's metadata, when the token carries them: `metadata`.
    #[must_use]
    pub fn metadata(&self) -> Option<&Map<String, Value>> {
        self.claim("metadata")?.as_object()
    }

    /// Any claim by name.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.0.all.get(name)
    }

    /// What a revocation feed calls it.
    pub(super) fn aliases(&self) -> &Aliases {
        self.0.aliases.get_or_init(|| {
            let (key, organization) = (self.key_id(), self.organization());
            Aliases::of(
                key,
                organization,
                self.signing_key().as_str(),
                self.token_id(),
            )
        })
    }

    pub(super) fn presented(&self) -> &PresentedClaims {
        &self.0.presented
    }

    pub(super) fn networks(&self) -> &Networks {
        &self.0.networks
    }

    /// `nbf`, Unix seconds.
    pub(super) fn not_before(&self) -> Option<i64> {
        self.0.not_before
    }

    fn refused(&self, cause: Cause) -> Refused {
        Refused::new(cause, &self.0.challenge)
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("key_id", &self.key_id())
            .field("organization", &self.organization())
            .field("token_id", &self.token_id())
            .field("scopes", &self.0.presented.scope)
            .finish_non_exhaustive()
    }
}

impl Networks {
    fn read(claim: Option<&Value>) -> Self {
        match claim {
            None => Self::Anywhere,
            Some(claim) => NetworkSet::deserialize(claim).map_or(Self::Nowhere, Self::Within),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_network_claim_that_cannot_be_made_out_allows_nobody() {
        assert_eq!(Networks::read(None), Networks::Anywhere);
        for claim in [
            json!(null),
            json!([]),
            json!({}),
            json!(""),
            json!("203.0.113.0/24"),
            json!(true),
            json!([null]),
            json!([1]),
            json!([["203.0.113.0/24"]]),
            json!(["203.0.113.0/33"]),
            json!(["203.0.113.0/24", "nonsense"]),
            json!(["203.0.113.1/24"]),
            json!(["fe80::1%eth0"]),
        ] {
            assert_eq!(Networks::read(Some(&claim)), Networks::Nowhere, "{claim}");
        }
        let claim = json!(["203.0.113.0/24", "::1"]);
        assert!(matches!(Networks::read(Some(&claim)), Networks::Within(_)));
    }
}
