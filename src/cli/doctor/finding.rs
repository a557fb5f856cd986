//! What was found: one line, and if something is to be mended, how.

use serde::Serialize;

use crate::cli::output::visible;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// Nothing is to be done.
    Ok,
    /// It works, and may not be what was meant.
    Warning,
    /// It must be mended.
    Problem,
}

/// What one check found.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    /// What was looked at.
    pub(super) check: &'static str,
    /// How bad it is.
    pub(super) verdict: Verdict,
    /// What was seen, and what to do about it.
    pub(super) text: String,
}

impl Finding {
    pub(super) fn ok(check: &'static str, text: impl Into<String>) -> Self {
        Self::new(check, Verdict::Ok, text)
    }

    pub(super) fn warning(check: &'static str, text: impl Into<String>) -> Self {
        Self::new(check, Verdict::Warning, text)
    }

    pub(super) fn problem(check: &'static str, text: impl Into<String>) -> Self {
        Self::new(check, Verdict::Problem, text)
    }

    fn new(check: &'static str, verdict: Verdict, text: impl Into<String>) -> Self {
        // One check, one line, whatever an error or a server had to say; and it steers no terminal.
        let text = visible(&text.into().replace(['\n', '\r'], " "));
        Self {
            check,
            verdict,
            text,
        }
    }
}

impl Verdict {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}
