//! The command line as a manager of a server, in a shell of his own.

use serde_json::Value;

use super::process::{Run, run};
use super::server::Server;

/// Whose credential is in the environment, and which server.
pub struct Shell {
    url: String,
    secret: String,
}

impl Shell {
    pub fn new(url: &str, secret: &str) -> Self {
        Self {
            url: url.to_owned(),
            secret: secret.to_owned(),
        }
    }

    /// The operator's.
    pub fn operator(server: &Server) -> Self {
        Self::new(&server.base, &server.operator)
    }

    /// Runs a command to its end. Whatever it does, no secret of its own environment comes out.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Run {
        let environment = [
            ("TENMINT_URL", &*self.url),
            ("TENMINT_API_KEY", &*self.secret),
        ];
        let done = run(arguments, &environment);
        let kept = !done.out.contains(&self.secret) && !done.err.contains(&self.secret);
        assert!(kept, "{arguments:?}: the API key was printed");
        done
    }

    /// A command that must succeed; what it printed.
    #[track_caller]
    pub fn does(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments);
        assert_eq!(done.code, Some(0), "{arguments:?}: {}", done.err);
        done.out
    }

    /// A command that must succeed, and print one JSON document.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let mut all = arguments.to_vec();
        all.push("--json");
        let printed = self.does(&all);
        serde_json::from_str(&printed).unwrap_or_else(|_| panic!("{arguments:?}: {printed}"))
    }

    /// A command that must fail with this exit code, say this, and print nothing.
    #[track_caller]
    pub fn refuses(&self, arguments: &[&str], code: i32, said: &str) -> String {
        let done = self.run(arguments);
        let seen: (Option<i32>, &str) = (done.code, &done.out);
        assert_eq!(seen, (Some(code), ""), "{arguments:?}: {}", done.err);
        assert!(done.err.contains(said), "{arguments:?}: {}", done.err);
        done.err
    }
}

/// The lines of a table behind its titles, each by its words.
pub fn rows(table: &str) -> Vec<Vec<&str>> {
    let lines = table.lines().skip(1);
    lines
        .map(|line| line.split_whitespace().collect())
        .collect()
}

/// What an array of strings holds.
#[track_caller]
pub fn texts(value: &Value) -> Vec<&str> {
    let text = |value| Value::as_str(value).unwrap_or_else(|| panic!("{value:?}"));
    let values = value.as_array().unwrap_or_else(|| panic!("{value:?}"));
    values.iter().map(text).collect()
}
