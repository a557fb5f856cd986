//! The holder of a credential: what it may at this moment.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use super::{Refusal, Refused, Token};
use crate::credentials::{Credential, Verified};
use crate::domain::api_key::KeyInUse;
use crate::domain::network::NetworkSet;
use crate::domain::scope::ScopeSet;
use crate::domain::timestamp::Timestamp;

/// Whoever holds a credential in force: an API key, or a token that stands for one.
///
/// A token's holder may what both the token says and the key permits by now: whoever narrows a
/// key narrows the tokens that are out.
#[derive(Clone, Debug)]
pub struct Holder {
    /// The key in its present state.
    pub verified: Verified,
    /// The token, unless the key itself was presented.
    pub token: Option<Arc<Token>>,
}

impl Holder {
    /// The key.
    #[must_use]
    pub fn key(&self) -> &KeyInUse {
        &self.verified.credential.key
    }

    /// The key, as it is cached.
    #[must_use]
    pub fn credential(&self) -> &Credential {
        &self.verified.credential
    }

    /// Requires an address within the networks; an unknown one is in none.
    ///
    /// # Errors
    /// [`Refusal::NetworkDenied`].
    pub fn require_address(&self, address: Option<IpAddr>) -> Result<(), Refused> {
        let claim = self.token.as_ref();
        let claim = claim.and_then(|token| token.claims.allowed_ip_cidrs.as_ref());
        let lies_within = |ip: IpAddr| {
            self.key().networks.contains(ip) && claim.is_none_or(|networks| networks.contains(ip))
        };
        if address.is_some_and(lies_within) {
            return Ok(());
        }
        Err(self.refuse(Refusal::NetworkDenied { ip: address }))
    }

    /// Requires every one of these scopes.
    ///
    /// # Errors
    /// [`Refusal::ScopeBeyond`].
    pub fn require_scopes(&self, required: &ScopeSet) -> Result<(), Refused> {
        let of_token = self.token.as_ref().map(|token| &token.scopes);
        let beyond = self.key().effective.uncovered(required);
        match beyond.or_else(|| of_token.and_then(|scopes| scopes.uncovered(required))) {
            None => Ok(()),
            Some(scope) => Err(self.refuse(Refusal::ScopeBeyond {
                scope: scope.clone(),
            })),
        }
    }

    /// Its scopes, separated by single spaces: of a token what its key covers by now.
    #[must_use]
    pub fn scope(&self) -> Cow<'_, str> {
        let held = &self.key().effective;
        match self.token.as_deref() {
            None => Cow::Borrowed(self.credential().scope()),
            Some(token)
                if *token.claims.scope == *held.as_parameter()
                    || held.uncovered(&token.scopes).is_none() =>
            {
                Cow::Borrowed(&token.claims.scope)
            }
            Some(token) => Cow::Owned(token.scopes.meet(&held.to_set()).to_parameter()),
        }
    }

    /// The networks it may be used from; `None` when there are none left in which both the token
    /// and its key say so.
    #[must_use]
    pub fn networks(&self) -> Option<Cow<'_, NetworkSet>> {
        let own = &self.key().networks;
        let claim = self.token.as_deref();
        match claim.and_then(|token| token.claims.allowed_ip_cidrs.as_ref()) {
            Some(claim) if claim != own => claim.meet(own).map(Cow::Owned),
            _ => Some(Cow::Borrowed(own)),
        }
    }

    /// When the credential ends, if it does: a secret that a rotation replaced before its key.
    #[must_use]
    pub fn ends_at(&self) -> Option<Timestamp> {
        let credential = self.credential();
        let end = match &self.token {
            Some(token) => Some(token.claims.exp),
            None => credential.end_of(self.verified.which),
        };
        end.into_iter().chain(credential.key.expires_at).min()
    }

    /// When it was issued: the token, or the secret.
    #[must_use]
    pub fn issued_at(&self) -> Timestamp {
        match &self.token {
            Some(token) => token.claims.iat,
            None => self.credential().made_at(self.verified.which),
        }
    }

    /// A refusal, with the key if that was presented itself.
    pub(super) fn refuse(&self, refusal: Refusal) -> Refused {
        let itself = self.token.is_none();
        Refused {
            refusal,
            key: itself.then(|| Arc::clone(&self.verified.credential)),
        }
    }
}
