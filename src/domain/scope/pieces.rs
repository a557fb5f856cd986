//! Texts taken apart at separators. The standard library searches long texts faster than this; those
//! of scopes are short, and read with every request.

/// What is between the separators of a text, in turn. A separator is ASCII.
#[derive(Clone)]
pub(super) struct Pieces<'a> {
    rest: Option<&'a str>,
    separator: u8,
}

/// As `str::split` has them.
pub(super) const fn pieces(text: &str, separator: u8) -> Pieces<'_> {
    assert!(separator.is_ascii());
    Pieces {
        rest: Some(text),
        separator,
    }
}

impl<'a> Pieces<'a> {
    /// All that is behind the last piece and its separator, if there was one.
    pub(super) const fn rest(&self) -> Option<&'a str> {
        self.rest
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.rest.take()?;
        let Some(end) = rest.bytes().position(|byte| byte == self.separator) else {
            return Some(rest);
        };
        self.rest = Some(&rest[end + 1..]);
        Some(&rest[..end])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_text_is_taken_apart_as_the_standard_library_does(text in "[a/\u{e9}]{0,8}") {
            prop_assert!(pieces(&text, b'/').eq(text.split('/')));
            let mut halves = pieces(&text, b'/');
            let halves = (halves.next().unwrap(), halves.rest());
            let expected = text.split_once('/').map_or((&*text, None), |(one, rest)| (one, Some(rest)));
            prop_assert_eq!(halves, expected);
        }
    }
}
