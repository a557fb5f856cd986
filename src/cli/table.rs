//! Tables, for people.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use serde_json::Value;

use super::output::cell;

/// The columns of a table: a title, and the member that is shown below it, or with dots
/// between their names the member of a member.
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
                let inner = member.split('.').try_fold(row, |row, name| row.get(name));
                let text = match inner {
                    Some(Value::Bool(true)) => "yes".to_owned(),
                    Some(Value::Bool(false)) => "no".to_owned(),
                    Some(other) => cell(other),
                    None => "-".to_owned(),
                };
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

fn shortened(text: String) -> String {
    if text.chars().count() <= WIDEST {
        return text;
    }
    text.chars().take(WIDEST - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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

    #[test]
    fn what_is_so_or_not_is_said_in_words() {
        let mut table = Table::new(&[("ID", "id"), ("READY", "is.ready")]);
        let mut out = Vec::new();
        let rows = [true, false].map(|ready| json!({ "id": "k", "is": { "ready": ready } }));
        table.print(&mut out, &rows).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "ID  READY\nk   yes\nk   no\n");
    }
}
