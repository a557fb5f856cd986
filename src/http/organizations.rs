//! `/v1/organizations`, the operator's, and `/v1/organization`, the caller's own.

mod body;
mod describe;
mod view;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::query::{self, Query};
use super::reach::{Answer, Reach};
use super::{conditional, idempotency, json};
use crate::app::App;
use crate::domain::management::ManagementAction;
use crate::domain::organization::{Organization, OrganizationId};
use crate::manage::organizations::{self as manage, OrganizationEdit, Side};

use body::{EditBody, NewOrganizationBody, OwnEditBody};
use view::EditedView;

pub use describe::describe;
pub use view::OrganizationView;

/// `POST`: creates one.
pub async fn create(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    require(&reach, ManagementAction::OrganizationsWrite)?;
    let (parts, body) = request.into_parts();
    let bytes = json::take(body).await.map_err(|why| reach.refuse(why))?;
    let once = idempotency::read(&parts, &reach, &bytes).map_err(|why| reach.refuse(why))?;
    let body: NewOrganizationBody =
        json::parse(&parts.headers, &bytes).map_err(|why| reach.refuse(why))?;
    let (management, actor) = (Arc::clone(&app.management), reach.actor.clone());
    let created = manage::create(management, actor, body.id, body.name, once)
        .await
        .map_err(|why| reach.refuse_act(why))?;
    let status = if created.replayed {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    let view = OrganizationView::of(&created.organization, &app.mint.base);
    Ok(json::answer(status, &view))
}

/// `GET` of the collection.
pub async fn list(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    require(&reach, ManagementAction::OrganizationsRead)?;
    let query = Query::parse(request.uri(), &[]).map_err(|why| reach.refuse(why))?;
    let after: Option<OrganizationId> = query.after().map_err(|why| reach.refuse(why))?;
    let page = manage::list(&app.management, &reach.actor, after.as_ref(), query.limit())
        .await
        .map_err(|why| reach.refuse_act(why))?;
    let next = page.rows.last().filter(|_| page.more).map(|row| &row.id);
    let views = page
        .rows
        .iter()
        .map(|row| OrganizationView::of(row, &app.mint.base));
    let data: Vec<_> = views.collect();
    let list = json::List {
        data,
        next_cursor: next,
    };
    Ok(json::answer(StatusCode::OK, &list))
}

/// `GET` of one.
pub async fn show(State(app): State<Arc<App>>, reach: Reach) -> Answer {
    show_from(&app, &reach, Side::Operator).await
}

/// `GET` of one's own.
pub async fn show_own(State(app): State<Arc<App>>, reach: Reach) -> Answer {
    show_from(&app, &reach, Side::Own).await
}

/// `PATCH`: edits, under `If-Match` if there is one.
pub async fn edit(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    let side = Side::Operator;
    side.require_write(&reach.actor)
        .map_err(|why| reach.refuse_act(why))?;
    let (parts, body) = request.into_parts();
    let body: EditBody = json::read(&parts.headers, body)
        .await
        .map_err(|why| reach.refuse(why))?;
    let edit = OrganizationEdit {
        name: body.name,
        policy: body.policy,
        operator_policy: body.operator_policy,
    };
    edit_from(&app, &reach, side, edit, &parts.headers).await
}

/// `PATCH` of one's own.
pub async fn edit_own(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    reach.require(ManagementAction::OrganizationWrite)?;
    let (parts, body) = request.into_parts();
    let body: OwnEditBody = json::read(&parts.headers, body)
        .await
        .map_err(|why| reach.refuse(why))?;
    let edit = OrganizationEdit {
        name: body.name,
        policy: body.policy,
        operator_policy: None,
    };
    edit_from(&app, &reach, Side::Own, edit, &parts.headers).await
}

/// `DELETE`, with `?force=true` also while keys are in force.
pub async fn delete(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    Side::Operator
        .require_write(&reach.actor)
        .map_err(|why| reach.refuse_act(why))?;
    let force = query::flag(request.uri(), "force").map_err(|why| reach.refuse(why))?;
    let management = Arc::clone(&app.management);
    let (actor, id) = (reach.actor.clone(), reach.organization.clone());
    let precondition = conditional::if_match(request.headers());
    manage::delete(management, actor, id, force, precondition)
        .await
        .map_err(|why| reach.refuse_act(why))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST …/suspend`.
pub async fn suspend(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    set_suspended(&app, &reach, request, true).await
}

/// `POST …/resume`.
pub async fn resume(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    set_suspended(&app, &reach, request, false).await
}

async fn show_from(app: &App, reach: &Reach, side: Side) -> Answer {
    let organization = manage::show(&app.management, &reach.actor, &reach.organization, side)
        .await
        .map_err(|why| reach.refuse_act(why))?;
    let view = OrganizationView::of(&organization, &app.mint.base);
    Ok(tagged(json::answer(StatusCode::OK, &view), &organization))
}

async fn edit_from(
    app: &App,
    reach: &Reach,
    side: Side,
    edit: OrganizationEdit,
    headers: &HeaderMap,
) -> Answer {
    let management = Arc::clone(&app.management);
    let (actor, id) = (reach.actor.clone(), reach.organization.clone());
    let precondition = conditional::if_match(headers);
    let edited = manage::edit(management, actor, id, side, edit, precondition)
        .await
        .map_err(|why| reach.refuse_act(why))?;
    let view = EditedView {
        organization: OrganizationView::of(&edited.organization, &app.mint.base),
        breaches: edited.breaches.map(Into::into),
    };
    let response = json::answer(StatusCode::OK, &view);
    Ok(tagged(response, &edited.organization))
}

/// With the entity tag that an edit can name in `If-Match`.
fn tagged(mut response: Response, organization: &Organization) -> Response {
    let tag = conditional::of_revision(organization.revision);
    response.headers_mut().insert(header::ETAG, tag);
    response
}

async fn set_suspended(app: &App, reach: &Reach, request: Request, suspended: bool) -> Answer {
    require(reach, ManagementAction::OrganizationsWrite)?;
    let (parts, body) = request.into_parts();
    json::nothing(&parts.headers, body)
        .await
        .map_err(|why| reach.refuse(why))?;
    let management = Arc::clone(&app.management);
    let (actor, id) = (reach.actor.clone(), reach.organization.clone());
    let organization = manage::set_suspended(management, actor, id, suspended)
        .await
        .map_err(|why| reach.refuse_act(why))?;
    let view = OrganizationView::of(&organization, &app.mint.base);
    Ok(json::answer(StatusCode::OK, &view))
}

/// The operator and the scope, before input is discussed.
fn require(reach: &Reach, action: ManagementAction) -> Result<(), super::reach::Refused> {
    let allowed = reach
        .actor
        .require_operator()
        .and_then(|()| reach.actor.require(action));
    allowed.map_err(|why| reach.refuse_act(why))
}
