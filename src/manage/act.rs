//! An act of management: authority asked again inside the transaction, and what must follow
//! a commit.

use serde_json::Value;
use tracing::Instrument;

use super::Management;
use super::authority::Authority;
use super::caller::{Actor, Caller, Proof};
use super::refusal::{Kind, Refusal};
use crate::credentials::Denied;
use crate::crypto::random;
use crate::crypto::seal::Row;
use crate::domain::api_key::{Creator, Status};
use crate::domain::audit::OPERATOR;
use crate::domain::management::ManagementAction;
use crate::domain::organization::{Organization, OrganizationId};
use crate::domain::signing_key::Schedule;
use crate::domain::timestamp::Timestamp;
use crate::store::changes::Change;
use crate::store::error::StoreError;
use crate::store::write::{Event, Write};
use crate::telemetry::spans::inner_span;

/// An act under way. Dropped, it never happened.
pub(super) struct Act<'a> {
    pub(super) write: Write,
    pub(super) authority: Authority,
    pub(super) now: Timestamp,
    management: &'a Management,
    actor: &'a Actor,
}

/// What an act did: an audit action, its target, and what changed.
pub(super) struct Did {
    pub(super) action: &'static str,
    pub(super) target: String,
    pub(super) details: Value,
    pub(super) changes: Vec<Change>,
}

impl<'a> Act<'a> {
    /// Begins an act on an organization, which others on it then wait for. The actor's
    /// authority is read inside the transaction: a key revoked meanwhile does nothing more.
    pub(super) async fn begin(
        management: &'a Management,
        actor: &'a Actor,
        organization: &OrganizationId,
        action: ManagementAction,
    ) -> Result<Self, Refusal> {
        let write = management
            .store
            .begin(organization)
            .await?
            .ok_or(Refusal::NotFound(Kind::Organization))?;
        Self::with(management, actor, write, action).await
    }

    /// Begins the act that creates an organization.
    pub(super) async fn begin_new(
        management: &'a Management,
        actor: &'a Actor,
        new: &Organization,
    ) -> Result<Self, Refusal> {
        let write = management
            .store
            .begin_new(new)
            .await?
            .ok_or(Refusal::OrganizationExists)?;
        Self::with(
            management,
            actor,
            write,
            ManagementAction::OrganizationsWrite,
        )
        .await
    }

    /// Begins an act by which a key ends what is its own: itself, a secret, a token. No authority
    /// is asked, and none is given: whoever holds a credential may always end it.
    pub(super) async fn begin_for_self(
        management: &'a Management,
        actor: &'a Actor,
        caller: &Caller,
    ) -> Result<Self, Refusal> {
        let write = management
            .store
            .begin(&caller.organization)
            .await?
            .ok_or(Refusal::NotFound(Kind::Organization))?;
        Ok(Self {
            write,
            authority: caller.authority.clone(),
            now: management.clock.now(),
            management,
            actor,
        })
    }

    /// Begins the act by which an organization, also one that was deleted, goes over to another
    /// root key. Whoever holds the root keys needs no other authority.
    pub(super) async fn begin_for_root_key(
        management: &'a Management,
        actor: &'a Actor,
        organization: &OrganizationId,
    ) -> Result<Self, Refusal> {
        let write = management
            .store
            .begin_for_root_key(organization)
            .await?
            .ok_or(Refusal::NotFound(Kind::Organization))?;
        Ok(Self {
            write,
            authority: Authority::unlimited(),
            now: management.clock.now(),
            management,
            actor,
        })
    }

    async fn with(
        management: &'a Management,
        actor: &'a Actor,
        mut write: Write,
        action: ManagementAction,
    ) -> Result<Self, Refusal> {
        let now = management.clock.now();
        let authority = present_authority(&mut write, actor, now).await?;
        authority.require(action)?;
        Ok(Self {
            write,
            authority,
            now,
            management,
            actor,
        })
    }

    /// When signing keys are published, begin to sign, and go, as that is at this act.
    pub(super) async fn schedule(&mut self) -> Result<Schedule, StoreError> {
        let set = &self.management.configured;
        self.write.schedule(set, self.now).await
    }

    /// Who will have made what this act makes.
    pub(super) fn creator(&self) -> Creator {
        match self.actor {
            Actor::Key(caller) if caller.organization != self.write.organization().id => {
                Creator::Operator(caller.key)
            }
            Actor::Key(caller) => Creator::Key(caller.key),
            // Time makes no keys.
            Actor::CommandLine | Actor::System => Creator::CommandLine,
        }
    }

    /// Seals a signing key of the organization of this act, under the root key that it depends on:
    /// another may be current elsewhere, and only the organization's own is carried over.
    pub(super) fn seal(&self, private: &[u8], row: Row<'_>) -> Result<Vec<u8>, Refusal> {
        let crypto = &self.management.crypto;
        Ok(crypto.seal(self.write.root_key(), private, row)?)
    }

    /// Adds an audit entry for each of many targets of this act, before the one that it commits
    /// with.
    pub(super) async fn record(
        &mut self,
        action: &'static str,
        targets: impl Iterator<Item = (String, Value)>,
    ) -> Result<(), Refusal> {
        let events: Vec<_> = targets
            .map(|(target, details)| self.event(action, target, details))
            .collect();
        let chain = self.management.crypto.chain(self.write.root_key())?;
        Ok(self.write.record(events, &chain).await?)
    }

    /// Commits, and raises the generations before anybody is answered: also when the
    /// database did not say whether it committed, for then it may have.
    pub(super) async fn commit(self, did: Did) -> Result<(), Refusal> {
        let event = self.event(did.action, did.target, did.details);
        let chain = self.management.crypto.chain(self.write.root_key())?;
        let span = inner_span!("commit", tenmint.action = event.action);
        let commit = self.write.commit(event, &chain, &did.changes);
        let committed = commit.instrument(span).await;
        for change in &did.changes {
            self.management.generations.raise(change);
        }
        Ok(committed?)
    }

    /// What chains the audit entries of the organization of this act.
    pub(super) fn chain(&self) -> Result<ring::hmac::Key, Refusal> {
        Ok(self.management.crypto.chain(self.write.root_key())?)
    }

    fn event(&self, action: &'static str, target: String, details: Value) -> Event {
        let (actor, acting_for, address, request_id) = match self.actor {
            Actor::Key(caller) => (
                if caller.organization == self.write.organization().id {
                    caller.key.to_string()
                } else {
                    format!("{OPERATOR}{}", caller.key)
                },
                caller.acting_for.clone(),
                Some(caller.address),
                Some(caller.request_id.clone()),
            ),
            Actor::CommandLine => ("command line".to_owned(), None, None, None),
            Actor::System => ("tenmint".to_owned(), None, None, None),
        };
        Event {
            at: self.now,
            actor,
            acting_for,
            address,
            request_id,
            action,
            target,
            details,
            salt: random::bytes(),
        }
    }
}

async fn present_authority(
    write: &mut Write,
    actor: &Actor,
    now: Timestamp,
) -> Result<Authority, Refusal> {
    let Actor::Key(caller) = actor else {
        return Ok(Authority::unlimited());
    };
    let stored = write
        .credential(caller.key)
        .await?
        .ok_or(Refusal::Key(Denied::Unknown))?;
    match stored.key.status(now) {
        Status::Active if stored.organization_suspended => {
            return Err(Refusal::Key(Denied::OrganizationSuspended));
        }
        Status::Active => {}
        ended => return Err(Refusal::Key(Denied::Ended(ended))),
    }
    // By statements of their own: what was waited for has committed since the one above began.
    match &caller.proof {
        Proof::Secret(fingerprint) => {
            if !write.secret_counts(caller.key, fingerprint, now).await? {
                return Err(Refusal::Key(Denied::WrongSecret));
            }
        }
        Proof::Token(jti) => {
            if write.is_denied(jti).await? {
                return Err(Refusal::TokenDenied);
            }
        }
    }
    if !stored.key.networks.contains(caller.address) {
        return Err(Refusal::NetworkDenied {
            ip: Some(caller.address),
        });
    }
    let key = &stored.key;
    let token = caller.token.clone();
    Ok(Authority::of(
        &key.effective.to_set(),
        &key.networks,
        key.expires_at,
        token,
    ))
}
