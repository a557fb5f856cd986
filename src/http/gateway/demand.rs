//! What a gateway demands of a request: scopes, an audience, and whether to exchange.

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};

use crate::domain::audience::{Audiences, Resource};
use crate::domain::scope::{ScopeError, ScopeSet};

/// Further scopes to demand; every line counts. It may be a client's own and so only ever adds.
const REQUIRE_SCOPE: HeaderName = HeaderName::from_static("x-tenmint-require-scope");
const AUDIENCE: HeaderName = HeaderName::from_static("x-tenmint-audience");
const EXCHANGE: HeaderName = HeaderName::from_static("x-tenmint-exchange");

/// What must hold for a request to be let through.
#[derive(Debug, Default)]
pub(super) struct Demand {
    /// All of these.
    pub(super) scopes: ScopeSet,
    /// Of a token: for this resource; for any of the platform's if not said.
    pub(super) audience: Option<Resource>,
    /// Whether the service is to see a token in place of an API key.
    pub(super) exchange: bool,
}

/// Where a gateway writes what it demands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Written {
    /// In the query string, beside the header for scopes.
    InQuery,
    /// In headers alone, that for scopes always among them: the query string is the client's.
    InHeaders,
}

/// Why that cannot be understood. A gateway set up so must let nobody through.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadDemand {
    #[error("unknown query parameter; known here: scope, audience, exchange")]
    UnknownParameter,
    #[error(
        "below /gateway/verify the query string is not read: have the gateway send \
         X-Tenmint-Require-Scope, empty where no scope is wanted, or ask at /gateway/verify itself"
    )]
    NoScopes,
    #[error("{0} is given more than once")]
    Repeated(&'static str),
    #[error("{0}")]
    Scope(#[from] ScopeError),
    #[error("audience is not one that tokens are issued for here")]
    Audience,
    #[error("write exchange as true or false")]
    Exchange,
}

impl Demand {
    pub(super) fn read(
        parts: &Parts,
        written: Written,
        audiences: &Audiences,
    ) -> Result<Self, BadDemand> {
        let mut scopes = ScopeSet::default();
        let (mut audience, mut exchange) = (None, None);
        match written {
            Written::InQuery => {
                let query = parts.uri.query().unwrap_or_default();
                for (name, value) in form_urlencoded::parse(query.as_bytes()) {
                    match &*name {
                        "scope" => add(&mut scopes, &value)?,
                        "audience" => once(&mut audience, "audience", value.into_owned())?,
                        "exchange" => once(&mut exchange, "exchange", value.into_owned())?,
                        _ => return Err(BadDemand::UnknownParameter),
                    }
                }
            }
            Written::InHeaders => {
                // A gateway that writes its demands into the query string all the same, behind a
                // slash too many, would otherwise demand nothing.
                if !parts.headers.contains_key(&REQUIRE_SCOPE) {
                    return Err(BadDemand::NoScopes);
                }
                audience = only(&parts.headers, &AUDIENCE, "X-Tenmint-Audience")?;
                exchange = only(&parts.headers, &EXCHANGE, "X-Tenmint-Exchange")?;
            }
        }
        for line in parts.headers.get_all(&REQUIRE_SCOPE) {
            let line = line.to_str().map_err(|_| ScopeError::Separator)?;
            add(&mut scopes, line)?;
        }
        let audience = audience.map(|text| text.parse::<Resource>());
        let audience = audience.transpose().map_err(|_| BadDemand::Audience)?;
        if audience.as_ref().is_some_and(|one| !audiences.has(one)) {
            return Err(BadDemand::Audience);
        }
        Ok(Self {
            scopes,
            audience,
            exchange: match exchange.as_deref() {
                None | Some("false") => false,
                Some("true") => true,
                Some(_) => return Err(BadDemand::Exchange),
            },
        })
    }
}

/// One empty line, or parameter, demands nothing: gateways write such where a route wants none.
fn add(scopes: &mut ScopeSet, text: &str) -> Result<(), ScopeError> {
    if !text.is_empty() {
        let more = ScopeSet::parse_parameter(text)?;
        *scopes = if scopes.is_empty() {
            more
        } else {
            scopes.union(&more)?
        };
    }
    Ok(())
}

fn once(slot: &mut Option<String>, name: &'static str, value: String) -> Result<(), BadDemand> {
    match slot.replace(value) {
        Some(_) => Err(BadDemand::Repeated(name)),
        None => Ok(()),
    }
}

fn only(
    headers: &HeaderMap,
    name: &HeaderName,
    shown: &'static str,
) -> Result<Option<String>, BadDemand> {
    let mut slot = None;
    for line in headers.get_all(name) {
        let line = String::from_utf8_lossy(line.as_bytes()).into_owned();
        once(&mut slot, shown, line)?;
    }
    Ok(slot)
}
