//! What a feed tells of what was taken back: one by one, or where that is too much, of a key as a
//! whole, and only then of an organization as a whole.
//!
//! Of nothing that was taken back is nothing told. What is told as a whole voids more than was asked
//! for, and so it is at the cost of whoever asked for so much.

use std::cmp::Reverse;
use std::time::Duration;

use crate::crypto::jose::revocations::Alias;
use crate::domain::organization::OrganizationId;
use crate::domain::signing_key::{CLOCK_SKEW, LONGEST_TOKEN, Schedule};
use crate::domain::timestamp::Timestamp;
use crate::store::revocations::{Denial, TakenBack, What};

/// Of how many keys and tokens of one organization a feed tells one by one: a feed grows with the
/// organizations, and not with what any of them does. Beyond it keys are told with fewer of their
/// tokens each, and at last with none. Of the keys that are still too many it says only until when,
/// and voids all that the organization was issued by then.
pub const MOST_OF_ONE: usize = 1_000;

/// In how many entries a feed tells of the denied tokens of one key. If there are more, the last of
/// these voids all that the key was issued by the time of the older ones.
pub const MOST_OF_KEY: usize = 100;

/// How long what ended is told of: until the last token that was issued before is past its end by
/// everybody's clock, whatever settings and policies say of the life of tokens.
pub(super) const TOLD: Duration =
    Duration::from_secs(LONGEST_TOKEN.as_secs() + CLOCK_SKEW.as_secs());

/// How much later than it was taken back a token may say that it was issued: tokens of the second
/// in which their key was narrowed are dated one second ahead.
const AHEAD: Duration = Duration::from_secs(1);

/// One entry of a feed.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) list: List,
    pub(super) alias: Alias,
    /// Tokens issued before are void.
    pub(super) before: i64,
    /// The instant from which nobody needs to be told.
    pub(super) until: Timestamp,
}

/// Which list of a feed an entry stands in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum List {
    Keys,
    Organizations,
    SigningKeys,
    Tokens,
}

/// Of a signing key that was withdrawn is told for as long as anybody goes on with a JWKS that has
/// it.
pub(super) fn signing_keys_told(schedule: &Schedule) -> Duration {
    schedule
        .outdated_at_most_for()
        .max(TOLD + schedule.outdated_for())
}

/// What an organization's feed says, and the deployment's of it. Of keys and tokens it takes one
/// more than [`MOST_OF_ONE`], when there are more, in the order in which the store picks them.
pub(super) fn entries(
    organization: &OrganizationId,
    taken: Vec<TakenBack>,
    signing_keys_told: Duration,
) -> Vec<Entry> {
    let (mut each, others): (Vec<_>, Vec<_>) = taken
        .into_iter()
        .partition(|one| matches!(one.what, What::Key | What::NarrowedKey | What::Token));
    each.sort_unstable_by(|one, other| {
        let place = |one: &TakenBack| (nth(one), Reverse(one.done_at));
        (place(one), &one.name).cmp(&(place(other), &other.name))
    });
    let beyond = each.get(MOST_OF_ONE);
    // Of every key there is room for as many as come wholly before.
    let most_of_key = beyond.map_or(MOST_OF_KEY, |one| nth(one).saturating_sub(1).max(1));
    // There is not even room for one of each key. That is the latest of those for which there is
    // none.
    let older = beyond.filter(|one| nth(one) == 1);
    let older = older.map(|one| issued_by_then(List::Organizations, organization.as_str(), one));
    each.truncate(MOST_OF_ONE);
    each.retain(|one| nth(one) <= most_of_key);
    let others = others.iter().map(|taken| entry(taken, signing_keys_told));
    let each = each.iter().map(|taken| match &taken.denial {
        // The last for which there is room stands for the older ones too.
        Some(denial) if denial.nth == most_of_key && denial.of > denial.nth => {
            issued_by_then(List::Keys, &denial.key, taken)
        }
        _ => entry(taken, signing_keys_told),
    });
    others.chain(each).chain(older).collect()
}

/// Which it is of its kind and key. A key that was taken back is one, beside its tokens.
fn nth(taken: &TakenBack) -> usize {
    taken
        .denial
        .as_ref()
        .map_or(1, |denial: &Denial| denial.nth)
}

/// Everything that was issued by the end of the second in which that was taken back.
fn issued_by_then(list: List, name: &str, taken: &TakenBack) -> Entry {
    let end = taken.done_at.plus(Duration::from_secs(1) + AHEAD);
    Entry {
        list,
        alias: Alias::of(name),
        before: end.unix(),
        until: taken.done_at.plus(TOLD),
    }
}

fn entry(taken: &TakenBack, signing_keys_told: Duration) -> Entry {
    let at = taken.at;
    let (list, before, until) = match taken.what {
        // Nothing is issued any more, but for what a node issues that has not heard of it, by
        // whatever clock it has: all that can still be out is void.
        What::Key => (List::Keys, at.plus(TOLD), at.plus(TOLD)),
        What::Organization => (List::Organizations, at.plus(TOLD), at.plus(TOLD)),
        // What is issued from the next second on is as narrow as the key.
        What::NarrowedKey => (List::Keys, at.plus(Duration::from_secs(1)), at.plus(TOLD)),
        // Whoever has got at it dates its tokens as he likes.
        What::SigningKey => (
            List::SigningKeys,
            Timestamp::MAX,
            at.plus(signing_keys_told),
        ),
        What::Token => (List::Tokens, at, at.plus(CLOCK_SKEW)),
    };
    Entry {
        list,
        alias: Alias::of(&taken.name),
        before: before.unix(),
        until,
    }
}

#[cfg(test)]
mod tests;
