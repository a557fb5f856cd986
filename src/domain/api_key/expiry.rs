//! When keys end, and when their owners are told.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::super::timestamp::Timestamp;

/// When a new key ends: at an instant, or a number of days from now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expiry {
    /// At this instant.
    At(Timestamp),
    /// So many days after it is made.
    In(Days),
}

/// A number of days from 1 to 36500 (a hundred years).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Days(u16);

/// The instant named for a key's end is not after now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write a time in the future")]
pub struct AlreadyPast;

/// How many days before its end a key's owner is told, and 0 for the end itself.
pub const NOTICES: [u16; 4] = [30, 7, 1, 0];

/// The first notice of a key that ends at `end` which is due after `after`.
#[must_use]
pub fn next_notice(end: Timestamp, after: Timestamp) -> Option<Timestamp> {
    NOTICES
        .into_iter()
        .map(|days| end.minus(Duration::from_secs(u64::from(days) * DAY)))
        .find(|due| *due > after)
}

/// Seconds.
const DAY: u64 = 86_400;

impl Expiry {
    /// The instant meant, counted from `now`.
    ///
    /// # Errors
    /// Refuses an instant that has already come: such a key would be born dead.
    pub fn instant(self, now: Timestamp) -> Result<Timestamp, AlreadyPast> {
        match self {
            Self::At(at) if at > now => Ok(at),
            Self::At(_) => Err(AlreadyPast),
            Self::In(days) => Ok(now.plus(Duration::from_secs(u64::from(days.0) * DAY))),
        }
    }
}

impl Days {
    /// Longest life in days: a hundred years.
    pub const MAX: u16 = 36_500;
}

impl<'de> Deserialize<'de> for Days {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WholeDays;
        impl serde::de::Visitor<'_> for WholeDays {
            type Value = Days;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "a whole number of days from 1 to {}", Days::MAX)
            }
            fn visit_u64<E: serde::de::Error>(self, days: u64) -> Result<Days, E> {
                u16::try_from(days)
                    .ok()
                    .filter(|days| (1..=Days::MAX).contains(days))
                    .map(Days)
                    .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Unsigned(days), &self))
            }
        }
        deserializer.deserialize_u64(WholeDays)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_whole_and_between_one_and_a_hundred_years() {
        assert_eq!(serde_json::from_str::<Days>("90").unwrap(), Days(90));
        for bad in [
            "0",
            "-1",
            "1e308",
            "9223372036854775808",
            "1.5",
            "\"90\"",
            "36501",
            "null",
        ] {
            let error = serde_json::from_str::<Days>(bad).unwrap_err().to_string();
            assert!(error.contains("whole number of days"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_key_is_never_born_dead() {
        let now = Timestamp::from_unix(1_000).unwrap();
        assert_eq!(Expiry::At(now).instant(now), Err(AlreadyPast));
        let next = Timestamp::from_unix(1_001).unwrap();
        assert_eq!(Expiry::At(next).instant(now), Ok(next));
        assert_eq!(Expiry::In(Days(1)).instant(now).unwrap().unix(), 87_400);
    }

    #[test]
    fn owners_are_told_at_each_mark_that_lies_ahead() {
        let day = |n: i64| Timestamp::from_unix(n * 86_400).unwrap();
        let end = day(100);
        let mut told = Vec::new();
        let mut after = day(0);
        while let Some(due) = next_notice(end, after) {
            told.push(due);
            after = due;
        }
        assert_eq!(told, [day(70), day(93), day(99), day(100)]);
        // A key made for five days is not told that it ends in thirty.
        assert_eq!(next_notice(end, day(95)), Some(day(99)));
        assert_eq!(next_notice(end, end), None);
    }
}
