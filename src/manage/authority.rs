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

    /// Of a key that has these scopes, networks and this end, within the token it is represented by.
    #[must_use]
    pub fn of(
        effective: &ScopeSet,
        networks: &NetworkSet,
        expires_at: Option<Timestamp>,
        token: Option<ScopeSet>,
    ) -> Self {
        Self(Some(Bounds {
            held: effective.clone(),
            token,
            networks: networks.clone(),
            expires_at,
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

    /// Requires that whatever `after` permits and `before` did not stays within it.
    ///
    /// A key permits its scopes, on its networks, until its end: who adds a scope adds it on all
    /// of the networks, and who adds a network adds all of the scopes there. Otherwise somebody
    /// who holds the secret of a weak key could move what is its own beyond its own bounds, and
    /// somebody who holds a strong one could lift the bounds that keep it where it is. A key that
    /// may be shown to services again is given all that it is: its string alone counts there.
    ///
    /// # Errors
    /// [`Refusal::Exceeds`] for what was added, [`Refusal::TargetExceeds`] for what it was added to.
    pub fn require_growth(&self, before: &ApiKey, after: &ApiKey) -> Result<(), Refusal> {
        let Some(bounds) = &self.0 else {
            return Ok(());
        };
        let added: Vec<_> = after
            .effective
            .iter()
            .filter(|scope| !before.effective.covers(scope))
            .collect();
        let (wider, longer) = (
            !before.networks.covers(&after.networks),
            outlives(after.expires_at, before.expires_at),
        );
        let direct = before.exchange_only && !after.exchange_only;
        if added.is_empty() && !wider && !longer && !direct {
            return Ok(());
        }
        let beyond = added.into_iter().find(|scope| !self.covers(scope));
        if let Some(scope) = beyond {
            return Err(Refusal::Exceeds(Excess::Scope(scope.clone())));
        }
        let any_network = self.covers(&ManagementAction::ApiKeysAnyNetwork.scope());
        if wider
            && !any_network
            && !bounds
                .networks
                .covers_with(&before.networks, &after.networks)
        {
            return Err(Refusal::Exceeds(Excess::Networks));
        }
        if let Some(own_end) = bounds.expires_at
            && longer
            && outlives(after.expires_at, Some(own_end))
        {
            return Err(Refusal::Exceeds(Excess::Lifetime(own_end)));
        }
        // What grew in one way reaches as far as the key does in the others.
        let in_other_ways = |excess: &Excess| match excess {
            Excess::Scope(_) => wider || longer || direct,
            Excess::Networks | Excess::Lifetime(_) => true,
        };
        self.excesses(&after.effective, &after.networks, after.expires_at)
            .find(in_other_ways)
            .map_or(Ok(()), |excess| Err(Refusal::TargetExceeds(excess)))
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
        self.excesses(scopes, networks, expires_at).next()
    }

    /// In which ways a grant goes beyond it.
    fn excesses(
        &self,
        scopes: &ScopeSet,
        networks: &NetworkSet,
        expires_at: Option<Timestamp>,
    ) -> impl Iterator<Item = Excess> {
        let bounds = self.0.as_ref();
        let scope = scopes.iter().find(|scope| !self.covers(scope));
        let wider = bounds.is_some_and(|bounds| {
            !bounds.networks.covers(networks)
                && !self.covers(&ManagementAction::ApiKeysAnyNetwork.scope())
        });
        let own_end = bounds.and_then(|bounds| bounds.expires_at);
        let longer = own_end.filter(|own_end| outlives(expires_at, Some(*own_end)));
        let scope = scope.map(|scope| Excess::Scope(scope.clone()));
        scope
            .into_iter()
            .chain(wider.then_some(Excess::Networks))
            .chain(longer.map(Excess::Lifetime))
    }
}

/// Whether one end comes after another; none never comes.
fn outlives(end: Option<Timestamp>, other: Option<Timestamp>) -> bool {
    other.is_some_and(|other| end.is_none_or(|end| end > other))
}
