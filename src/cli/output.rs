//! What is printed: tables and details for people, JSON for scripts, secrets alone.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write};

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use zeroize::Zeroizing;

use super::Failure;
use super::client::{Answer, Client};
use super::exit::{Exit, Failed};
use crate::domain::text::is_invisible;

/// The columns of a table: a title, and the member that is shown below it.
pub(super) type Columns = &'static [(&'static str, &'static str)];

/// Widest cell of a table on a terminal, in characters. The first column is never cut.
const WIDEST: usize = 48;

/// A table that is printed page by page: later pages may widen columns, and narrow none.
pub(super) struct Table {
    columns: Columns,
    widths: Vec<usize>,
    on_terminal: bool,
    begun: bool,
}

/// The members of an object in the order in which they came.
struct Members(Vec<(String, Value)>);

/// An object, one member a line; or the JSON.
pub(super) fn show(client: &Client, answer: &Answer) -> Result<(), Failure> {
    if client.json {
        return json(answer);
    }
    let Members(members) = answer.read()?;
    let width = members.iter().map(|(name, _)| name.chars().count()).max();
    let width = width.unwrap_or_default();
    let mut out = io::stdout().lock();
    for (name, value) in &members {
        let name = visible(name);
        match value {
            Value::Array(rows) if rows.iter().any(Value::is_object) => {
                for (at, row) in rows.iter().enumerate() {
                    let name = if at == 0 { &name } else { "" };
                    writeln!(out, "{name:width$}  {}", cell(row))?;
                }
            }
            value => writeln!(out, "{name:width$}  {}", cell(value))?,
        }
    }
    Ok(out.flush()?)
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

impl Table {
    pub(super) fn new(columns: Columns) -> Self {
        Self {
            columns,
            widths: columns.iter().map(|(title, _)| title.len()).collect(),
            on_terminal: io::stdout().is_terminal(),
            begun: false,
        }
    }

    /// Prints rows, below the titles when they are the first.
    pub(super) fn print(&mut self, out: &mut impl Write, rows: &[Value]) -> io::Result<()> {
        let titles = self.columns.iter().map(|(title, _)| (*title).to_owned());
        let mut lines: Vec<Vec<String>> = Vec::new();
        if !std::mem::replace(&mut self.begun, true) {
            lines.push(titles.collect());
        }
        lines.extend(rows.iter().map(|row| {
            let cells = self.columns.iter().enumerate();
            let cells = cells.map(|(at, (_, member))| {
                let text = row.get(member).map_or_else(|| "-".to_owned(), cell);
                let cut = self.on_terminal && at > 0;
                if cut { shortened(text) } else { text }
            });
            cells.collect()
        }));
        for cells in &lines {
            for (width, cell) in self.widths.iter_mut().zip(cells) {
                *width = cell.chars().count().max(*width);
            }
        }
        for cells in &lines {
            let mut line = String::new();
            for (width, cell) in self.widths.iter().zip(cells) {
                let _ = write!(line, "{cell:width$}  ");
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
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

fn shortened(text: String) -> String {
    if text.chars().count() <= WIDEST {
        return text;
    }
    text.chars().take(WIDEST - 1).chain(['…']).collect()
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

    #[test]
    fn a_table_is_aligned_and_later_pages_keep_its_widths() {
        let mut table = Table::new(&[("ID", "id"), ("NAME", "name"), ("SCOPES", "scopes")]);
        let mut out = Vec::new();
        let first = [json!({ "id": "key_1", "name": "ä", "scopes": [] })];
        table.print(&mut out, &first).unwrap();
        let second = [json!({ "id": "k", "name": null, "scopes": ["a", "b:*"] })];
        table.print(&mut out, &second).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "ID     NAME  SCOPES\nkey_1  ä     -\nk      -     a b:*\n"
        );
    }
}
