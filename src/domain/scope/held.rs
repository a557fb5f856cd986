//! The scopes of a key in use, in one piece.

use super::pieces::pieces;
use super::{Scope, ScopeSet, includes, split};

/// The scopes that a key holds, written as a `scope` parameter says them (RFC 6749 §3.3). One text,
/// because very many keys are held in memory, and their tokens say it as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeldScopes(Box<str>);

impl HeldScopes {
    /// Whether one of them covers `asked`.
    #[must_use]
    pub fn covers(&self, asked: &Scope) -> bool {
        let asked = asked.halves();
        let mut held = pieces(&self.0, b' ').filter(|scope| !scope.is_empty());
        held.any(|held| includes(split(held), asked))
    }

    /// The first scope of `asked` that none of these covers; `None` if all of them are covered.
    #[must_use]
    pub fn uncovered<'a>(&self, asked: &'a ScopeSet) -> Option<&'a Scope> {
        asked.iter().find(|asked| !self.covers(asked))
    }

    /// The same as a set.
    #[must_use]
    pub fn to_set(&self) -> ScopeSet {
        ScopeSet::parse_parameter(&self.0).unwrap_or_default()
    }

    /// The `scope` parameter, and `scope` claim, that says them.
    #[must_use]
    pub fn as_parameter(&self) -> &str {
        &self.0
    }
}

impl From<&ScopeSet> for HeldScopes {
    fn from(scopes: &ScopeSet) -> Self {
        Self(scopes.to_parameter().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_one_piece_they_cover_what_they_cover_as_a_set() {
        let texts = [
            "read",
            "read:a/*",
            "read:a/b",
            "files.*",
            "files.x:b/**",
            "*",
            "*:a",
        ];
        let sets = texts.map(|text| ScopeSet::parse_parameter(text).unwrap());
        let all = ScopeSet::parse_parameter("write read:a/* files.*:b/**").unwrap();
        let none = ScopeSet::default();
        for held in sets.iter().chain([&all, &none]) {
            let piece = HeldScopes::from(held);
            assert_eq!(piece.as_parameter(), held.to_parameter());
            assert_eq!(piece.to_set(), *held);
            for asked in &sets {
                assert_eq!(piece.uncovered(asked), held.uncovered(asked), "{held:?}");
            }
        }
    }
}
