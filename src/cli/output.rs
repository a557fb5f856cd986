//! What is printed: details for people, JSON for scripts, secrets alone.

use std::fmt::{self, Write as _};
use std::io::{self, Write};

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use zeroize::Zeroizing;

use super::Failure;
use super::client::{Answer, Client};
use super::exit::{Exit, Failed};
use crate::domain::text::is_invisible;

/// The members of an object in the order in which they came.
struct Members(Vec<(String, Value)>);

/// An object, one member a line; or the JSON.
pub(super) fn show(client: &Client, answer: &Answer) -> Result<(), Failure> {
    if client.json {
        return json(answer);
    }
    let Members(members) = answer.read()?;
    let lines: Vec<_> = members.iter().flat_map(details).collect();
    let width = lines.iter().map(|(name, _)| name.chars().count()).max();
    let width = width.unwrap_or_default();
    let mut out = io::stdout().lock();
    for (name, text) in &lines {
        writeln!(out, "{name:width$}  {text}")?;
    }
    Ok(out.flush()?)
}

/// The lines that show a member: one for each row or member of its own.
fn details((name, value): &(String, Value)) -> Vec<(String, String)> {
    let name = visible(name);
    match value {
        Value::Array(rows) if rows.iter().any(Value::is_object) => {
            let line = |(at, row)| {
                (
                    if at == 0 { name.clone() } else { String::new() },
                    cell(row),
                )
            };
            rows.iter().enumerate().map(line).collect()
        }
        Value::Object(members) if !members.is_empty() => {
            let member = |(inner, value): (&String, &Value)| {
                (format!("{name}.{}", visible(inner)), cell(value))
            };
            members.iter().map(member).collect()
        }
        value => vec![(name, cell(value))],
    }
}

/// One line, or the JSON.
pub(super) fn told(client: &Client, answer: &Answer, words: &str) -> Result<(), Failure> {
    if client.json {
        return json(answer);
    }
    line(words)
}

/// One line where an answer has no JSON of its own.
pub(super) fn done(client: &Client, words: &str) -> Result<(), Failure> {
    if client.json { Ok(()) } else { line(words) }
}

fn line(words: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", visible(words))?;
    Ok(out.flush()?)
}

/// The JSON of an answer as it came.
pub(super) fn json(answer: &Answer) -> Result<(), Failure> {
    let text = Zeroizing::new(escaped(answer.text()));
    let mut out = io::stdout().lock();
    writeln!(out, "{}", text.trim_end())?;
    Ok(out.flush()?)
}

/// A secret alone on standard output, and unless `quiet`, words on standard error.
///
/// # Errors
/// Where the secret is not there, as in the answer to a request that was done before.
pub(super) fn secret(
    secret: Option<String>,
    hint: Option<&str>,
    words: &str,
    quiet: bool,
) -> Result<(), Failure> {
    if !quiet {
        eprintln!("{words}");
    }
    let Some(secret) = secret.map(Zeroizing::new) else {
        let hint = hint.unwrap_or("the answer holds no secret");
        return Err(Failed::new(Exit::Refused, visible(hint)).into());
    };
    let mut out = io::stdout().lock();
    // A secret is letters, digits and _; anything else is no secret, and might be worse.
    writeln!(out, "{}", *Zeroizing::new(visible(&secret)))?;
    Ok(out.flush()?)
}

/// A value in a table: on one line, without what steers a terminal.
pub(super) fn cell(value: &Value) -> String {
    let listed = |parts: Vec<String>, between: &str| {
        if parts.is_empty() {
            "-".to_owned()
        } else {
            parts.join(between)
        }
    };
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => visible(text),
        Value::Array(values) => listed(values.iter().map(cell).collect(), " "),
        Value::Object(members) => {
            let member =
                |(name, value): (&String, &Value)| format!("{}={}", visible(name), cell(value));
            listed(members.iter().map(member).collect(), ", ")
        }
        other => other.to_string(),
    }
}

/// A text without what steers a terminal or reorders what is read.
pub(super) fn visible(text: &str) -> String {
    text.chars().filter(|c| !is_invisible(*c)).collect()
}

/// JSON that says the same, and does nothing to a terminal: what is invisible can only stand in
/// a string, where it can be written as an escape, or be white space between values.
pub(super) fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if is_invisible(c) && !['\n', '\r', '\t'].contains(&c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(c);
        }
    }
    text
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_server_says_steers_no_terminal() {
        let hostile = "a\u{1b}[2J\u{9b}b\u{202e}\nc\u{e0041}";
        assert_eq!(cell(&json!({ hostile: [hostile] })), "a[2Jbc=a[2Jbc");
        let text = serde_json::to_string(&json!([hostile])).unwrap();
        let shown = escaped(&text);
        assert!(!shown.chars().any(is_invisible), "{shown:?}");
        assert_eq!(
            serde_json::from_str::<Value>(&shown).unwrap(),
            json!([hostile])
        );
    }
}
