//! Edits: outright, or of a list that is there, under the revision that was read.

use std::time::Duration;

use serde_json::{Map, Value, json};
use ureq::http::Method;

use super::client::{Answer, Client};
use super::exit::Failed;
use crate::domain::scope::Scope;

/// How often an edit of what is there is tried when others edit at the same time.
const TRIES: u64 = 5;

/// An edit of one thing.
pub(super) struct Edit<'a> {
    /// Where it is.
    pub(super) path: &'a [&'a str],
    /// What is said outright, as a merge patch.
    pub(super) body: Map<String, Value>,
    /// Members that are lists, and what becomes of them.
    pub(super) changes: Vec<(&'static str, Change)>,
    /// The revision that it must still have.
    pub(super) revision: Option<i64>,
    pub(super) dry_run: bool,
}

/// What to add to a list and what to take from it, each in its canonical form.
#[derive(Debug)]
pub(super) struct Change {
    add: Vec<String>,
    remove: Vec<String>,
}

impl Edit<'_> {
    /// Sends it. A list that is there is read first, and anew when somebody else was faster.
    ///
    /// # Errors
    /// When nothing is said, or it is refused.
    pub(super) fn send(mut self, client: &Client) -> Result<Answer, Failed> {
        self.changes.retain(|(_, change)| !change.is_nothing());
        if self.changes.is_empty() {
            if self.body.is_empty() {
                return Err(Failed::usage("say what to change: see --help"));
            }
            return self.patch(client, self.body.clone(), self.revision);
        }
        let mut tried = 0;
        loop {
            tried += 1;
            let there: Value = client.get(self.path)?.read()?;
            let revision = self.revision.or(there["revision"].as_i64());
            let mut body = self.body.clone();
            for (name, change) in &self.changes {
                body.insert((*name).to_owned(), change.of(&there[name]));
            }
            match self.patch(client, body, revision) {
                Err(why) if why.status == Some(412) && tried < TRIES && self.revision.is_none() => {
                    std::thread::sleep(Duration::from_millis(tried * tried * 20));
                }
                outcome => return outcome,
            }
        }
    }

    fn patch(
        &self,
        client: &Client,
        body: Map<String, Value>,
        revision: Option<i64>,
    ) -> Result<Answer, Failed> {
        let tag = revision.map(|revision| format!("\"r{revision}\""));
        client
            .call(Method::PATCH, self.path)?
            .query("dry_run", self.dry_run.then_some(true))
            .header("if-match", tag)
            .body(Value::Object(body))
            .send()
    }
}

impl Change {
    /// Of scopes, which can be written in several ways.
    ///
    /// # Errors
    /// For what is no scope.
    pub(super) fn scopes(add: &[String], remove: &[String]) -> Result<Self, Failed> {
        let canonical = |texts: &[String]| {
            let scopes = texts.iter().map(|text| text.parse::<Scope>());
            let scopes = scopes.map(|scope| scope.map(|scope| scope.to_string()));
            scopes.collect::<Result<Vec<_>, _>>()
        };
        let usage = |why: crate::domain::scope::ScopeError| Failed::usage(format!("scope: {why}"));
        Ok(Self {
            add: canonical(add).map_err(usage)?,
            remove: canonical(remove).map_err(usage)?,
        })
    }

    /// Of names, which are as they are.
    pub(super) fn names(add: &[String], remove: &[String]) -> Self {
        Self {
            add: add.to_vec(),
            remove: remove.to_vec(),
        }
    }

    /// Whether it changes no list.
    fn is_nothing(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty()
    }

    /// The list as it becomes.
    fn of(&self, there: &Value) -> Value {
        let there = there.as_array().map(Vec::as_slice).unwrap_or_default();
        let kept = there.iter().filter_map(Value::as_str);
        let mut list: Vec<_> = kept
            .filter(|text| !self.remove.iter().any(|gone| gone == text))
            .collect();
        for added in &self.add {
            if !list.contains(&added.as_str()) {
                list.push(added);
            }
        }
        json!(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_there_once_and_what_is_removed_is_gone_however_it_is_written() {
        let text = |text: &str| vec![text.to_owned()];
        let change = Change::scopes(&text("write"), &text("read:**")).unwrap();
        let list = change.of(&json!(["read", "write", "x"]));
        assert_eq!(list, json!(["write", "x"]));
        assert!(Change::scopes(&text("no scope"), &[]).is_err());
        assert_eq!(
            Change::names(&text("a"), &[]).of(&Value::Null),
            json!(["a"])
        );
    }
}
