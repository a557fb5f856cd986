//! The client's address: the peer's, or what a trusted proxy says it is.

use std::net::{IpAddr, Ipv4Addr};

use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, header};

use super::Peer;
use crate::app::App;

/// The headers by which proxies tell clients' addresses.
static FORWARDING: [HeaderName; 2] = [
    HeaderName::from_static("x-forwarded-for"),
    header::FORWARDED,
];

/// The address a request comes from; `None`, which every caller treats as denied, when a
/// trusted proxy's header cannot be understood.
pub fn of(parts: &Parts, app: &App) -> Option<IpAddr> {
    let Peer(peer) = parts.extensions.get::<Peer>()?;
    let proxies = &app.proxies;
    if !proxies.trusts(peer.ip())
        && let Some(header) = FORWARDING
            .iter()
            .find(|name| parts.headers.contains_key(*name))
    {
        app.usage
            .untrusted_forwarding(peer.ip().to_canonical(), header.as_str());
    }
    let lines = parts
        .headers
        .get_all(proxies.header().name())
        .into_iter()
        .map(HeaderValue::as_bytes);
    match proxies.client_address(peer.ip(), lines) {
        Ok(address) => Some(address),
        Err(why) => {
            tracing::warn!(%peer, %why, "a trusted proxy did not tell the client's address");
            None
        }
    }
}

/// The same where nothing depends on it: when the header cannot be understood, the proxy's own.
pub fn for_the_record(parts: &Parts, app: &App) -> IpAddr {
    let peer = || parts.extensions.get::<Peer>().map(|Peer(peer)| peer.ip());
    of(parts, app)
        .or_else(peer)
        .unwrap_or(Ipv4Addr::UNSPECIFIED.into())
}
