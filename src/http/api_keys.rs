//! `/v1/api-keys`, and the operator's way in at `/v1/organizations/{org}/api-keys`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::json;
use super::problem::Problem;
use super::query::{ListQuery, refuse};
use super::reach::{Answer, Reach};
use crate::app::App;
use crate::domain::api_key::{ApiKey, Creator, Days, Expiry, NewApiKey, Status, StatusFilter};
use crate::domain::management::ManagementAction;
use crate::domain::network::NetworkSet;
use crate::domain::organization::OrganizationId;
use crate::domain::scope::ScopeSet;
use crate::domain::secret::KeyId;
use crate::domain::text::{Description, ExternalId, Metadata, Name};
use crate::domain::timestamp::Timestamp;
use crate::manage::api_keys::{self as manage, Created, Warning};

/// What a caller says about a new key. What answers show as `null` may be said as `null`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewKeyBody {
    name: Name,
    description: Option<Description>,
    #[serde(default)]
    scopes: ScopeSet,
    #[serde(default, deserialize_with = "json::present")]
    allowed_ip_cidrs: Option<NetworkSet>,
    expires_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "json::present")]
    expires_in_days: Option<Days>,
    external_id: Option<ExternalId>,
    #[serde(default)]
    metadata: Metadata,
}

/// An API key, as everybody who may see it sees it.
#[derive(Serialize)]
pub struct KeyView<'a> {
    id: KeyId,
    name: &'a Name,
    description: Option<&'a Description>,
    organization: &'a OrganizationId,
    status: Status,
    scopes: &'a ScopeSet,
    allowed_ip_cidrs: &'a NetworkSet,
    fingerprint: &'a str,
    external_id: Option<&'a ExternalId>,
    metadata: &'a Metadata,
    created_at: Timestamp,
    created_by: Option<String>,
    expires_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct CreatedView<'a> {
    #[serde(flatten)]
    key: KeyView<'a>,
    secret: &'a str,
    warnings: Vec<WarningView>,
}

#[derive(Serialize)]
struct WarningView {
    code: Warning,
    detail: &'static str,
}

/// `POST`: makes a key; the only answer that carries its secret.
pub async fn create(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    // Whoever may not make keys is told so before its input is discussed.
    let action = ManagementAction::ApiKeysCreate;
    reach
        .actor
        .require(action)
        .map_err(|why| reach.refuse_act(why))?;
    let (parts, body) = request.into_parts();
    let body: NewKeyBody = json::read(&parts.headers, body)
        .await
        .map_err(|why| reach.refuse(why))?;
    let new = body
        .check(app.default_scopes.as_ref())
        .map_err(|why| reach.refuse(why))?;
    let management = Arc::clone(&app.management);
    let created = manage::create(
        management,
        reach.actor.clone(),
        reach.organization.clone(),
        new,
    )
    .await
    .map_err(|why| reach.refuse_act(why))?;
    let now = app.mint.clock.now();
    Ok(json::answer(
        StatusCode::CREATED,
        &CreatedView::of(&created, now),
    ))
}

/// `GET` of the collection.
pub async fn list(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    let action = ManagementAction::ApiKeysRead;
    reach
        .actor
        .require(action)
        .map_err(|why| reach.refuse_act(why))?;
    let query = ListQuery::parse(request.uri(), true).map_err(|why| reach.refuse(why))?;
    let after = query.after().map_err(|why| reach.refuse(why))?;
    let status = status(query.status.as_deref()).map_err(|why| reach.refuse(why))?;
    let page = manage::list(
        &app.management,
        &reach.actor,
        &reach.organization,
        status,
        after,
        query.limit,
    )
    .await
    .map_err(|why| reach.refuse_act(why))?;
    let now = app.mint.clock.now();
    let next = page.rows.last().filter(|_| page.more).map(|key| key.id);
    let data: Vec<_> = page.rows.iter().map(|key| KeyView::of(key, now)).collect();
    let list = json::List {
        data,
        next_cursor: next,
    };
    Ok(json::answer(StatusCode::OK, &list))
}

/// `GET` of one key.
pub async fn show(State(app): State<Arc<App>>, reach: Reach) -> Answer {
    let id = reach.key.expect("the route has {id}");
    let key = manage::show(&app.management, &reach.actor, &reach.organization, id)
        .await
        .map_err(|why| reach.refuse_act(why))?;
    let now = app.mint.clock.now();
    Ok(json::answer(StatusCode::OK, &KeyView::of(&key, now)))
}

/// `POST …/revoke`.
pub async fn revoke(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    let action = ManagementAction::ApiKeysRevoke;
    reach
        .actor
        .require(action)
        .map_err(|why| reach.refuse_act(why))?;
    let (parts, body) = request.into_parts();
    json::nothing(&parts.headers, body)
        .await
        .map_err(|why| reach.refuse(why))?;
    let id = reach.key.expect("the route has {id}");
    let management = Arc::clone(&app.management);
    let key = manage::revoke(
        management,
        reach.actor.clone(),
        reach.organization.clone(),
        id,
    )
    .await
    .map_err(|why| reach.refuse_act(why))?;
    let now = app.mint.clock.now();
    Ok(json::answer(StatusCode::OK, &KeyView::of(&key, now)))
}

impl NewKeyBody {
    fn check(self, default_scopes: Option<&ScopeSet>) -> Result<NewApiKey, Problem> {
        let expiry = match (self.expires_at, self.expires_in_days) {
            (Some(_), Some(_)) => {
                return Err(Problem::invalid(
                    "/expires_in_days",
                    "give expires_at or expires_in_days, not both",
                ));
            }
            (Some(at), None) => Some(Expiry::At(at)),
            (None, Some(days)) => Some(Expiry::In(days)),
            (None, None) => None,
        };
        let scopes = match default_scopes {
            _ if !self.scopes.is_empty() => self.scopes,
            Some(default) => default.clone(),
            None => {
                return Err(Problem::invalid(
                    "/scopes",
                    "give at least one scope; [\"*\"] says everything aloud",
                ));
            }
        };
        Ok(NewApiKey {
            name: self.name,
            description: self.description,
            scopes,
            networks: self.allowed_ip_cidrs.unwrap_or_else(NetworkSet::any),
            external_id: self.external_id,
            metadata: self.metadata,
            expiry,
        })
    }
}

impl<'a> KeyView<'a> {
    /// The key as it is at `now`.
    #[must_use]
    pub fn of(key: &'a ApiKey, now: Timestamp) -> Self {
        Self {
            id: key.id,
            name: &key.name,
            description: key.description.as_ref(),
            organization: &key.organization,
            status: key.status(now),
            scopes: &key.scopes,
            allowed_ip_cidrs: &key.networks,
            fingerprint: &key.fingerprint,
            external_id: key.external_id.as_ref(),
            metadata: &key.metadata,
            created_at: key.created_at,
            created_by: match key.created_by {
                Creator::Key(id) => Some(id.to_string()),
                Creator::Operator(_) => Some("operator".to_owned()),
                Creator::CommandLine => None,
            },
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
        }
    }
}

impl<'a> CreatedView<'a> {
    fn of(created: &'a Created, now: Timestamp) -> Self {
        let warnings = created.warnings.iter().map(|code| WarningView {
            code: *code,
            detail: match code {
                Warning::WildcardNetwork => {
                    "this key can be used from any address; name networks to restrict it"
                }
                Warning::NoExpiry => "this key never ends by itself; give it an end to be safe",
            },
        });
        Self {
            key: KeyView::of(&created.key, now),
            secret: created.secret.expose(),
            warnings: warnings.collect(),
        }
    }
}

fn status(text: Option<&str>) -> Result<StatusFilter, Problem> {
    match text {
        None | Some("active") => Ok(StatusFilter::Active),
        Some("expired") => Ok(StatusFilter::Expired),
        Some("revoked") => Ok(StatusFilter::Revoked),
        Some("all") => Ok(StatusFilter::All),
        Some(_) => Err(refuse("write status as active, expired, revoked or all")),
    }
}
