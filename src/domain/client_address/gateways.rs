//! Gateways: the peers that may ask on behalf of their clients, and must say where those are.

use std::net::IpAddr;

use super::{ForwardingHeader, TrustedProxies, UnknownAddress};
use crate::domain::network::Network;

/// Which peers are gateways. Each must tell its client's address: what it does not say, its own
/// address does not stand for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gateways {
    peers: Vec<Network>,
    proxies: TrustedProxies,
}

impl Gateways {
    /// Those in `named`, or, if none are, all in `trusted`. Addresses in either are walked past.
    #[must_use]
    pub fn new(named: &[Network], trusted: &[Network], header: ForwardingHeader) -> Self {
        let peers = if named.is_empty() { trusted } else { named };
        Self {
            peers: peers.to_vec(),
            proxies: TrustedProxies::new([trusted, named].concat(), header),
        }
    }

    /// Whether this peer is one.
    #[must_use]
    pub fn has(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.peers.iter().any(|network| network.contains(peer))
    }

    /// The header that they say it in.
    #[must_use]
    pub const fn header(&self) -> ForwardingHeader {
        self.proxies.header()
    }

    /// The address of the client behind a gateway; see [`TrustedProxies::client_address`].
    ///
    /// # Errors
    /// [`UnknownAddress`] if the gateway did not say, or cannot be understood.
    pub fn client_address<'a>(
        &self,
        gateway: IpAddr,
        header_lines: impl IntoIterator<Item = &'a [u8], IntoIter: DoubleEndedIterator>,
    ) -> Result<IpAddr, UnknownAddress> {
        let mut lines = header_lines.into_iter().peekable();
        if lines.peek().is_none() {
            return Err(UnknownAddress::Absent {
                header: self.header(),
            });
        }
        self.proxies.client_address(gateway, lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn gateways_are_those_named_or_else_all_that_are_trusted() {
        let (some, all) = (networks(&["10.0.0.1"]), networks(&["10.0.0.0/8"]));
        let header = ForwardingHeader::XForwardedFor;
        let named = Gateways::new(&some, &all, header);
        assert!(named.has(ip("10.0.0.1")) && named.has(ip("::ffff:10.0.0.1")));
        assert!(!named.has(ip("10.0.0.2")) && !named.has(ip("192.0.2.1")));
        let trusted = Gateways::new(&[], &all, header);
        assert!(trusted.has(ip("10.0.0.2")) && !trusted.has(ip("192.0.2.1")));
        assert!(!Gateways::new(&[], &[], header).has(ip("127.0.0.1")));
    }

    #[test]
    fn a_gateway_must_say_where_its_client_is() {
        let gateways = Gateways::new(
            &networks(&["10.0.0.1"]),
            &[],
            ForwardingHeader::XForwardedFor,
        );
        let told = |lines: &[&str]| {
            let lines = lines.iter().map(|line| line.as_bytes());
            gateways.client_address(ip("10.0.0.1"), lines)
        };
        assert_eq!(told(&["203.0.113.9"]), Ok(ip("203.0.113.9")));
        assert_eq!(
            told(&["1.1.1.1, 203.0.113.9, 10.0.0.1"]),
            Ok(ip("203.0.113.9"))
        );
        assert!(told(&[]).is_err() && told(&[""]).is_err() && told(&["unknown"]).is_err());
    }
}
