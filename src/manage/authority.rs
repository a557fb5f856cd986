//! Authority: what a caller may do, and therefore what it may give away.

use super::refusal::{Excess, Refusal};
use crate::domain::api_key::ApiKey;
use crate::domain::management::ManagementAction;
use crate::domain::network::NetworkSet;
use crate::domain::scope::{Scope, ScopeSet};
use crate::domain::timestamp::Timestamp;

/// What a caller may do at this moment.
#[derive(Clone, Debug)]
pub struct Authority(Option<Bounds>);

#[derive(Clone, Debug)]
struct Bounds {
    /// What the key holds now.
    held: ScopeSet,
    /// What the token says, when one was presented: authority is what both cover.
    token: Option<ScopeSet>,
    networks: NetworkSet,
    expires_at: Option<Timestamp>,
}

impl Authority {
    /// Of whoever sits at the machine itself: it has the root key and the database anyway.
    #[must_use]
    pub const fn unlimited() -> Self {
        Self(None)
    }

    /// Of a key as it is now, within the token it is represented by.
    #[must_use]
    pub fn of(key: &ApiKey, token: Option<ScopeSet>) -> Self {
        Self(Some(Bounds {
            held: key.scopes.clone(),
            token,
            networks: key.networks.clone(),
            expires_at: key.expires_at,
        }))
    }

    /// Whether it covers a scope.
    #[must_use]
    pub fn covers(&self, asked: &Scope) -> bool {
        self.0.as_ref().is_none_or(|bounds| {
            bounds.held.covers(asked)
                && bounds
                    .token
                    .as_ref()
                    .is_none_or(|token| token.covers(asked))
        })
    }

    /// When it ends, if it does.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.0.as_ref().and_then(|bounds| bounds.expires_at)
    }

    /// Requires an action.
    ///
    /// # Errors
    /// [`Refusal::Lacks`].
    pub fn require(&self, action: ManagementAction) -> Result<(), Refusal> {
        if self.covers(&action.scope()) {
            Ok(())
        } else {
            Err(Refusal::Lacks(action))
        }
    }

    /// Requires that a grant of scopes, networks and life stays within it.
    ///
    /// # Errors
    /// [`Refusal::Exceeds`], naming the first excess.
    pub fn require_grant(
        &self,
        scopes: &ScopeSet,
        networks: &NetworkSet,
        expires_at: Option<Timestamp>,
    ) -> Result<(), Refusal> {
        let Some(bounds) = &self.0 else {
            return Ok(());
        };
        if let Some(beyond) = scopes.iter().find(|scope| !self.covers(scope)) {
            return Err(Refusal::Exceeds(Excess::Scope(beyond.clone())));
        }
        if !bounds.networks.covers(networks)
            && !self.covers(&ManagementAction::ApiKeysAnyNetwork.scope())
        {
            return Err(Refusal::Exceeds(Excess::Networks));
        }
        match bounds.expires_at {
            Some(own_end) if expires_at.is_none_or(|end| end > own_end) => {
                Err(Refusal::Exceeds(Excess::Lifetime(own_end)))
            }
            _ => Ok(()),
        }
    }
}
