//! `tenmint doctor`: each check finds what it is for, says what to mend, and changes nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::on_both_engines;
use crate::support::database::Database;
use crate::support::operations::{backup, database, files};
use crate::support::process::{Process, Run, run};
use crate::support::server::{Place, Server};

on_both_engines!(
    a_signing_key_that_does_not_open_is_found,
    a_log_that_was_changed_is_found,
    a_clock_that_stepped_back_is_found,
    jobs_that_are_not_done_are_found,
    a_schema_of_another_version_is_found,
    looking_changes_nothing,
);

/// Looks at the deployment at a place, under settings of the environment.
pub fn doctor(place: &Place, arguments: &[&str], environment: &[(&str, &str)]) -> Run {
    let (url, root) = (place.database_url(), place.root_key_file());
    let mut all = vec![
        ("TENMINT_DATABASE_URL", &*url),
        ("TENMINT_ROOT_KEY_FILE", root.to_str().unwrap()),
    ];
    all.extend(environment);
    run(&[&["doctor"], arguments].concat(), &all)
}

/// What one check found, and whether the command failed, as it must where there is a problem.
#[track_caller]
pub fn found(
    place: &Place,
    arguments: &[&str],
    environment: &[(&str, &str)],
    check: &str,
) -> (String, String) {
    let done = doctor(place, &[arguments, &["--json"]].concat(), environment);
    let told: Value =
        serde_json::from_str(&done.out).unwrap_or_else(|_| panic!("{}{}", done.out, done.err));
    let findings = told["findings"].as_array().unwrap();
    let bad = findings.iter().any(|f| f["verdict"] == "problem");
    assert_eq!(done.code, Some(i32::from(bad)), "{}", done.err);
    let finding = findings.iter().find(|f| f["check"] == check);
    let finding = finding.unwrap_or_else(|| panic!("{check}: {}", done.out));
    let text = |member: &str| finding[member].as_str().unwrap().to_owned();
    (text("verdict"), text("text"))
}

/// Requires that a check finds this.
#[track_caller]
pub fn finds(place: &Place, check: &str, verdict: &str, said: &str) {
    finds_with(place, &[], &[], check, (verdict, said));
}

#[track_caller]
pub fn finds_with(
    place: &Place,
    arguments: &[&str],
    environment: &[(&str, &str)],
    check: &str,
    (verdict, said): (&str, &str),
) {
    let (given, text) = found(place, arguments, environment, check);
    assert_eq!(given, verdict, "{check}: {text}");
    assert!(text.contains(said), "{check}: {text}");
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_deployment_has_nothing_to_mend() {
    let place = Place::sqlite();
    let server = Process::serve(
        &place,
        &["serve"],
        &[("TENMINT_USAGE_FLUSH_INTERVAL", "1s")],
    );
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let environment = [("TENMINT_ISSUER", &*server.base)];
    for arguments in [&[][..], &["--full"]] {
        let done = doctor(&place, arguments, &environment);
        assert_eq!(done.code, Some(0), "{}{}", done.out, done.err);
        assert_eq!(done.err, "");
        let bad = done.out.lines().find(|line| !line.starts_with("ok "));
        assert_eq!(bad, None, "{}", done.out);
        assert!(done.out.contains("a server runs"), "{}", done.out);
    }
    assert!(server.stop());
}

async fn looking_changes_nothing(server: Server) {
    server.organization("acme").await;
    let contents = Database::of(&server).await.contents().await;
    let before = files(server.place().folder());
    for arguments in [&[][..], &["--full"], &["--json"]] {
        doctor(server.place(), arguments, &[]);
    }
    assert_eq!(Database::of(&server).await.contents().await, contents);
    assert_eq!(files(server.place().folder()), before);
    let nothing = Place::sqlite();
    finds(&nothing, "database", "problem", "no tenmint deployment");
    assert_eq!(files(nothing.folder()), Vec::<String>::new());
}

async fn a_signing_key_that_does_not_open_is_found(server: Server) {
    server.organization("acme").await;
    let place = server.place();
    finds(place, "signing keys", "ok", "2 issuers");
    finds(place, "rotation", "ok", "overdue");
    place
        .execute("UPDATE signing_keys SET due_at = 1 WHERE organization_id = 'acme'")
        .await;
    finds(place, "rotation", "problem", "signing keys of acme");
    let swap = "UPDATE signing_keys SET sealed =
                  (SELECT s.sealed FROM signing_keys s WHERE s.organization_id = 'operator')
                WHERE organization_id = 'acme'";
    place.execute(swap).await;
    finds(
        place,
        "signing keys",
        "problem",
        "acme: a sealed signing key",
    );
    place
        .execute("DELETE FROM signing_keys WHERE organization_id = 'acme'")
        .await;
    finds(place, "signing keys", "problem", "acme: it has none");
}

async fn a_log_that_was_changed_is_found(server: Server) {
    server.organization("acme").await;
    let place = server.place();
    finds(place, "audit log", "ok", "every chain ends as it should");
    finds_with(place, &["--full"], &[], "audit log", ("ok", "entries hold"));
    let edit = "UPDATE audit_events SET target = 'x'
                WHERE organization_id = 'acme' AND sequence = 1";
    place.execute(edit).await;
    let said = ("problem", "acme: entry 1 is not as it was written");
    finds_with(place, &["--full"], &[], "audit log", said);
    let cut = "DELETE FROM audit_events WHERE organization_id = 'acme' AND sequence = 2";
    place.execute(cut).await;
    finds(place, "audit log", "problem", "acme: its last entry");
}

async fn a_clock_that_stepped_back_is_found(server: Server) {
    let place = server.place();
    finds(place, "clock", "ok", "agrees");
    // CLOCK_SKEW is for signing keys; tokens bear less.
    let ahead = "UPDATE audit_events SET at = at + 50
                 WHERE organization_id = 'operator'";
    place.execute(ahead).await;
    finds(place, "clock", "problem", "this clock, where 5 are allowed");
    let exact = [("TENMINT_CLOCK_SKEW", "2s")];
    let said = ("problem", "where 2 are allowed");
    finds_with(place, &[], &exact, "clock", said);
    let ahead = "UPDATE audit_events SET at = at + 3550
                 WHERE organization_id = 'operator'";
    place.execute(ahead).await;
    finds(place, "clock", "problem", "seconds ahead of this clock");
    place
        .execute("UPDATE audit_events SET at = at - 3600 WHERE organization_id = 'operator'")
        .await;
    let node = "INSERT INTO nodes (id, started_at, flushed_at, batch)
                VALUES ('n', 1, 9999999999, 1)";
    place.execute(node).await;
    finds(place, "clock", "problem", "seconds ahead of this clock");
}

async fn jobs_that_are_not_done_are_found(server: Server) {
    let now = server.clock.now().unix();
    let place = server.place();
    let old = format!(
        "DELETE FROM nodes; DELETE FROM leases;
         INSERT INTO nodes (id, started_at, flushed_at, batch) VALUES ('n', {}, {now}, 1)",
        now - 10_000
    );
    place.execute(&old).await;
    finds(place, "jobs", "problem", "not done for two");
    place.execute("DELETE FROM nodes").await;
    finds(place, "jobs", "ok", "no server gave a sign of life");
}

async fn a_schema_of_another_version_is_found(server: Server) {
    let place = server.place();
    let newest = "(SELECT MAX(version) FROM _sqlx_migrations)";
    let newer = format!(
        "UPDATE _sqlx_migrations SET version = 9999, description = 'other things'
         WHERE version = {newest}"
    );
    place.execute(&newer).await;
    finds(place, "database", "problem", "newer tenmint");
    let older = format!("DELETE FROM _sqlx_migrations WHERE version = {newest}");
    place.execute(&older).await;
    finds(place, "database", "problem", "must be migrated");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_key_that_is_open_missing_or_anothers_is_found() {
    let place = Place::sqlite().start().await.stop().await;
    let path = place.root_key_file();
    let folder = path.parent().unwrap().to_owned();
    finds(&place, "root key file", "ok", "owner alone");
    chmod(&path, 0o644);
    finds(&place, "root key file", "problem", "chmod 600");
    finds(&place, "root key", "problem", "every account");
    chmod(&path, 0o640);
    finds(&place, "root key file", "warning", "its group");
    chmod(&path, 0o600);
    chmod(&folder, 0o777);
    finds(&place, "root key folder", "problem", "chmod 700");
    chmod(&folder, 0o700);
    let line = fs::read_to_string(&path).unwrap();
    let environment = [("TENMINT_ROOT_KEY", line.trim())];
    let said = ("warning", "TENMINT_ROOT_KEY");
    finds_with(&place, &[], &environment, "root key file", said);
    let done = doctor(&place, &[], &environment);
    assert!(!done.out.contains(line.trim()) && !done.err.contains(line.trim()));

    let beside = place.folder().join("root.key");
    fs::copy(&path, &beside).unwrap();
    let environment = [("TENMINT_ROOT_KEY_FILE", beside.to_str().unwrap())];
    let said = ("warning", "lies beside the database");
    finds_with(&place, &[], &environment, "root key folder", said);
    fs::remove_file(&beside).unwrap();

    let other = Place::sqlite().start().await.stop().await;
    fs::copy(other.root_key_file(), &path).unwrap();
    finds(
        &place,
        "root key",
        "problem",
        "put the right root key in place",
    );
    fs::write(&path, "x").unwrap();
    finds(&place, "root key", "problem", "damaged");
    fs::remove_file(&path).unwrap();
    finds(&place, "root key", "problem", "restore it from its backup");
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_file_that_is_open_or_damaged_is_found() {
    let server = Server::on_sqlite().await;
    for n in 0..40 {
        server.organization(&format!("o{n}")).await;
    }
    let place = server.stop().await;
    finds(&place, "database files", "ok", "owner alone");
    for name in ["tenmint.db", "tenmint.db.mark"] {
        chmod(&place.folder().join(name), 0o640);
        finds(&place, "database files", "problem", "chmod 600");
        chmod(&place.folder().join(name), 0o600);
    }
    finds(&place, "integrity", "ok", "no damage");
    // The pages of an index, so that what doctor reads first can still be read.
    let page: i64 = place
        .query("SELECT CAST(rootpage AS TEXT) FROM sqlite_schema WHERE name = 'audit_events_by_action'")
        .await[0]
        .parse()
        .unwrap();
    let mut bytes = fs::read(database(&place)).unwrap();
    let start = usize::try_from((page - 1) * 4096).unwrap();
    bytes[start + 100..start + 4096].fill(0xa5);
    fs::write(database(&place), bytes).unwrap();
    finds(&place, "integrity", "problem", "the file is damaged");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_copy_is_found() {
    let server = Server::on_sqlite().await;
    let file = tokio::task::block_in_place(|| backup(server.place(), "b.db"));
    server.organization("acme").await;
    let place = server.stop().await;
    finds(&place, "history", "ok", "older copy");
    fs::copy(&file, database(&place)).unwrap();
    finds(&place, "history", "problem", "restore --in-place");
}
