//! The lines of an audit export; and of a file that is none, what it is instead.

use serde_json::Value;

use crate::store::audit::AuditRow;
use crate::store::audit_readoption::{ExportedEnd, ExportedEntry};

/// How an export is made, as is said to whoever gave something else.
const HOW: &str = "An audit export is JSON Lines, as `tenmint audit export` as operator writes \
                   them, or GET /v1/organizations/{org}/audit-events with `Accept: \
                   application/jsonl`";

/// What an SQLite database begins with.
const SQLITE: &[u8] = b"SQLite format 3\0";

/// What an entry has, whatever it tells of.
const MEMBERS: [&str; 8] = [
    "organization",
    "sequence",
    "at",
    "actor",
    "action",
    "target",
    "details",
    "mac",
];

/// A line of an export.
pub(super) enum Line {
    /// An entry, and whose.
    Entry(String, AuditRow),
    /// What ends an organization's part of it.
    End(ExportedEnd),
}

/// Reads line `number`, counted from 1.
///
/// # Errors
/// What the line is instead, and what to give.
pub(super) fn read(line: &[u8], number: u64) -> Result<Line, String> {
    if let Ok(end) = serde_json::from_slice(line) {
        return Ok(Line::End(end));
    }
    let entry: Option<ExportedEntry> = serde_json::from_slice(line).ok();
    let entry = entry.and_then(|entry| {
        let organization = entry.organization.clone();
        Some(Line::Entry(organization, entry.into_row()?))
    });
    entry.ok_or_else(|| {
        let what = instead(line);
        let so = if number == 1 {
            "so that this is no audit export"
        } else {
            "though the lines before it are: the file was changed, or cut off within that line"
        };
        format!("line {number} is no entry of an audit export, {so}: {what}. {HOW}")
    })
}

/// What a line is that is no entry.
fn instead(line: &[u8]) -> String {
    if line.starts_with(SQLITE) {
        return "it is the beginning of an SQLite database, which is given with --audit-database"
            .to_owned();
    }
    if std::str::from_utf8(line).is_err() {
        return "it is not text in UTF-8: the file is compressed, or of another kind".to_owned();
    }
    let Ok(value) = serde_json::from_slice::<Value>(line) else {
        return "it is not one line of JSON".to_owned();
    };
    if value.get("data").is_some() {
        return "it is a page of a list, which an export is not".to_owned();
    }
    let lacks = MEMBERS.iter().find(|member| value.get(**member).is_none());
    lacks.map_or_else(
        || "something in it is not what an entry can hold".to_owned(),
        |member| format!("it is JSON that lacks \"{member}\""),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_entry_is_told_in_words_of_its_own() {
        let said = |line: &[u8], number| match read(line, number) {
            Ok(_) => panic!("it was taken for a line of an export"),
            Err(said) => said,
        };
        let cases: [(&[u8], &str); 7] = [
            (b"SQLite format 3\0\xff", "--audit-database"),
            (b"\x1f\x8b\x08", "not text in UTF-8"),
            (b"organization,sequence", "not one line of JSON"),
            (br#"{"data":[],"next_cursor":null}"#, "a page of a list"),
            (br#"{"organization":"acme"}"#, "lacks \"sequence\""),
            (b"{}", "lacks \"organization\""),
            (b"7", "lacks \"organization\""),
        ];
        for (line, what) in cases {
            let said = said(line, 1);
            assert!(said.contains(what), "{said}");
            assert!(said.contains("this is no audit export"), "{said}");
            assert!(said.contains("tenmint audit export"), "{said}");
            for parser in ["column", "expected", "stream", "missing field"] {
                assert!(!said.contains(parser), "{said}");
            }
        }
        assert!(said(b"{", 7).starts_with("line 7 is no entry of an audit export, though"));
    }
}
