//! `/v1/scopes`, and the operator's way in at `/v1/organizations/{org}/scopes`: the catalogue of
//! actions.

mod describe;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::json;
use super::problem::Problem;
use super::query::Query;
use super::reach::{Answer, Reach};
use crate::app::App;
use crate::domain::management::ManagementAction;
use crate::domain::scope::{ActionName, CatalogueEntry, DefinedBy};
use crate::domain::text::Description;
use crate::manage::refusal::{Kind, Refusal};
use crate::manage::scopes::{self as manage, Defined};

pub use describe::describe;

/// What an action is for. Left out or `null`, nothing is said of that.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ActionDescription)]
struct EntryBody {
    description: Option<Description>,
}

/// An action that is known.
#[derive(Serialize, ToSchema)]
#[schema(as = Action)]
struct EntryView<'a> {
    action: &'a ActionName,
    #[schema(required)]
    description: Option<&'a Description>,
    defined_by: DefinedBy,
}

/// `GET` of the catalogue.
pub async fn list(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    reach.require(ManagementAction::RolesRead)?;
    let query = Query::parse(request.uri(), &[]).map_err(|why| reach.refuse(why))?;
    let after: Option<ActionName> = query.after().map_err(|why| reach.refuse(why))?;
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
        data: page.rows.iter().map(EntryView::of).collect(),
        next_cursor: last.map(|entry| &entry.action),
    };
    Ok(json::answer(StatusCode::OK, &list))
}

/// `PUT`: defines an action, or describes it anew.
pub async fn define(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    reach.require(ManagementAction::RolesWrite)?;
    let (parts, body) = request.into_parts();
    let body: EntryBody = json::read(&parts.headers, body)
        .await
        .map_err(|why| reach.refuse(why))?;
    let named = reach.action.clone().expect("the route has {action}");
    let action = named.map_err(|why| {
        let (status, code) = (StatusCode::UNPROCESSABLE_ENTITY, "invalid_action");
        let title = "The path does not name an action";
        reach.refuse(Problem::new(status, code, title, why.to_string()))
    })?;
    let Defined { entry, new } = manage::define(
        Arc::clone(&app.management),
        reach.actor.clone(),
        reach.organization.clone(),
        action,
        body.description,
    )
    .await
    .map_err(|why| reach.refuse_act(why))?;
    let status = if new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok(json::answer(status, &EntryView::of(&entry)))
}

/// `DELETE`: removes an action that the organization defined. Scopes that name it stay.
pub async fn remove(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    reach.require(ManagementAction::RolesWrite)?;
    let (parts, body) = request.into_parts();
    json::nothing(&parts.headers, body)
        .await
        .map_err(|why| reach.refuse(why))?;
    let named = reach.action.clone().expect("the route has {action}");
    // What cannot be defined is not there.
    let action = named.map_err(|_| reach.refuse_act(Refusal::NotFound(Kind::Action)))?;
    let management = Arc::clone(&app.management);
    let (actor, organization) = (reach.actor.clone(), reach.organization.clone());
    manage::remove(management, actor, organization, action)
        .await
        .map_err(|why| reach.refuse_act(why))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

impl<'a> EntryView<'a> {
    fn of(entry: &'a CatalogueEntry) -> Self {
        Self {
            action: &entry.action,
            description: entry.description.as_ref(),
            defined_by: entry.defined_by,
        }
    }
}
