//! `/v1/organizations`: the operator's.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::query::Query;
use super::reach::{Answer, Reach};
use super::{idempotency, json};
use crate::app::App;
use crate::domain::issuer::{BaseUrl, Issuer};
use crate::domain::management::ManagementAction;
use crate::domain::organization::{ChosenOrganizationId, Organization, OrganizationId};
use crate::domain::text::Name;
use crate::domain::timestamp::Timestamp;
use crate::manage::organizations as manage;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewOrganizationBody {
    #[serde(default, deserialize_with = "json::present")]
    id: Option<ChosenOrganizationId>,
    #[serde(default, deserialize_with = "json::present")]
    name: Option<Name>,
}

/// RFC 7396: a name that is absent stays. It cannot be removed, so `null` is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EditBody {
    #[serde(default, deserialize_with = "json::present")]
    name: Option<Name>,
}

/// An organization, as the operator sees it.
#[derive(Serialize)]
pub struct OrganizationView<'a> {
    id: &'a OrganizationId,
    name: &'a Name,
    status: &'static str,
    issuer: String,
    created_at: Timestamp,
    bootstrapped_at: Option<Timestamp>,
    suspended_at: Option<Timestamp>,
}

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
    let organization = manage::show(&app.management, &reach.actor, &reach.organization)
        .await
        .map_err(|why| reach.refuse_act(why))?;
    let view = OrganizationView::of(&organization, &app.mint.base);
    Ok(json::answer(StatusCode::OK, &view))
}

/// `PATCH`: edits the name.
pub async fn rename(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    require(&reach, ManagementAction::OrganizationsWrite)?;
    let (parts, body) = request.into_parts();
    let body: EditBody = json::read(&parts.headers, body)
        .await
        .map_err(|why| reach.refuse(why))?;
    let management = Arc::clone(&app.management);
    let (actor, id) = (reach.actor.clone(), reach.organization.clone());
    let organization = manage::rename(management, actor, id, body.name)
        .await
        .map_err(|why| reach.refuse_act(why))?;
    let view = OrganizationView::of(&organization, &app.mint.base);
    Ok(json::answer(StatusCode::OK, &view))
}

/// `POST …/suspend`.
pub async fn suspend(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    set_suspended(&app, &reach, request, true).await
}

/// `POST …/resume`.
pub async fn resume(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    set_suspended(&app, &reach, request, false).await
}

impl<'a> OrganizationView<'a> {
    /// The organization as it is.
    #[must_use]
    pub fn of(organization: &'a Organization, base: &BaseUrl) -> Self {
        Self {
            id: &organization.id,
            name: &organization.name,
            status: if organization.suspended_at.is_some() {
                "suspended"
            } else {
                "active"
            },
            issuer: Issuer::Organization(organization.id.clone()).name(base),
            created_at: organization.created_at,
            bootstrapped_at: organization.bootstrapped_at,
            suspended_at: organization.suspended_at,
        }
    }
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
