//! Exit codes: what a script learns of a failure without reading its words.

use super::Failure;

/// What a command that failed exits with. 0 is success.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Exit {
    /// The server refused, or something failed.
    Refused = 1,
    /// The command line asks for what makes no sense; clap's own.
    Usage = 2,
    /// Nobody, or nobody who may.
    Forbidden = 3,
    /// There is no such thing.
    NotFound = 4,
    /// In conflict with what is there, with a policy, or with a change meanwhile.
    Conflict = 5,
    /// The server cannot be reached, or not now.
    Unavailable = 6,
    /// Done, except for what was told.
    Partly = 7,
}

/// As `--help` has them.
pub(super) const HELP: &str = "\
Exit codes:
  0  done
  1  refused or failed
  2  wrong usage, or a question that no terminal could answer: see --yes
  3  not authenticated, or not permitted
  4  not found
  5  in conflict with what is there, with a policy, or with a change meanwhile
  6  the server cannot be reached, or cannot answer now (429, 502, 503, 504)
  7  done in part: of a file that was imported, some lines were refused; of signing keys
     that were to be sealed anew, some do not open";

/// A failure whose exit code says what kind it is.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct Failed {
    pub(super) exit: Exit,
    /// What the server answered with, if it answered.
    pub(super) status: Option<u16>,
    text: String,
}

/// The exit code of a failure.
#[must_use]
pub fn exit_code(failure: &Failure) -> u8 {
    let exit = failure.downcast_ref::<Failed>().map(|failed| failed.exit);
    exit.unwrap_or(Exit::Refused) as u8
}

impl Exit {
    /// What an HTTP status comes to.
    pub(super) fn of_status(status: u16) -> Self {
        match status {
            401 | 403 => Self::Forbidden,
            404 => Self::NotFound,
            409 | 412 => Self::Conflict,
            429 | 502..=504 => Self::Unavailable,
            _ => Self::Refused,
        }
    }
}

impl Failed {
    /// A failure in words for a person.
    pub(super) fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self {
            exit,
            status: None,
            text: text.into(),
        }
    }

    /// What makes no sense to ask for.
    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self::new(Exit::Usage, text)
    }

    /// The same, said of one of several things.
    pub(super) fn about(self, what: &str) -> Self {
        Self {
            text: format!("{what}: {}", self.text),
            ..self
        }
    }

    /// The same, known to be an answer of this status.
    pub(super) fn with_status(self, status: u16) -> Self {
        Self {
            status: Some(status),
            ..self
        }
    }
}
