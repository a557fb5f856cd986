//! The one credential of the request that a gateway holds. What could be read in two ways is
//! not read at all: the service behind might read it in the other.

use axum::http::{HeaderMap, HeaderName, header};

use crate::check::Presented;
use crate::http::authorization::{Authorization, read};

/// Where platforms have their customers put API keys.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What a request carries.
pub(super) enum Shown<'a> {
    /// No credential.
    Nothing,
    /// Two, or one that another reader might miss.
    Confused,
    /// One.
    One {
        /// What it is.
        presented: Presented<'a>,
        /// Its text, if it is no API key.
        token: Option<&'a str>,
    },
}

/// Reads `Authorization: Bearer` and `X-API-Key`. `address` is the header in which the gateway
/// tells its client's address.
pub(super) fn shown<'a>(headers: &'a HeaderMap, address: &str) -> Shown<'a> {
    if names_what_counts(headers, address) {
        return Shown::Confused;
    }
    let mut keys = headers.get_all(&API_KEY).iter();
    let (key, another) = (keys.next(), keys.next());
    if another.is_some() {
        return Shown::Confused;
    }
    // What is no text is no key: it is answered like any other that is none.
    let key = key.map(|line| std::str::from_utf8(line.as_bytes()).unwrap_or("").trim());
    match (read(headers), key) {
        (Authorization::Absent, Some(key)) => Shown::One {
            presented: match Presented::read(key) {
                // Tokens belong into the other header: this is nobody's key.
                Presented::Token(_) => Presented::Token(""),
                key => key,
            },
            token: None,
        },
        (Authorization::Bearer(text), None) => one(text),
        (Authorization::Bearer(text), Some(key)) if text == key => one(text),
        (Authorization::Absent | Authorization::Basic(_) | Authorization::Other, None) => {
            Shown::Nothing
        }
        (Authorization::Several, _) | (_, Some(_)) => Shown::Confused,
    }
}

fn one(text: &str) -> Shown<'_> {
    let presented = Presented::read(text);
    let token = matches!(presented, Presented::Token(_)).then_some(text);
    Shown::One { presented, token }
}

/// Whether the request calls something hop-by-hop (RFC 9110 §7.6.1) that a decision rests on. A
/// proxy on the way to the service, or to here, would take it out.
fn names_what_counts(headers: &HeaderMap, address: &str) -> bool {
    let counts = |name: &str| {
        [header::AUTHORIZATION.as_str(), API_KEY.as_str(), address]
            .into_iter()
            .any(|known| name.eq_ignore_ascii_case(known))
            || name
                .get(..10)
                .is_some_and(|start| start.eq_ignore_ascii_case("x-tenmint-"))
    };
    headers
        .get_all(header::CONNECTION)
        .iter()
        .any(|line| match line.to_str() {
            Ok(line) => line.split(',').any(|name| counts(name.trim())),
            Err(_) => true,
        })
}
