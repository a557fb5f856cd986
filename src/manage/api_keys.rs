//! API keys: created, shown, listed, revoked.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::act::{Act, Did};
use super::caller::Actor;
use super::refusal::{Kind, Refusal};
use super::{Management, Minted, to_its_end};
use crate::crypto::fingerprint;
use crate::domain::api_key::{ApiKey, NewApiKey, StatusFilter};
use crate::domain::claims::{MAX_TOKEN, longest_token};
use crate::domain::management::ManagementAction;
use crate::domain::organization::OrganizationId;
use crate::domain::secret::{ApiKeySecret, KeyId};
use crate::store::api_keys::NewSecret;
use crate::store::changes::Change;
use crate::store::organizations::Page;

/// A key that was just made, with the one sight of its secret.
#[derive(Debug)]
pub struct Created {
    /// The key.
    pub key: ApiKey,
    /// Its secret.
    pub secret: Arc<ApiKeySecret>,
    /// What its maker may not have meant.
    pub warnings: Vec<Warning>,
}

/// Something allowed that is often a mistake.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Warning {
    /// The key can be used from every address of a family.
    WildcardNetwork,
    /// The key never ends by itself.
    NoExpiry,
}

/// Makes an API key in an organization.
///
/// # Errors
/// [`Refusal::Exceeds`] when it would be more than its maker, among others.
pub async fn create(
    management: Arc<Management>,
    actor: Actor,
    organization: OrganizationId,
    new: NewApiKey,
) -> Result<Created, Refusal> {
    actor.require(ManagementAction::ApiKeysCreate)?;
    to_its_end(async move {
        let minted = management.mint().await?;
        let action = ManagementAction::ApiKeysCreate;
        let mut act = Act::begin(&management, &actor, &organization, action).await?;
        let (key, secret) = insert(&management, &mut act, new, minted).await?;
        let did = Did {
            action: "api_key.create",
            target: key.id.to_string(),
            details: json!({
                "name": &key.name, "scopes": &key.scopes, "allowed_ip_cidrs": &key.networks,
                "expires_at": key.expires_at, "fingerprint": &key.fingerprint,
            }),
            changes: vec![Change::Key(key.id)],
        };
        act.commit(did).await?;
        let warnings = warnings(&key);
        Ok(Created {
            key,
            secret,
            warnings,
        })
    })
    .await
}

/// One key of an organization.
///
/// # Errors
/// [`Refusal::NotFound`] when there is none, or it is another organization's.
pub async fn show(
    management: &Management,
    actor: &Actor,
    organization: &OrganizationId,
    id: KeyId,
) -> Result<ApiKey, Refusal> {
    actor.require(ManagementAction::ApiKeysRead)?;
    require_organization(management, actor, organization).await?;
    let found = management.store.api_key(organization, id).await?;
    found.ok_or(Refusal::NotFound(Kind::ApiKey))
}

/// A page of an organization's keys, newest first.
///
/// # Errors
/// See [`Refusal`].
pub async fn list(
    management: &Management,
    actor: &Actor,
    organization: &OrganizationId,
    status: StatusFilter,
    after: Option<KeyId>,
    limit: u8,
) -> Result<Page<ApiKey>, Refusal> {
    actor.require(ManagementAction::ApiKeysRead)?;
    require_organization(management, actor, organization).await?;
    let now = management.clock.now();
    Ok(management
        .store
        .api_keys(organization, status, now, after, limit)
        .await?)
}

/// Revokes a key for good. Repeating it changes nothing and answers the same.
///
/// # Errors
/// [`Refusal::NotFound`] when there is none, or it is another organization's.
pub async fn revoke(
    management: Arc<Management>,
    actor: Actor,
    organization: OrganizationId,
    id: KeyId,
) -> Result<ApiKey, Refusal> {
    actor.require(ManagementAction::ApiKeysRevoke)?;
    to_its_end(async move {
        let action = ManagementAction::ApiKeysRevoke;
        let mut act = Act::begin(&management, &actor, &organization, action).await?;
        let found = act.write.api_key(id).await?;
        let mut key = found.ok_or(Refusal::NotFound(Kind::ApiKey))?;
        if key.revoked_at.is_some() {
            return Ok(key);
        }
        key.revoked_at = Some(act.now);
        act.write.revoke_api_key(id, act.now).await?;
        act.commit(Did {
            action: "api_key.revoke",
            target: id.to_string(),
            details: json!({ "name": &key.name, "fingerprint": &key.fingerprint }),
            changes: vec![Change::Key(id)],
        })
        .await?;
        Ok(key)
    })
    .await
}

/// Writes a new key into an act, within the authority of whoever acts.
pub(super) async fn insert(
    management: &Management,
    act: &mut Act<'_>,
    new: NewApiKey,
    minted: Minted,
) -> Result<(ApiKey, Arc<ApiKeySecret>), Refusal> {
    let expires_at = new
        .expiry
        .map(|expiry| expiry.instant(act.now))
        .transpose()
        .map_err(|past| Refusal::Invalid {
            pointer: "/expires_at",
            why: past.to_string(),
        })?;
    act.authority
        .require_grant(&new.scopes, &new.networks, expires_at)?;
    let key = ApiKey {
        id: minted.secret.id(),
        organization: act.write.organization().id.clone(),
        name: new.name,
        description: new.description,
        scopes: new.scopes,
        networks: new.networks,
        external_id: new.external_id,
        metadata: new.metadata,
        fingerprint: fingerprint::of(&minted.secret),
        created_at: act.now,
        created_by: act.creator(),
        expires_at,
        revoked_at: None,
    };
    if longest_token(&management.base, &management.audiences.longest(), &key) > MAX_TOKEN {
        return Err(Refusal::Invalid {
            pointer: "/scopes",
            why: format!(
                "its tokens would be longer than {MAX_TOKEN} bytes: give it fewer or shorter \
                 scopes or networks"
            ),
        });
    }
    let secret = NewSecret {
        hash: minted.hash,
        root_key: management.crypto.root_key.to_string(),
    };
    act.write.insert_api_key(&key, &secret).await?;
    Ok((key, minted.secret))
}

fn warnings(key: &ApiKey) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if key.networks.has_wildcard() {
        warnings.push(Warning::WildcardNetwork);
    }
    if key.expires_at.is_none() {
        warnings.push(Warning::NoExpiry);
    }
    warnings
}

/// The operator names organizations that may not exist. One's own always does.
async fn require_organization(
    management: &Management,
    actor: &Actor,
    organization: &OrganizationId,
) -> Result<(), Refusal> {
    if matches!(actor, Actor::Key(caller) if caller.organization == *organization) {
        return Ok(());
    }
    let found = management.store.organization(organization).await?;
    found.map(drop).ok_or(Refusal::NotFound(Kind::Organization))
}
