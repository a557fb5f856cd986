//! What flags and environment variables may say, where no other room knows it: each is parsed once, and
//! what it should have been is said.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use clap::ValueEnum;

/// The `typ` of tokens, as it is set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum TokenTypeSetting {
    /// RFC 9068.
    #[value(name = "at+jwt")]
    AtJwt,
    /// For validators that refuse the other.
    #[value(name = "JWT")]
    Jwt,
}

/// What a new API key without scopes is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum EmptyScopes {
    /// An error.
    Refuse,
    /// A key with the scope `*`.
    Full,
}

/// Something that is done or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// How often something is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interval {
    /// So often.
    Every(Duration),
    /// Never by itself.
    Off,
}

/// Where something is served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Listen {
    /// There.
    At(SocketAddr),
    /// Nowhere.
    Off,
}

/// The form of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

impl From<Switch> for bool {
    fn from(switch: Switch) -> Self {
        switch == Switch::On
    }
}

pub(super) fn usage_flush_interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if !(Duration::from_secs(1)..=Duration::from_mins(1)).contains(&interval) {
        return Err("write a time between 1s and 60s".to_owned());
    }
    Ok(interval)
}

pub(super) fn stale_limit(text: &str) -> Result<Duration, String> {
    let between = Duration::from_secs(3)..=Duration::from_mins(1);
    whole_seconds(text, &between, "write a time between 3s and 60s")
}

pub(super) fn interval(text: &str) -> Result<Interval, String> {
    if text == "off" {
        return Ok(Interval::Off);
    }
    let between = Duration::from_hours(1)..=Duration::from_hours(24 * 3_660);
    whole_seconds(
        text,
        &between,
        "write a time between 1h and 10 years, or off",
    )
    .map(Interval::Every)
}

pub(super) fn listen(text: &str) -> Result<Listen, String> {
    if text == "off" {
        return Ok(Listen::Off);
    }
    let address = text.parse().map(Listen::At);
    address.map_err(|_| "write an address and a port such as 127.0.0.1:8081, or off".to_owned())
}

pub(super) fn lead(text: &str) -> Result<Duration, String> {
    let between = Duration::from_secs(1)..=Duration::from_hours(24 * 30);
    whole_seconds(text, &between, "write a time between 1s and 30d")
}

pub(super) fn jwks_max_age(text: &str) -> Result<Duration, String> {
    let between = Duration::from_secs(1)..=Duration::from_hours(24);
    whole_seconds(text, &between, "write a time between 1s and 24h")
}

pub(super) fn clock_skew(text: &str) -> Result<Duration, String> {
    let between = Duration::ZERO..=Duration::from_hours(1);
    whole_seconds(text, &between, "write a time between 0s and 1h")
}

fn whole_seconds(
    text: &str,
    between: &RangeInclusive<Duration>,
    otherwise: &str,
) -> Result<Duration, String> {
    let span = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if !between.contains(&span) || span.subsec_nanos() != 0 {
        return Err(otherwise.to_owned());
    }
    Ok(span)
}

pub(super) fn token_lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if !(60..=3_600).contains(&lifetime.as_secs()) || lifetime.subsec_nanos() != 0 {
        return Err("write a whole number of seconds between 60s and 1h".to_owned());
    }
    Ok(lifetime)
}
