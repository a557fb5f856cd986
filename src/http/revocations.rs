//! The revocation feed: what offline validators must refuse although signature and times are good.

mod describe;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::Response;

use super::conditional::{self, Document};
use super::problem::{self, Problem};
use super::query::{Query, refuse};
use super::{jwks, path};
use crate::app::App;
use crate::domain::issuer::Issuer;
use crate::feed::{Feed, Tag};

pub use describe::describe;

/// For how long a cache may answer in tenmint's place.
const MAX_AGE: Duration = Duration::from_secs(5);

/// What a client may ask to wait, in seconds. It waits for less: proxies do not wait for long.
const LONGEST_WAIT: u64 = 600;

/// `/.well-known/revocations`: the deployment issuer's.
pub async fn deployment(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    document(&app, &Issuer::Deployment, &parts).await
}

/// `/orgs/{org}/.well-known/revocations`: an organization issuer's.
pub async fn organization(State(app): State<Arc<App>>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let issuer = path::organization_issuer(&mut parts).await;
    document(&app, &issuer, &parts).await
}

async fn document(app: &App, issuer: &Issuer, request: &Parts) -> Response {
    let wait = match wait(request) {
        Ok(wait) => wait,
        Err(problem) => return problem::respond(app, problem),
    };
    let held = Held::of(&request.headers);
    let feed = match wait {
        Some(wait) if !held.anything => app.feeds.unlike(&held.tags, issuer, wait).await,
        _ => app.feeds.of(issuer).await,
    };
    match feed {
        Ok(Some(feed)) => {
            let document = Document {
                kind: "application/jwt",
                // Weak: every node signs its own, and each is as good as the others.
                etag: format!("W/\"{}\"", feed.tag.opaque()),
                // What was waited for is of no use to others.
                max_age: wait.is_none().then_some(MAX_AGE),
                body: Bytes::from_owner(Arc::clone(&feed.text)),
            };
            conditional::answer(held.has(&feed), document)
        }
        Ok(None) => jwks::no_such_issuer(app),
        Err(error) => problem::fail(app, error.into()),
    }
}

/// How long to wait for something new, if that is asked for.
fn wait(request: &Parts) -> Result<Option<Duration>, Problem> {
    let query = Query::options(&request.uri, &["wait"])?;
    let Some(text) = query.text("wait") else {
        return Ok(None);
    };
    match text.parse() {
        Ok(seconds @ 0..=LONGEST_WAIT) => Ok(Some(Duration::from_secs(seconds))),
        _ => Err(refuse("write wait in whole seconds, 0 to 600, such as 25")),
    }
}

/// What the client says that it holds, by `If-None-Match` (RFC 9110 §13.1.2).
struct Held {
    tags: Vec<Tag>,
    /// `*`: whatever there is.
    anything: bool,
}

impl Held {
    fn of(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(header::IF_NONE_MATCH).iter();
        let lines = lines.filter_map(|line| line.to_str().ok());
        let tags: Vec<_> = lines
            .flat_map(|line| line.split(',').map(str::trim))
            .collect();
        let read = |tag: &&str| {
            let tag = tag.strip_prefix("W/").unwrap_or(tag);
            Tag::read(tag.strip_prefix('"')?.strip_suffix('"')?)
        };
        Self {
            tags: tags.iter().filter_map(read).collect(),
            anything: tags.contains(&"*"),
        }
    }

    fn has(&self, feed: &Feed) -> bool {
        self.anything || self.tags.iter().any(|tag| feed.is_as_good_as(tag))
    }
}
