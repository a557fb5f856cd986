//! API keys: created and shown; listed, edited, switched, rotated and ended in files of their own.

mod bulk;
mod edit;
pub mod import;
mod list;
mod revoke;
mod rotate;
mod switch;

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::act::{Act, Did};
use super::caller::Actor;
use super::idempotency::{Attempt, Begun, Once};
use super::policy;
use super::refusal::{Kind, Refusal};
use super::scopes::require_known;
use super::{Management, Minted, to_its_end};
use crate::crypto::fingerprint;
use crate::domain::api_key::{ApiKey, NewApiKey, next_notice};
use crate::domain::claims::{KeyClaims, MAX_TOKEN, longest_token};
use crate::domain::management::ManagementAction;
use crate::domain::organization::OrganizationId;
use crate::domain::role::RoleNames;
use crate::domain::scope::ScopeSet;
use crate::domain::secret::{ApiKeySecret, KeyId};
use crate::domain::timestamp::Timestamp;
use crate::store::changes::Change;

pub use bulk::{preview_revoke, revoke_many};
pub use edit::{Edited, Foreseen, Precondition, edit, foresee};
pub use list::list;
pub(super) use revoke::end;
pub use revoke::revoke;
pub(super) use rotate::end_before;
pub use rotate::{finish as finish_rotation, rotate};
pub use switch::{disable, enable};

/// A key whose secret was just made, with the one sight of it.
#[derive(Debug)]
pub struct Created {
    /// The key.
    pub key: ApiKey,
    /// Its secret; `None` when the request was sent before.
    pub secret: Option<Arc<ApiKeySecret>>,
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
    /// The key may do more than before.
    WidenedScopes,
    /// The key may be used from more addresses than before.
    WidenedNetworks,
    /// What the key was used for lately would be refused.
    BreaksPresentUse,
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
    once: Once,
) -> Result<Created, Refusal> {
    actor.require(ManagementAction::ApiKeysCreate)?;
    to_its_end(async move {
        let attempt = match management.begin_once(once).await? {
            Begun::Now(attempt) => attempt,
            Begun::Before(id) => return created_before(&management, &organization, &id).await,
        };
        let made = create_now(&management, &actor, &organization, new, &attempt).await;
        management.unless_done(attempt, made).await
    })
    .await
}

async fn create_now(
    management: &Management,
    actor: &Actor,
    organization: &OrganizationId,
    new: NewApiKey,
    attempt: &Attempt,
) -> Result<Created, Refusal> {
    let minted = management.mint().await?;
    let action = ManagementAction::ApiKeysCreate;
    let mut act = Act::begin(management, actor, organization, action).await?;
    let (key, secret) = insert(management, &mut act, new, minted).await?;
    policy::require(&mut act, None, &key).await?;
    attempt.settle(&mut act, &key.id.to_string()).await?;
    let did = Did {
        action: "api_key.create",
        target: key.id.to_string(),
        details: json!({
            "name": &key.name, "description": &key.description, "scopes": &key.scopes,
            "roles": &key.roles, "rate_limit": key.rate_limit,
            "exchange_only": key.exchange_only,
            "external_id": &key.external_id, "metadata": &key.metadata,
            "allowed_ip_cidrs": &key.networks, "expires_at": key.expires_at,
            "fingerprint": &key.fingerprint,
        }),
        changes: vec![Change::Key(key.id)],
    };
    act.commit(did).await?;
    Ok(Created {
        warnings: warnings(&key),
        key,
        secret: Some(secret),
    })
}

/// What a request made when it was first sent, as that is now.
async fn created_before(
    management: &Management,
    organization: &OrganizationId,
    id: &str,
) -> Result<Created, Refusal> {
    let id = id.parse().map_err(|_| Refusal::NotFound(Kind::ApiKey))?;
    let found = management.store.api_key(organization, id).await?;
    let key = found.ok_or(Refusal::NotFound(Kind::ApiKey))?;
    Ok(Created {
        warnings: warnings(&key),
        key,
        secret: None,
    })
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
    management.require_organization(actor, organization).await?;
    let found = management.store.api_key(organization, id).await?;
    found.ok_or(Refusal::NotFound(Kind::ApiKey))
}

/// Writes a new key into an act, within the authority of whoever acts.
pub(super) async fn insert(
    management: &Management,
    act: &mut Act<'_>,
    new: NewApiKey,
    minted: Minted,
) -> Result<(ApiKey, Arc<ApiKeySecret>), Refusal> {
    let expires_at = ends_at(act, &new)?;
    let effective = effective(act, &new.scopes, &new.roles).await?;
    act.authority
        .require_grant(&effective, &new.networks, expires_at)?;
    require_known(act, &ScopeSet::default(), &new.scopes).await?;
    let mut key = fresh(act, minted.secret.id(), new, effective, expires_at);
    key.fingerprint = fingerprint::of(&minted.secret);
    require_short_tokens(management, &key)?;
    act.write.insert_api_key(&key, &minted.hash).await?;
    Ok((key, minted.secret))
}

/// When a new key ends.
fn ends_at(act: &Act<'_>, new: &NewApiKey) -> Result<Option<Timestamp>, Refusal> {
    new.expiry
        .as_ref()
        .map(|expiry| expiry.instant(act.now))
        .transpose()
        .map_err(|past| Refusal::invalid("/expires_at", past))
}

/// A new key as it begins, whose secret is not known yet.
fn fresh(
    act: &Act<'_>,
    id: KeyId,
    new: NewApiKey,
    effective: ScopeSet,
    expires_at: Option<Timestamp>,
) -> ApiKey {
    ApiKey {
        id,
        organization: act.write.organization().id.clone(),
        name: new.name,
        description: new.description,
        scopes: new.scopes,
        roles: new.roles,
        effective,
        networks: new.networks,
        rate_limit: new.rate_limit,
        exchange_only: new.exchange_only,
        external_id: new.external_id,
        metadata: new.metadata,
        fingerprint: String::new(),
        secret_created_at: act.now,
        overlap: None,
        created_at: act.now,
        created_by: act.creator(),
        expires_at,
        disabled_at: None,
        narrowed_at: None,
        revoked: None,
        revision: 1,
        next_notice_at: expires_at.and_then(|end| next_notice(end, act.now)),
        unused_warned_at: None,
        last_used_at: None,
        secret_last_use: None,
    }
}

/// The key that an act is about, if it is the one that the caller built on.
async fn to_act_on(
    act: &mut Act<'_>,
    id: KeyId,
    precondition: &Precondition,
) -> Result<ApiKey, Refusal> {
    let found = act.write.api_key(id).await?;
    let key = found.ok_or(Refusal::NotFound(Kind::ApiKey))?;
    precondition.require(key.revision)?;
    Ok(key)
}

/// What scopes and roles come to together.
async fn effective(
    act: &mut Act<'_>,
    scopes: &ScopeSet,
    roles: &RoleNames,
) -> Result<ScopeSet, Refusal> {
    let mut all = scopes.clone();
    for name in roles {
        let of_role = act.write.role_scopes(name).await?.ok_or_else(|| {
            Refusal::invalid(
                "/roles",
                format!("there is no role {name} here: create it first"),
            )
        })?;
        all = all.union(&of_role).map_err(|_| {
            let why = format!(
                "its scopes and those of its roles are more than {} together",
                ScopeSet::MAX
            );
            Refusal::invalid("/scopes", why)
        })?;
    }
    if all.is_empty() {
        let why = "give at least one scope or role; [\"*\"] says everything aloud";
        return Err(Refusal::invalid("/scopes", why));
    }
    Ok(all)
}

/// So that a key whose tokens could not travel is refused when it is made, not when it is used.
fn require_short_tokens(management: &Management, key: &ApiKey) -> Result<(), Refusal> {
    if tokens_fit(management, &key.organization, &KeyClaims::of(key)) {
        return Ok(());
    }
    let why = format!(
        "its tokens would be longer than {MAX_TOKEN} bytes: give it fewer or shorter scopes or \
         networks"
    );
    Err(Refusal::invalid("/scopes", why))
}

/// Whether every token of a key can travel.
pub(super) fn tokens_fit(
    management: &Management,
    organization: &OrganizationId,
    of_key: &KeyClaims,
) -> bool {
    let audience = management.audiences.longest();
    longest_token(&management.base, &audience, organization, of_key) <= MAX_TOKEN
}
