//! What the operator's bounds and the organization's own come to together, for keys and tokens.

use std::time::Duration;

use super::{Bound, Policy, Rule};
use crate::domain::api_key::ApiKey;
use crate::domain::audience::Resource;
use crate::domain::network::NetworkSet;
use crate::domain::rate_limit::RateLimit;
use crate::domain::timestamp::Timestamp;

/// The policy that counts: the stricter of both layers, rule by rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Effective {
    /// Its rules.
    pub rules: Policy,
    /// The operator may let tokens live longer than the deployment does, the organization not.
    operator_sets_lifetime: bool,
}

/// What of a key the rules look at.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// Where it may be used from.
    pub networks: &'a NetworkSet,
    /// How often it may be exchanged.
    pub rate_limit: Option<RateLimit>,
}

/// A rule that a key breaks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// What the rule says.
    pub why: String,
}

/// Seconds.
const DAY: u64 = 86_400;

impl Effective {
    /// Of the operator's layer and the organization's own.
    #[must_use]
    pub fn of(operator: &Policy, own: &Policy) -> Self {
        Self {
            // Its own list first: the order of audiences is the organization's to choose.
            rules: own.stricter(operator),
            operator_sets_lifetime: operator.token_lifetime_seconds.is_some(),
        }
    }

    /// How long a token lives where the deployment's live for `deployment`.
    #[must_use]
    pub fn token_lifetime(&self, deployment: Duration) -> Duration {
        match self.rules.token_lifetime_seconds {
            None => deployment,
            Some(seconds) => {
                let lifetime = Duration::from_secs(u64::from(seconds.get()));
                if self.operator_sets_lifetime {
                    lifetime
                } else {
                    lifetime.min(deployment)
                }
            }
        }
    }

    /// How often a key with this limit of its own, or none, may be exchanged.
    #[must_use]
    pub fn rate_limit(&self, own: Option<RateLimit>) -> Option<RateLimit> {
        let asked = own.or(self.rules.default_rate_limit);
        match (asked, self.rules.max_rate_limit) {
            (Some(asked), Some(max)) => Some(asked.within(max)),
            (asked, max) => asked.or(max),
        }
    }

    /// What tokens may be for, if that is bounded.
    #[must_use]
    pub fn allowed_audiences(&self) -> Option<&[Resource]> {
        let allowed = self.rules.allowed_audiences.as_ref();
        allowed.map(super::AllowedAudiences::as_slice)
    }

    /// After how many days without use keys are revoked, if they are.
    #[must_use]
    pub fn revoke_unused_after_days(&self) -> Option<u32> {
        self.rules.revoke_unused_after_days.map(super::AtMost::get)
    }

    /// Whether tokens come from the organization's own issuer alone.
    #[must_use]
    pub fn own_issuer_only(&self) -> bool {
        self.rules.own_issuer_only.is_some_and(|rule| rule.0)
    }

    /// Whether keys are exchanged, and not shown to services themselves.
    #[must_use]
    pub fn exchange_only(&self) -> bool {
        self.rules.exchange_only.is_some_and(|rule| rule.0)
    }

    /// The first rule that keeps every key from being worth anything somewhere, and no longer does
    /// under `after`. `exchange_only` comes last: where it is the answer, no other is lifted.
    ///
    /// These rules bind keys that are there, at once, and so do they let them go: whoever lifts one
    /// makes every key more than it was.
    #[must_use]
    pub fn lifted(&self, after: &Self) -> Option<Rule> {
        let elsewhere = match (self.allowed_audiences(), after.allowed_audiences()) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(before), Some(after)) => after.iter().any(|one| !before.contains(one)),
        };
        let rules = [
            (Rule::AllowedAudiences, elsewhere),
            (
                Rule::OwnIssuerOnly,
                self.own_issuer_only() && !after.own_issuer_only(),
            ),
            (
                Rule::ExchangeOnly,
                self.exchange_only() && !after.exchange_only(),
            ),
        ];
        let lifted = rules.into_iter().find(|(_, is_lifted)| *is_lifted);
        lifted.map(|(rule, _)| rule)
    }

    /// Every rule that a key breaks by itself at `now`, however many others there are.
    #[must_use]
    pub fn broken_by(&self, key: Terms<'_>, now: Timestamp) -> Vec<Violation> {
        let rules = &self.rules;
        let mut broken = Vec::new();
        let mut note = |rule, why: String| broken.push(Violation { rule, why });
        if let Some(days) = rules.max_key_lifetime_days.map(super::AtMost::get) {
            let latest = now.plus(Duration::from_secs(u64::from(days) * DAY));
            if key.expires_at.is_none_or(|end| end > latest) {
                let why = format!("keys end within {days} days here: by {latest} at the latest");
                note(Rule::MaxKeyLifetimeDays, why);
            }
        }
        if rules.require_expiry.is_some_and(|rule| rule.0) && key.expires_at.is_none() {
            note(
                Rule::RequireExpiry,
                "keys must end here: say when".to_owned(),
            );
        }
        if rules.require_networks.is_some_and(|rule| rule.0) && key.networks.has_wildcard() {
            let why = "keys are confined to networks here: name those of this one";
            note(Rule::RequireNetworks, why.to_owned());
        }
        let of_families = [
            (
                Rule::MinPrefixIpv4,
                true,
                rules.min_prefix_ipv4.map(super::AtLeast::get),
            ),
            (
                Rule::MinPrefixIpv6,
                false,
                rules.min_prefix_ipv6.map(super::AtLeast::get),
            ),
        ];
        for (rule, is_ipv4, least) in of_families {
            let mut of_family = key.networks.iter().filter(|net| net.is_ipv4() == is_ipv4);
            if let Some(least) = least
                && let Some(wide) = of_family.find(|net| u32::from(net.prefix_len()) < least)
            {
                let family = if is_ipv4 { "IPv4" } else { "IPv6" };
                let why = format!("{family} networks are /{least} or smaller here, not {wide}");
                note(rule, why);
            }
        }
        if let (Some(max), Some(asked)) = (rules.max_rate_limit, key.rate_limit)
            && asked.stricter(&max) != asked
        {
            let (limit, window) = (max.limit, max.window);
            let why = format!("keys are exchanged at most {limit} times in {window} seconds here");
            note(Rule::MaxRateLimit, why);
        }
        broken
    }

    /// The first rule that a key breaks and, before an edit, did not speak of the same thing:
    /// what an edit leaves alone may stay.
    #[must_use]
    pub fn broken_anew(
        &self,
        before: Option<Terms<'_>>,
        after: Terms<'_>,
        now: Timestamp,
    ) -> Option<Violation> {
        let is_new = |rule| {
            before.is_none_or(|before| match rule {
                Rule::MaxKeyLifetimeDays | Rule::RequireExpiry => {
                    before.expires_at != after.expires_at
                }
                Rule::MaxRateLimit => before.rate_limit != after.rate_limit,
                _ => before.networks != after.networks,
            })
        };
        let mut broken = self.broken_by(after, now).into_iter();
        broken.find(|violation| is_new(violation.rule))
    }
}

impl Rule {
    /// The member of a key that the rule looks at, as a JSON pointer, if it is one.
    #[must_use]
    pub const fn pointer_in_key(self) -> Option<&'static str> {
        match self {
            Self::MaxKeyLifetimeDays | Self::RequireExpiry => Some("/expires_at"),
            Self::RequireNetworks | Self::MinPrefixIpv4 | Self::MinPrefixIpv6 => {
                Some("/allowed_ip_cidrs")
            }
            Self::MaxRateLimit => Some("/rate_limit"),
            _ => None,
        }
    }
}

impl<'a> From<&'a ApiKey> for Terms<'a> {
    fn from(key: &'a ApiKey) -> Self {
        Self {
            expires_at: key.expires_at,
            networks: &key.networks,
            rate_limit: key.rate_limit,
        }
    }
}
