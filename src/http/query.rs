//! Query strings of lists: known parameters, each once, none empty.

use std::borrow::Cow;
use std::fmt::{Display, Write};
use std::str::FromStr;

use axum::http::{StatusCode, Uri};

use super::problem::Problem;

/// Most rows on a page, and how many when nobody says.
const LIMIT: (u8, u8) = (100, 20);

/// What every list has beside its filters.
const PAGING: [&str; 2] = ["limit", "cursor"];

/// The parameters of a list: `limit`, `cursor`, and the filters that it has.
#[derive(Debug)]
pub struct Query<'a> {
    limit: u8,
    given: Vec<(&'static str, Cow<'a, str>)>,
}

impl<'a> Query<'a> {
    /// Reads `limit`, `cursor`, and what `filters` names.
    ///
    /// # Errors
    /// 422 for anything else, for a parameter that is repeated or empty, or a limit out of range.
    pub fn parse(uri: &'a Uri, filters: &[&'static str]) -> Result<Self, Problem> {
        Self::of(pairs(uri), filters)
    }

    /// The same of what somebody else has looked through already.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn of(
        pairs: impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)>,
        filters: &[&'static str],
    ) -> Result<Self, Problem> {
        Self::read(pairs, || PAGING.iter().chain(filters).copied())
    }

    /// Reads what `names` names, for what is no list.
    ///
    /// # Errors
    /// As [`Query::parse`].
    pub fn options(uri: &'a Uri, names: &[&'static str]) -> Result<Self, Problem> {
        Self::read(pairs(uri), || names.iter().copied())
    }

    fn read<N: Iterator<Item = &'static str>>(
        pairs: impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)>,
        known: impl Fn() -> N,
    ) -> Result<Self, Problem> {
        let mut given: Vec<(&'static str, Cow<'a, str>)> = Vec::new();
        for (name, value) in pairs {
            let Some(name) = known().find(|known| *known == name) else {
                let known: Vec<_> = known().collect();
                if known.is_empty() {
                    return Err(refuse("there is no query parameter here"));
                }
                let known = known.join(", ");
                return Err(refuse(format!(
                    "unknown query parameter; known here: {known}"
                )));
            };
            if given.iter().any(|(there, _)| *there == name) {
                return Err(refuse(format!("{name} is given more than once")));
            }
            given.push((name, value));
        }
        let mut query = Self {
            limit: LIMIT.1,
            given,
        };
        if let Some(text) = query.text("limit") {
            query.limit = text
                .parse()
                .ok()
                .filter(|limit| (1..=LIMIT.0).contains(limit))
                .ok_or_else(|| refuse(format!("write a limit from 1 to {}", LIMIT.0)))?;
        }
        // A variable that somebody forgot to set would otherwise ask for something else.
        match query.given.iter().find(|(_, value)| value.is_empty()) {
            Some((name, _)) => Err(refuse(format!(
                "{name} is empty: give a value, or leave it out"
            ))),
            None => Ok(query),
        }
    }

    /// Rows on the page: 1 to 100.
    #[must_use]
    pub fn limit(&self) -> u8 {
        self.limit
    }

    /// Where the page begins, as the page before said.
    ///
    /// # Errors
    /// 422 for a cursor that no page gave.
    pub fn after<T: FromStr>(&self) -> Result<Option<T>, Problem> {
        let parsed = self.text("cursor").map(str::parse).transpose();
        parsed.map_err(|_| refuse("write the next_cursor of a page before this one"))
    }

    /// A parameter as it was given.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        let (_, value) = self.given.iter().find(|(there, _)| *there == name)?;
        Some(value)
    }

    /// A parameter, read as what it stands for.
    ///
    /// # Errors
    /// 422 with the words of the type, which say what to write and do not repeat the value.
    pub fn value<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, Problem> {
        let parsed = self.text(name).map(str::parse).transpose();
        parsed.map_err(|why| refuse(format!("{name}: {why}")))
    }

    /// A parameter that is one of a few words.
    ///
    /// # Errors
    /// 422 that names the words.
    pub fn word<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Ok(Some(*meaning));
        }
        let mut detail = format!("write {name} as ");
        for (at, (word, _)) in words.iter().enumerate() {
            let between = match words.len() - at {
                _ if at == 0 => "",
                1 => " or ",
                _ => ", ",
            };
            let _ = write!(detail, "{between}{word}");
        }
        Err(refuse(detail))
    }
}

/// Requires that there is no parameter.
///
/// # Errors
/// 422 for any.
pub fn none(uri: &Uri) -> Result<(), Problem> {
    Query::options(uri, &[]).map(drop)
}

/// Whether `name`, the only parameter there can be, is `true`.
///
/// # Errors
/// 422 for any other parameter, and any other word than `true` and `false`.
pub fn flag(uri: &Uri, name: &'static str) -> Result<bool, Problem> {
    let words = [("true", true), ("false", false)];
    let asked = Query::options(uri, &[name])?.word(name, &words)?;
    Ok(asked.unwrap_or(false))
}

/// The parameters of a query string, as they come.
pub fn pairs(uri: &Uri) -> form_urlencoded::Parse<'_> {
    form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
}

/// A query parameter that is not acceptable.
pub fn refuse(detail: impl Into<String>) -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "invalid_query",
        "A query parameter is not acceptable",
        detail,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::timestamp::Timestamp;

    fn parse<T>(
        parameters: &str,
        read: impl FnOnce(&Query<'_>) -> Result<T, Problem>,
    ) -> Result<T, String> {
        let uri: Uri = format!("/v1/things?{parameters}").parse().unwrap();
        let query = Query::parse(&uri, &["status", "since"]);
        query.and_then(|query| read(&query)).map_err(|problem| {
            let shown = format!("{problem:?}");
            let detail = shown.split("detail: \"").nth(1).unwrap();
            detail.split("\", pointer").next().unwrap().to_owned()
        })
    }

    #[test]
    fn limits_stay_between_one_and_a_hundred() {
        let limit = |text: &str| parse(text, |query| Ok(query.limit()));
        assert_eq!(limit(""), Ok(20));
        assert_eq!(limit("limit=100"), Ok(100));
        for bad in ["0", "101", "-1", "1.5", "ten", "", "999999999999"] {
            let refused = limit(&format!("limit={bad}"));
            assert_eq!(refused, Err("write a limit from 1 to 100".to_owned()));
        }
    }

    #[test]
    fn unknown_repeated_and_empty_parameters_are_refused() {
        let refused = |text: &str| parse(text, |_| Ok(())).unwrap_err();
        for unknown in ["page=2", "access_token=x", "Limit=1", "=", "sta%74=x"] {
            assert_eq!(
                refused(unknown),
                "unknown query parameter; known here: limit, cursor, status, since"
            );
        }
        assert_eq!(refused("limit=1&limit=2"), "limit is given more than once");
        assert_eq!(
            refused("status="),
            "status is empty: give a value, or leave it out"
        );
    }

    #[test]
    fn parameters_are_read_as_what_they_stand_for() {
        let words = [("all", 1), ("some", 2), ("none", 3)];
        let status = |text: &str| parse(text, |query| query.word("status", &words));
        assert_eq!(status(""), Ok(None));
        assert_eq!(status("stat%75s=some"), Ok(Some(2)));
        assert_eq!(
            status("status=Some"),
            Err("write status as all, some or none".to_owned())
        );
        let since = |text: &str| parse(text, |query| query.value::<Timestamp>("since"));
        let time = Timestamp::from_unix(60).unwrap();
        assert_eq!(since("since=1970-01-01T00:01:00Z"), Ok(Some(time)));
        assert!(since("since=soon").unwrap_err().starts_with("since: write"));
    }
}
