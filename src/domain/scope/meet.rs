//! What two sets of scopes have in common.

use std::collections::HashSet;

use super::{Halves, Scope, ScopeSet, action, filter};

impl ScopeSet {
    /// Scopes that cover what both sets cover, each once. Beyond [`ScopeSet::MAX`] they are left
    /// out: that errs towards less. Sets of the greatest size have thousands of pairs, and whoever
    /// shows a token has them gone through: so nothing is made of a pair but what is kept.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Self {
        let theirs: Vec<_> = other.iter().map(Scope::halves).collect();
        let pairs = self
            .iter()
            .map(Scope::halves)
            .flat_map(|one| theirs.iter().map(move |two| (one, *two)));
        let mut known = HashSet::new();
        let met = pairs.filter_map(|(one, two)| meet(one, two));
        let met = met.filter(|halves| known.insert(*halves));
        let met = met.filter_map(|(action, filter)| Scope::from_halves(action, filter).ok());
        Self::new(met.take(Self::MAX)).expect("no more than a set holds")
    }
}

fn meet<'a>((action, filter): Halves<'a>, (other, other_filter): Halves<'a>) -> Option<Halves<'a>> {
    let action = narrower(action::includes, action, other)?;
    Some((action, narrower(filter::includes, filter, other_filter)?))
}

/// Of two, one of which includes the other, that other.
fn narrower<T: Copy>(includes: impl Fn(T, T) -> bool, one: T, other: T) -> Option<T> {
    if includes(one, other) {
        Some(other)
    } else {
        includes(other, one).then_some(one)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> ScopeSet {
        ScopeSet::parse_parameter(text).unwrap()
    }

    #[test]
    fn the_narrower_of_two_is_in_both() {
        for (one, other, both) in [
            (
                "read:projects/** write",
                "read:projects/1 delete",
                "read:projects/1",
            ),
            ("*", "read:a write", "read:a write"),
            ("*:a/b", "read", "read:a/b"),
            ("read write:a", "write read:b", "read:b write:a"),
            ("read read:a", "read:a", "read:a"),
        ] {
            for (one, other) in [(one, other), (other, one)] {
                let met = set(one).meet(&set(other));
                assert!(
                    set(both).uncovered(&met).is_none(),
                    "{one} and {other}: {met:?}"
                );
                assert!(
                    met.uncovered(&set(both)).is_none(),
                    "{one} and {other}: {met:?}"
                );
            }
        }
        assert!(set("read:a write").meet(&set("read:b delete")).is_empty());
    }

    #[test]
    fn what_both_cover_and_no_more_is_covered() {
        let texts = [
            "read",
            "read:a/*",
            "read:a/b",
            "files.*",
            "files.x:b/**",
            "files.x:b/c",
            "*",
            "*:a/b",
        ];
        for one in texts.map(set) {
            for other in texts.map(set) {
                let met = one.meet(&other);
                for asked in texts.map(set) {
                    let asked = asked.iter().next().unwrap();
                    let expected = one.covers(asked) && other.covers(asked);
                    assert_eq!(met.covers(asked), expected, "{one:?} {other:?} {asked:?}");
                }
            }
        }
    }

    #[test]
    fn no_more_are_met_than_a_set_holds() {
        let many = |what: &str| {
            let scopes: Vec<String> = (0..64).map(|n| what.replace('N', &n.to_string())).collect();
            set(&scopes.join(" "))
        };
        let met = many("aN").meet(&many("*:bN"));
        assert_eq!(met.len(), ScopeSet::MAX);
    }
}
