//! Bootstrap: an organization's signing key and its first management key, exactly once.

use std::sync::Arc;

use serde_json::json;

use super::act::{Act, Did};
use super::api_keys::{end, insert};
use super::caller::Actor;
use super::idempotency::{Attempt, Begun, Once};
use super::refusal::{Kind, Refusal};
use super::signing_keys::{Prepared, Signs, active};
use super::{Management, Minted, to_its_end};
use crate::domain::api_key::{ApiKey, Expiry, NewApiKey, RevokeReason};
use crate::domain::management::{ManagementAction, bootstrap_scopes};
use crate::domain::network::NetworkSet;
use crate::domain::organization::{Organization, OrganizationId};
use crate::domain::role::RoleNames;
use crate::domain::secret::ApiKeySecret;
use crate::domain::signing_key::{Algorithm, KeySpec, RsaBits, SigningKey};
use crate::domain::text::{Metadata, Name};
use crate::store::changes::Change;

/// What to set up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Order {
    /// What to sign with. Not said: ES256, or whatever is there.
    pub algorithm: Option<Algorithm>,
    /// How long the key's modulus is to be, if it is RSA. Not said: 2048 bits, or whatever it is.
    pub rsa_bits: Option<RsaBits>,
    /// Which management key to make.
    pub management_key: ManagementKey,
}

/// Which management key a bootstrap makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ManagementKey {
    /// The first one, if the organization was not bootstrapped before.
    First,
    /// Another in place of a lost one, which is revoked.
    Reissue,
    /// None: `operator-key` makes the operator's.
    None,
}

/// An organization after its bootstrap.
#[derive(Debug)]
pub struct Bootstrapped {
    /// The organization.
    pub organization: Organization,
    /// Its signing key.
    pub signing_key: SigningKey,
    /// Its management key, if it has one.
    pub management_key: Option<ApiKey>,
    /// The one sight of the management key's secret, if it was made now.
    pub secret: Option<Arc<ApiKeySecret>>,
    /// Whether this call, and no earlier one, provisioned the signing key.
    pub first: bool,
    /// Whether this very request was done before.
    pub replayed: bool,
}

/// Bootstraps an organization. Concurrent and repeated calls give one signing key and one
/// management key between them; the first answer alone carries the secret.
///
/// It is a grant: whoever bootstraps must hold what the management key will, and the management
/// key ends with the key that makes it, if that one ends.
///
/// # Errors
/// [`Refusal::OtherAlgorithm`] when it was bootstrapped with another, or with a key of another size,
/// among others.
pub async fn bootstrap(
    management: Arc<Management>,
    actor: Actor,
    id: OrganizationId,
    order: Order,
    once: Once,
) -> Result<Bootstrapped, Refusal> {
    actor.require_operator()?;
    actor.require(ManagementAction::OrganizationsWrite)?;
    spec(order)?;
    to_its_end(async move {
        let attempt = match management.begin_once(once).await? {
            Begun::Now(attempt) => attempt,
            Begun::Before(_) => {
                let nothing_new = Order {
                    algorithm: None,
                    rsa_bits: None,
                    management_key: ManagementKey::First,
                };
                let there = bootstrap_now(&management, &actor, &id, nothing_new, None).await?;
                return Ok(Bootstrapped {
                    replayed: true,
                    ..there
                });
            }
        };
        let done = bootstrap_now(&management, &actor, &id, order, Some(&attempt)).await;
        match &done {
            Ok(done) if done.first || done.secret.is_some() => {}
            _ => management.let_go(attempt).await,
        }
        done
    })
    .await
}

async fn bootstrap_now(
    management: &Management,
    actor: &Actor,
    id: &OrganizationId,
    order: Order,
    attempt: Option<&Attempt>,
) -> Result<Bootstrapped, Refusal> {
    // Making a key and hashing come before the act; whether they were needed shows inside it.
    let before = management.store.organization(id).await?;
    let before = before.ok_or(Refusal::NotFound(Kind::Organization))?;
    let minted = match order.management_key {
        ManagementKey::None => None,
        ManagementKey::First if before.bootstrapped_at.is_some() => None,
        ManagementKey::First | ManagementKey::Reissue => Some(management.mint().await?),
    };
    let prepared = match before.bootstrapped_at {
        Some(_) => None,
        None => Some(Prepared::of(management, id, spec(order)?).await?),
    };
    let action = ManagementAction::OrganizationsWrite;
    let act = Act::begin(management, actor, id, action).await?;
    within(management, act, order, prepared, minted, attempt).await
}

/// What kind of key to make where there is none.
fn spec(order: Order) -> Result<KeySpec, Refusal> {
    let algorithm = order.algorithm.unwrap_or_default();
    KeySpec::new(algorithm, order.rsa_bits).map_err(|why| Refusal::invalid("/rsa_bits", why))
}

async fn within(
    management: &Management,
    mut act: Act<'_>,
    order: Order,
    prepared: Option<Prepared>,
    minted: Option<Minted>,
    attempt: Option<&Attempt>,
) -> Result<Bootstrapped, Refusal> {
    let mut organization = act.write.organization().clone();
    let existing = active(&act.write.published_signing_keys().await?).cloned();
    let first = existing.is_none();
    let signing_key = match existing {
        Some(key) if !key.kind().is(order.algorithm, order.rsa_bits) => {
            return Err(Refusal::OtherAlgorithm(key.kind()));
        }
        Some(key) => key,
        None => {
            let prepared = prepared.ok_or(Refusal::Broken)?;
            prepared.insert(&mut act, Signs::AtOnce).await?
        }
    };
    let replaced = match organization.management_key {
        Some(id) => act.write.api_key(id).await?,
        None => None,
    };
    if let Some(attempt) = attempt {
        attempt.settle(&mut act, organization.id.as_str()).await?;
    }
    let wanted = first || order.management_key == ManagementKey::Reissue;
    let Some(minted) = minted.filter(|_| wanted) else {
        if first {
            organization.bootstrapped_at = Some(act.now);
            act.write.set_bootstrapped(act.now, None).await?;
            let did = did(&signing_key, None, None);
            act.commit(did).await?;
        }
        return Ok(Bootstrapped {
            organization,
            signing_key,
            management_key: replaced,
            secret: None,
            first,
            replayed: false,
        });
    };

    let mut replaced = replaced;
    if let Some(old) = &mut replaced
        && old.revoked.is_none()
    {
        end(&mut act, old, RevokeReason::Superseded).await?;
    }
    let new = NewApiKey {
        name: Name::new("management").expect("a short, visible text"),
        description: None,
        scopes: bootstrap_scopes(organization.id.is_operator()),
        roles: RoleNames::default(),
        networks: NetworkSet::any(),
        rate_limit: None,
        exchange_only: false,
        external_id: None,
        metadata: Metadata::default(),
        // It ends with whoever makes it, so that keys which expire, as they should, can bootstrap.
        expiry: act.authority.expires_at().map(Expiry::At),
    };
    let inserted = insert(management, &mut act, new, minted).await;
    let (key, secret) = inserted.map_err(|refusal| match refusal {
        // What it goes beyond is nowhere in the request.
        Refusal::Exceeds(excess) => Refusal::BootstrapExceeds(excess),
        other => other,
    })?;
    organization.bootstrapped_at = organization.bootstrapped_at.or(Some(act.now));
    organization.management_key = Some(key.id);
    act.write.set_bootstrapped(act.now, Some(key.id)).await?;
    let did = did(&signing_key, Some(&key), replaced.as_ref());
    act.commit(did).await?;
    Ok(Bootstrapped {
        organization,
        signing_key,
        management_key: Some(key),
        secret: Some(secret),
        first,
        replayed: false,
    })
}

fn did(signing_key: &SigningKey, made: Option<&ApiKey>, replaced: Option<&ApiKey>) -> Did {
    let mut changes = vec![Change::Organization(signing_key.organization.clone())];
    changes.extend(
        made.into_iter()
            .chain(replaced)
            .map(|key| Change::Key(key.id)),
    );
    Did {
        action: if replaced.is_some() {
            "organization.reissue"
        } else {
            "organization.bootstrap"
        },
        target: signing_key.organization.to_string(),
        details: json!({
            "signing_key": &signing_key.kid, "alg": signing_key.algorithm,
            "management_key": made.map(|key| key.id),
            "revoked": replaced.map(|key| key.id),
        }),
        changes,
    }
}
