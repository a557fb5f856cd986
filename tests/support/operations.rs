//! What an operator does on the machine itself: commands beside a server, on its files.

use std::fs;
use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::Value;

use super::process::{Run, run};
use super::server::{Place, Server};

/// Runs a command on the deployment at a place.
pub fn tenmint(place: &Place, arguments: &[&str]) -> Run {
    let (url, root) = (place.database_url(), place.root_key_file());
    let environment = [
        ("TENMINT_DATABASE_URL", &*url),
        ("TENMINT_ROOT_KEY_FILE", root.to_str().unwrap()),
    ];
    run(arguments, &environment)
}

/// A command that must succeed; what it printed.
#[track_caller]
pub fn does(place: &Place, arguments: &[&str]) -> String {
    let done = tenmint(place, arguments);
    assert_eq!(done.code, Some(0), "{arguments:?}: {}", done.err);
    done.out
}

/// A command that must succeed, and print JSON.
#[track_caller]
pub fn tells(place: &Place, arguments: &[&str]) -> Value {
    let all = [arguments, &["--json"]].concat();
    let printed = does(place, &all);
    serde_json::from_str(&printed).unwrap_or_else(|_| panic!("{arguments:?}: {printed}"))
}

/// A command that must fail with this exit code, and say this.
#[track_caller]
pub fn refuses(place: &Place, arguments: &[&str], code: i32, said: &str) -> String {
    let done = tenmint(place, arguments);
    assert_eq!(
        done.code,
        Some(code),
        "{arguments:?}: {}{}",
        done.out,
        done.err
    );
    assert!(done.err.contains(said), "{arguments:?}: {}", done.err);
    done.err
}

/// A file at a place, as an argument.
pub fn at(place: &Place, name: &str) -> String {
    place.folder().join(name).to_str().unwrap().to_owned()
}

/// Takes a backup of an SQLite deployment; where it is.
#[track_caller]
pub fn backup(place: &Place, name: &str) -> String {
    let file = at(place, name);
    does(place, &["backup", &file]);
    file
}

/// The audit log of an organization as the operator exports it, in a file; where it is.
pub async fn export(server: &Server, organization: &str) -> String {
    let path = format!("/v1/organizations/{organization}/audit-events");
    let request = server.request(Method::GET, &path);
    let request = request.bearer_auth(&server.operator);
    let reply = request.header("accept", "application/jsonl").send().await;
    let file = at(server.place(), &format!("{organization}.jsonl"));
    fs::write(&file, reply.unwrap().text().await.unwrap()).unwrap();
    file
}

/// The database file at a place.
pub fn database(place: &Place) -> PathBuf {
    place.folder().join("tenmint.db")
}

/// Removes a database and what lies beside it, as a lost disk would, but for the root key.
pub fn lose(place: &Place) {
    for ending in ["", "-wal", "-shm", ".mark"] {
        let path = format!("{}{ending}", database(place).display());
        let _ = fs::remove_file(path);
    }
}

/// The names of files in a folder, in order.
pub fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
