//! Keys that come to permit less than tokens say that are out.

use super::ApiKey;
use crate::domain::signing_key::LONGEST_TOKEN;
use crate::domain::timestamp::Timestamp;

impl ApiKey {
    /// Notes at `now` that a token issued before may say more than the key permits, if an edit
    /// from `before` to what it is made that so.
    pub fn note_narrowing(&mut self, before: &Self, now: Timestamp) {
        // A token that was cut to the key's end before outlives an end that is nearer.
        let ends_within = |key: &Self| {
            let longest = now.plus(LONGEST_TOKEN);
            key.expires_at.map_or(longest, |end| end.min(longest))
        };
        let is_narrower = self.effective.uncovered(&before.effective).is_some()
            || !self.networks.covers(&before.networks)
            || ends_within(self) < ends_within(before);
        if is_narrower {
            self.narrowed_at = self.narrowed_at.max(Some(now));
        }
    }
}
