//! What a gateway demands of a request: scopes, an audience, and whether to exchange.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::hash::BuildHasher;
use std::sync::OnceLock;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use foldhash::quality::RandomState;

use crate::domain::audience::{Audiences, Resource};
use crate::domain::scope::{ScopeError, ScopeSet};

/// Further scopes to demand; every line counts. It may be a client's own and so only ever adds.
const REQUIRE_SCOPE: HeaderName = HeaderName::from_static("x-tenmint-require-scope");
const AUDIENCE: HeaderName = HeaderName::from_static("x-tenmint-audience");
const EXCHANGE: HeaderName = HeaderName::from_static("x-tenmint-exchange");

/// How many query strings are remembered, in how many places one may be, and how long it may be, in
/// bytes: a gateway writes the same few over and over.
const REMEMBERED: usize = 1_024;
const PLACES: usize = 4;
const LONGEST: usize = 512;

/// Where gateways write what they demand.
pub enum Demands {
    /// In the query string, which the gateway's configuration writes, beside the header for scopes.
    /// What query strings say is remembered.
    InQuery(Remembered),
    /// For gateways that append the path of the request they hold, and its query string with it: in
    /// headers alone, that for scopes always among them.
    InHeaders,
}

/// What query strings were found to demand: the first that come, and others are read each time. None
/// is forgotten for another, and so none is locked.
pub struct Remembered {
    slots: Box<[Slot]>,
    hasher: RandomState,
}

/// A query string, and what it demands.
type Slot = OnceLock<(Box<str>, Demand)>;

/// What must hold for a request to be let through.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Demand {
    /// All of these.
    pub(super) scopes: ScopeSet,
    /// Of a token: for this resource; for any of the platform's if not said.
    pub(super) audience: Option<Resource>,
    /// Whether the service is to see a token in place of an API key.
    pub(super) exchange: bool,
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

impl Demands {
    /// In the query string, of which nothing is remembered yet.
    pub fn in_query() -> Self {
        Self::InQuery(Remembered::with_room_for(REMEMBERED))
    }

    /// What is demanded of a request. For resources of these `audiences` alone: they are the same
    /// each time.
    pub(super) fn read(
        &self,
        parts: &Parts,
        audiences: &Audiences,
    ) -> Result<Cow<'_, Demand>, BadDemand> {
        let mut lines = parts.headers.get_all(&REQUIRE_SCOPE).iter().peekable();
        let mut demand = match self {
            Self::InQuery(known) => known.read(parts.uri.query().unwrap_or_default(), audiences)?,
            // A gateway that writes its demands into the query string all the same, behind a
            // slash too many, would otherwise demand nothing.
            Self::InHeaders if lines.peek().is_none() => return Err(BadDemand::NoScopes),
            Self::InHeaders => Cow::Owned(Demand::in_headers(&parts.headers, audiences)?),
        };
        if lines.peek().is_some() {
            demand.to_mut().add_scopes(lines)?;
        }
        Ok(demand)
    }
}

impl Remembered {
    fn with_room_for(strings: usize) -> Self {
        Self {
            slots: (0..strings).map(|_| OnceLock::new()).collect(),
            hasher: RandomState::default(),
        }
    }

    fn read(&self, query: &str, audiences: &Audiences) -> Result<Cow<'_, Demand>, BadDemand> {
        let places = || {
            let first = self.hasher.hash_one(query) % self.slots.len() as u64;
            let first = usize::try_from(first).expect("fewer slots than a usize counts");
            self.slots.iter().cycle().skip(first).take(PLACES)
        };
        let mut known = places().map_while(OnceLock::get);
        if let Some((_, demand)) = known.find(|(known, _)| **known == *query) {
            return Ok(Cow::Borrowed(demand));
        }
        let demand = Demand::in_query(query, audiences)?;
        if query.len() <= LONGEST {
            let mut kept = (query.into(), demand.clone());
            for place in places() {
                match place.set(kept) {
                    Ok(()) => break,
                    Err(taken) => kept = taken,
                }
            }
        }
        Ok(Cow::Owned(demand))
    }
}

impl Demand {
    fn in_query(query: &str, audiences: &Audiences) -> Result<Self, BadDemand> {
        let mut scopes = ScopeSet::default();
        let (mut audience, mut exchange) = (None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "scope" => add(&mut scopes, &value)?,
                "audience" => once(&mut audience, "audience", value.into_owned())?,
                "exchange" => once(&mut exchange, "exchange", value.into_owned())?,
                _ => return Err(BadDemand::UnknownParameter),
            }
        }
        Self::of(scopes, audience, exchange.as_deref(), audiences)
    }

    /// But for scopes, which headers may always add.
    fn in_headers(headers: &HeaderMap, audiences: &Audiences) -> Result<Self, BadDemand> {
        let audience = only(headers, &AUDIENCE, "X-Tenmint-Audience")?;
        let exchange = only(headers, &EXCHANGE, "X-Tenmint-Exchange")?;
        let scopes = ScopeSet::default();
        Self::of(scopes, audience, exchange.as_deref(), audiences)
    }

    fn of(
        scopes: ScopeSet,
        audience: Option<String>,
        exchange: Option<&str>,
        audiences: &Audiences,
    ) -> Result<Self, BadDemand> {
        let audience = audience.map(|text| text.parse::<Resource>());
        let audience = audience.transpose().map_err(|_| BadDemand::Audience)?;
        if audience.as_ref().is_some_and(|one| !audiences.has(one)) {
            return Err(BadDemand::Audience);
        }
        Ok(Self {
            scopes,
            audience,
            exchange: match exchange {
                None | Some("false") => false,
                Some("true") => true,
                Some(_) => return Err(BadDemand::Exchange),
            },
        })
    }

    fn add_scopes<'a>(
        &mut self,
        lines: impl Iterator<Item = &'a HeaderValue>,
    ) -> Result<(), ScopeError> {
        for line in lines {
            let line = line.to_str().map_err(|_| ScopeError::Separator)?;
            add(&mut self.scopes, line)?;
        }
        Ok(())
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
