//! An instant, as the wire and the database both say it: whole seconds, UTC.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Seconds since the Unix epoch, from year 1970 to the end of year 9999.
///
/// Whole seconds, because that is what `iat` and `exp` carry (RFC 7519 §2): an
/// instant then compares the same in a token, in a row and in an answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Timestamp(i64);

/// What was written is not an instant tenmint can hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write an RFC 3339 time between the years 1970 and 9999, such as 2027-01-31T09:00:00Z")]
pub struct TimestampError;

impl Timestamp {
    /// 9999-12-31T23:59:59Z: the last instant RFC 3339 can write.
    pub const MAX: Self = Self(253_402_300_799);

    /// From Unix seconds.
    ///
    /// # Errors
    /// Refuses instants before 1970 and after 9999.
    pub fn from_unix(seconds: i64) -> Result<Self, TimestampError> {
        (0..=Self::MAX.0)
            .contains(&seconds)
            .then_some(Self(seconds))
            .ok_or(TimestampError)
    }

    /// Unix seconds, as RFC 7519 calls a NumericDate.
    #[must_use]
    pub const fn unix(self) -> i64 {
        self.0
    }

    /// This instant plus `span`, whole seconds, never past [`Self::MAX`].
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        let seconds = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(seconds).min(Self::MAX.0))
    }

    /// This instant less `span`, whole seconds, never before 1970.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        let seconds = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(seconds).max(0))
    }

    /// Whole seconds from `earlier` to this instant, zero if it is not earlier.
    #[must_use]
    pub fn seconds_since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instant =
            OffsetDateTime::from_unix_timestamp(self.0).expect("held between 1970 and 9999");
        let text = instant
            .format(&Rfc3339)
            .expect("RFC 3339 can write every instant up to 9999");
        f.write_str(&text)
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let instant = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| TimestampError)?;
        // Not by way of the UTC date, which the last hours of 9999 west of Greenwich have none of.
        Self::from_unix(instant.unix_timestamp())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_and_read_back_in_utc() {
        let instant: Timestamp = "2027-01-31T10:00:00+01:00".parse().unwrap();
        assert_eq!(instant.to_string(), "2027-01-31T09:00:00Z");
        assert_eq!(instant.to_string().parse(), Ok(instant));
    }

    #[test]
    fn times_outside_the_representable_years_are_refused() {
        for text in [
            "1969-12-31T23:59:59Z",
            "9999-12-31T23:59:59-01:00",
            "0000-01-01T00:00:00+01:00",
            "2027-01-31",
            "soon",
            "",
            "-1",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(TimestampError), "{text}");
        }
        assert!(Timestamp::from_unix(i64::MAX).is_err());
    }

    #[test]
    fn arithmetic_stops_at_the_end_of_time() {
        assert_eq!(Timestamp::MAX.plus(Duration::MAX), Timestamp::MAX);
        let start = Timestamp::from_unix(100).unwrap();
        assert_eq!(start.seconds_since(start.plus(Duration::from_secs(5))), 0);
        assert_eq!(start.plus(Duration::from_secs(5)).seconds_since(start), 5);
    }
}
