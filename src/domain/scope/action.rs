//! The action half of a scope: which actions a text stands for.

use super::{ScopeError, quoted};
use crate::domain::management::ManagementAction;

/// Whether every action that `asked` stands for is one that `held` stands for.
/// Both have passed [`check`].
pub(super) fn includes(held: &str, asked: &str) -> bool {
    use Actions::{EveryOfThePlatform, Only, Under};
    match (Actions::of(held), Actions::of(asked)) {
        (EveryOfThePlatform, EveryOfThePlatform) => true,
        (EveryOfThePlatform, Under(words)) => !ManagementAction::ALL
            .into_iter()
            .any(|action| is_under(action.as_str(), words)),
        (EveryOfThePlatform, Only(action)) => ManagementAction::from_name(action).is_none(),
        (Under(words), Under(asked)) => asked == words || is_under(asked, words),
        (Under(words), Only(action)) => is_under(action, words),
        (Only(action), Only(asked)) => action == asked,
        // The left is too small: a wildcard stands for endlessly many actions,
        // and `*` for some under any other words.
        (Under(_), EveryOfThePlatform) | (Only(_), EveryOfThePlatform | Under(_)) => false,
    }
}

/// Refuses what is not an action. Each set of actions has one spelling, so what
/// passes is canonical.
pub(super) fn check(text: &str) -> Result<(), ScopeError> {
    if text.is_empty() {
        return Err(ScopeError::Empty);
    }
    let (Actions::Under(words) | Actions::Only(words)) = Actions::of(text) else {
        return Ok(());
    };
    if words.contains('*') {
        let action = quoted(text);
        return Err(ScopeError::ActionWildcard { action });
    }
    if !words.split('.').all(is_word) {
        let action = quoted(text);
        return Err(ScopeError::Action { action });
    }
    Ok(())
}

enum Actions<'a> {
    /// `*`: all but the management actions.
    EveryOfThePlatform,
    /// `files.*`: those that begin with these words and go on.
    Under(&'a str),
    /// `files.read`: this one.
    Only(&'a str),
}

impl<'a> Actions<'a> {
    fn of(text: &'a str) -> Self {
        match text.strip_suffix(".*") {
            _ if text == "*" => Self::EveryOfThePlatform,
            Some(words) => Self::Under(words),
            None => Self::Only(text),
        }
    }
}

fn is_under(action: &str, words: &str) -> bool {
    action
        .strip_prefix(words)
        .is_some_and(|rest| rest.starts_with('.'))
}

fn is_word(word: &str) -> bool {
    let of_a_word = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    !word.is_empty() && word.bytes().all(of_a_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_leaves_out_the_words_it_stands_under() {
        assert!(includes("files.*", "files.read"));
        assert!(includes("files.*", "files.a.b"));
        assert!(includes("files.*", "files.a.*"));
        assert!(!includes("files.*", "files"));
        assert!(!includes("files.a.*", "files.*"));
    }

    #[test]
    fn a_wildcard_never_matches_half_a_word() {
        assert!(!includes("file.*", "files.read"));
        assert!(!includes("files.*", "files-old.read"));
    }

    #[test]
    fn every_action_of_the_platform_stops_at_a_wildcard_that_holds_a_management_action() {
        assert!(!includes("*", "organization.*"));
        assert!(!includes("*", "organization.read"));
        // No management action lies below another.
        assert!(includes("*", "organization.read.*"));
        assert!(includes("*", "organization"));
        assert!(includes("*", "organization.archive"));
    }

    #[test]
    fn an_action_is_words_and_nothing_else() {
        for action in ["read", "*", "files.*", "a.b.c.*", "_.-.9"] {
            assert_eq!(check(action), Ok(()), "{action}");
        }
        for wildcard in ["**", "*.*", "*.read", "a.*.b", "a*", "a.b*", "a.**"] {
            let refusal = check(wildcard);
            let expected = matches!(refusal, Err(ScopeError::ActionWildcard { .. }));
            assert!(expected, "{wildcard}: {refusal:?}");
        }
        for other in [".", "a.", ".a", "a..b", ".*", "a..*", "Read", "a/b", "a~b"] {
            let refusal = check(other);
            let expected = matches!(refusal, Err(ScopeError::Action { .. }));
            assert!(expected, "{other}: {refusal:?}");
        }
        assert_eq!(check(""), Err(ScopeError::Empty));
    }
}
