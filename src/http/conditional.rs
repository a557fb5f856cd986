//! Documents that clients cache: entity tags, 304, and how long.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;

use crate::manage::api_keys::Precondition;

/// For how long documents that seldom change may be cached.
pub const MAX_AGE: Duration = Duration::from_mins(5);

/// A public JSON document that may be cached for `max_age`, in whole seconds, or 304 if the client
/// has it already (RFC 9110 §13.1.2).
pub fn respond(request: &HeaderMap, document: String, max_age: Duration) -> Response {
    let tag = tag(&document);
    respond_tagged(request, &tag, || document.into(), max_age)
}

/// The same of a document whose tag is known: asked for again and again, it is read no more than the
/// client has to be sent it.
pub fn respond_tagged(
    request: &HeaderMap,
    tag: &str,
    document: impl FnOnce() -> Bytes,
    max_age: Duration,
) -> Response {
    let etag = format!("\"{tag}\"");
    let has_it = has_already(request, &etag);
    let document = Document {
        kind: "application/json",
        etag,
        max_age: Some(max_age),
        body: if has_it { Bytes::new() } else { document() },
    };
    answer(has_it, document)
}

/// A public document of any kind.
pub struct Document {
    /// Its media type.
    pub kind: &'static str,
    /// Its entity tag.
    pub etag: String,
    /// For how long it may be cached, in whole seconds, if at all.
    pub max_age: Option<Duration>,
    /// The document.
    pub body: Bytes,
}

/// A public document, or 304 if the client `has_it` already.
pub fn answer(has_it: bool, document: Document) -> Response {
    let value = |text: &str| HeaderValue::from_str(text).expect("it is ASCII");
    let cache_control = match document.max_age {
        Some(max_age) => format!("public, max-age={}", max_age.as_secs()),
        None => "no-store".to_owned(),
    };
    let headers = [
        (header::ETAG, value(&document.etag)),
        (header::CACHE_CONTROL, value(&cache_control)),
        // Public documents: a browser page may read them as anybody may.
        (
            header::ACCESS_CONTROL_ALLOW_ORIGIN,
            HeaderValue::from_static("*"),
        ),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
    ];
    if has_it {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    let kind = HeaderValue::from_static(document.kind);
    (headers, [(header::CONTENT_TYPE, kind)], document.body).into_response()
}

/// The strong entity tag of a revision (RFC 9110 §8.8.3).
pub fn of_revision(revision: i64) -> HeaderValue {
    let tag = format!("\"r{revision}\"");
    HeaderValue::from_str(&tag).expect("an entity tag is ASCII")
}

/// Which revisions a request may build on, by its `If-Match` (RFC 9110 §13.1.1). A tag that no
/// revision has, a weak one among them, matches none.
pub fn if_match(headers: &HeaderMap) -> Precondition {
    let lines = headers.get_all(header::IF_MATCH);
    let mut revisions = Vec::new();
    let mut asked = false;
    for line in lines {
        asked = true;
        let tags = line.to_str().unwrap_or_default().split(',').map(str::trim);
        for tag in tags {
            if tag == "*" {
                return Precondition::None;
            }
            let revision = tag
                .strip_prefix("\"r")
                .and_then(|tag| tag.strip_suffix('"'))
                .and_then(|text| {
                    let revision = text.parse::<i64>().ok()?;
                    (revision.to_string() == text).then_some(revision)
                });
            revisions.extend(revision);
        }
    }
    if asked {
        Precondition::Revisions(revisions)
    } else {
        Precondition::None
    }
}

/// By what caches tell a document from others.
pub(super) fn tag(document: &str) -> String {
    let digest = digest::digest(&digest::SHA256, document.as_bytes());
    URL_SAFE_NO_PAD.encode(&digest.as_ref()[..12])
}

fn has_already(request: &HeaderMap, etag: &str) -> bool {
    request
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        // Weak comparison: a proxy that recompressed the document made the tag weak.
        .any(|held| held == "*" || held.strip_prefix("W/").unwrap_or(held) == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn etag(document: &str) -> String {
        format!("\"{}\"", tag(document))
    }

    #[test]
    fn a_document_held_already_is_not_sent_again() {
        let tag = etag("{}");
        for (held, again) in [
            (tag.clone(), true),
            (format!("W/{tag}"), true),
            (format!("\"b\", {tag}"), true),
            ("*".to_owned(), true),
            (etag("[]"), false),
            (tag.replace('"', ""), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, held.parse().unwrap());
            let answer = respond(&headers, "{}".to_owned(), MAX_AGE);
            assert_eq!(answer.status() == StatusCode::NOT_MODIFIED, again, "{held}");
            assert_eq!(answer.headers()[header::ETAG], *tag);
        }
    }
}
