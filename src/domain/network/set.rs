//! Several networks together, as a key is confined to them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::{Serialize, Serializer};

use super::{Network, NetworkError};

/// Between 1 and [`NetworkSet::MAX`] networks, each once, in the order first
/// given. In JSON, an array of strings.
///
/// A list in JSON has at most [`NetworkSet::MAX`] entries, repeated ones
/// counted: an oversized one is refused without being read to its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NetworkSet(Box<[Network]>);

impl NetworkSet {
    /// The most networks a set may hold.
    pub const MAX: usize = 100;

    /// Every address of both families: `0.0.0.0/0` and `::/0`.
    #[must_use]
    pub fn any() -> Self {
        Self(Box::new([EVERY_IPV4, EVERY_IPV6]))
    }

    /// These networks, each once.
    ///
    /// # Errors
    ///
    /// [`NetworkError::NoNetworks`] if there are none: an empty list could be
    /// meant as "from nowhere" as well as "from anywhere".
    /// [`NetworkError::TooMany`] if more than [`NetworkSet::MAX`] differ.
    pub fn new(networks: impl IntoIterator<Item = Network>) -> Result<Self, NetworkError> {
        let mut set = Vec::new();
        for network in networks {
            if set.contains(&network) {
                continue;
            }
            if set.len() == Self::MAX {
                return Err(NetworkError::TooMany);
            }
            set.push(network);
        }
        if set.is_empty() {
            return Err(NetworkError::NoNetworks);
        }
        Ok(Self(set.into()))
    }

    /// Whether `address` lies in one of the networks.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.0.contains(&address))
    }

    /// Whether every address of `other` is an address of this set. Exact: two
    /// halves of a network cover the whole.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        joined(self.iter()).cover(other)
    }

    /// Whether every address of `other` is an address of this set or of `more`. Exact.
    #[must_use]
    pub fn covers_with(&self, more: &Self, other: &Self) -> bool {
        joined(self.iter().chain(more)).cover(other)
    }

    /// Whether it holds every address of both families, however it is written.
    #[must_use]
    pub fn is_unrestricted(&self) -> bool {
        self.covers(&Self::any())
    }

    /// Whether it holds every address of at least one family, however it is
    /// written.
    #[must_use]
    pub fn has_wildcard(&self) -> bool {
        joined(self.iter())
            .0
            .iter()
            .any(|block| block.prefix_len() == 0)
    }

    /// What lies in both, in the order of this set; `None` if nothing does. Of two networks one
    /// lies in the other or they are apart, so this is exact.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Option<Self> {
        let narrower = |one: Network, two: Network| match (one.0, two.0) {
            (one_net, two_net) if two_net.contains(&one_net) => Some(one),
            (one_net, two_net) if one_net.contains(&two_net) => Some(two),
            _ => None,
        };
        let mut both = Vec::new();
        for network in self.iter().flat_map(|one| {
            let one = *one;
            other.iter().filter_map(move |two| narrower(one, *two))
        }) {
            if !both.contains(&network) {
                both.push(network);
            }
        }
        (!both.is_empty()).then(|| Self(both.into()))
    }

    /// The networks, in the order first given.
    pub fn iter(&self) -> std::slice::Iter<'_, Network> {
        self.0.iter()
    }
}

/// Networks joined as far as they go: each block is then the largest that fits in them, so a
/// network lies in them only if it lies in one of the blocks.
struct Blocks(Vec<IpNet>);

fn joined<'a>(networks: impl IntoIterator<Item = &'a Network>) -> Blocks {
    let networks = networks.into_iter().map(|network| network.0).collect();
    Blocks(IpNet::aggregate(&networks))
}

impl Blocks {
    fn cover(&self, other: &NetworkSet) -> bool {
        let is_covered = |network: &Network| self.0.iter().any(|block| block.contains(&network.0));
        other.0.iter().all(is_covered)
    }
}

impl<'a> IntoIterator for &'a NetworkSet {
    type Item = &'a Network;
    type IntoIter = std::slice::Iter<'a, Network>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Serialize for NetworkSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for NetworkSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not `deserialize_seq`: given a string, its error would repeat all of it.
        deserializer.deserialize_any(SetVisitor)
    }
}

struct SetVisitor;

impl<'de> Visitor<'de> for SetVisitor {
    type Value = NetworkSet;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of networks, such as [\"203.0.113.0/24\", \"2001:db8::/32\"]")
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<NetworkSet, E> {
        Err(E::invalid_type(de::Unexpected::Other("string"), &self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<NetworkSet, A::Error> {
        let mut networks = Vec::new();
        while networks.len() < NetworkSet::MAX {
            match entries.next_element()? {
                Some(network) => networks.push(network),
                None => return NetworkSet::new(networks).map_err(de::Error::custom),
            }
        }
        entries.next_element::<OneTooMany>()?;
        NetworkSet::new(networks).map_err(de::Error::custom)
    }
}

/// The entry after the last one allowed. That it fails as an entry, rather than
/// the list as a whole, lets the error point at it.
struct OneTooMany;

impl<'de> Deserialize<'de> for OneTooMany {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(de::Error::custom(NetworkError::TooMany))
    }
}

const EVERY_IPV4: Network = Network(IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0)));
const EVERY_IPV6: Network = Network(IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0)));

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(texts: &[&str]) -> NetworkSet {
        NetworkSet::new(texts.iter().map(|text| text.parse().unwrap())).unwrap()
    }

    fn addresses(count: usize) -> Vec<String> {
        (0..count)
            .map(|n| format!("10.0.{}.{}", n / 256, n % 256))
            .collect()
    }

    #[test]
    fn a_set_keeps_the_order_first_given_and_each_network_once() {
        let networks = set(&[
            "10.0.0.1",
            "::1",
            "10.0.0.1/32",
            "::ffff:10.0.0.1",
            "0.0.0.0/0",
        ]);
        let json = serde_json::to_string(&networks).unwrap();
        assert_eq!(json, r#"["10.0.0.1/32","::1/128","0.0.0.0/0"]"#);
        assert_eq!(serde_json::from_str::<NetworkSet>(&json).unwrap(), networks);
    }

    #[test]
    fn from_nowhere_is_refused() {
        assert_eq!(NetworkSet::new([]), Err(NetworkError::NoNetworks));
        serde_json::from_str::<NetworkSet>("[]").unwrap_err();
    }

    #[test]
    fn a_set_holds_at_most_100_networks() {
        let networks = |count| {
            addresses(count)
                .into_iter()
                .map(|text| text.parse().unwrap())
        };
        assert_eq!(NetworkSet::new(networks(100)).unwrap().iter().len(), 100);
        assert_eq!(NetworkSet::new(networks(101)), Err(NetworkError::TooMany));
        let repeated = networks(100).chain(networks(100));
        assert_eq!(NetworkSet::new(repeated).unwrap().iter().len(), 100);
    }

    #[test]
    fn an_oversized_list_is_not_read_to_its_end() {
        // What follows the limit is not even well-formed, and nobody notices.
        let texts = [addresses(100), vec!["nonsense".to_owned(); 10_000]].concat();
        let json = serde_json::to_string(&texts).unwrap();
        let refusal = serde_json::from_str::<NetworkSet>(&json).unwrap_err();
        let expected = NetworkError::TooMany.to_string();
        assert!(refusal.to_string().starts_with(&expected), "{refusal}");

        let same = serde_json::to_string(&vec!["10.0.0.1"; 10_000]).unwrap();
        serde_json::from_str::<NetworkSet>(&same).unwrap_err();
    }

    #[test]
    fn a_bad_entry_is_named() {
        let refusal = serde_json::from_str::<NetworkSet>(r#"["10.0.0.0/8","10.0.0.0/33"]"#);
        let refusal = refusal.unwrap_err().to_string();
        assert!(refusal.contains("`10.0.0.0/33`"), "{refusal}");
        for other in ["null", "{}", "5", r#"["10.0.0.1",5]"#, "[null]"] {
            serde_json::from_str::<NetworkSet>(other).unwrap_err();
        }
    }

    #[test]
    fn a_string_in_place_of_the_array_is_not_repeated() {
        let refusal = serde_json::from_str::<NetworkSet>(r#""hunter2""#).unwrap_err();
        assert!(!refusal.to_string().contains("hunter2"), "{refusal}");
    }

    #[test]
    fn families_match_independently() {
        let (v4, v6, mapped) = ("192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1");
        for (networks, matching) in [
            (set(&["0.0.0.0/0"]), [true, false, true]),
            (set(&["::/0"]), [false, true, false]),
            (NetworkSet::any(), [true, true, true]),
        ] {
            let matched = [v4, v6, mapped].map(|ip| networks.contains(ip.parse().unwrap()));
            assert_eq!(matched, matching, "{networks:?}");
        }
    }

    #[test]
    fn halves_cover_the_whole() {
        let halves = set(&["10.0.0.0/25", "10.0.0.128/25"]);
        assert!(halves.covers(&set(&["10.0.0.0/24"])));
        assert!(!halves.covers(&set(&["10.0.0.0/23"])));
        assert!(!halves.covers(&set(&["10.0.0.0/24", "::1"])));
    }

    #[test]
    fn anywhere_is_recognised_however_it_is_written() {
        let halves = ["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"];
        for (networks, wildcard, unrestricted) in [
            (NetworkSet::any(), true, true),
            (set(&["::/0", "::ffff:0:0/96"]), true, true),
            (set(&halves), true, true),
            (set(&halves[..3]), true, false),
            (set(&["::/0"]), true, false),
            (set(&["0.0.0.0/0", "::/1"]), true, false),
            (set(&["0.0.0.0/1", "8000::/1"]), false, false),
            (set(&["255.255.255.255", "ffff::/16"]), false, false),
        ] {
            assert_eq!(networks.has_wildcard(), wildcard, "{networks:?}");
            assert_eq!(networks.is_unrestricted(), unrestricted, "{networks:?}");
        }
    }

    // Networks within the sixteen last addresses of each family, where neighbours
    // meet often and a sum that overflows would show.
    fn small_network() -> impl Strategy<Value = Network> {
        (any::<bool>(), 0u8..16, 0u8..=4).prop_map(|(is_v4, host, free)| {
            let (address, bits) = small_address(is_v4, host);
            let net = IpNet::new(address, bits - free).unwrap().trunc();
            net.to_string().parse().unwrap()
        })
    }

    fn small_address(is_v4: bool, host: u8) -> (IpAddr, u8) {
        let last = u32::MAX - u32::from(host);
        let last_v6 = u128::MAX - u128::from(host);
        if is_v4 {
            (IpAddr::V4(last.into()), 32)
        } else {
            (IpAddr::V6(last_v6.into()), 128)
        }
    }

    fn small_set() -> impl Strategy<Value = NetworkSet> {
        let networks = prop::collection::vec(small_network(), 1..8);
        networks.prop_map(|networks| NetworkSet::new(networks).unwrap())
    }

    proptest! {
        #[test]
        fn a_set_covers_another_exactly_when_it_contains_its_addresses(
            held in small_set(),
            asked in small_set(),
        ) {
            let all = [true, false].into_iter().flat_map(|is_v4| {
                (0..16).map(move |host| small_address(is_v4, host).0)
            });
            let contained = all.filter(|ip| asked.contains(*ip)).all(|ip| held.contains(ip));
            prop_assert_eq!(held.covers(&asked), contained);
        }

        #[test]
        fn covering_is_reflexive_and_transitive(sets in prop::collection::vec(small_set(), 6)) {
            for a in &sets {
                prop_assert!(a.covers(a));
                for (b, c) in sets.iter().flat_map(|b| sets.iter().map(move |c| (b, c))) {
                    prop_assert!(a.covers(c) || !(a.covers(b) && b.covers(c)), "{a:?} {b:?} {c:?}");
                }
            }
        }

        #[test]
        fn anywhere_contains_every_address(bits: u128) {
            prop_assert!(NetworkSet::any().contains(IpAddr::V6(bits.into())));
            let [.., a, b, c, d] = bits.to_be_bytes();
            prop_assert!(NetworkSet::any().contains(IpAddr::from([a, b, c, d])));
        }
    }
}
