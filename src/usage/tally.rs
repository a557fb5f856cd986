//! A tally: uses of API keys, added up in memory and bounded in all directions.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use foldhash::quality::RandomState;

use crate::domain::organization::OrganizationId;
use crate::domain::secret::{KeyId, redact};
use crate::domain::timestamp::Timestamp;
use crate::domain::usage::{Grain, Origin, Outcome, UserAgent};
use crate::store::usage::MOST_PAIRS;

/// Most keys in one shard of a tally. Sixteen shards hold more keys than are cached.
pub(super) const MOST_KEYS: usize = 8_192;

/// Most bytes that one shard's exchange records may take.
const MOST_RECORD_BYTES: usize = 4 << 20;

/// What a pair takes beside its text.
const PAIR_BYTES: usize = 96;

/// Longest text of scopes that is recorded; what is longer is counted with the others.
const LONGEST_SCOPE: usize = 1_000;

/// Most refusals of a key that are explained in one interval: its client repeats itself.
const MOST_EXPLAINED: u8 = 20;

/// Most secrets of a key whose last use is kept: it has two at most, and each may be replaced
/// within the interval.
const MOST_SECRETS: usize = 4;

/// What each key was used for in one hour.
pub(super) type Tallies = HashMap<(KeyId, Timestamp), KeyTally, RandomState>;

/// The keys of one shard, by the hour in which they were used.
#[derive(Default)]
pub(super) struct Shard {
    keys: Tallies,
    record_bytes: usize,
    /// Uses that found no room.
    pub(super) lost: u64,
}

/// What a key was used for in one hour.
pub(super) struct KeyTally {
    pub(super) organization: OrganizationId,
    pub(super) counts: [u64; Outcome::COUNT],
    pub(super) uses: Vec<LastUse>,
    /// When a service was last shown the key itself, and from where.
    pub(super) shown: Option<(Timestamp, Option<Origin>)>,
    pub(super) pairs: Vec<Pair>,
    /// How many exchanges beyond the pairs, and when the last was.
    pub(super) others: Option<(u64, Timestamp)>,
    explained: u8,
}

/// The last use of one secret.
pub(super) struct LastUse {
    pub(super) fingerprint: Box<str>,
    pub(super) at: Timestamp,
    pub(super) address: Option<Origin>,
    pub(super) user_agent: Option<UserAgent>,
    /// Of the header as it came: the same one again needs no second look.
    agent_hash: u64,
}

/// Exchanges from one place for one text of scopes.
pub(super) struct Pair {
    pub(super) origin: Origin,
    pub(super) scope: Box<str>,
    pub(super) count: u64,
    pub(super) last_seen: Timestamp,
}

/// A secret that was used.
pub(super) struct Proven<'a> {
    pub(super) fingerprint: &'a str,
    pub(super) address: Option<Origin>,
    pub(super) user_agent: Option<&'a [u8]>,
    pub(super) agent_hash: u64,
    /// Which scopes were asked for, if that is to be recorded.
    pub(super) scope: Option<&'a str>,
}

impl Shard {
    /// How many keys it holds.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Takes everything out, for the database.
    pub(super) fn take(&mut self) -> Tallies {
        self.record_bytes = 0;
        std::mem::take(&mut self.keys)
    }

    /// Counts a use that proved a secret.
    pub(super) fn used(
        &mut self,
        key: KeyId,
        organization: &OrganizationId,
        outcome: Outcome,
        now: Timestamp,
        proven: &Proven<'_>,
    ) {
        let mut record_bytes = self.record_bytes;
        let Some(tally) = self.of(key, organization, now) else {
            return;
        };
        tally.counts[outcome as usize] += 1;
        tally.note_use(now, proven);
        if outcome.is_of_a_service() {
            tally.shown = Some((now, proven.address));
        }
        if let (Some(scope), Some(origin)) = (proven.scope, proven.address) {
            tally.record(now, origin, scope, &mut record_bytes);
        }
        self.record_bytes = record_bytes;
    }

    /// Counts a refusal of a key; whether it is also to be explained.
    pub(super) fn refused(
        &mut self,
        key: KeyId,
        organization: &OrganizationId,
        outcome: Outcome,
        now: Timestamp,
    ) -> bool {
        let Some(tally) = self.of(key, organization, now) else {
            return false;
        };
        tally.counts[outcome as usize] += 1;
        let explain = tally.explained < MOST_EXPLAINED;
        tally.explained += u8::from(explain);
        explain
    }

    fn of(
        &mut self,
        key: KeyId,
        organization: &OrganizationId,
        now: Timestamp,
    ) -> Option<&mut KeyTally> {
        let full = self.keys.len() >= MOST_KEYS;
        match self.keys.entry((key, Grain::Hour.start(now))) {
            Entry::Occupied(there) => Some(there.into_mut()),
            Entry::Vacant(_) if full => {
                self.lost += 1;
                None
            }
            Entry::Vacant(room) => Some(room.insert(KeyTally {
                organization: organization.clone(),
                counts: [0; Outcome::COUNT],
                uses: Vec::new(),
                shown: None,
                pairs: Vec::new(),
                others: None,
                explained: 0,
            })),
        }
    }
}

impl KeyTally {
    fn note_use(&mut self, now: Timestamp, proven: &Proven<'_>) {
        let full = self.uses.len() >= MOST_SECRETS;
        let known = self
            .uses
            .iter_mut()
            .find(|known| *known.fingerprint == *proven.fingerprint);
        match known {
            Some(known) => {
                known.at = now;
                known.address = proven.address;
                if known.agent_hash != proven.agent_hash {
                    known.user_agent = proven.user_agent.and_then(UserAgent::of);
                    known.agent_hash = proven.agent_hash;
                }
            }
            None if full => {}
            None => self.uses.push(LastUse {
                fingerprint: proven.fingerprint.into(),
                at: now,
                address: proven.address,
                user_agent: proven.user_agent.and_then(UserAgent::of),
                agent_hash: proven.agent_hash,
            }),
        }
    }

    fn record(&mut self, now: Timestamp, origin: Origin, scope: &str, bytes: &mut usize) {
        let known = self
            .pairs
            .iter_mut()
            .find(|pair| pair.origin == origin && *pair.scope == *scope);
        if let Some(known) = known {
            known.count += 1;
            known.last_seen = now;
            return;
        }
        let more = PAIR_BYTES + scope.len();
        if self.pairs.len() >= MOST_PAIRS
            || scope.len() > LONGEST_SCOPE
            || *bytes + more > MOST_RECORD_BYTES
        {
            let (count, _) = self.others.unwrap_or((0, now));
            self.others = Some((count + 1, now));
            return;
        }
        let clean = redact(scope);
        if *clean != *scope {
            // A scope that holds an API key never becomes a known pair: look again, cleaned.
            return self.record(now, origin, &clean, bytes);
        }
        *bytes += more;
        self.pairs.push(Pair {
            origin,
            scope: scope.into(),
            count: 1,
            last_seen: now,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ulid::Ulid;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds).unwrap()
    }

    fn use_of(shard: &mut Shard, key: u128, now: i64, address: [u8; 4], scope: &str) {
        let proven = Proven {
            fingerprint: "sha256:0",
            address: Some(Origin::of(address.into())),
            user_agent: Some(b"test"),
            agent_hash: 1,
            scope: Some(scope),
        };
        let (key, acme) = (KeyId::new(Ulid(key)), "acme".parse().unwrap());
        shard.used(key, &acme, Outcome::Issued, at(now), &proven);
    }

    #[test]
    fn a_shard_holds_so_many_keys_and_counts_what_found_no_room() {
        let mut shard = Shard::default();
        for key in 0..100_000 {
            use_of(&mut shard, key, 0, [192, 0, 2, 1], "");
        }
        assert_eq!(shard.len(), MOST_KEYS);
        assert_eq!(shard.lost, 100_000 - MOST_KEYS as u64);
        use_of(&mut shard, 0, 0, [192, 0, 2, 1], "");
        let key = (KeyId::new(Ulid(0)), at(0));
        assert_eq!(shard.take()[&key].counts[Outcome::Issued as usize], 2);
        assert_eq!(shard.len(), 0);
    }

    #[test]
    fn a_key_holds_two_hundred_pairs_and_counts_the_others_together() {
        let mut shard = Shard::default();
        for n in 0..=255 {
            use_of(&mut shard, 1, 0, [192, 0, 2, n], "read");
        }
        use_of(&mut shard, 1, 5, [192, 0, 2, 0], "read");
        use_of(&mut shard, 1, 6, [192, 0, 2, 0], &"x".repeat(1_001));
        let taken = shard.take();
        let tally = taken.values().next().unwrap();
        assert_eq!(tally.pairs.len(), MOST_PAIRS);
        assert_eq!(tally.others, Some((57, at(6))));
        assert_eq!(tally.pairs[0].count, 2);
        assert_eq!(tally.pairs[0].last_seen, at(5));
    }

    #[test]
    fn the_records_of_many_keys_take_no_more_than_their_room() {
        let mut shard = Shard::default();
        let long = "y".repeat(900);
        for key in 0..MOST_KEYS as u128 {
            use_of(&mut shard, key, 0, [192, 0, 2, 1], &long);
        }
        let taken = shard.take();
        let held: usize = taken
            .values()
            .flat_map(|t| &t.pairs)
            .map(|p| p.scope.len())
            .sum();
        assert!(held <= MOST_RECORD_BYTES, "{held}");
        let others = taken
            .values()
            .filter(|tally| tally.others.is_some())
            .count();
        assert!(others > 0 && others < MOST_KEYS);
    }

    #[test]
    fn an_hour_is_counted_apart_from_the_next() {
        let mut shard = Shard::default();
        use_of(&mut shard, 1, 3_599, [192, 0, 2, 1], "");
        use_of(&mut shard, 1, 3_600, [192, 0, 2, 1], "");
        assert_eq!(shard.len(), 2);
    }

    #[test]
    fn a_client_that_repeats_itself_is_explained_twenty_times() {
        let mut shard = Shard::default();
        let (key, acme) = (KeyId::new(Ulid(1)), "acme".parse().unwrap());
        let explained = (0..100)
            .filter(|_| shard.refused(key, &acme, Outcome::WrongSecret, at(0)))
            .count();
        assert_eq!(explained, usize::from(MOST_EXPLAINED));
    }

    #[test]
    fn a_scope_with_an_api_key_in_it_is_blacked_out() {
        let key = format!("tmsk_01ARZ3NDEKTSV4RRFFQ69G5FAV_{}", "s".repeat(60));
        let mut shard = Shard::default();
        use_of(&mut shard, 1, 0, [192, 0, 2, 1], &format!("read:{key}"));
        use_of(&mut shard, 1, 0, [192, 0, 2, 1], &format!("read:{key}"));
        let taken = shard.take();
        let pairs = &taken.values().next().unwrap().pairs;
        assert_eq!(pairs.len(), 1);
        assert_eq!(
            &*pairs[0].scope,
            "read:tmsk_01ARZ3NDEKTSV4RRFFQ69G5FAV_[secret]"
        );
        assert_eq!(pairs[0].count, 2);
    }
}
