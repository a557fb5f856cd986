//! Query strings of lists: known parameters, each once.

use std::borrow::Cow;

use axum::http::{StatusCode, Uri};

use super::problem::Problem;

/// Most rows on a page, and how many when nobody says.
const LIMIT: (u8, u8) = (100, 20);

/// The parameters of a list.
#[derive(Debug, PartialEq, Eq)]
pub struct ListQuery<'a> {
    /// Rows on the page: 1 to 100.
    pub limit: u8,
    /// Where the page begins, as the page before said.
    pub cursor: Option<Cow<'a, str>>,
    /// Which rows, by state.
    pub status: Option<Cow<'a, str>>,
}

impl<'a> ListQuery<'a> {
    /// Reads `limit`, `cursor`, and `status` where `with_status` says that the list has one.
    ///
    /// # Errors
    /// 422 for anything else, for a repeated parameter, or a limit out of range.
    pub fn parse(uri: &'a Uri, with_status: bool) -> Result<Self, Problem> {
        let mut query = Self {
            limit: LIMIT.1,
            cursor: None,
            status: None,
        };
        let mut limit = None;
        let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        for (name, value) in pairs {
            let slot = match &*name {
                "limit" => &mut limit,
                "cursor" => &mut query.cursor,
                "status" if with_status => &mut query.status,
                _ => {
                    let known = if with_status {
                        "limit, cursor, status"
                    } else {
                        "limit, cursor"
                    };
                    return Err(refuse(format!(
                        "unknown query parameter; known here: {known}"
                    )));
                }
            };
            if slot.replace(value).is_some() {
                return Err(refuse("a query parameter is given more than once"));
            }
        }
        if let Some(text) = limit {
            query.limit = text
                .parse()
                .ok()
                .filter(|limit| (1..=LIMIT.0).contains(limit))
                .ok_or_else(|| refuse(format!("write a limit from 1 to {}", LIMIT.0)))?;
        }
        Ok(query)
    }

    /// The cursor as an id.
    ///
    /// # Errors
    /// 422 for one that no page gave.
    pub fn after<T: std::str::FromStr>(&self) -> Result<Option<T>, Problem> {
        let parsed = self.cursor.as_deref().map(str::parse).transpose();
        parsed.map_err(|_| refuse("write the next_cursor of a page before this one"))
    }
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

    fn parse(uri: &str) -> Result<u8, String> {
        let uri: Uri = uri.parse().unwrap();
        ListQuery::parse(&uri, false)
            .map(|query| query.limit)
            .map_err(|problem| problem.to_string())
    }

    #[test]
    fn limits_stay_between_one_and_a_hundred() {
        assert_eq!(parse("/v1/api-keys"), Ok(20));
        assert_eq!(parse("/v1/api-keys?limit=100"), Ok(100));
        for bad in ["0", "101", "-1", "1.5", "ten", "", "999999999999"] {
            assert!(
                parse(&format!("/v1/api-keys?limit={bad}")).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn unknown_and_repeated_parameters_are_refused() {
        for bad in [
            "?page=2",
            "?limit=1&limit=2",
            "?status=all",
            "?access_token=x",
        ] {
            assert!(parse(&format!("/v1/organizations{bad}")).is_err(), "{bad}");
        }
    }
}
