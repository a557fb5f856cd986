//! Which address a request came from, also behind proxies trusted to say so.

mod gateways;
mod header;

use std::net::IpAddr;

use thiserror::Error;

use super::network::Network;

pub use self::gateways::Gateways;
pub use self::header::{ForwardingHeader, NotAForwardingHeader};

/// The proxies whose word on a client's address is taken, and the header they
/// give it in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrustedProxies {
    networks: Vec<Network>,
    header: ForwardingHeader,
}

impl TrustedProxies {
    /// Trusts every peer in these networks to append the address of whoever
    /// connected to it to `header`, at the right end.
    #[must_use]
    pub const fn new(networks: Vec<Network>, header: ForwardingHeader) -> Self {
        Self { networks, header }
    }

    /// Trusts nobody: the client is always the peer.
    #[must_use]
    pub const fn none() -> Self {
        Self::new(Vec::new(), ForwardingHeader::XForwardedFor)
    }

    /// The header to hand to [`TrustedProxies::client_address`], and no other.
    #[must_use]
    pub const fn header(&self) -> ForwardingHeader {
        self.header
    }

    /// The address of the client behind `peer`, the other end of the socket.
    /// An IPv4-mapped address is answered as the IPv4 address.
    ///
    /// `header_lines` are the values of all lines of [`TrustedProxies::header`],
    /// in the order received; nothing is read of them unless `peer` is trusted.
    /// Then they are one list, walked from the right past trusted addresses.
    /// The first that is not trusted is the client: it was written down by the
    /// last proxy trusted, and everything left of it by anybody. If all are
    /// trusted, the leftmost is the client. Without any header a trusted peer
    /// spoke for itself, and is the client.
    ///
    /// # Errors
    ///
    /// [`UnknownAddress`] if the walk meets anything but an address. The request
    /// is then to be denied: falling back on the proxy's own address would give
    /// that address to whoever can garble the header.
    pub fn client_address<'a>(
        &self,
        peer: IpAddr,
        header_lines: impl IntoIterator<Item = &'a [u8], IntoIter: DoubleEndedIterator>,
    ) -> Result<IpAddr, UnknownAddress> {
        let mut client = peer.to_canonical();
        if !self.trusts(client) {
            return Ok(client);
        }
        for line in header_lines.into_iter().rev() {
            let mut unread = Some(line);
            while let Some(list) = unread {
                let (before, element) = self.header.split_last(list);
                client = self.header.address(element)?;
                if !self.trusts(client) {
                    return Ok(client);
                }
                unread = before;
            }
        }
        Ok(client)
    }

    /// Whether this peer's word is taken.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks
            .iter()
            .any(|network| network.contains(address))
    }
}

/// Whether an address is of the networks that proxies are in, as a rule, and strangers are not.
#[must_use]
pub fn is_near(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// Why it is unknown who sent a request. For the log: it repeats nothing of the
/// header, part of which any stranger wrote.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum UnknownAddress {
    /// An element that is not an address, or an empty one.
    #[error(
        "the `{}` header from a trusted proxy has something other than an address \
         where the client's should be: let the proxy append the address of its peer",
        .header.name()
    )]
    Malformed {
        /// The header that was read.
        header: ForwardingHeader,
    },
    /// No such header at all, from a peer that must send it.
    #[error("the `{}` header is missing: let the gateway send the address of its client in it", .header.name())]
    Absent {
        /// The header that was looked for.
        header: ForwardingHeader,
    },
    /// `unknown`, or a made-up name that begins with `_`.
    #[error(
        "the `{}` header from a trusted proxy hides the address of the client: \
         let the proxy append the address of its peer in the clear",
        .header.name()
    )]
    Hidden {
        /// The header that was read.
        header: ForwardingHeader,
    },
    /// An element of `Forwarded` without the parameter `for`.
    #[error(
        "the `forwarded` header from a trusted proxy has no `for` \
         where the client's should be: let the proxy append `for=` and the address of its peer"
    )]
    NoFor,
}

#[cfg(test)]
mod tests {
    use super::*;
    use ForwardingHeader::{Forwarded, XForwardedFor};

    /// Asks with a proxy in 10.0.0.0/8 or `fd00::/8` as the peer.
    fn behind_proxy(header: ForwardingHeader, lines: &[&str]) -> Result<IpAddr, UnknownAddress> {
        from("10.0.0.1", header, lines)
    }

    fn from(
        peer: &str,
        header: ForwardingHeader,
        lines: &[&str],
    ) -> Result<IpAddr, UnknownAddress> {
        let networks = ["10.0.0.0/8", "fd00::/8"].map(|text| text.parse().unwrap());
        let lines = lines.iter().map(|line| line.as_bytes());
        TrustedProxies::new(networks.to_vec(), header).client_address(peer.parse().unwrap(), lines)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_stranger_cannot_speak_for_another_address() {
        for header in [XForwardedFor, Forwarded] {
            for lines in [&["10.0.0.9"], &["for=10.0.0.9"], &["garbage \""]] {
                assert_eq!(from("203.0.113.7", header, lines), Ok(ip("203.0.113.7")));
            }
        }
        let nobody = TrustedProxies::none();
        let peer = "127.0.0.1".parse().unwrap();
        assert_eq!(nobody.client_address(peer, [&b"8.8.8.8"[..]]), Ok(peer));
    }

    #[test]
    fn what_a_client_wrote_is_left_of_what_the_proxy_wrote() {
        for spoofed in [
            "1.2.3.4",
            "10.0.0.2, 10.0.0.3",
            "unknown",
            "",
            "\"",
            ",,,",
            "\u{e9}",
        ] {
            let line = format!("{spoofed}, 203.0.113.7, 10.0.0.5");
            let one = behind_proxy(XForwardedFor, &[&line]);
            assert_eq!(one, Ok(ip("203.0.113.7")), "{spoofed}");
            let lines = [spoofed, "203.0.113.7", "10.0.0.5"];
            assert_eq!(
                behind_proxy(XForwardedFor, &lines),
                Ok(ip("203.0.113.7")),
                "{spoofed}"
            );
        }
    }

    #[test]
    fn an_open_quotation_mark_swallows_nothing() {
        for spoofed in [
            r#"for=""#,
            r#"for="1.2.3.4"#,
            r#"for=1.2.3.4;x=""#,
            r#"for="\"#,
            r#"x="\\"#,
            "for=,;=\"",
        ] {
            for written in ["for=203.0.113.7", r#"for="203.0.113.7:80";host="a,\"b;\\""#] {
                let joined = format!("{spoofed}, {written}");
                assert_eq!(
                    behind_proxy(Forwarded, &[&joined]),
                    Ok(ip("203.0.113.7")),
                    "{joined}"
                );
                let apart = behind_proxy(Forwarded, &[spoofed, written]);
                assert_eq!(apart, Ok(ip("203.0.113.7")), "{joined}");
            }
        }
    }

    #[test]
    fn text_inside_quotation_marks_is_no_element() {
        let hostile_host = r#"for=203.0.113.7;host="a, for=1.2.3.4;x=\", for=1.2.3.4, ""#;
        assert_eq!(
            behind_proxy(Forwarded, &[hostile_host]),
            Ok(ip("203.0.113.7"))
        );
    }

    #[test]
    fn the_walk_ends_at_the_first_address_that_is_not_trusted() {
        let line = "198.51.100.1, 203.0.113.7, 10.9.9.9, fd00::1";
        assert_eq!(behind_proxy(XForwardedFor, &[line]), Ok(ip("203.0.113.7")));
        let line = r#"for=198.51.100.1, For=203.0.113.7;proto=http, FOR="[fd00::1]:4711""#;
        assert_eq!(behind_proxy(Forwarded, &[line]), Ok(ip("203.0.113.7")));
    }

    #[test]
    fn where_all_are_trusted_the_leftmost_is_the_client() {
        let lines = ["10.1.1.1", "10.2.2.2, 10.3.3.3"];
        assert_eq!(behind_proxy(XForwardedFor, &lines), Ok(ip("10.1.1.1")));
        assert_eq!(
            behind_proxy(Forwarded, &["for=10.1.1.1,for=10.2.2.2"]),
            Ok(ip("10.1.1.1"))
        );
    }

    #[test]
    fn a_proxy_without_the_header_speaks_for_itself() {
        for header in [XForwardedFor, Forwarded] {
            assert_eq!(behind_proxy(header, &[]), Ok(ip("10.0.0.1")));
        }
    }

    #[test]
    fn mapped_addresses_are_ipv4_wherever_they_stand() {
        assert_eq!(
            from("::ffff:203.0.113.7", XForwardedFor, &[]),
            Ok(ip("203.0.113.7"))
        );
        let lines = ["::ffff:203.0.113.7, ::ffff:10.0.0.3"];
        assert_eq!(
            from("::ffff:10.0.0.1", XForwardedFor, &lines),
            Ok(ip("203.0.113.7"))
        );
        let lines = [r#"for="[::ffff:203.0.113.7]""#];
        assert_eq!(
            from("::ffff:10.0.0.1", Forwarded, &lines),
            Ok(ip("203.0.113.7"))
        );
    }

    #[test]
    fn anything_but_an_address_on_the_walk_is_denied() {
        for (header, garbage) in [
            (XForwardedFor, "garbage"),
            (XForwardedFor, ""),
            (XForwardedFor, "unknown"),
            (Forwarded, "for=garbage"),
            (Forwarded, "proto=https"),
            (Forwarded, "for=\"10.0.0.2"),
        ] {
            let trusted = ["10.0.0.2", "for=10.0.0.2"][usize::from(header == Forwarded)];
            for lines in [
                &[garbage][..],
                &["8.8.8.8", garbage],
                &[garbage, trusted],
                &[&format!("for=8.8.8.8, {garbage} , {trusted}")],
            ] {
                let denied = behind_proxy(header, lines);
                assert!(denied.is_err(), "{lines:?}: {denied:?}");
            }
        }
    }
}
