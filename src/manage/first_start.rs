//! First start: the operator organization and its signing key; and operator keys after it.

use std::sync::Arc;

use super::Management;
use super::act::{Act, Did};
use super::api_keys;
use super::bootstrap::{ManagementKey, Order, bootstrap};
use super::caller::Actor;
use super::idempotency::Once;
use super::refusal::Refusal;
use crate::domain::api_key::{ApiKey, Expiry, NewApiKey};
use crate::domain::management::bootstrap_scopes;
use crate::domain::network::NetworkSet;
use crate::domain::organization::{Organization, OrganizationId};
use crate::domain::role::RoleNames;
use crate::domain::secret::ApiKeySecret;
use crate::domain::text::{Metadata, Name};
use crate::store::changes::Change;

/// Makes sure that the operator organization exists and the deployment issuer can sign.
/// Several nodes may start at once; repeating it changes nothing.
///
/// # Errors
/// When the database is unavailable.
pub async fn ensure_operator(management: &Arc<Management>) -> Result<(), Refusal> {
    let id = OrganizationId::operator();
    if management.store.organization(&id).await?.is_none() {
        let name = Name::new("Operator").expect("a short, visible text");
        let organization = Organization::new(id.clone(), name, management.clock.now());
        match Act::begin_new(management, &Actor::CommandLine, &organization).await {
            Ok(act) => {
                act.commit(Did {
                    action: "organization.create",
                    target: id.to_string(),
                    details: serde_json::json!({ "name": &organization.name }),
                    changes: vec![Change::Organization(id.clone())],
                })
                .await?;
            }
            // Another node was first.
            Err(Refusal::OrganizationExists) => {}
            Err(other) => return Err(other),
        }
    }
    let order = Order {
        algorithm: None,
        rsa_bits: None,
        management_key: ManagementKey::None,
    };
    bootstrap(
        Arc::clone(management),
        Actor::CommandLine,
        id,
        order,
        Once::default(),
    )
    .await
    .map(drop)
}

/// An API key of the operator that was just made, with the one sight of its secret.
#[derive(Debug)]
pub struct OperatorKey {
    /// The key.
    pub key: ApiKey,
    /// Its secret.
    pub secret: Arc<ApiKeySecret>,
}

/// Makes an API key of the operator that may do everything.
///
/// # Errors
/// When the database is unavailable.
pub async fn operator_key(
    management: &Arc<Management>,
    name: Name,
    expiry: Option<Expiry>,
) -> Result<OperatorKey, Refusal> {
    let new = NewApiKey {
        name,
        description: None,
        scopes: bootstrap_scopes(true),
        roles: RoleNames::default(),
        networks: NetworkSet::any(),
        rate_limit: None,
        exchange_only: false,
        external_id: None,
        metadata: Metadata::default(),
        expiry,
    };
    let operator = OrganizationId::operator();
    let management = Arc::clone(management);
    let once = Once::default();
    let created = api_keys::create(management, Actor::CommandLine, operator, new, once).await?;
    Ok(OperatorKey {
        key: created.key,
        secret: created.secret.expect("this request was not sent before"),
    })
}
