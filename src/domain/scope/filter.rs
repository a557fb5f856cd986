//! The filter half of a scope: which resources a text stands for.

use super::pieces::pieces;
use super::{ScopeError, quoted};

/// Whether every resource that `asked` stands for is one that `held` stands
/// for. Both come from [`canonical`]; `None` is every resource.
pub(super) fn includes(held: Option<&str>, asked: Option<&str>) -> bool {
    let Some(held) = held else { return true };
    // A canonical filter leaves out some resource, so it never includes all.
    let Some(asked) = asked else { return false };
    let (held, held_is_open) = strip_remainder(held);
    let (asked, asked_is_open) = strip_remainder(asked);
    let mut asked = pieces(asked, b'/');
    for held in pieces(held, b'/') {
        match asked.next() {
            Some(asked) if held == "*" || held == asked => {}
            // Another segment; or `asked` reaches less deep, and so stands for
            // a resource too short for `held`.
            _ => return false,
        }
    }
    held_is_open || (asked.next().is_none() && !asked_is_open)
}

/// The filter, or `None` if it stands for every resource.
///
/// A resource has at least one segment, so `**` and `*/**` leave none out. A
/// `*` alone would be the resources of one segment; it is read as what people
/// mean by it, which is everything.
pub(super) fn canonical(text: &str) -> Result<Option<&str>, ScopeError> {
    if text.is_empty() {
        return Err(ScopeError::EmptyFilter);
    }
    if matches!(text, "*" | "**" | "*/**") {
        return Ok(None);
    }
    let (segments, is_open) = strip_remainder(text);
    let segments = pieces(segments, b'/').chain(is_open.then_some("**"));
    let last = segments.clone().count() - 1;
    for (index, segment) in segments.enumerate() {
        let filter = || quoted(text);
        match segment {
            "" => return Err(ScopeError::EmptySegment { filter: filter() }),
            "." | ".." => return Err(ScopeError::DotSegment { filter: filter() }),
            "*" => {}
            "**" if index == last => {}
            _ if segment.bytes().any(|byte| byte == b'*') => {
                return Err(ScopeError::FilterWildcard { filter: filter() });
            }
            _ => {}
        }
    }
    Ok(Some(text))
}

/// The segments before a final `**`, and whether there was one.
fn strip_remainder(filter: &str) -> (&str, bool) {
    match filter.strip_suffix("/**") {
        Some(segments) => (segments, true),
        None => (filter, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(held: &str, asked: &str) -> bool {
        includes(canonical(held).unwrap(), canonical(asked).unwrap())
    }

    #[test]
    fn a_filter_never_matches_a_sibling() {
        assert!(covers("projects/42/**", "projects/42/files/1"));
        assert!(!covers("projects/42/**", "projects/421"));
        assert!(!covers("projects/42/**", "projects/43/files"));
        assert!(!covers("projects/42", "Projects/42"));
    }

    #[test]
    fn one_star_is_one_segment_and_two_are_any_remainder() {
        assert!(covers("projects/*", "projects/42"));
        assert!(!covers("projects/*", "projects/42/files"));
        assert!(!covers("projects/*", "projects"));
        assert!(covers("projects/**", "projects"));
        assert!(covers("projects/**", "projects/*/files/**"));
        assert!(!covers("projects/*/**", "projects"));
        assert!(!covers("projects/*/**", "projects/**"));
    }

    #[test]
    fn every_way_to_say_every_resource_is_the_same() {
        for all in ["*", "**", "*/**"] {
            assert_eq!(canonical(all), Ok(None), "{all}");
        }
        for fewer in ["*/*", "*/*/**", "a/**"] {
            assert_eq!(canonical(fewer), Ok(Some(fewer)), "{fewer}");
        }
    }

    #[test]
    fn a_filter_has_no_way_to_climb_or_to_match_part_of_a_segment() {
        for climbing in [".", "..", "a/../b", "a/.", "../**", "./*"] {
            let refusal = canonical(climbing);
            let expected = matches!(refusal, Err(ScopeError::DotSegment { .. }));
            assert!(expected, "{climbing}: {refusal:?}");
        }
        for partial in ["a*", "*a/b", "***", "**/a", "a/**/b", "**/**", "a/**/**"] {
            let refusal = canonical(partial);
            let expected = matches!(refusal, Err(ScopeError::FilterWildcard { .. }));
            assert!(expected, "{partial}: {refusal:?}");
        }
        for empty in ["/", "a/", "/a", "a//b", "//**", "/**", "a//**", "*/"] {
            let refusal = canonical(empty);
            let expected = matches!(refusal, Err(ScopeError::EmptySegment { .. }));
            assert!(expected, "{empty}: {refusal:?}");
        }
        assert_eq!(canonical(""), Err(ScopeError::EmptyFilter));
        assert_eq!(canonical("a/..."), Ok(Some("a/...")));
    }
}
