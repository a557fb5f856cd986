//! How long two secrets of a key count beside each other while it is rotated, and what becomes of
//! the key when the newer one is lost meanwhile.

use std::fmt;
use std::time::Duration;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use super::super::timestamp::Timestamp;
use super::{ApiKey, next_notice};

/// A number of seconds from 0 to 2592000 (30 days) for which the secret before still counts: 0
/// ends it at once. A day, when nothing is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OverlapSpan(u32);

impl OverlapSpan {
    /// The longest, in seconds: 30 days.
    pub const MAX: u32 = 2_592_000;

    /// When the secret before ends in a rotation at `now` of a key that itself ends at `key_end`;
    /// `None`: at once. No rotation lets a secret outlive its key.
    #[must_use]
    pub fn ends_at(self, now: Timestamp, key_end: Option<Timestamp>) -> Option<Timestamp> {
        let end = now.plus(Duration::from_secs(self.0.into()));
        let end = key_end.map_or(end, |key_end| end.min(key_end));
        (end > now).then_some(end)
    }
}

impl Default for OverlapSpan {
    fn default() -> Self {
        Self(86_400)
    }
}

impl<'de> Deserialize<'de> for OverlapSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WholeSeconds;
        impl Visitor<'_> for WholeSeconds {
            type Value = OverlapSpan;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(
                    f,
                    "a whole number of seconds from 0 to {}",
                    OverlapSpan::MAX
                )
            }
            fn visit_u64<E: Error>(self, seconds: u64) -> Result<OverlapSpan, E> {
                u32::try_from(seconds)
                    .ok()
                    .filter(|seconds| *seconds <= OverlapSpan::MAX)
                    .map(OverlapSpan)
                    .ok_or_else(|| E::invalid_value(Unexpected::Unsigned(seconds), &self))
            }
        }
        deserializer.deserialize_u64(WholeSeconds)
    }
}

impl ApiKey {
    /// Gives the key's newest secret up, whose fingerprint this is, and goes back to the one before,
    /// if that counts at `now`. It counts no longer than its rotation let it: the key ends with it.
    #[must_use]
    pub fn undo_rotation(&mut self, now: Timestamp) -> Option<String> {
        let before = self.overlap.take_if(|before| before.is_in_force(now))?;
        let ends_at = before.ends_at;
        let end = self.expires_at.map_or(ends_at, |end| end.min(ends_at));
        self.expires_at = Some(end);
        self.next_notice_at = next_notice(end, now);
        self.secret_created_at = before.created_at;
        self.secret_last_use = before.last_use;
        Some(std::mem::replace(&mut self.fingerprint, before.fingerprint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_whole_seconds_up_to_thirty_days() {
        for good in ["0", "1", "2592000"] {
            assert!(serde_json::from_str::<OverlapSpan>(good).is_ok(), "{good}");
        }
        for bad in ["-1", "2592001", "1.5", "\"24h\"", "null", "true", "1e3"] {
            let error = serde_json::from_str::<OverlapSpan>(bad).unwrap_err();
            assert!(
                error.to_string().contains("whole number of seconds"),
                "{bad}"
            );
        }
    }

    #[test]
    fn an_overlap_ends_with_its_key_at_the_latest() {
        let at = |seconds| Timestamp::from_unix(seconds).unwrap();
        let span = OverlapSpan(100);
        assert_eq!(span.ends_at(at(1_000), None), Some(at(1_100)));
        assert_eq!(span.ends_at(at(1_000), Some(at(1_050))), Some(at(1_050)));
        assert_eq!(span.ends_at(at(1_000), Some(at(1_200))), Some(at(1_100)));
        assert_eq!(OverlapSpan(0).ends_at(at(1_000), None), None);
    }
}
