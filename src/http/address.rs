//! The client's address: the peer's, or what a trusted proxy says it is.

use std::net::{IpAddr, Ipv4Addr};

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use super::Peer;
use crate::app::App;
use crate::domain::client_address::ForwardingHeader;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The headers by which proxies tell clients' addresses.
const FORWARDING: [ForwardingHeader; 2] =
    [ForwardingHeader::XForwardedFor, ForwardingHeader::Forwarded];

/// The address a request comes from; `None`, which every caller treats as denied, when a
/// trusted proxy's header cannot be understood.
pub fn of(parts: &Parts, app: &App) -> Option<IpAddr> {
    let peer = parts.extensions.get::<Peer>()?;
    behind(*peer, &parts.headers, app)
}

/// The same of a request of this peer's.
pub fn behind(Peer(peer): Peer, headers: &HeaderMap, app: &App) -> Option<IpAddr> {
    let proxies = &app.proxies;
    if !proxies.trusts(peer.ip())
        && let Some(header) = FORWARDING
            .into_iter()
            .find(|header| lines(headers, *header).next().is_some())
    {
        app.usage
            .untrusted_forwarding(peer.ip().to_canonical(), header.name());
    }
    let lines = lines(headers, proxies.header());
    match proxies.client_address(peer.ip(), lines) {
        Ok(address) => Some(address),
        Err(why) => {
            tracing::warn!(%peer, %why, "a trusted proxy did not tell the client's address");
            None
        }
    }
}

/// The values of all lines of this header, in the order received.
pub fn lines(
    headers: &HeaderMap,
    header: ForwardingHeader,
) -> impl DoubleEndedIterator<Item = &[u8]> {
    let name = match header {
        ForwardingHeader::XForwardedFor => &X_FORWARDED_FOR,
        ForwardingHeader::Forwarded => &header::FORWARDED,
    };
    headers.get_all(name).into_iter().map(HeaderValue::as_bytes)
}

/// The same where nothing depends on it: when the header cannot be understood, the proxy's own.
pub fn for_the_record(parts: &Parts, app: &App) -> IpAddr {
    let peer = || parts.extensions.get::<Peer>().map(|Peer(peer)| peer.ip());
    of(parts, app)
        .or_else(peer)
        .unwrap_or(Ipv4Addr::UNSPECIFIED.into())
}
