//! Policies: what an organization may do with its keys, as the operator bounds it and as it
//! bounds itself.

mod bounds;
mod effective;

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

fn said<'de, D: Deserializer<'de>, B: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<B>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn policy(json: &Value) -> Result<Policy, serde_json::Error> {
        serde_json::from_value(json.clone())
    }

    #[test]
    fn every_bound_has_bounds() {
        for (rule, least, most) in [
            ("max_key_lifetime_days", 1, 36_500),
            ("max_active_keys", 0, 1_000_000),
            ("min_prefix_ipv4", 0, 32),
            ("min_prefix_ipv6", 0, 128),
            ("token_lifetime_seconds", 60, 3_600),
            ("revoke_unused_after_days", 8, 3_650),
        ] {
            for good in [least, most] {
                assert!(policy(&json!({ rule: good })).is_ok(), "{rule}: {good}");
            }
            for bad in [
                json!(least - 1),
                json!(most + 1),
                json!(1.5),
                json!("9"),
                json!(true),
            ] {
                let refused = policy(&json!({ rule: bad })).unwrap_err().to_string();
                let told = format!("write a whole number from {least} to {most}");
                assert!(refused.contains(&told), "{rule}: {refused}");
            }
        }
        for bad in [
            json!([]),
            json!(["/api"]),
            json!("urn:a"),
            json!(["urn:a#x"]),
            json!([1]),
        ] {
            assert!(
                policy(&json!({ "allowed_audiences": bad })).is_err(),
                "{bad}"
            );
        }
        assert!(policy(&json!({ "require_expiry": 1 })).is_err());
        assert!(policy(&json!({ "no_such_rule": 1 })).is_err());
    }

    #[test]
    fn an_edit_changes_what_it_says() {
        let before = policy(&json!({ "max_active_keys": 5, "require_expiry": true })).unwrap();
        let edit: PolicyEdit =
            serde_json::from_str(r#"{"max_active_keys":null,"min_prefix_ipv4":8}"#).unwrap();
        let after = edit.apply(&before);
        let expected = json!({ "require_expiry": true, "min_prefix_ipv4": 8 });
        assert_eq!(json!(after), expected);
        assert_eq!(
            Value::Object(before.differences(&after)),
            json!({ "max_active_keys": { "from": 5, "to": null },
                "min_prefix_ipv4": { "from": null, "to": 8 } })
        );
    }

    #[test]
    fn only_what_is_edited_is_held_against_the_bound() {
        let bound = policy(&json!({ "max_active_keys": 5, "require_expiry": true })).unwrap();
        let old = policy(&json!({ "max_active_keys": 9 })).unwrap();
        let more = policy(&json!({ "max_active_keys": 9, "min_prefix_ipv4": 1 })).unwrap();
        assert_eq!(more.loosened(&old, &bound), None);
        let looser = more.loosened(&Policy::default(), &bound).unwrap();
        assert_eq!((looser.rule, &*looser.bound), (Rule::MaxActiveKeys, "5"));
        let off = policy(&json!({ "require_expiry": false })).unwrap();
        let looser = off.loosened(&old, &bound).unwrap();
        assert_eq!((looser.rule, &*looser.bound), (Rule::RequireExpiry, "true"));
    }

    fn some_policy() -> impl Strategy<Value = Policy> {
        let number = |range: std::ops::RangeInclusive<u32>| prop::option::of(range);
        let rate = || prop::option::of((1u32..9, 1u32..9));
        let numbers = (
            number(1..=9),
            number(0..=9),
            number(0..=32),
            number(0..=128),
        );
        let more = (number(60..=70), number(8..=12), rate(), rate());
        let flags = prop::array::uniform3(prop::option::of(any::<bool>()));
        let audiences = prop::option::of(prop::sample::subsequence(vec!["urn:a", "urn:b"], 1..=2));
        (numbers, more, flags, audiences).prop_map(|(numbers, more, flags, audiences)| {
            let rate = |rate: Option<(u32, u32)>| {
                rate.map(|(limit, window)| json!({ "limit": limit, "window_seconds": window }))
            };
            let all = json!({
                "max_key_lifetime_days": numbers.0, "max_active_keys": numbers.1,
                "min_prefix_ipv4": numbers.2, "min_prefix_ipv6": numbers.3,
                "token_lifetime_seconds": more.0, "revoke_unused_after_days": more.1,
                "default_rate_limit": rate(more.2), "max_rate_limit": rate(more.3),
                "require_expiry": flags[0], "require_networks": flags[1],
                "own_issuer_only": flags[2], "allowed_audiences": audiences,
            });
            policy(&all).unwrap()
        })
    }

    proptest! {
        #[test]
        fn the_effective_policy_is_never_looser_than_either(
            operator in some_policy(),
            own in some_policy(),
        ) {
            let both = own.stricter(&operator);
            for bound in [&operator, &own] {
                prop_assert_eq!(both.loosened(&Policy::default(), bound), None);
                let (Value::Object(both), Value::Object(bound)) = (json!(both), json!(bound)) else {
                    unreachable!()
                };
                prop_assert!(bound.keys().all(|rule| both.contains_key(rule)));
            }
            // Nor is it stricter than needed: it is one of them where one is within the other.
            prop_assert_eq!(both.stricter(&own), both.clone());
            prop_assert_eq!(own.stricter(&own), own);
        }
    }
}
