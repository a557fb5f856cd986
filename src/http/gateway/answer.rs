//! What a gateway is told of a request that it may let through.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::gateway::Passed;

const ORGANIZATION: HeaderName = HeaderName::from_static("x-tenmint-org");
const KEY_ID: HeaderName = HeaderName::from_static("x-tenmint-key-id");
const CREDENTIAL: HeaderName = HeaderName::from_static("x-tenmint-credential");
const SCOPE: HeaderName = HeaderName::from_static("x-tenmint-scope");
const EXTERNAL_ID: HeaderName = HeaderName::from_static("x-tenmint-external-id");

/// The way is free (200). Every header is there, be it empty: a gateway that copies what it is told
/// then overwrites what a client sent under the same name. `token` is the one that the service is
/// to see.
pub(super) fn let_through(passed: &Passed, token: Option<&str>) -> Response {
    let key = passed.holder.key();
    let kind = match passed.holder.token {
        Some(_) => "access_token",
        None => "api_key",
    };
    let external_id = key.external_id.as_ref();
    let external_id = external_id.map_or(String::new(), |id| header_safe(id.as_str()));
    let value = |text: &str| HeaderValue::from_str(text).expect("visible ASCII and spaces");
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(ORGANIZATION, value(key.organization.as_str()));
    headers.insert(KEY_ID, value(key.id.text().as_str()));
    headers.insert(CREDENTIAL, HeaderValue::from_static(kind));
    headers.insert(SCOPE, value(&passed.holder.scope()));
    headers.insert(EXTERNAL_ID, value(&external_id));
    if let Some(token) = passed.token.as_deref().or(token) {
        let bearer = HeaderValue::try_from(["Bearer ", token].concat());
        let mut bearer = bearer.expect("a token is visible ASCII");
        bearer.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, bearer);
    }
    headers.into_response()
}

/// Percent-encoded UTF-8 (RFC 3986 §2.1), but for letters, digits and what ids are made of: no
/// header, log or list of values that it gets into reads anything into it.
fn header_safe(text: &str) -> String {
    text.bytes().fold(String::new(), |mut safe, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~:@/+=".contains(&byte) {
            safe.push(char::from(byte));
        } else {
            let digit = |value: u8| char::from(b"0123456789ABCDEF"[usize::from(value)]);
            safe.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
        safe
    })
}

#[cfg(test)]
mod tests {
    use super::header_safe;

    #[test]
    fn an_id_stays_as_it_is_and_everything_else_is_encoded() {
        assert_eq!(header_safe("cust-7:a@b.c/d_e"), "cust-7:a@b.c/d_e");
        assert_eq!(header_safe("a b,c%\"é"), "a%20b%2Cc%25%22%C3%A9");
        assert_eq!(header_safe(""), "");
    }
}
