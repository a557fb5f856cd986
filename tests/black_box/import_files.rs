//! The file of an import, and the database it goes to: what is wrong with them is said before
//! anything is made.

use std::fs;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::imports::{REFUSED_LINES, exchange};
use crate::on_both_engines;
use crate::support::imports::{argon2_of, file, import, line, old_string, rejects};
use crate::support::process::run;
use crate::support::root_keys::until;
use crate::support::server::Server;

on_both_engines!(
    a_byte_order_mark_is_no_part_of_a_line,
    a_file_of_something_else_is_refused_as_a_whole,
    what_nobody_can_read_is_refused_line_by_line,
);

fn count(server: &Server) -> impl Future<Output = Vec<String>> + '_ {
    let count = "SELECT CAST(COUNT(*) AS TEXT) FROM imports";
    server.place().query(count)
}

async fn a_byte_order_mark_is_no_part_of_a_line(server: Server) {
    server.organization("acme").await;
    let lines = [line("raw", &old_string(0)), line("raw", &old_string(1))];
    let path = file(server.place(), "marked.jsonl", &lines);
    let marked = [b"\xef\xbb\xbf", &*fs::read(&path).unwrap(), b"\r\n"].concat();
    fs::write(&path, marked).unwrap();
    let run = import(server.place(), "acme", &path);
    assert!(run.success, "{}", run.err);
    assert!(run.err.contains("2 keys imported"), "{}", run.err);
    until("what was imported counts", async || {
        exchange(&server, &old_string(0)).await.status == StatusCode::OK
    })
    .await;
    // Of a file that holds nothing else, nothing is imported.
    fs::write(&path, b"\xef\xbb\xbf").unwrap();
    let run = import(server.place(), "acme", &path);
    assert!(
        run.success && run.err.contains("0 keys imported"),
        "{}",
        run.err
    );
}

async fn a_file_of_something_else_is_refused_as_a_whole(server: Server) {
    server.organization("acme").await;
    let path = file(server.place(), "keys.csv", &[]);
    let table = format!("secret,name\n{},billing\n", old_string(0));
    let utf16: Vec<_> = format!("\u{feff}{}", line("raw", &old_string(0)))
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    for other in [table.as_bytes(), &utf16] {
        fs::write(&path, other).unwrap();
        let run = import(server.place(), "acme", &path);
        assert_eq!(run.code, Some(1), "{}", run.err);
        assert!(run.err.contains("is no JSON Lines in UTF-8"), "{}", run.err);
        assert!(!run.err.contains(&old_string(0)[..12]), "{}", run.err);
    }
    assert!(rejects(&path).is_empty());
    assert_eq!(count(&server).await, ["0"]);
}

async fn what_nobody_can_read_is_refused_line_by_line(server: Server) {
    server.organization("acme").await;
    let keyed = |parameter: &str| {
        let mut row = line("argon2", &old_string(0));
        let hash = argon2_of(&old_string(0)).replace("p=1$", &format!("p=1,{parameter}$"));
        row["hash"] = json!({ "argon2": hash });
        row
    };
    let lines = [
        line("raw", &old_string(1)),
        keyed("keyid=a2V5"),
        keyed("data=ZGF0YQ"),
        Value::Null,
    ];
    let path = file(server.place(), "odd.jsonl", &lines);
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend(b"\n{\"secret\": \"\xff\"}\n");
    bytes.extend(format!("{{\"name\": \"{}\"}}", "x".repeat(70_000)).bytes());
    fs::write(&path, bytes).unwrap();
    let run = import(server.place(), "acme", &path);
    assert_eq!(run.code, Some(REFUSED_LINES), "{}", run.err);
    assert!(
        run.err
            .contains("5 of 6 lines were refused; which and why: "),
        "{}",
        run.err
    );
    let why = [
        "hash: argon2 with keyid or data cannot be imported",
        "hash: argon2 with keyid or data cannot be imported",
        "no JSON object",
        "the line is no UTF-8",
        "the line is longer than",
    ];
    let told = rejects(&path);
    assert_eq!(told.len(), why.len(), "{told:?}");
    for (n, ((line, said), why)) in told.iter().zip(why).enumerate() {
        assert_eq!(*line, n as u64 + 2);
        assert!(said.starts_with(why), "{line}: {said}");
    }
    // Told again, in the same way, when nothing is left to do; and no file is named that is not there.
    let is_named = |name: &str| {
        let run = import(server.place(), "acme", &path);
        assert_eq!(run.code, Some(REFUSED_LINES), "{}", run.err);
        run.err.contains(name)
    };
    assert!(is_named("which and why: "));
    fs::remove_file(format!("{}.rejects.jsonl", path.display())).unwrap();
    assert!(!is_named("which and why: "));
    assert!(is_named(
        "when they were imported; the file that said which and why is not "
    ));
}

/// Whoever mistypes a path must not have keys taken over by a deployment that nobody serves.
#[test]
fn nothing_is_imported_into_a_database_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.jsonl");
    fs::write(&path, line("raw", &old_string(0)).to_string()).unwrap();
    let (database, root) = (folder.path().join("t.db"), folder.path().join("root.key"));
    let url = format!("sqlite:{}", database.display());
    let environment = [
        ("TENMINT_DATABASE_URL", &*url),
        ("TENMINT_ROOT_KEY_FILE", root.to_str().unwrap()),
    ];
    let words = ["import", "--org", "acme", path.to_str().unwrap()];
    for there in [false, true] {
        if there {
            fs::write(&database, "").unwrap();
        }
        let run = run(&words, &environment);
        assert_eq!(run.code, Some(1), "{}", run.err);
        assert!(run.err.contains("look at DATABASE_URL"), "{}", run.err);
        assert_eq!(database.exists(), there);
        assert!(!root.exists());
    }
}

/// Also where the file is wrong, nobody hears of the database.
#[test]
fn a_file_that_cannot_be_read_is_told_before_the_database_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.csv");
    fs::write(&path, "secret,name\n").unwrap();
    for (file, why) in [("nowhere", "cannot read"), ("keys.csv", "is no JSON Lines")] {
        let file = folder.path().join(file);
        let words = ["import", "--org", "acme", file.to_str().unwrap()];
        let nowhere = [("TENMINT_DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")];
        let run = run(&words, &nowhere);
        assert!(!run.success && run.err.contains(why), "{}", run.err);
    }
}
