//! The `Idempotency-Key` header: a request that may be sent again is done once.

use axum::http::request::Parts;

use super::problem::Problem;
use super::reach::Reach;
use crate::domain::secret::contains_api_key;
use crate::manage::caller::Actor;
use crate::manage::idempotency::Once;

/// The header's name.
const HEADER: &str = "idempotency-key";

/// Longest key, in characters.
const MAX: usize = 255;

/// Under which key a request was sent, if under any.
///
/// # Errors
/// 400 for a key that is repeated, empty, too long, not visible ASCII, or an API key.
pub fn read(parts: &Parts, reach: &Reach, body: &[u8]) -> Result<Once, Problem> {
    let mut lines = parts.headers.get_all(HEADER).iter();
    let Some(line) = lines.next() else {
        return Ok(Once::default());
    };
    let key = line.to_str().unwrap_or_default().trim();
    let visible = key.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if lines.next().is_some() || key.is_empty() || key.len() > MAX || !visible {
        return Err(Problem::idempotency_key(format!(
            "send one Idempotency-Key of 1 to {MAX} visible ASCII characters, such as a UUID"
        )));
    }
    if contains_api_key(key) {
        let why = "the Idempotency-Key contains an API key: revoke it, and send a UUID";
        return Err(Problem::idempotency_key(why));
    }
    let Actor::Key(caller) = &reach.actor else {
        return Ok(Once::default());
    };
    let route = format!("{} {}", parts.method, parts.uri.path());
    Ok(Once::under(caller.key, &route, key, body))
}
