//! A deployment as it was at some time, put back: by `tenmint backup` on SQLite, by PostgreSQL's own
//! programs elsewhere.

use std::process::Command;

use super::operations::{at, backup, lose};
use super::server::{Place, Server};

/// Takes one beside a running server; where it is.
pub fn take(server: &Server) -> String {
    let place = server.place();
    if place.is_sqlite() {
        return tokio::task::block_in_place(|| backup(place, "snapshot.db"));
    }
    let file = at(place, "snapshot.dump");
    dump(place, &file);
    file
}

/// Puts one back in place of a database that is lost, and says how the restore is begun.
pub async fn put_back(place: &Place, snapshot: &str) -> Vec<String> {
    if place.is_sqlite() {
        lose(place);
        return vec!["restore".to_owned(), snapshot.to_owned()];
    }
    place
        .execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        .await;
    load(place, snapshot);
    vec!["restore".to_owned(), "--in-place".to_owned()]
}

/// Dumps a PostgreSQL database to a file.
pub fn dump(place: &Place, file: &str) {
    let name = name(place);
    run(
        place,
        "pg_dump",
        &["--format=custom", "--file", file, &name],
    );
}

/// Loads a dump into an empty PostgreSQL database.
pub fn load(place: &Place, file: &str) {
    let name = name(place);
    let into = ["--exit-on-error", "--no-owner", "--dbname", &name, file];
    run(place, "pg_restore", &into);
}

fn name(place: &Place) -> String {
    let url = place.database_url();
    url.rsplit('/').next().unwrap().to_owned()
}

/// Runs one of PostgreSQL's own programs, with the password where the process list has none.
fn run(place: &Place, program: &str, arguments: &[&str]) {
    let url = url::Url::parse(&place.database_url()).unwrap();
    #[expect(
        clippy::disallowed_methods,
        reason = "a test process holds no root key"
    )]
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("PGHOST", url.host_str().unwrap())
        .env("PGPORT", url.port().unwrap().to_string())
        .env("PGUSER", url.username())
        .env("PGPASSWORD", url.password().unwrap_or_default());
    let done = tokio::task::block_in_place(|| command.output().unwrap());
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{program} {arguments:?}: {said}");
}
