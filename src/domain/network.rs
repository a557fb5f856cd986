//! Where a credential may be used from: networks, and sets of them.

mod set;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};
use serde::de::{self, Deserialize, Deserializer};
use serde::{Serialize, Serializer};
use thiserror::Error;

use super::secret::contains_api_key;

pub use self::set::NetworkSet;

/// An IPv4 or IPv6 network in canonical form: its first address and the length
/// of its prefix in bits, such as `203.0.113.0/24`.
///
/// A bare address is the network of that address alone. What is written in
/// IPv4-mapped IPv6 (`::ffff:0:0/96` and everything in it) is the IPv4 network.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Network(IpNet);

impl Network {
    /// Whether `address` lies in it. An IPv4-mapped address counts as the IPv4
    /// address; the two families never match each other.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// Whether it is one of IPv4.
    #[must_use]
    pub const fn is_ipv4(&self) -> bool {
        matches!(self.0, IpNet::V4(_))
    }

    /// How many bits its addresses begin with in common.
    #[must_use]
    pub fn prefix_len(&self) -> u8 {
        self.0.prefix_len()
    }
}

/// Why a text is not a network, or a list of them not a set of networks.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum NetworkError {
    /// Neither an address nor a CIDR, and too long or too secret to repeat.
    #[error("this is not a network: {WANTED}")]
    Unrepeatable,
    /// Neither an address nor a CIDR.
    #[error("`{text}` is not a network: {WANTED}")]
    NotANetwork {
        /// What was written, special characters escaped.
        text: String,
    },
    /// A zone id, which names an interface of one machine.
    #[error("`{text}` has a zone id, which means nothing on another machine: write `{corrected}`")]
    Zone {
        /// What was written, special characters escaped.
        text: String,
        /// The network without it.
        corrected: Network,
    },
    /// A prefix length that is no number, or longer than an address.
    #[error("`{text}` has no valid prefix length: write one from /0 to /{max}")]
    PrefixLength {
        /// What was written, special characters escaped.
        text: String,
        /// The bits of an address: 32 or 128.
        max: u8,
    },
    /// An address inside the network in place of its first.
    #[error("`{text}` has bits set after its prefix: write `{corrected}`")]
    HostBits {
        /// What was written, special characters escaped.
        text: String,
        /// The network that it lies in.
        corrected: Network,
    },
    /// An empty list.
    #[error("the list of networks is empty: leave it out to allow every address")]
    NoNetworks,
    /// More than [`NetworkSet::MAX`] networks.
    #[error(
        "there are more than {} networks: join neighbours into larger ones",
        NetworkSet::MAX
    )]
    TooMany,
}

const WANTED: &str = "write an address such as `203.0.113.7`, \
                      or a CIDR such as `203.0.113.0/24` or `2001:db8::/32`";

/// Above the longest text that could be a network, a zone id included.
const REPEATABLE_BYTES: usize = 80;

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        if text.len() > REPEATABLE_BYTES || contains_api_key(text) {
            return Err(NetworkError::Unrepeatable);
        }
        let quoted = || text.escape_default().to_string();
        if let Some(without_zone) = without_zone(text) {
            let corrected = match without_zone.parse() {
                Ok(network) => network,
                Err(NetworkError::HostBits { corrected, .. }) => corrected,
                Err(_) => return Err(NetworkError::NotANetwork { text: quoted() }),
            };
            let text = quoted();
            return Err(NetworkError::Zone { text, corrected });
        }
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address
            .parse()
            .map_err(|_| NetworkError::NotANetwork { text: quoted() })?;
        let max = if address.is_ipv4() { 32 } else { 128 };
        let written = prefix
            .map_or(Some(max), decimal)
            .and_then(|prefix| IpNet::new(address, prefix).ok())
            .ok_or_else(|| NetworkError::PrefixLength {
                text: quoted(),
                max,
            })?;
        let corrected = Self(unmapped(written.trunc()));
        if written != written.trunc() {
            let text = quoted();
            return Err(NetworkError::HostBits { text, corrected });
        }
        Ok(corrected)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// The text without its zone id, if it has one: `fe80::1%eth0/64` is `fe80::1/64`.
fn without_zone(text: &str) -> Option<String> {
    let (address, rest) = text.split_once('%')?;
    let prefix = rest.find('/').map_or("", |slash| &rest[slash..]);
    Some(format!("{address}{prefix}"))
}

/// A number in digits alone, without the sign and the leading zeros that the
/// standard parser allows: some read `/010` as octal.
fn decimal(digits: &str) -> Option<u8> {
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'));
    is_plain.then(|| digits.parse().ok()).flatten()
}

/// IPv4 as IPv4, also where IPv6 writes it down: in `::ffff:0:0/96`.
fn unmapped(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else {
        return network;
    };
    let bits_of_ipv4 = v6.prefix_len().checked_sub(96);
    match (v6.addr().to_ipv4_mapped(), bits_of_ipv4) {
        (Some(address), Some(prefix)) => IpNet::V4(Ipv4Net::new_assert(address, prefix)),
        _ => network,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn refusal(text: &str) -> NetworkError {
        text.parse::<Network>().unwrap_err()
    }

    #[test]
    fn every_spelling_of_a_network_becomes_one() {
        for (written, canonical) in [
            ("203.0.113.7", "203.0.113.7/32"),
            ("203.0.113.0/24", "203.0.113.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:DB8:0:0::/32", "2001:db8::/32"),
            ("2001:db8:0:0:0:0:0:1", "2001:db8::1/128"),
            ("::/0", "::/0"),
            ("::ffff:203.0.113.7", "203.0.113.7/32"),
            ("::ffff:cb00:7107/128", "203.0.113.7/32"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::fffe:0:0/95", "::fffe:0:0/95"),
            ("::1.2.3.4", "::102:304/128"),
        ] {
            assert_eq!(network(written).to_string(), canonical, "{written}");
        }
    }

    #[test]
    fn host_bits_are_refused_with_the_network_to_write() {
        for (written, corrected) in [
            ("203.0.113.7/24", "203.0.113.0/24"),
            ("1.2.3.4/0", "0.0.0.0/0"),
            ("2001:db8::1/64", "2001:db8::/64"),
            ("::ffff:10.1.2.3/104", "10.0.0.0/8"),
            ("::ffff:0:0/95", "::fffe:0:0/95"),
        ] {
            let refusal = refusal(written).to_string();
            let advice = format!("write `{corrected}`");
            assert!(refusal.ends_with(&advice), "{written}: {refusal}");
        }
    }

    #[test]
    fn a_zone_id_is_refused_with_the_network_to_write() {
        for (written, corrected) in [
            ("fe80::1%eth0", "fe80::1/128"),
            ("fe80::%eth0/64", "fe80::/64"),
            ("fe80::1%25eth0/64", "fe80::/64"),
        ] {
            let refusal = refusal(written).to_string();
            let advice = format!("write `{corrected}`");
            assert!(refusal.ends_with(&advice), "{written}: {refusal}");
        }
        let nonsense = refusal("zone%eth0");
        assert!(matches!(nonsense, NetworkError::NotANetwork { .. }));
    }

    #[test]
    fn a_prefix_longer_than_an_address_is_refused() {
        for (written, max) in [
            ("10.0.0.0/33", 32),
            ("10.0.0.0/256", 32),
            ("10.0.0.0/", 32),
            ("10.0.0.0/+8", 32),
            ("10.0.0.0/08", 32),
            ("10.0.0.0/00", 32),
            ("10.0.0.0/-1", 32),
            ("10.0.0.0/8/8", 32),
            ("10.0.0.0/255.0.0.0", 32),
            ("10.0.0.0/ 8", 32),
            ("10.0.0.0/8 ", 32),
            ("2001:db8::/129", 128),
            ("::ffff:10.0.0.0/200", 128),
        ] {
            let text = written.to_owned();
            assert_eq!(refusal(written), NetworkError::PrefixLength { text, max });
        }
    }

    #[test]
    fn what_looks_odd_is_refused() {
        for written in [
            "",
            " ",
            "/",
            "/8",
            "10",
            "10.0.0",
            "010.0.0.1",
            "0x7f.0.0.1",
            "10.0.0.1:80",
            "[::1]",
            "[::1]:80",
            " 10.0.0.1",
            "10.0.0.1\n",
            "10.0.0.0 /8",
            "10.0.0.*",
            "::1::",
            "localhost",
            "\u{661}.0.0.0",
            "10.0.0.0-10.0.0.9",
        ] {
            let refusal = refusal(written);
            let expected = matches!(refusal, NetworkError::NotANetwork { .. });
            assert!(expected, "{written:?}: {refusal:?}");
        }
    }

    #[test]
    fn neither_a_secret_nor_an_endless_text_is_repeated() {
        let secret = "tmsk_01JABCDEFGHJKMNPQRSTVWXYZ0_abcdefghijklmnop";
        for text in [secret, &format!("fe80::1%{secret}"), &"1".repeat(81)] {
            assert_eq!(refusal(text), NetworkError::Unrepeatable);
            let json = serde_json::to_string(text).unwrap();
            let refusal = serde_json::from_str::<Network>(&json).unwrap_err();
            assert!(!refusal.to_string().contains(text));
        }
    }

    #[test]
    fn a_mapped_address_is_in_the_network_of_the_ipv4_address() {
        let mapped = "::ffff:10.1.2.3".parse().unwrap();
        assert!(network("10.0.0.0/8").contains(mapped));
        assert!(!network("::/0").contains(mapped));
        assert!(!network("::/0").contains("10.1.2.3".parse().unwrap()));
        assert!(!network("0.0.0.0/0").contains("::1".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn a_canonical_text_reads_back_as_itself(bits: u128, prefix in 0u8..=128, is_v4: bool) {
            let [a, b, c, d, ..] = bits.to_be_bytes();
            let v4 = IpAddr::from([a, b, c, d]);
            let address = if is_v4 { v4 } else { IpAddr::from(bits.to_be_bytes()) };
            let prefix = if is_v4 { prefix % 33 } else { prefix };
            let written = IpNet::new(address, prefix).unwrap().trunc().to_string();
            let network = network(&written);
            prop_assert_eq!(network.to_string().parse(), Ok(network));
            let json = serde_json::to_string(&network).unwrap();
            prop_assert_eq!(serde_json::from_str::<Network>(&json).unwrap(), network);
        }

        #[test]
        fn reading_any_text_never_panics(text in "\\PC{0,20}|[0-9a-f:./%]{0,50}") {
            if let Ok(network) = text.parse::<Network>() {
                prop_assert_eq!(network.to_string().parse(), Ok(network));
            }
        }
    }
}
