//! `/v1/refusals`: which requests were refused lately, and why in truth.

mod describe;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use serde::Serialize;
use utoipa::ToSchema;

use super::json;
use super::problem::Problem;
use super::query::refuse;
use super::reach::{Answer, Reach};
use super::usage::parameters;
use crate::app::App;
use crate::domain::management::ManagementAction;
use crate::domain::secret::KeyId;
use crate::domain::timestamp::Timestamp;
use crate::domain::usage::Outcome;
use crate::http::openapi::words::Address;
use crate::manage::usage::{self as manage, Asked, RefusalRow};

pub use describe::describe;

/// Most rows on a page, and how many when nobody says.
const LIMIT: (u8, u8) = (100, 20);

/// Longest request id that is looked up.
const LONGEST_ID: usize = 64;

#[derive(Serialize, ToSchema)]
#[schema(as = Refusal)]
struct RefusalView<'a> {
    request_id: &'a str,
    at: Timestamp,
    #[schema(required)]
    api_key_id: Option<KeyId>,
    cause: Outcome,
    detail: &'a str,
    #[schema(required, value_type = Option<Address>)]
    address: Option<IpAddr>,
}

/// `GET`: newest first.
pub async fn list(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    reach
        .actor
        .require(ManagementAction::UsageRead)
        .map_err(|why| reach.refuse_act(why))?;
    let asked = asked(&reach, request.uri()).map_err(|why| reach.refuse(why))?;
    let page = manage::refusals(&app.management, &reach.actor, asked)
        .await
        .map_err(|why| reach.refuse_act(why))?;
    let next = page.rows.last().filter(|_| page.more);
    let list = json::List {
        next_cursor: next.map(|row| &row.request_id),
        data: page.rows.iter().map(RefusalView::of).collect(),
    };
    Ok(json::answer(StatusCode::OK, &list))
}

fn asked(reach: &Reach, uri: &Uri) -> Result<Asked, Problem> {
    let names = ["request_id", "api_key_id", "cursor", "limit"];
    let [request_id, key, cursor, limit] = parameters(uri, names)?;
    let id = |text: Option<Cow<'_, str>>, what: &str| match text {
        Some(text) if !is_id(&text) => Err(refuse(what)),
        text => Ok(text.map(Cow::into_owned)),
    };
    let key = key.map(|text| text.parse::<KeyId>()).transpose();
    let limit = limit.map_or(Some(LIMIT.1), |text| text.parse().ok());
    Ok(Asked {
        organization: reach.organization.clone(),
        // A stranger's request belongs to nobody; who runs the deployment may look at it.
        strangers: reach.organization.is_operator(),
        request_id: id(request_id, "write the request id of an answer")?,
        key: key.map_err(|why| refuse(why.to_string()))?,
        before: id(cursor, "write the next_cursor of a page before this one")?,
        limit: limit
            .filter(|limit| (1..=LIMIT.0).contains(limit))
            .ok_or_else(|| refuse(format!("write a limit from 1 to {}", LIMIT.0)))?,
    })
}

fn is_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=LONGEST_ID).contains(&text.len()) && text.bytes().all(plain)
}

impl<'a> RefusalView<'a> {
    fn of(row: &'a RefusalRow) -> Self {
        Self {
            request_id: &row.request_id,
            at: row.at,
            api_key_id: row.key,
            cause: row.cause,
            detail: &row.detail,
            address: row.address,
        }
    }
}
