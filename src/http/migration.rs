//! `/v1/migration`: which API keys services are still shown, and which are ready for tokens alone.

mod describe;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use utoipa::ToSchema;

use super::json;
use super::query::{Query, refuse};
use super::reach::{Answer, Reach};
use crate::app::App;
use crate::domain::management::ManagementAction;
use crate::domain::secret::KeyId;
use crate::domain::text::{ExternalId, Name};
use crate::domain::timestamp::Timestamp;
use crate::manage::migration::{
    self as manage, Asked, KeyOnItsWay, Place, Readiness, Report, Window, Windows,
};

pub use describe::describe;

/// How far an organization is on its way from API keys to tokens.
#[derive(Serialize, ToSchema)]
#[schema(as = Migration)]
struct ReportView<'a> {
    /// Where the window of seven days begins: a UTC day, today is in it.
    since_7_days: Timestamp,
    since_30_days: Timestamp,
    /// Whether the policy ends direct use of every key.
    exchange_only: bool,
    active_keys: u64,
    /// Of these, how many were exchanged within thirty days and no service was shown.
    ready_keys: u64,
    /// Of these, how many a service was shown within thirty days.
    not_ready_keys: u64,
    /// Of these, how many were not used within thirty days.
    unknown_keys: u64,
    /// Of all keys, also those that are active no more.
    totals: WindowsView,
    data: Vec<KeyView<'a>>,
    #[schema(required)]
    next_cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = KeyMigration)]
struct KeyView<'a> {
    api_key_id: KeyId,
    name: &'a Name,
    #[schema(required)]
    external_id: Option<&'a ExternalId>,
    /// Of the key by itself.
    exchange_only: bool,
    /// By what was done within thirty days: whether `exchange_only` would have refused nothing.
    readiness: ReadinessView,
    #[schema(required)]
    last_direct_at: Option<Timestamp>,
    #[schema(required)]
    last_direct_address: Option<&'a str>,
    #[serde(flatten)]
    used: WindowsView,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Readiness)]
#[serde(rename_all = "snake_case")]
enum ReadinessView {
    /// It was exchanged, and no service was shown it.
    Ready,
    /// A service was shown it.
    NotReady,
    /// It was not used.
    Unknown,
}

#[derive(Serialize, ToSchema)]
#[schema(as = MigrationWindows)]
struct WindowsView {
    last_7_days: WindowView,
    last_30_days: WindowView,
}

#[derive(Serialize, ToSchema)]
#[schema(as = MigrationWindow)]
struct WindowView {
    /// Tokens obtained.
    issued: u64,
    /// How often a service was shown a key itself, at a gateway or by introspection.
    direct: u64,
    /// How often that was refused because of `exchange_only`.
    direct_refused: u64,
}

/// `GET`: the latest that a service was shown first, those that never were last.
pub async fn show(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    reach.require(ManagementAction::UsageRead)?;
    let query = Query::parse(request.uri(), &["readiness"]).map_err(|why| reach.refuse(why))?;
    let readiness = query.word(
        "readiness",
        &[
            ("ready", Readiness::Ready),
            ("not_ready", Readiness::NotReady),
            ("unknown", Readiness::Unknown),
        ],
    );
    let after = query.text("cursor").map(|text| {
        place(text).ok_or_else(|| refuse("write the next_cursor of a page before this one"))
    });
    let asked = Asked {
        readiness: readiness.map_err(|why| reach.refuse(why))?,
        after: after.transpose().map_err(|why| reach.refuse(why))?,
        limit: query.limit(),
    };
    let report = manage::report(&app.management, &reach.actor, &reach.organization, asked)
        .await
        .map_err(|why| reach.refuse_act(why))?;
    Ok(json::answer(StatusCode::OK, &ReportView::of(&report)))
}

/// The `next_cursor` that stands for a place: nothing a caller need understand.
fn cursor(place: Place) -> String {
    let text = serde_json::json!([place.last_at, place.id]).to_string();
    URL_SAFE_NO_PAD.encode(text)
}

fn place(cursor: &str) -> Option<Place> {
    let text = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (last_at, id): (Option<Timestamp>, String) = serde_json::from_slice(&text).ok()?;
    let id = id.parse().ok()?;
    Some(Place { last_at, id })
}

impl<'a> ReportView<'a> {
    fn of(report: &'a Report) -> Self {
        Self {
            since_7_days: report.since.0,
            since_30_days: report.since.1,
            exchange_only: report.exchange_only,
            active_keys: report.active,
            ready_keys: report.ready,
            not_ready_keys: report.not_ready,
            unknown_keys: report
                .active
                .saturating_sub(report.ready + report.not_ready),
            totals: report.used.into(),
            data: report.keys.iter().map(KeyView::of).collect(),
            next_cursor: report.next.map(cursor),
        }
    }
}

impl<'a> KeyView<'a> {
    fn of(row: &'a KeyOnItsWay) -> Self {
        Self {
            api_key_id: row.key.id,
            name: &row.key.name,
            external_id: row.key.external_id.as_ref(),
            exchange_only: row.key.exchange_only,
            readiness: row.readiness.into(),
            last_direct_at: row.key.last_at,
            last_direct_address: row.key.address.as_deref(),
            used: row.used.into(),
        }
    }
}

impl From<Readiness> for ReadinessView {
    fn from(readiness: Readiness) -> Self {
        match readiness {
            Readiness::Ready => Self::Ready,
            Readiness::NotReady => Self::NotReady,
            Readiness::Unknown => Self::Unknown,
        }
    }
}

impl From<Windows> for WindowsView {
    fn from(windows: Windows) -> Self {
        Self {
            last_7_days: windows.week.into(),
            last_30_days: windows.month.into(),
        }
    }
}

impl From<Window> for WindowView {
    fn from(window: Window) -> Self {
        Self {
            issued: window.issued,
            direct: window.direct,
            direct_refused: window.refused,
        }
    }
}
