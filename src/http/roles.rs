//! `/v1/roles`, and the operator's way in at `/v1/organizations/{org}/roles`.

mod describe;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::api_keys::WarningView;
use super::query::{self, Query};
use super::reach::{Answer, Reach};
use super::{conditional, idempotency, json};
use crate::app::App;
use crate::domain::management::ManagementAction;
use crate::domain::role::{HeldRole, NewRole, RoleEdit, RoleName};
use crate::domain::scope::ScopeSet;
use crate::domain::text::Description;
use crate::domain::timestamp::Timestamp;
use crate::http::openapi::words::SomeScopesWritten;
use crate::manage::roles::{self as manage, EditedRole};

pub use describe::describe;

/// A new role. What answers show as `null` may be said as `null`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewRole)]
struct NewRoleBody {
    name: RoleName,
    description: Option<Description>,
    #[schema(value_type = SomeScopesWritten)]
    scopes: ScopeSet,
}

/// An edit, as a merge patch (RFC 7396): `null` removes what can be absent. The name never
/// changes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RoleEdit)]
struct EditBody {
    #[serde(default, deserialize_with = "json::nullable")]
    #[schema(value_type = Option<Description>)]
    description: Option<Option<Description>>,
    #[serde(default, deserialize_with = "json::present")]
    #[schema(nullable = false, value_type = Option<SomeScopesWritten>)]
    scopes: Option<ScopeSet>,
}

/// A role, as everybody who may see it sees it.
#[derive(Serialize, ToSchema)]
#[schema(as = Role)]
struct RoleView<'a> {
    name: &'a RoleName,
    #[schema(required)]
    description: Option<&'a Description>,
    scopes: &'a ScopeSet,
    created_at: Timestamp,
    revision: i64,
    /// How many keys hold it, revoked ones left out.
    api_keys: i64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = EditedRole)]
struct EditedView<'a> {
    #[serde(flatten)]
    role: RoleView<'a>,
    warnings: Vec<WarningView>,
}

/// `POST`: makes a role.
pub async fn create(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    reach.require(ManagementAction::RolesWrite)?;
    let (parts, body) = request.into_parts();
    let bytes = json::take(body).await.map_err(|why| reach.refuse(why))?;
    let once = idempotency::read(&parts, &reach, &bytes).map_err(|why| reach.refuse(why))?;
    let body: NewRoleBody = json::parse(&parts.headers, &bytes).map_err(|why| reach.refuse(why))?;
    let new = NewRole {
        name: body.name,
        description: body.description,
        scopes: body.scopes,
    };
    let management = Arc::clone(&app.management);
    let (actor, organization) = (reach.actor.clone(), reach.organization.clone());
    let created = manage::create(management, actor, organization, new, once)
        .await
        .map_err(|why| reach.refuse_act(why))?;
    let status = if created.replayed {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    let view = RoleView::of(&created.held);
    Ok(tagged(json::answer(status, &view), &created.held))
}

/// `GET` of the collection.
pub async fn list(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    reach.require(ManagementAction::RolesRead)?;
    let query = Query::parse(request.uri(), &[]).map_err(|why| reach.refuse(why))?;
    let after: Option<RoleName> = query.after().map_err(|why| reach.refuse(why))?;
    let page = manage::list(
        &app.management,
        &reach.actor,
        &reach.organization,
        after.as_ref(),
        query.limit(),
    )
    .await
    .map_err(|why| reach.refuse_act(why))?;
    let last = page.rows.last().filter(|_| page.more);
    let list = json::List {
        data: page.rows.iter().map(RoleView::of).collect(),
        next_cursor: last.map(|held| &held.role.name),
    };
    Ok(json::answer(StatusCode::OK, &list))
}

/// `GET` of one role.
pub async fn show(State(app): State<Arc<App>>, reach: Reach) -> Answer {
    let name = reach.role.as_ref().expect("the route has {role}");
    let held = manage::show(&app.management, &reach.actor, &reach.organization, name)
        .await
        .map_err(|why| reach.refuse_act(why))?;
    let view = RoleView::of(&held);
    Ok(tagged(json::answer(StatusCode::OK, &view), &held))
}

/// `PATCH`: edits, under `If-Match` if there is one.
pub async fn edit(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    reach.require(ManagementAction::RolesWrite)?;
    let (parts, body) = request.into_parts();
    let body: EditBody = json::read(&parts.headers, body)
        .await
        .map_err(|why| reach.refuse(why))?;
    let edit = RoleEdit {
        description: body.description,
        scopes: body.scopes,
    };
    let EditedRole { held, warnings } = manage::edit(
        Arc::clone(&app.management),
        reach.actor.clone(),
        reach.organization.clone(),
        reach.role.clone().expect("the route has {role}"),
        edit,
        conditional::if_match(&parts.headers),
    )
    .await
    .map_err(|why| reach.refuse_act(why))?;
    let view = EditedView {
        role: RoleView::of(&held),
        warnings: WarningView::all_of_role(&warnings),
    };
    Ok(tagged(json::answer(StatusCode::OK, &view), &held))
}

/// `DELETE`: with `force=true` also from the keys that hold it.
pub async fn delete(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    reach.require(ManagementAction::RolesWrite)?;
    let (parts, body) = request.into_parts();
    let force = query::flag(&parts.uri, "force").map_err(|why| reach.refuse(why))?;
    json::nothing(&parts.headers, body)
        .await
        .map_err(|why| reach.refuse(why))?;
    manage::delete(
        Arc::clone(&app.management),
        reach.actor.clone(),
        reach.organization.clone(),
        reach.role.clone().expect("the route has {role}"),
        force,
        conditional::if_match(&parts.headers),
    )
    .await
    .map_err(|why| reach.refuse_act(why))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

impl<'a> RoleView<'a> {
    fn of(held: &'a HeldRole) -> Self {
        Self {
            name: &held.role.name,
            description: held.role.description.as_ref(),
            scopes: &held.role.scopes,
            created_at: held.role.created_at,
            revision: held.role.revision,
            api_keys: held.keys,
        }
    }
}

/// With the entity tag that an edit can name in `If-Match`.
fn tagged(mut response: Response, held: &HeldRole) -> Response {
    let tag = conditional::of_revision(held.role.revision);
    response.headers_mut().insert(header::ETAG, tag);
    response
}
