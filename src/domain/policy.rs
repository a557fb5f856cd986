//! Policies: what an organization may do with its keys, as the operator bounds it and as it
//! bounds itself.

mod bounds;
mod effective;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::rate_limit::RateLimit;
use bounds::Bound;

pub use bounds::{AllowedAudiences, AtLeast, AtMost, Required};
pub use effective::{Effective, Terms, Violation};

/// A bound of an organization's own that is looser than the operator's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Looser {
    /// Which rule.
    pub rule: Rule,
    /// What the operator says, in JSON.
    pub bound: String,
}

macro_rules! rules {
    ($($(#[$doc:meta])* $rule:ident $name:ident: $bound:ty,)*) => {
        /// The rules that a policy can have.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Rule {
            $($(#[$doc])* $rule,)*
        }

        /// A set of rules, each of which may be absent.
        #[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Policy {
            $(
                $(#[$doc])*
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $name: Option<$bound>,
            )*
        }

        /// What should change of a policy, as a merge patch (RFC 7396): the outer `None` leaves
        /// a rule as it is, the inner one removes it.
        #[derive(Clone, Default, Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct PolicyEdit {
            $(
                $(#[$doc])*
                #[serde(default, deserialize_with = "said")]
                pub $name: Option<Option<$bound>>,
            )*
        }

        impl Rule {
            /// Every rule, once.
            pub const ALL: [Self; [$(stringify!($rule)),*].len()] = [$(Self::$rule),*];

            /// Its name, as policies have it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$rule => stringify!($name),)* }
            }

            /// The JSON pointer of the rule in an organization's own policy.
            #[must_use]
            pub const fn pointer(self) -> &'static str {
                match self { $(Self::$rule => concat!("/policy/", stringify!($name)),)* }
            }
        }

        impl Policy {
            /// The stricter of two policies, rule by rule.
            #[must_use]
            pub fn stricter(&self, other: &Self) -> Self {
                Self { $($name: stricter(self.$name.as_ref(), other.$name.as_ref()),)* }
            }

            /// The first rule that is there, is not as it was, and is looser than a bound. A
            /// rule that is absent takes over the bound.
            #[must_use]
            pub fn loosened(&self, before: &Self, bound: &Self) -> Option<Looser> {
                $(
                    if self.$name != before.$name
                        && let (Some(own), Some(bound)) = (&self.$name, &bound.$name)
                        && own.stricter(bound) != *own
                    {
                        let bound = json!(bound).to_string();
                        return Some(Looser { rule: Rule::$rule, bound });
                    }
                )*
                None
            }

            /// What is different in another policy, from what to what.
            #[must_use]
            pub fn differences(&self, after: &Self) -> Map<String, Value> {
                let mut different = Map::new();
                $(
                    if self.$name != after.$name {
                        let change = json!({ "from": self.$name, "to": after.$name });
                        different.insert(stringify!($name).to_owned(), change);
                    }
                )*
                different
            }
        }

        impl PolicyEdit {
            /// The policy as it becomes.
            #[must_use]
            pub fn apply(&self, to: &Policy) -> Policy {
                Policy { $($name: self.$name.clone().unwrap_or_else(|| to.$name.clone()),)* }
            }
        }
    };
}

rules! {
    /// Days within which a key must end: 1 to 36,500.
    MaxKeyLifetimeDays max_key_lifetime_days: AtMost<1, 36_500>,
    /// How many keys may be active at a time: 0 to 1,000,000.
    MaxActiveKeys max_active_keys: AtMost<0, 1_000_000>,
    /// Whether a key must end.
    RequireExpiry require_expiry: Required,
    /// Whether a key must be confined to networks.
    RequireNetworks require_networks: Required,
    /// The least prefix length, in bits, of an IPv4 network of a key.
    MinPrefixIpv4 min_prefix_ipv4: AtLeast<0, 32>,
    /// The least prefix length, in bits, of an IPv6 network of a key.
    MinPrefixIpv6 min_prefix_ipv6: AtLeast<0, 128>,
    /// How often a key without a limit of its own may be exchanged.
    DefaultRateLimit default_rate_limit: RateLimit,
    /// How often any key may be exchanged.
    MaxRateLimit max_rate_limit: RateLimit,
    /// How long a token lives, in seconds: 60 to 3,600.
    TokenLifetimeSeconds token_lifetime_seconds: AtMost<60, 3_600>,
    /// What tokens may be for. The first is what they are for when nobody says.
    AllowedAudiences allowed_audiences: AllowedAudiences,
    /// Whether keys obtain tokens from their organization's issuer alone, but for the
    /// management plane.
    OwnIssuerOnly own_issuer_only: Required,
    /// Whether keys are exchanged for tokens and never shown to a service themselves.
    ExchangeOnly exchange_only: Required,
    /// After how many days without use a key is revoked: 8 to 3,650.
    RevokeUnusedAfterDays revoke_unused_after_days: AtMost<8, 3_650>,
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

fn stricter<B: Bound>(one: Option<&B>, other: Option<&B>) -> Option<B> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.stricter(other)),
        (one, other) => one.or(other).cloned(),
    }
}

#[allow(
    clippy::option_option,
    reason = "in a merge patch, absent and null differ"
)]
fn said<'de, D: Deserializer<'de>, B: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<B>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
