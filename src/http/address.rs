//! The client's address: the peer's, or what a trusted proxy says it is.

use std::net::{IpAddr, Ipv4Addr};

use axum::http::HeaderValue;
use axum::http::request::Parts;

use super::Peer;
use crate::domain::client_address::TrustedProxies;

/// The address a request comes from; `None`, which every caller treats as denied, when a
/// trusted proxy's header cannot be understood.
pub fn of(parts: &Parts, proxies: &TrustedProxies) -> Option<IpAddr> {
    let Peer(peer) = parts.extensions.get::<Peer>()?;
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
pub fn for_the_record(parts: &Parts, proxies: &TrustedProxies) -> IpAddr {
    let peer = || parts.extensions.get::<Peer>().map(|Peer(peer)| peer.ip());
    of(parts, proxies)
        .or_else(peer)
        .unwrap_or(Ipv4Addr::UNSPECIFIED.into())
}
