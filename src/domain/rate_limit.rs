//! Rate limits: how many exchanges a key may make in how long.

use serde::{Deserialize, Deserializer, Serialize};

/// At most `limit` exchanges at once; what is spent comes back evenly, all of it within `window`
/// seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct RateLimit {
    /// Exchanges: 1 to 1,000,000.
    pub limit: u32,
    /// Seconds: 1 to 86,400 (a day).
    #[serde(rename = "window_seconds")]
    pub window: u32,
}

/// Not usable as a rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RateLimitError {
    /// None, or beyond counting.
    #[error("write a limit from 1 to {}", RateLimit::MAX_LIMIT)]
    Limit,
    /// None, or longer than a day.
    #[error("write window_seconds from 1 to {}", RateLimit::MAX_WINDOW)]
    Window,
}

impl RateLimit {
    /// The greatest limit.
    pub const MAX_LIMIT: u32 = 1_000_000;
    /// The longest window, in seconds.
    pub const MAX_WINDOW: u32 = 86_400;

    /// `limit` exchanges in `window` seconds.
    ///
    /// # Errors
    /// See [`RateLimitError`].
    pub fn new(limit: u32, window: u32) -> Result<Self, RateLimitError> {
        if !(1..=Self::MAX_LIMIT).contains(&limit) {
            return Err(RateLimitError::Limit);
        }
        if !(1..=Self::MAX_WINDOW).contains(&window) {
            return Err(RateLimitError::Window);
        }
        Ok(Self { limit, window })
    }

    /// Whether whoever keeps this limit keeps `other` as well: never more at once, and never
    /// more in the long run.
    #[must_use]
    pub fn is_within(self, other: Self) -> bool {
        let (mine, others) = (
            u64::from(self.limit) * u64::from(other.window),
            u64::from(other.limit) * u64::from(self.window),
        );
        self.limit <= other.limit && mine <= others
    }
}

impl RateLimit {
    /// As much of this limit as keeps another as well.
    #[must_use]
    pub fn within(self, other: Self) -> Self {
        let slower = if u64::from(self.limit) * u64::from(other.window)
            <= u64::from(other.limit) * u64::from(self.window)
        {
            self
        } else {
            other
        };
        let limit = self.limit.min(other.limit);
        let window = u64::from(limit) * u64::from(slower.window);
        Self {
            limit,
            // Rounded up, so that it is never the faster. No longer than the slower one's: the
            // limit is no greater.
            window: u32::try_from(window.div_ceil(u64::from(slower.limit)))
                .unwrap_or(Self::MAX_WINDOW),
        }
    }
}

impl<'de> Deserialize<'de> for RateLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(
            deny_unknown_fields,
            expecting = "an object such as {\"limit\": 60, \"window_seconds\": 60}"
        )]
        struct Fields {
            #[serde(deserialize_with = "limit")]
            limit: u32,
            #[serde(deserialize_with = "window")]
            window_seconds: u32,
        }
        let fields = Fields::deserialize(deserializer)?;
        Self::new(fields.limit, fields.window_seconds).map_err(serde::de::Error::custom)
    }
}

/// Each field is refused by itself, so that the refusal can point at it.
fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    within(deserializer, RateLimit::MAX_LIMIT, RateLimitError::Limit)
}

fn window<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    within(deserializer, RateLimit::MAX_WINDOW, RateLimitError::Window)
}

fn within<'de, D: Deserializer<'de>>(
    deserializer: D,
    max: u32,
    refusal: RateLimitError,
) -> Result<u32, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)
        .map_err(|_| serde::de::Error::custom(refusal))?;
    number
        .as_u64()
        .and_then(|number| u32::try_from(number).ok())
        .filter(|number| (1..=max).contains(number))
        .ok_or_else(|| serde::de::Error::custom(refusal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_windows_have_bounds() {
        let read = serde_json::from_str::<RateLimit>;
        let limit = read(r#"{"limit":60,"window_seconds":30}"#).unwrap();
        assert_eq!(limit, RateLimit::new(60, 30).unwrap());
        for bad in [
            r#"{"limit":0,"window_seconds":30}"#,
            r#"{"limit":1000001,"window_seconds":30}"#,
            r#"{"limit":1,"window_seconds":0}"#,
            r#"{"limit":1,"window_seconds":86401}"#,
            r#"{"limit":-1,"window_seconds":1}"#,
            r#"{"limit":1.5,"window_seconds":1}"#,
            r#"{"limit":"1","window_seconds":1}"#,
            r#"{"limit":1e308,"window_seconds":1}"#,
            r#"{"limit":1}"#,
            r#"{"limit":1,"window_seconds":1,"burst":2}"#,
            "null",
            "60",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_keeps_two_limits_is_no_stricter_than_that_takes() {
        let of = |limit, window| RateLimit::new(limit, window).unwrap();
        assert_eq!(of(120, 120).within(of(60, 60)), of(60, 60));
        assert_eq!(of(2, 1).within(of(60, 60)), of(2, 2));
        assert_eq!(of(7, 10).within(of(5, 9)), of(5, 9));
        assert_eq!(of(30, 60).within(of(60, 60)), of(30, 60));
    }

    #[test]
    fn one_limit_is_within_another_only_in_both_ways() {
        let of = |limit, window| RateLimit::new(limit, window).unwrap();
        assert!(of(60, 60).is_within(of(60, 60)));
        assert!(of(30, 60).is_within(of(60, 60)));
        assert!(of(60, 120).is_within(of(60, 60)));
        // As many in the long run, but more at once.
        assert!(!of(120, 120).is_within(of(60, 60)));
        // Fewer at once, but more in the long run.
        assert!(!of(2, 1).is_within(of(60, 60)));
    }
}
