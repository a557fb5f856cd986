//! JSON in and out: bodies parsed at the edge, faults named by their JSON pointer.

use std::fmt::{self, Write};
use std::marker::PhantomData;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_path_to_error::{Path, Segment};

use super::body;
use super::problem::Problem;
use crate::domain::secret::contains_api_key;

/// Longest body of a management request, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// How many headers an answer has at most, as a rule: a refusal's, past the router. A seventh makes
/// the map grow to twelve, which is more than the allocator has a place for at once.
const HEADERS: usize = 6;

/// Reads a JSON object.
///
/// # Errors
/// 415, 413, 400 for what is no JSON, 422 with a pointer for what is not acceptable.
pub async fn read<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, Problem> {
    parse(headers, &take(body).await?)
}

/// The bytes of a body, for whoever needs them beside what they say.
///
/// # Errors
/// 413, 408 or 400.
pub async fn take(body: Body) -> Result<Bytes, Problem> {
    Ok(body::read(body, MAX_BODY).await?)
}

/// Reads a JSON object, or nothing at all, which stands for an empty one.
///
/// # Errors
/// As [`read`].
pub async fn read_optional<T: DeserializeOwned + Default>(
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Problem> {
    parse_optional(headers, &take(body).await?)
}

/// The same of bytes.
///
/// # Errors
/// As [`parse`].
pub fn parse_optional<T: DeserializeOwned + Default>(
    headers: &HeaderMap,
    bytes: &[u8],
) -> Result<T, Problem> {
    if bytes.is_empty() {
        return Ok(T::default());
    }
    parse(headers, bytes)
}

/// Requires that a verb without arguments was sent without any: no body, or `{}`.
///
/// # Errors
/// As [`read`].
pub async fn nothing(headers: &HeaderMap, body: Body) -> Result<(), Problem> {
    #[derive(serde::Deserialize, Default)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    read_optional::<Nothing>(headers, body).await.map(drop)
}

/// One page of a list, and where the next begins.
#[derive(Serialize)]
pub struct List<T, C> {
    /// The rows.
    pub data: Vec<T>,
    /// What to send as `cursor` for the next page; `null` on the last.
    pub next_cursor: Option<C>,
}

/// An answer in JSON, never stored by caches.
pub fn answer(status: StatusCode, body: &impl Serialize) -> Response {
    answer_written(status, serde_json::to_vec(body).expect("answers are JSON"))
}

/// The same of JSON that is written already.
pub fn answer_written(status: StatusCode, json: impl Into<Body>) -> Response {
    let mut response = written(status, json);
    let nosniff = HeaderValue::from_static("nosniff");
    response
        .headers_mut()
        .insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}

/// JSON for clients of OAuth, which read it as nothing else, with room for further headers: to make
/// more for each would cost as much as what is written in it.
pub fn written(status: StatusCode, json: impl Into<Body>) -> Response {
    let mut headers = HeaderMap::with_capacity(HEADERS);
    let json_type = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json_type);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let mut response = Response::new(json.into());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Reads a JSON object from bytes.
///
/// # Errors
/// 415, 400 for what is no JSON, 422 with a pointer for what is not acceptable.
pub fn parse<T: DeserializeOwned>(headers: &HeaderMap, bytes: &[u8]) -> Result<T, Problem> {
    if !is_json(headers) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "Not JSON",
            "send the body as application/json",
        ));
    }
    // Syntax first, whole: a fault of form and a fault of content are different answers.
    let text = syntax(bytes)?;
    // serde would take an array for the members in their order.
    if !text.trim_start().starts_with('{') {
        return Err(Problem::invalid("", "send a JSON object"));
    }
    let mut json = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let mut at = pointer(error.path());
        let message = error.inner().to_string();
        if let Some(field) = named_field(&message) {
            // serde names the field; the path may or may not end in it already.
            let field = format!("/{}", escape(field));
            if !at.ends_with(&field) {
                at.push_str(&field);
            }
        }
        Problem::invalid(at, explain(&message))
    })
}

/// The text, if all of it is one JSON value.
fn syntax(bytes: &[u8]) -> Result<&str, Problem> {
    let malformed = |why: String| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "malformed_json",
            "Malformed JSON",
            why,
        )
    };
    let text = std::str::from_utf8(bytes)
        .map_err(|_| malformed("the body is not UTF-8 (RFC 8259 §8.1)".to_owned()))?;
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => Ok(text),
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            let why = format!("the body is not JSON: see line {line}, column {column}");
            Err(malformed(why))
        }
    }
}

/// For a field that may be left out and not be null: more often than not, null is a variable
/// that somebody forgot to set.
///
/// # Errors
/// Those of the field.
pub fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// For a field of an edit: left out it stays, `null` removes it (RFC 7396).
///
/// # Errors
/// Those of the field.
pub fn nullable<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

/// For a field that is an object with members of its own: serde would take an array for the
/// members in their order.
///
/// # Errors
/// Those of the members.
pub fn object<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Members<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON object")
        }
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }
    deserializer.deserialize_map(Members(PhantomData)).map(Some)
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(|kind| kind.trim().to_ascii_lowercase())
        .is_some_and(|kind| kind == "application/json" || kind == "application/merge-patch+json")
}

/// serde's words, less the place (the pointer says it) and less anything long or secret that
/// they repeat.
fn explain(message: &str) -> String {
    let message = message
        .rsplit_once(" at line ")
        .map_or(message, |(why, _)| why);
    if contains_api_key(message) {
        return "this is, or contains, an API key; keep secrets out of every field".to_owned();
    }
    let mut short: String = message.chars().take(300).collect();
    if short.len() < message.len() {
        short.push('…');
    }
    short
}

/// The field that is unknown, missing or there twice. Its name may hold backticks too.
fn named_field(message: &str) -> Option<&str> {
    let faults = ["unknown field `", "missing field `", "duplicate field `"];
    let rest = faults
        .iter()
        .find_map(|fault| message.strip_prefix(fault))?;
    let after = ["`, expected ", "`, there are no fields", "` at line "];
    let end = after.iter().find_map(|after| rest.find(after))?;
    Some(&rest[..end])
}

/// RFC 6901.
fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        let _ = match segment {
            Segment::Seq { index } => write!(pointer, "/{index}"),
            Segment::Map { key } => write!(pointer, "/{}", escape(key)),
            Segment::Enum { variant } => write!(pointer, "/{}", escape(variant)),
            Segment::Unknown => Ok(()),
        };
    }
    pointer
}

fn escape(key: &str) -> String {
    let short: String = key.chars().take(100).collect();
    short.replace('~', "~0").replace('/', "~1")
}
