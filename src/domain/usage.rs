//! Usage: how an exchange can end, in which spans it is counted, and what is kept of a client.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use serde::{Serialize, Serializer};

use super::secret::redact;
use super::timestamp::Timestamp;

/// How one use of an API key ended. The names are stable: rows and answers carry them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Outcome {
    /// A token was issued.
    Issued,
    /// The key itself was presented at a gateway, and let through to a service.
    Direct,
    /// The key itself was presented to the management plane, and let in.
    Managed,
    /// The key itself was presented to a service, which asked about it by introspection and was
    /// told that it is in force.
    Checked,
    /// A genuine string that is not, or no longer, the key's secret.
    WrongSecret,
    /// The key is past its end.
    Expired,
    /// The key was revoked.
    Revoked,
    /// The key is disabled.
    Disabled,
    /// The key's organization is suspended.
    OrganizationSuspended,
    /// The address is outside the key's networks, or unknown.
    NetworkDenied,
    /// The key is used faster than it may be.
    RateLimited,
    /// The scopes asked for are malformed, or beyond the key.
    InvalidScope,
    /// No token is issued for the resource asked for.
    InvalidTarget,
    /// The key was presented to the issuer of another organization.
    OtherOrganization,
    /// The token would have been too long to travel.
    TokenTooLong,
    /// The key is confined to its organization's own issuer.
    OwnIssuerOnly,
    /// The key is to be exchanged, and was shown to a service itself.
    ExchangeOnly,
    /// The issuer has no signing key.
    NoSigningKey,
    /// Too many first uses at once.
    Overloaded,
    /// The database or the signing key could not be had.
    Unavailable,
    /// Not made under this deployment's root key, or no key at all.
    Forged,
    /// Genuine, but there is no such key.
    UnknownKey,
    /// The request was no token request.
    Malformed,
}

/// The spans in which uses are counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grain {
    /// UTC hours, kept for 30 days.
    Hour,
    /// UTC days, kept for 13 months.
    Day,
}

/// Where a client is, as far as it is kept: an IPv4 address, or the /64 of an IPv6 address,
/// within which one machine moves about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Origin(IpAddr);

/// What a client calls itself: at most 200 visible ASCII characters, no API key among them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(transparent)]
pub struct UserAgent(Box<str>);

impl Outcome {
    /// How many there are.
    pub const COUNT: usize = 23;

    /// Every outcome, once, in the order of its declaration.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Issued,
        Self::Direct,
        Self::Managed,
        Self::Checked,
        Self::WrongSecret,
        Self::Expired,
        Self::Revoked,
        Self::Disabled,
        Self::OrganizationSuspended,
        Self::NetworkDenied,
        Self::RateLimited,
        Self::InvalidScope,
        Self::InvalidTarget,
        Self::OtherOrganization,
        Self::TokenTooLong,
        Self::OwnIssuerOnly,
        Self::ExchangeOnly,
        Self::NoSigningKey,
        Self::Overloaded,
        Self::Unavailable,
        Self::Forged,
        Self::UnknownKey,
        Self::Malformed,
    ];

    /// The name, as rows and answers have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Direct => "direct",
            Self::Managed => "managed",
            Self::Checked => "checked",
            Self::WrongSecret => "wrong_secret",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Disabled => "disabled",
            Self::OrganizationSuspended => "organization_suspended",
            Self::NetworkDenied => "network_denied",
            Self::RateLimited => "rate_limited",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::OtherOrganization => "other_organization",
            Self::TokenTooLong => "token_too_long",
            Self::OwnIssuerOnly => "own_issuer_only",
            Self::ExchangeOnly => "exchange_only",
            Self::NoSigningKey => "no_signing_key",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
            Self::Forged => "forged",
            Self::UnknownKey => "unknown_key",
            Self::Malformed => "malformed",
        }
    }

    /// Whether a service was shown the key itself, and it counted.
    #[must_use]
    pub const fn is_of_a_service(self) -> bool {
        matches!(self, Self::Direct | Self::Checked)
    }

    /// The outcome of exactly this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Grain {
    /// The name, as rows, requests and answers have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// How long one span is, in seconds.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        match self {
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }

    /// How many of the latest spans are kept.
    #[must_use]
    pub const fn kept(self) -> i64 {
        match self {
            Self::Hour => 30 * 24,
            Self::Day => 400,
        }
    }

    /// The start of the span that holds this instant.
    ///
    /// # Panics
    /// Never: an earlier second of the same era is an instant too.
    #[must_use]
    pub fn start(self, at: Timestamp) -> Timestamp {
        let start = at.unix() - at.unix() % self.seconds();
        Timestamp::from_unix(start).expect("between 1970 and the instant given")
    }

    /// The instant from which spans are still kept at `now`: earlier ones are erased.
    ///
    /// # Panics
    /// Never: it is not before 1970.
    #[must_use]
    pub fn kept_since(self, now: Timestamp) -> Timestamp {
        let since = self.start(now).unix() - self.kept() * self.seconds();
        Timestamp::from_unix(since.max(0)).expect("between 1970 and now")
    }
}

impl Origin {
    /// What is kept of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(whole) => {
                let network = whole.to_bits() & !u128::from(u64::MAX);
                IpAddr::V6(Ipv6Addr::from_bits(network))
            }
            whole @ IpAddr::V4(_) => whole,
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => write!(f, "{address}"),
            IpAddr::V6(network) => write!(f, "{network}/64"),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl UserAgent {
    /// Most characters that are kept.
    pub const MAX: usize = 200;

    /// What is kept of a `User-Agent` header; `None` when nothing of it is.
    #[must_use]
    pub fn of(header: &[u8]) -> Option<Self> {
        // First blacked out, then cut: the beginning of a secret would not be recognised.
        let text = String::from_utf8_lossy(header);
        let visible = redact(&text)
            .chars()
            .map(|c| if matches!(c, ' '..='~') { c } else { '?' })
            .take(Self::MAX)
            .collect::<String>();
        (!visible.trim().is_empty()).then(|| Self(visible.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_a_name_and_a_place() {
        for (index, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, index);
            assert_eq!(Outcome::from_name(outcome.as_str()), Some(outcome));
        }
        assert_eq!(Outcome::from_name("Issued"), None);
    }

    #[test]
    fn spans_start_on_the_hour_and_at_midnight_utc() {
        let at: Timestamp = "2027-03-31T23:59:59Z".parse().unwrap();
        assert_eq!(Grain::Hour.start(at).to_string(), "2027-03-31T23:00:00Z");
        assert_eq!(Grain::Day.start(at).to_string(), "2027-03-31T00:00:00Z");
        let first = Timestamp::from_unix(5).unwrap();
        assert_eq!(Grain::Day.kept_since(first).unix(), 0);
    }

    #[test]
    fn of_an_ipv6_address_only_its_network_is_kept() {
        let kept = |text: &str| Origin::of(text.parse().unwrap()).to_string();
        assert_eq!(kept("203.0.113.9"), "203.0.113.9");
        assert_eq!(kept("::ffff:203.0.113.9"), "203.0.113.9");
        assert_eq!(kept("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
    }

    #[test]
    fn a_user_agent_is_short_visible_and_holds_no_key() {
        let kept = |header: &[u8]| UserAgent::of(header).map(|agent| agent.as_str().to_owned());
        assert_eq!(kept(b"curl/8.7"), Some("curl/8.7".to_owned()));
        assert_eq!(kept(b""), None);
        assert_eq!(kept(b"a\tb\x00\xff"), Some("a?b??".to_owned()));
        let key = format!("tmsk_01ARZ3NDEKTSV4RRFFQ69G5FAV_{}", "s".repeat(60));
        let long = format!("{}{key}", "x".repeat(150));
        let agent = kept(long.as_bytes()).unwrap();
        assert_eq!(agent.len(), 150 + 32 + "[secret]".len());
        assert!(!agent.contains("ss"), "{agent}");
        assert_eq!(kept("y".repeat(900).as_bytes()).unwrap().len(), 200);
    }
}
