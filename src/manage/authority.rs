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
            held: key.effective.clone(),
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

    /// Requires all that a key holds: for whatever gives the key, or its secret, to somebody.
    ///
    /// # Errors
    /// The first excess.
    pub fn require_whole(&self, key: &ApiKey) -> Result<(), Excess> {
        self.exceeded_by(&key.effective, &key.networks, key.expires_at)
            .map_or(Ok(()), Err)
    }

    /// Requires that whatever `after` has and `before` had not stays within it.
    ///
    /// # Errors
    /// [`Refusal::Exceeds`], naming the first excess.
    pub fn require_growth(&self, before: &ApiKey, after: &ApiKey) -> Result<(), Refusal> {
        let Some(bounds) = &self.0 else {
            return Ok(());
        };
        let added = |scope: &&Scope| !before.effective.covers(scope);
        if let Some(beyond) = after
            .effective
            .iter()
            .filter(added)
            .find(|scope| !self.covers(scope))
        {
            return Err(Refusal::Exceeds(Excess::Scope(beyond.clone())));
        }
        let covered = bounds
            .networks
            .covers_with(&before.networks, &after.networks);
        if !covered && !self.covers(&ManagementAction::ApiKeysAnyNetwork.scope()) {
            return Err(Refusal::Exceeds(Excess::Networks));
        }
        let longer = match (before.expires_at, after.expires_at) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(before), Some(after)) => after > before,
        };
        match bounds.expires_at {
            Some(own_end) if longer && after.expires_at.is_none_or(|end| end > own_end) => {
                Err(Refusal::Exceeds(Excess::Lifetime(own_end)))
            }
            _ => Ok(()),
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
        self.exceeded_by(scopes, networks, expires_at)
            .map_or(Ok(()), |excess| Err(Refusal::Exceeds(excess)))
    }

    fn exceeded_by(
        &self,
        scopes: &ScopeSet,
        networks: &NetworkSet,
        expires_at: Option<Timestamp>,
    ) -> Option<Excess> {
        let bounds = self.0.as_ref()?;
        if let Some(beyond) = scopes.iter().find(|scope| !self.covers(scope)) {
            return Some(Excess::Scope(beyond.clone()));
        }
        if !bounds.networks.covers(networks)
            && !self.covers(&ManagementAction::ApiKeysAnyNetwork.scope())
        {
            return Some(Excess::Networks);
        }
        match bounds.expires_at {
            Some(own_end) if expires_at.is_none_or(|end| end > own_end) => {
                Some(Excess::Lifetime(own_end))
            }
            _ => None,
        }
    }
}
