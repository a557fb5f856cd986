//! `/v1/audit-events`, and the operator's way in at `/v1/organizations/{org}/audit-events`.

mod describe;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use futures_util::stream;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::json;
use super::problem::Problem;
use super::query::{Query, refuse};
use super::reach::{Answer, Reach};
use crate::app::App;
use crate::domain::audit::{ActionFilter, Entry, Filter};
use crate::domain::hex::hex;
use crate::domain::management::ManagementAction;
use crate::domain::organization::OrganizationId;
use crate::domain::text::{ActingFor, Text};
use crate::domain::timestamp::Timestamp;
use crate::http::openapi::words::Address;
use crate::manage::audit::{self as manage, Export};

pub use describe::describe;

/// What selects entries.
const FILTERS: [&str; 7] = [
    "action",
    "actor",
    "target",
    "acting_for",
    "request_id",
    "since",
    "until",
];

/// By which an export is asked for: JSON Lines has two names in use.
const EXPORTS: [&str; 2] = ["application/jsonl", "application/x-ndjson"];

/// An entry, as everybody who may see it sees it.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditEvent)]
struct EntryView<'a> {
    organization: &'a OrganizationId,
    sequence: i64,
    at: Timestamp,
    actor: &'a str,
    #[schema(required)]
    acting_for: Option<&'a ActingFor>,
    #[schema(required, value_type = Option<Address>)]
    address: Option<IpAddr>,
    #[schema(required)]
    request_id: Option<&'a str>,
    action: &'a str,
    target: &'a str,
    #[schema(value_type = Object)]
    details: &'a RawValue,
    /// In exports alone: with it, a line is a checkpoint of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    mac: Option<String>,
    /// In exports alone, like the digest: with both, whoever has the root key can tell that a line
    /// is as it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    salt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
}

/// `GET` of the collection: a page, newest first, or an export, oldest first.
pub async fn list(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    let action = ManagementAction::AuditRead;
    reach
        .actor
        .require(action)
        .map_err(|why| reach.refuse_act(why))?;
    let query = Query::parse(request.uri(), &FILTERS).map_err(|why| reach.refuse(why))?;
    let filter = filter(&query).map_err(|why| reach.refuse(why))?;
    if let Some(kind) = export_asked(request.headers()) {
        if query.text("limit").or(query.text("cursor")).is_some() {
            let detail = "an export has no pages: leave limit and cursor out";
            return Err(reach.refuse(refuse(detail)));
        }
        return export(app, reach, filter, kind).await;
    }
    let before: Option<u64> = query.after().map_err(|why| reach.refuse(why))?;
    let before = before.map(|sequence| i64::try_from(sequence).unwrap_or(i64::MAX));
    let page = manage::list(
        &app.management,
        &reach.actor,
        &reach.organization,
        &filter,
        before,
        query.limit(),
    )
    .await
    .map_err(|why| reach.refuse_act(why))?;
    let next = page.rows.last().filter(|_| page.more);
    let list = json::List {
        next_cursor: next.map(|entry| entry.sequence.to_string()),
        data: page
            .rows
            .iter()
            .map(|entry| EntryView::of(&reach.organization, entry))
            .collect(),
    };
    Ok(json::answer(StatusCode::OK, &list))
}

/// `GET …/checkpoint`: the head of the chain now, to be kept elsewhere.
pub async fn checkpoint(State(app): State<Arc<App>>, reach: Reach) -> Answer {
    let checkpoint = manage::checkpoint(&app.management, &reach.actor, &reach.organization)
        .await
        .map_err(|why| reach.refuse_act(why))?;
    Ok(json::answer(StatusCode::OK, &checkpoint))
}

/// JSON Lines, read from the database as fast as the client takes them.
async fn export(app: Arc<App>, reach: Reach, filter: Filter, kind: &'static str) -> Answer {
    let management = Arc::clone(&app.management);
    let begun = manage::export(management, &reach.actor, reach.organization.clone(), filter);
    let mut export = begun.await.map_err(|why| reach.refuse_act(why))?;
    // The first entries before the status: what fails at once is still refused in order.
    let first = lines(&mut export)
        .await
        .map_err(|why| reach.refuse_act(why))?;
    let all = stream::try_unfold((first, export, reach), async |(text, mut export, reach)| {
        if text.is_empty() {
            return Ok(None);
        }
        match lines(&mut export).await {
            Ok(next) => Ok(Some((text, (next, export, reach)))),
            Err(why) => {
                // The connection breaks: an end that looks like one would pass for complete.
                drop(reach.refuse_act(why));
                Err(io::Error::other("the export broke off"))
            }
        }
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
    ];
    Ok((headers, Body::from_stream(all)).into_response())
}

/// The next lines of an export; empty behind the last.
async fn lines(export: &mut Export) -> Result<String, crate::manage::refusal::Refusal> {
    let entries = export.next().await?;
    let mut text = String::new();
    for entry in &entries {
        let view = EntryView {
            mac: Some(hex(&entry.mac)),
            salt: entry.salt.as_deref().map(hex),
            digest: entry.digest.as_deref().map(hex),
            ..EntryView::of(export.organization(), entry)
        };
        text.push_str(&serde_json::to_string(&view).expect("entries are JSON"));
        text.push('\n');
    }
    if entries.is_empty()
        && let Some(end) = export.end()
    {
        text.push_str(&serde_json::to_string(&end).expect("it is JSON"));
        text.push('\n');
    }
    Ok(text)
}

impl<'a> EntryView<'a> {
    fn of(organization: &'a OrganizationId, entry: &'a Entry) -> Self {
        Self {
            organization,
            sequence: entry.sequence,
            at: entry.at,
            actor: &entry.actor,
            acting_for: entry.acting_for.as_ref(),
            address: entry.address,
            request_id: entry.request_id.as_deref(),
            action: &entry.action,
            target: &entry.target,
            details: &entry.details,
            mac: None,
            salt: None,
            digest: None,
        }
    }
}

fn filter(query: &Query<'_>) -> Result<Filter, Problem> {
    Ok(Filter {
        action: query.value::<Text<100>>("action")?.map(ActionFilter::from),
        actor: query.value("actor")?,
        target: query.value("target")?,
        acting_for: query.value("acting_for")?,
        request_id: query.value("request_id")?,
        since: query.value("since")?,
        until: query.value("until")?,
    })
}

/// The name by which the client prefers to have an export, if it does.
fn export_asked(headers: &HeaderMap) -> Option<&'static str> {
    let values = headers.get_all(header::ACCEPT).iter();
    let mut kinds = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|kind| kind.split(';').next())
        .map(str::trim);
    // The first that is understood counts, as it does with most servers.
    let understood = |kind: &str| {
        let export = EXPORTS.iter().find(|name| name.eq_ignore_ascii_case(kind));
        let page = ["application/json", "application/*", "*/*"].contains(&kind);
        export.map(|name| Some(*name)).or(page.then_some(None))
    };
    kinds.find_map(understood).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_is_given_to_those_alone_who_ask_for_it_first() {
        let asked = |accept: &str| {
            let value = HeaderValue::from_str(accept).unwrap();
            export_asked(&HeaderMap::from_iter([(header::ACCEPT, value)]))
        };
        for (accept, kind) in [
            ("application/jsonl", EXPORTS[0]),
            ("application/x-ndjson", EXPORTS[1]),
            ("Application/JSONL; charset=utf-8, */*;q=0.1", EXPORTS[0]),
            ("text/csv, application/x-ndjson", EXPORTS[1]),
        ] {
            assert_eq!(asked(accept), Some(kind), "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "application/json, application/jsonl",
            "text/html",
        ] {
            assert_eq!(asked(accept), None, "{accept}");
        }
        assert_eq!(export_asked(&HeaderMap::new()), None);
    }
}
