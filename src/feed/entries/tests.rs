//! What is told of one organization: never too much, and of nothing nothing.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// When all of it began.
const BEGUN: i64 = 1_790_000_000;

fn at(second: u64) -> Timestamp {
    Timestamp::from_unix(BEGUN)
        .unwrap()
        .plus(Duration::from_secs(second))
}

fn acme() -> OrganizationId {
    "acme".parse().unwrap()
}

fn ended(key: usize, second: u64) -> TakenBack {
    TakenBack {
        organization: acme(),
        what: What::Key,
        name: format!("key_{key}"),
        at: at(second),
        done_at: at(second),
        denial: None,
    }
}

/// Tokens of a key that were denied in these seconds, and live on for ten minutes.
fn denied(key: usize, seconds: impl IntoIterator<Item = u64>) -> Vec<TakenBack> {
    let mut all: Vec<_> = seconds
        .into_iter()
        .enumerate()
        .map(|(number, second)| TakenBack {
            what: What::Token,
            name: format!("token_{key}_{number}"),
            at: at(second + 600),
            denial: Some(Denial {
                key: format!("key_{key}"),
                nth: 0,
                of: 0,
            }),
            ..ended(key, second)
        })
        .collect();
    all.sort_by_key(|one| Reverse(one.done_at));
    let of = all.len();
    for (place, one) in all.iter_mut().enumerate() {
        let denial = one.denial.as_mut().unwrap();
        (denial.nth, denial.of) = (place + 1, of);
    }
    all
}

/// What the store picks of these.
fn picked(mut all: Vec<TakenBack>) -> Vec<TakenBack> {
    all.retain(|one| nth(one) <= MOST_OF_KEY);
    all.sort_by_key(|one| (nth(one), Reverse(one.done_at), one.name.clone()));
    all.truncate(MOST_OF_ONE + 1);
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}

fn told(all: &[TakenBack]) -> Vec<Entry> {
    entries(&acme(), picked(all.to_vec()), TOLD)
}

/// How many entries there are of each list.
fn counts(entries: &[Entry]) -> [usize; 3] {
    [List::Keys, List::Tokens, List::Organizations]
        .map(|list| entries.iter().filter(|entry| entry.list == list).count())
}

/// The instant before which tokens of whatever has this name are void.
fn before(entries: &[Entry], list: List, name: &str) -> Option<i64> {
    let alias = Alias::of(name);
    let of_it = entries.iter();
    let of_it = of_it.filter(|entry| entry.list == list && entry.alias == alias);
    of_it.map(|entry| entry.before).max()
}

/// Whether a token is void that its key was issued in that second.
fn is_void(entries: &[Entry], key: usize, token: &str, second: u64) -> bool {
    let iat = at(second).unix();
    let lists = [
        (List::Keys, format!("key_{key}")),
        (List::Tokens, token.to_owned()),
        (List::Organizations, "acme".to_owned()),
    ];
    let mut instants = lists
        .iter()
        .filter_map(|(list, name)| before(entries, *list, name));
    instants.any(|before| iat < before)
}

#[test]
fn a_key_that_denies_many_voids_its_own_tokens_alone() {
    let most = MOST_OF_KEY as u64;
    let up_to_it = told(&denied(1, 0..most));
    assert_eq!(counts(&up_to_it), [0, MOST_OF_KEY, 0]);

    // Two that deny far more than an organization has room for.
    let all = [denied(1, 0..900), denied(2, 0..600), denied(3, 5..6)].concat();
    let entries = told(&all);
    assert_eq!(counts(&entries), [2, 2 * (MOST_OF_KEY - 1) + 1, 0]);
    // The latest are told one by one; what the key was issued by the time of the older ones is void.
    let latest_of_older = 899 - (most - 1);
    let until = at(latest_of_older + 2).unix();
    assert_eq!(before(&entries, List::Keys, "key_1"), Some(until));
    assert!(is_void(&entries, 1, "another", latest_of_older + 1));
    assert!(!is_void(&entries, 1, "another", latest_of_older + 2));
    // Of those that denied few, that and nothing else.
    assert!(is_void(&entries, 3, "token_3_0", 5));
    for key in [3, 4] {
        assert!(!is_void(&entries, key, "another", 0));
    }
}

#[test]
fn many_keys_that_deny_many_have_less_room_each_and_the_others_have_theirs() {
    let few: Vec<_> = (100..150)
        .flat_map(|key| denied(key, [key as u64]))
        .collect();
    let many: Vec<_> = (0..50).flat_map(|key| denied(key, 0..90)).collect();
    let entries = told(&[many, few, vec![ended(200, 7)]].concat());
    // 1,000 less 51, for 50 keys: 18 each, and the same once more would be too many.
    assert_eq!(counts(&entries), [50 + 1, 50 * 17 + 50, 0]);
    assert!(entries.len() <= MOST_OF_ONE);
    assert!(!is_void(&entries, 120, "another", 0));
}

#[test]
fn only_too_many_keys_are_told_as_an_organization() {
    let of_each = |count: usize, tokens: u64| -> Vec<_> {
        let key = |key| denied(key, (0..tokens).map(|nth| key as u64 + nth));
        (0..count).flat_map(key).collect()
    };
    // A single token is told by itself as long as it takes no more room.
    let [one_each, two_each] = [1, 2].map(|tokens| told(&of_each(MOST_OF_ONE, tokens)));
    assert_eq!(counts(&one_each), [0, MOST_OF_ONE, 0]);
    assert_eq!(counts(&two_each), [MOST_OF_ONE, 0, 0]);

    let too_many = told(&of_each(MOST_OF_ONE + 5, 2));
    assert_eq!(counts(&too_many), [MOST_OF_ONE, 0, 1]);
    // The oldest five, of which the latest denied in seconds 4 and 5.
    let until = Some(at(5 + 2).unix());
    assert_eq!(before(&too_many, List::Organizations, "acme"), until);
    assert_eq!(before(&too_many, List::Keys, "key_4"), None);
    assert!(before(&too_many, List::Keys, "key_5").is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// However many keys there are and whatever they deny: what was taken back is void until it
    /// would have ended, in a bounded number of entries.
    #[test]
    fn nothing_that_was_taken_back_is_missing(
        keys in prop_oneof![1usize..40, 900usize..1_200],
        most in prop_oneof![Just(1u64), 1u64..8, 60u64..150],
        is_ended in 0usize..4,
        seconds in prop::collection::vec(0u64..1_800, 64),
    ) {
        let most = most.min(20_000 / keys as u64);
        let second = |n: usize| seconds[n % seconds.len()];
        let mut all = Vec::new();
        for key in 0..keys {
            if is_ended > 0 && key % is_ended == 0 {
                all.push(ended(key, second(key * 31)));
            }
            let count = second(key) % (most + 1);
            let denials = (0..count).map(|nth| second(key * 7 + usize::try_from(nth).unwrap()));
            all.extend(denied(key, denials));
        }
        let entries = told(&all);
        prop_assert!(entries.len() <= MOST_OF_ONE + 1);
        let mut by_alias: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for entry in &entries {
            by_alias.entry(entry.alias.clone()).or_default().push(entry);
        }
        let mut of_key: BTreeMap<_, usize> = BTreeMap::new();
        let names: BTreeSet<_> = by_alias.keys().cloned().collect();
        for taken in &all {
            let key = taken.denial.as_ref().map_or(&taken.name, |denial| &denial.key);
            if taken.denial.is_some() && names.contains(&Alias::of(&taken.name)) {
                *of_key.entry(key.clone()).or_default() += 1;
            }
            // Issued as late as can be, in force for as long as can be.
            let iat = taken.done_at.plus(AHEAD).unix();
            let ends = match taken.denial {
                Some(_) => taken.at,
                None => taken.done_at.plus(AHEAD + LONGEST_TOKEN),
            };
            let aliases = [taken.name.as_str(), key, "acme"].map(Alias::of);
            let voids = aliases.iter().filter_map(|alias| by_alias.get(alias)).flatten();
            let mut voids = voids.filter(|entry| iat < entry.before && ends <= entry.until);
            prop_assert!(voids.next().is_some(), "{taken:?}");
        }
        prop_assert!(of_key.values().all(|count| *count <= MOST_OF_KEY));
    }
}
