//! `/v1/usage` and `/v1/api-keys/{id}/usage`, and the operator's way in.

mod describe;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use serde::Serialize;
use utoipa::ToSchema;

use super::json;
use super::problem::Problem;
use super::query::refuse;
use super::reach::{Answer, Reach};
use crate::app::App;
use crate::domain::management::ManagementAction;
use crate::domain::timestamp::Timestamp;
use crate::domain::usage::{Grain, Outcome};
use crate::manage::usage::{self as manage, Counts, KeyUsed, Period, Used};

pub use describe::describe;

/// How far back an answer goes when nobody says: 24 hours, or 30 days.
const DEFAULT_SPANS: [i64; 2] = [24, 30];

#[derive(Serialize, ToSchema)]
#[schema(as = Usage)]
struct UsedView {
    grain: Grain,
    since: Timestamp,
    until: Timestamp,
    totals: CountsView,
    data: Vec<SpanView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = UsageSpan)]
struct SpanView {
    starts_at: Timestamp,
    #[serde(flatten)]
    counts: CountsView,
}

#[derive(Serialize, Default, ToSchema)]
#[schema(as = UsageCounts)]
struct CountsView {
    issued: u64,
    direct: u64,
    checked: u64,
    refused: BTreeMap<&'static str, u64>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ApiKeyUsage)]
struct KeyUsedView {
    #[serde(flatten)]
    used: UsedView,
    #[schema(required)]
    last_used_at: Option<Timestamp>,
    #[schema(required)]
    last_used_address: Option<String>,
    #[schema(required)]
    last_used_user_agent: Option<String>,
    #[schema(value_type = f64)]
    tokens_per_lifetime: Tenths,
    not_caching: bool,
}

/// A number with one decimal.
struct Tenths(u64);

/// `GET` of an organization's usage.
pub async fn of_organization(
    State(app): State<Arc<App>>,
    reach: Reach,
    request: Request,
) -> Answer {
    let period = period(&app, &reach, request.uri())?;
    let used = manage::of_organization(&app.management, &reach.actor, &reach.organization, period)
        .await
        .map_err(|why| reach.refuse_act(why))?;
    Ok(json::answer(StatusCode::OK, &UsedView::of(&used)))
}

/// `GET` of one key's usage.
pub async fn of_key(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    let period = period(&app, &reach, request.uri())?;
    let id = reach.key.expect("the route has {id}");
    let (actor, organization) = (&reach.actor, &reach.organization);
    let used = manage::of_key(&app.management, actor, organization, id, period)
        .await
        .map_err(|why| reach.refuse_act(why))?;
    Ok(json::answer(StatusCode::OK, &KeyUsedView::of(used)))
}

/// The values of the parameters of these names, each of which may be there once.
///
/// # Errors
/// 422 for any other parameter, or a repeated one.
pub(super) fn parameters<'a, const N: usize>(
    uri: &'a Uri,
    names: [&str; N],
) -> Result<[Option<Cow<'a, str>>; N], Problem> {
    let mut values = [const { None }; N];
    for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        let Some(place) = names.iter().position(|known| *known == name) else {
            let known = names.join(", ");
            return Err(refuse(format!(
                "unknown query parameter; known here: {known}"
            )));
        };
        if values[place].replace(value).is_some() {
            return Err(refuse("a query parameter is given more than once"));
        }
    }
    Ok(values)
}

/// What is asked about, once it is known that the caller may ask.
fn period(app: &App, reach: &Reach, uri: &Uri) -> Result<Period, super::reach::Refused> {
    reach
        .actor
        .require(ManagementAction::UsageRead)
        .map_err(|why| reach.refuse_act(why))?;
    read_period(uri, app.mint.clock.now()).map_err(|why| reach.refuse(why))
}

/// Whole spans: the one that holds `since`, the one that holds the second before `until`, and
/// those between.
fn read_period(uri: &Uri, now: Timestamp) -> Result<Period, Problem> {
    let [grain, since, until] = parameters(uri, ["grain", "since", "until"])?;
    let grain = match grain.as_deref() {
        None | Some("hour") => Grain::Hour,
        Some("day") => Grain::Day,
        Some(_) => return Err(refuse("write grain as hour or day")),
    };
    let instant = |text: Option<Cow<'_, str>>, name| {
        let parsed = text.map(|text| text.parse::<Timestamp>()).transpose();
        parsed.map_err(|why| refuse(format!("{name}: {why}")))
    };
    let length = Duration::from_secs(grain.seconds().unsigned_abs());
    let until = instant(until, "until")?.unwrap_or_else(|| now.plus(Duration::from_secs(1)));
    let since = match instant(since, "since")? {
        Some(since) => since,
        None => {
            let back = DEFAULT_SPANS[grain as usize] * grain.seconds();
            Timestamp::from_unix((until.unix() - back).max(0)).unwrap_or(until)
        }
    };
    if since >= until {
        return Err(refuse("write a since that is before until"));
    }
    let (first, last) = (grain.start(since), grain.start(until));
    let end = if last < until {
        last.plus(length)
    } else {
        last
    };
    if (end.unix() - first.unix()) / grain.seconds() > grain.kept() + 1 {
        return Err(refuse(match grain {
            Grain::Hour => "ask for at most 30 days by hour; grain=day goes further back",
            Grain::Day => "ask for at most 400 days: what is older is not kept",
        }));
    }
    Ok(Period {
        grain,
        since: first,
        until: end,
    })
}

impl UsedView {
    fn of(used: &Used) -> Self {
        let mut totals = CountsView::default();
        for (_, counts) in &used.spans {
            totals.add(counts);
        }
        let data = used.spans.iter().map(|(starts_at, counts)| {
            let mut view = CountsView::default();
            view.add(counts);
            SpanView {
                starts_at: *starts_at,
                counts: view,
            }
        });
        Self {
            grain: used.period.grain,
            since: used.period.since,
            until: used.period.until,
            totals,
            data: data.collect(),
        }
    }
}

impl CountsView {
    fn add(&mut self, counts: &Counts) {
        for (outcome, count) in counts {
            match outcome {
                Outcome::Issued => self.issued += count,
                Outcome::Direct | Outcome::Managed => self.direct += count,
                Outcome::Checked => self.checked += count,
                cause => *self.refused.entry(cause.as_str()).or_default() += count,
            }
        }
    }
}

impl KeyUsedView {
    fn of(used: KeyUsed) -> Self {
        let view = UsedView::of(&used.used);
        let (at, address, user_agent) = used.last.map_or((None, None, None), |l| {
            (Some(l.at), l.address, l.user_agent)
        });
        Self {
            used: view,
            last_used_at: at,
            last_used_address: address,
            last_used_user_agent: user_agent,
            tokens_per_lifetime: Tenths(used.habit.tenths_per_lifetime),
            not_caching: used.habit.not_caching,
        }
    }
}

impl Serialize for Tenths {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a count of tokens within an hour"
    )]
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0 as f64 / 10.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<(String, String), String> {
        let uri: Uri = format!("/v1/usage{query}").parse().unwrap();
        let now = "2027-03-10T12:30:00Z".parse().unwrap();
        read_period(&uri, now)
            .map(|period| (period.since.to_string(), period.until.to_string()))
            .map_err(|problem| problem.to_string())
    }

    #[test]
    fn a_period_is_made_of_whole_spans() {
        assert_eq!(
            read("").unwrap(),
            (
                "2027-03-09T12:00:00Z".to_owned(),
                "2027-03-10T13:00:00Z".to_owned()
            )
        );
        assert_eq!(
            read("?grain=day&until=2027-03-10T00:00:00Z").unwrap(),
            (
                "2027-02-08T00:00:00Z".to_owned(),
                "2027-03-10T00:00:00Z".to_owned()
            )
        );
        assert_eq!(
            read("?since=2027-03-10T11:59:59Z&until=2027-03-10T12:00:01Z").unwrap(),
            (
                "2027-03-10T11:00:00Z".to_owned(),
                "2027-03-10T13:00:00Z".to_owned()
            )
        );
    }

    #[test]
    fn a_period_that_cannot_be_had_is_refused() {
        for bad in [
            "?grain=minute",
            "?grain=",
            "?since=yesterday",
            "?since=2027-03-10T12:00:00Z&until=2027-03-10T12:00:00Z",
            "?since=2027-03-11T12:00:00Z",
            "?since=2027-02-01T00:00:00Z",
            "?grain=day&since=2025-12-01T00:00:00Z",
            "?limit=1",
            "?grain=day&grain=day",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(read("?since=2027-02-08T12:30:00Z").is_ok());
        assert!(read("?grain=day&since=2026-02-10T00:00:00Z").is_ok());
    }
}
