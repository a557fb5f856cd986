//! `/v1/api-keys`, and the operator's way in at `/v1/organizations/{org}/api-keys`.

mod body;
mod bulk;
mod describe;
mod dry_run;
mod list_query;
mod rotate;
mod view;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::query;
use super::reach::{Answer, Reach};
use super::{conditional, idempotency, json};
use crate::app::App;
use crate::domain::api_key::ApiKey;
use crate::domain::management::ManagementAction;
use crate::manage::api_keys::{self as manage, Created, Edited};

use body::{EditBody, NewKeyBody, RevokeBody};
use dry_run::DryRunView;
use list_query::ListQuery;

pub use bulk::revoke_many;
pub use describe::describe;
pub use rotate::{finish as finish_rotation, rotate};
pub use view::{KeyView, MaybeSecret, OneSight, Remedy, WarningView};

#[derive(Serialize, ToSchema)]
#[schema(as = CreatedApiKey)]
struct CreatedView<'a> {
    #[serde(flatten)]
    key: KeyView<'a>,
    #[serde(flatten)]
    secret: OneSight<'a>,
    warnings: Vec<WarningView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = EditedApiKey)]
struct EditedView<'a> {
    #[serde(flatten)]
    key: KeyView<'a>,
    warnings: Vec<WarningView>,
}

/// `POST`: makes a key; the only answer that carries its secret.
pub async fn create(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    // Whoever may not make keys is told so before its input is discussed.
    reach.require(ManagementAction::ApiKeysCreate)?;
    let (parts, body) = request.into_parts();
    let bytes = json::take(body).await.map_err(|why| reach.refuse(why))?;
    let once = idempotency::read(&parts, &reach, &bytes).map_err(|why| reach.refuse(why))?;
    let body: NewKeyBody = json::parse(&parts.headers, &bytes).map_err(|why| reach.refuse(why))?;
    let new = body
        .check(app.default_scopes.as_ref())
        .map_err(|why| reach.refuse(why))?;
    let management = Arc::clone(&app.management);
    let created = manage::create(
        management,
        reach.actor.clone(),
        reach.organization.clone(),
        new,
        once,
    )
    .await
    .map_err(|why| reach.refuse_act(why))?;
    let status = if created.secret.is_some() {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let view = CreatedView::of(&created, &app, Remedy::Rotate);
    Ok(tagged(json::answer(status, &view), &created.key))
}

/// `GET` of the collection.
pub async fn list(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    reach.require(ManagementAction::ApiKeysRead)?;
    let query = ListQuery::parse(request.uri()).map_err(|why| reach.refuse(why))?;
    let page = manage::list(
        &app.management,
        &reach.actor,
        &reach.organization,
        &query.filter,
        query.order,
        query.after,
        query.limit,
    )
    .await
    .map_err(|why| reach.refuse_act(why))?;
    let now = app.mint.clock.now();
    let list = json::List {
        data: page.rows.iter().map(|key| KeyView::of(key, now)).collect(),
        next_cursor: page.next.as_ref().map(list_query::cursor),
    };
    Ok(json::answer(StatusCode::OK, &list))
}

/// `GET` of one key.
pub async fn show(State(app): State<Arc<App>>, reach: Reach) -> Answer {
    let id = reach.key.expect("the route has {id}");
    let key = manage::show(&app.management, &reach.actor, &reach.organization, id)
        .await
        .map_err(|why| reach.refuse_act(why))?;
    Ok(of_key(&app, &key))
}

/// `PATCH`: edits, under `If-Match` if there is one; with `?dry_run=true` it only tells what the
/// edit would do.
pub async fn edit(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    reach.require(ManagementAction::ApiKeysUpdate)?;
    let (parts, body) = request.into_parts();
    let body: EditBody = json::read(&parts.headers, body)
        .await
        .map_err(|why| reach.refuse(why))?;
    let edit = body.check().map_err(|why| reach.refuse(why))?;
    let id = reach.key.expect("the route has {id}");
    let precondition = conditional::if_match(&parts.headers);
    if query::flag(&parts.uri, "dry_run").map_err(|why| reach.refuse(why))? {
        let (management, actor) = (&app.management, &reach.actor);
        let organization = &reach.organization;
        let foreseen = manage::foresee(management, actor, organization, id, &edit, &precondition)
            .await
            .map_err(|why| reach.refuse_act(why))?;
        let view = DryRunView::of(&foreseen, app.mint.clock.now());
        return Ok(json::answer(StatusCode::OK, &view));
    }
    let Edited { key, warnings } = manage::edit(
        Arc::clone(&app.management),
        reach.actor.clone(),
        reach.organization.clone(),
        id,
        edit,
        precondition,
    )
    .await
    .map_err(|why| reach.refuse_act(why))?;
    let view = EditedView {
        key: KeyView::of(&key, app.mint.clock.now()),
        warnings: WarningView::all(&warnings),
    };
    Ok(tagged(json::answer(StatusCode::OK, &view), &key))
}

/// `POST …/revoke`.
pub async fn revoke(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    reach.require(ManagementAction::ApiKeysRevoke)?;
    let (parts, body) = request.into_parts();
    let body: RevokeBody = json::read_optional(&parts.headers, body)
        .await
        .map_err(|why| reach.refuse(why))?;
    let id = reach.key.expect("the route has {id}");
    let key = manage::revoke(
        Arc::clone(&app.management),
        reach.actor.clone(),
        reach.organization.clone(),
        id,
        body.reason,
        conditional::if_match(&parts.headers),
    )
    .await
    .map_err(|why| reach.refuse_act(why))?;
    Ok(of_key(&app, &key))
}

/// `POST …/disable`.
pub async fn disable(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    switch(&app, &reach, request, true).await
}

/// `POST …/enable`.
pub async fn enable(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    switch(&app, &reach, request, false).await
}

async fn switch(app: &App, reach: &Reach, request: Request, off: bool) -> Answer {
    reach.require(ManagementAction::ApiKeysUpdate)?;
    let (parts, body) = request.into_parts();
    json::nothing(&parts.headers, body)
        .await
        .map_err(|why| reach.refuse(why))?;
    let id = reach.key.expect("the route has {id}");
    let management = Arc::clone(&app.management);
    let (actor, organization) = (reach.actor.clone(), reach.organization.clone());
    let precondition = conditional::if_match(&parts.headers);
    let switched = if off {
        manage::disable(management, actor, organization, id, precondition).await
    } else {
        manage::enable(management, actor, organization, id, precondition).await
    };
    let key = switched.map_err(|why| reach.refuse_act(why))?;
    Ok(of_key(app, &key))
}

fn of_key(app: &App, key: &ApiKey) -> Response {
    let view = KeyView::of(key, app.mint.clock.now());
    tagged(json::answer(StatusCode::OK, &view), key)
}

/// With the entity tag that an edit can name in `If-Match`.
fn tagged(mut response: Response, key: &ApiKey) -> Response {
    let tag = conditional::of_revision(key.revision);
    response.headers_mut().insert(header::ETAG, tag);
    response
}

impl<'a> CreatedView<'a> {
    fn of(created: &'a Created, app: &App, remedy: Remedy) -> Self {
        Self {
            key: KeyView::of(&created.key, app.mint.clock.now()),
            secret: OneSight::of(created.secret.as_deref(), remedy),
            warnings: WarningView::all(&created.warnings),
        }
    }
}
