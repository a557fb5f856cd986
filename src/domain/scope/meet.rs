//! What two sets of scopes have in common.

use super::{Scope, ScopeSet, action, filter};

impl ScopeSet {
    /// The scopes that cover what both sets cover, none of which another covers. Beyond
    /// [`ScopeSet::MAX`] they are left out: that errs towards less.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Self {
        let mut both: Vec<Scope> = Vec::new();
        let pairs = self
            .iter()
            .flat_map(|one| other.iter().map(move |two| (one, two)));
        for scope in pairs.filter_map(|(one, two)| one.meet(two)) {
            if both.iter().any(|known| known.covers(&scope)) {
                continue;
            }
            both.retain(|known| !scope.covers(known));
            if both.len() < Self::MAX {
                both.push(scope);
            }
        }
        Self::new(both).expect("no more than a set holds")
    }
}

impl Scope {
    fn meet(&self, other: &Self) -> Option<Self> {
        let ((action, filter), (other_action, other_filter)) = (self.halves(), other.halves());
        let action = narrower(action::includes, action, other_action)?;
        let filter = narrower(filter::includes, filter, other_filter)?;
        Self::from_halves(action, filter).ok()
    }
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
