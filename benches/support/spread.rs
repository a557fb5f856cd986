//! What many rounds came to, for people.

use std::fmt;
use std::time::Duration;

/// Median, and the quartiles about it: between these lies half of all rounds.
pub struct Spread([f64; 3]);

impl Spread {
    /// Of any values; those of none are no numbers.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_unstable_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let count = values.len();
        Self([at(count / 2), at(count / 4), at(count * 3 / 4)])
    }

    /// The median.
    pub const fn middle(&self) -> f64 {
        self.0[0]
    }
}

/// Nothing where there was nothing.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [middle, lower, upper] = self.0;
        if middle.is_nan() {
            return f.pad("");
        }
        let digits = if upper >= 100.0 { 0 } else { 2 };
        f.pad(&format!(
            "{middle:.digits$} ({lower:.digits$} to {upper:.digits$})"
        ))
    }
}

/// A duration for people.
pub fn millis(wait: Duration) -> String {
    format!("{:.2} ms", wait.as_secs_f64() * 1e3)
}

/// The middle one of some durations.
pub fn middle(waits: impl IntoIterator<Item = Duration>) -> Duration {
    let mut waits: Vec<_> = waits.into_iter().collect();
    waits.sort_unstable();
    waits.get(waits.len() / 2).copied().unwrap_or_default()
}

/// The wait that so many percent did not exceed.
pub fn percentile(waits: &mut [Duration], percent: usize) -> Duration {
    waits.sort_unstable();
    let last = waits.len().saturating_sub(1);
    let at = (waits.len() * percent).div_ceil(100).saturating_sub(1);
    waits.get(at.min(last)).copied().unwrap_or_default()
}
