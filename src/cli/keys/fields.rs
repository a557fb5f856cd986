//! What can be said of a key, both when it is made and later.

use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::clock::Clock;

/// A day, in seconds.
const DAY: u64 = 86_400;

/// The fields that a key can be made with and that can be edited.
#[derive(Args, Debug)]
pub(super) struct Fields {
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// A scope it has, such as read:projects/42/**; may be repeated
    #[arg(long, value_name = "SCOPE")]
    pub(super) scope: Vec<String>,

    /// A role it holds; may be repeated
    #[arg(long, value_name = "ROLE")]
    pub(super) role: Vec<String>,

    /// A network it can be used from, such as 203.0.113.0/24; may be repeated
    #[arg(long, value_name = "CIDR")]
    pub(super) network: Vec<String>,

    /// How often it can be exchanged, such as 60/60s
    #[arg(long, value_name = "TIMES/DURATION")]
    rate_limit: Option<Rate>,

    /// Whether it is to be exchanged for tokens and refused where a service is shown it itself
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    exchange_only: Option<bool>,

    /// How long it is to live, such as 90d
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    expires_in: Option<Duration>,

    /// When it is to end, such as 2027-01-01T00:00:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "expires_in")]
    expires_at: Option<String>,

    /// Your own id for whom it belongs to
    #[arg(long, value_name = "TEXT")]
    external_id: Option<String>,

    /// An entry of metadata; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    metadata: Vec<Pair>,
}

/// `name=value`
#[derive(Clone, Debug)]
pub(super) struct Pair(pub(super) String, pub(super) String);

/// `60/60s`
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Rate {
    limit: u32,
    window_seconds: u64,
}

impl Fields {
    /// What was said, as a body has it.
    pub(super) fn members(&self) -> Map<String, Value> {
        let mut members = Map::new();
        let mut put = |name: &str, value: Value| {
            members.insert(name.to_owned(), value);
        };
        for (name, value) in [
            ("description", &self.description),
            ("expires_at", &self.expires_at),
            ("external_id", &self.external_id),
        ] {
            if let Some(value) = value {
                put(name, json!(value));
            }
        }
        for (name, values) in [
            ("scopes", &self.scope),
            ("roles", &self.role),
            ("allowed_ip_cidrs", &self.network),
        ] {
            if !values.is_empty() {
                put(name, json!(values));
            }
        }
        if let Some(rate) = self.rate_limit {
            let (limit, window) = (rate.limit, rate.window_seconds);
            put(
                "rate_limit",
                json!({ "limit": limit, "window_seconds": window }),
            );
        }
        if let Some(exchange_only) = self.exchange_only {
            put("exchange_only", json!(exchange_only));
        }
        match self.expires_in {
            // The server counts days, by its own clock.
            Some(span) if span.as_secs() % DAY == 0 => {
                put("expires_in_days", json!(span.as_secs() / DAY));
            }
            Some(span) => {
                let end = Clock::system().now().plus(span);
                put("expires_at", json!(end.to_string()));
            }
            None => {}
        }
        if !self.metadata.is_empty() {
            put("metadata", Pair::object(&self.metadata));
        }
        members
    }
}

impl Pair {
    /// An object of these members.
    pub(super) fn object(pairs: &[Self]) -> Value {
        let members = pairs
            .iter()
            .map(|Self(name, value)| (name.clone(), json!(value)));
        Value::Object(members.collect())
    }
}

impl FromStr for Pair {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
        Ok(Self(name.to_owned(), value.to_owned()))
    }
}

impl FromStr for Rate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let said = || {
            let (limit, window) = text.split_once('/')?;
            let window = humantime::parse_duration(window).ok()?;
            (window.subsec_nanos() == 0).then_some(Self {
                limit: limit.parse().ok()?,
                window_seconds: window.as_secs(),
            })
        };
        said().ok_or("write TIMES/DURATION in whole seconds, such as 60/60s or 1000/1h")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_times_in_a_duration() {
        let rate = |limit, window_seconds| {
            Ok(Rate {
                limit,
                window_seconds,
            })
        };
        assert_eq!("60/60s".parse(), rate(60, 60));
        assert_eq!("1000/1h".parse(), rate(1000, 3_600));
        for bad in [
            "60", "60/", "/60s", "60/60", "-1/60s", "60/100ms", "60/1s/1s",
        ] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
    }
}
