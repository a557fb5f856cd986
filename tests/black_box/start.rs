//! Starting: the root key, the schema, one server to an SQLite file, and coming back after a stop.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenmint::app::StartError;
use tenmint::clock::Clock;
use tenmint::store::error::StoreError;

use crate::on_both_engines;
use crate::support::process::{Process, program, run};
use crate::support::server::{Place, Server};

on_both_engines!(
    everything_is_there_again_after_a_restart,
    a_database_without_its_root_key_does_not_start,
    another_root_key_does_not_start,
    an_older_binary_refuses_a_newer_schema,
    an_operator_key_can_be_made_beside_a_running_server,
);

async fn everything_is_there_again_after_a_restart(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let before = server.get("/.well-known/jwks.json").await;
    let clock = server.clock.clone();
    let place = server.stop().await;

    let server = Server::start(place, clock)
        .await
        .map_err(|(why, _)| why)
        .unwrap();
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
    server
        .call(&acme.secret, Method::GET, "/v1/api-keys", Value::Null)
        .await
        .expect(StatusCode::OK);
    assert_eq!(server.get("/.well-known/jwks.json").await.text, before.text);
}

async fn a_database_without_its_root_key_does_not_start(server: Server) {
    let place = server.stop().await;
    let path = place.root_key_file();
    fs::remove_file(&path).unwrap();
    let (why, _) = refusal(place).await;
    assert!(matches!(why, StartError::RootKeyMissing { .. }), "{why}");
    assert!(!path.exists(), "no other root key was put in its place");
    assert!(
        why.to_string().contains("restore it from its backup"),
        "{why}"
    );
}

async fn another_root_key_does_not_start(server: Server) {
    let place = server.stop().await;
    let elsewhere = Place::sqlite().start().await.stop().await;
    fs::copy(elsewhere.root_key_file(), place.root_key_file()).unwrap();
    let (why, _) = refusal(place).await;
    assert!(matches!(why, StartError::RootKeyWrong { .. }), "{why}");
}

async fn an_older_binary_refuses_a_newer_schema(server: Server) {
    let place = server.stop().await;
    place
        .execute(
            "INSERT INTO _sqlx_migrations
             (version, description, success, checksum, execution_time)
             VALUES (9999, 'from the future', true, '', 0)",
        )
        .await;
    let (why, _) = refusal(place).await;
    assert!(
        matches!(why, StartError::Store(StoreError::SchemaTooNew(9999))),
        "{why}"
    );
    assert!(why.to_string().contains("newer tenmint"), "{why}");
}

async fn an_operator_key_can_be_made_beside_a_running_server(server: Server) {
    let (url, root) = (
        server.place().database_url(),
        server.place().root_key_file(),
    );
    let environment = [
        ("TENMINT_DATABASE_URL", &*url),
        ("TENMINT_ROOT_KEY_FILE", root.to_str().unwrap()),
    ];
    let made = run(
        &["operator-key", "--quiet", "--expires-in", "1h"],
        &environment,
    );
    assert!(made.success, "{}", made.err);
    assert_eq!((made.out.lines().count(), &*made.err), (1, ""));
    let list = server
        .call(
            made.out.trim(),
            Method::GET,
            "/v1/organizations",
            Value::Null,
        )
        .await;
    list.expect(StatusCode::OK);
    let keys = server
        .operate(Method::GET, "/v1/api-keys", Value::Null)
        .await;
    let ours = &keys.body["data"][0];
    assert_eq!(
        (&ours["name"], &ours["created_by"]),
        (&json!("operator"), &Value::Null)
    );
    assert!(ours["expires_at"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_one_sqlite_file_refuses_to_start() {
    let server = Server::on_sqlite().await;
    let (url, root) = (
        server.place().database_url(),
        server.place().root_key_file(),
    );
    let environment = [
        ("TENMINT_DATABASE_URL", &*url),
        ("TENMINT_ROOT_KEY_FILE", root.to_str().unwrap()),
        ("TENMINT_LISTEN", "127.0.0.1:0"),
    ];
    let second = run(&["serve"], &environment);
    assert!(!second.success);
    assert!(
        second.err.contains("another tenmint serves"),
        "{}",
        second.err
    );
    server.get("/readyz").await.expect(StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_key_open_to_everybody_does_not_start_and_one_open_to_its_group_is_noted() {
    let place = Place::sqlite().start().await.stop().await;
    let path = place.root_key_file();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
    let (why, place) = refusal(place).await;
    assert!(matches!(why, StartError::RootKeyFile(_)), "{why}");
    assert!(why.to_string().contains("chmod 600"), "{why}");

    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let process = Process::serve(&place, &["serve"], &[]);
    assert!(
        process.log().contains("can be read by its file's group"),
        "{}",
        process.log()
    );
    assert!(process.stop());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_key_can_come_from_the_environment_and_is_not_written_down() {
    let place = Place::sqlite().start().await.stop().await;
    let line = fs::read_to_string(place.root_key_file()).unwrap();
    fs::remove_file(place.root_key_file()).unwrap();
    let process = Process::serve(&place, &["serve"], &[("TENMINT_ROOT_KEY", line.trim())]);
    let ready = reqwest::get(format!("{}/readyz", process.base))
        .await
        .unwrap();
    assert_eq!(ready.status(), StatusCode::OK);
    assert!(!process.log().contains(&line.trim()[20..]));
    assert!(process.stop());
    assert!(!place.root_key_file().exists());

    let other = "tenmint-root-key-1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let url = place.database_url();
    let environment = [("TENMINT_DATABASE_URL", &*url), ("TENMINT_ROOT_KEY", other)];
    let wrong = run(&["serve", "--listen", "127.0.0.1:0"], &environment);
    assert!(!wrong.success);
    assert!(wrong.err.contains("belongs to root key"), "{}", wrong.err);
    assert!(!wrong.err.contains("AAAA"), "{}", wrong.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_through_a_kill() {
    let place = Place::sqlite();
    let process = Process::serve(&place, &["serve"], &[]);
    let url = place.database_url();
    let root = place.root_key_file();
    let environment = [
        ("TENMINT_DATABASE_URL", &*url),
        ("TENMINT_ROOT_KEY_FILE", root.to_str().unwrap()),
    ];
    let operator = run(&["operator-key", "--quiet"], &environment).out;
    let http = reqwest::Client::new();
    for n in 0..20 {
        let made = http
            .post(format!("{}/v1/organizations", process.base))
            .bearer_auth(operator.trim())
            .json(&json!({ "id": format!("org{n}") }))
            .send()
            .await
            .unwrap();
        assert_eq!(made.status(), StatusCode::CREATED);
    }
    process.kill();

    let process = Process::serve(&place, &["serve"], &[]);
    for n in 0..20 {
        let there = http
            .get(format!("{}/v1/organizations/org{n}", process.base))
            .bearer_auth(operator.trim())
            .send()
            .await
            .unwrap();
        assert_eq!(there.status(), StatusCode::OK);
    }
    assert!(process.stop());
}

/// As the first process of a container, which no signal ends that it does not listen to.
#[test]
fn a_stop_is_heard_while_a_start_waits_for_the_database() {
    // It accepts, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://tenmint@{}/x", silent.local_addr().unwrap());
    let place = Place::sqlite();
    let root = place.root_key_file();
    let environment = [
        ("TENMINT_DATABASE_URL", &*url),
        ("TENMINT_ROOT_KEY_FILE", root.to_str().unwrap()),
    ];
    let child = program(&["serve"], &environment).spawn().unwrap();
    let waiting = silent.accept().unwrap();
    #[expect(
        clippy::disallowed_methods,
        reason = "a test process holds no root key"
    )]
    let mut kill = Command::new("kill");
    let id = child.id().to_string();
    assert!(kill.args(["-TERM", &id]).status().unwrap().success());
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    // Rather than by the signal.
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("asked to stop before it served"), "{said}");
    drop(waiting);
}

async fn refusal(place: Place) -> (StartError, Place) {
    let outcome = Server::start(place, Clock::system()).await;
    outcome.err().expect("the server must not start")
}
