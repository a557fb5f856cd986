//! `tenmint doctor` on the issuer that servers say they serve, and on what answers at `ISSUER`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use tenmint::domain::timestamp::Timestamp;
use tokio::net::TcpListener;

use super::doctor::{doctor, finds, finds_with, found};
use crate::on_both_engines;
use crate::support::process::Process;
use crate::support::server::{Place, Server};

on_both_engines!(
    servers_that_serve_different_issuers_are_named,
    an_issuer_that_no_server_serves_is_found,
);

const CHECK: &str = "one issuer";

/// Nobody listens there, and that is known at once.
const NEAR: &str = "http://127.0.0.1:1/near";
const FAR: &str = "http://127.0.0.1:1/far";

/// What a starting server says of others.
const WARNED: &str = "another server on this database served another ISSUER";

/// Writes down what a server serves, as it would itself.
async fn says(place: &Place, node: &str, issuer: &str, until: Timestamp) {
    let until = until.unix();
    let say = format!("INSERT INTO announced_issuers VALUES ('{node}', '{issuer}', {until})");
    place.execute(&say).await;
}

/// What a process calls itself, where it begins to serve.
fn node_of(process: &Process) -> String {
    let log = process.log();
    let line = log.lines().find(|line| line.contains("serving")).unwrap();
    let id = line[line.find("node_").unwrap()..].chars();
    id.take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect()
}

async fn servers_that_serve_different_issuers_are_named(server: Server) {
    let base = server.base.clone();
    let here = [("TENMINT_ISSUER", &*base)];
    let known = "SELECT node FROM announced_issuers";
    let node = server.place().query(known).await.remove(0);
    let place = server.place();
    let at = |verdict: &str, said: &str| {
        finds_with(place, &[], &here, CHECK, (verdict, said));
    };
    at("ok", &format!("every server served {base} ({node})"));

    let (now, hour) = (server.clock.now(), Duration::from_hours(1));
    says(place, "node_2", "https://other.example", now.plus(hour)).await;
    says(place, "node_3", "https://other.example", now.plus(hour)).await;
    let both = format!("{base} ({node}) and https://other.example (node_2, node_3)");
    at("problem", &both);
    at("problem", &format!("(here it is {base})"));
    finds(place, CHECK, "problem", &both);

    // What a server said does not count for ever.
    let past = now.minus(Duration::from_secs(1)).unix();
    let gone =
        format!("UPDATE announced_issuers SET announced_until = {past} WHERE issuer LIKE 'https%'");
    place.execute(&gone).await;
    at("ok", &format!("every server served {base} ({node})"));
    let place = server.stop().await;
    finds_with(&place, &[], &here, CHECK, ("ok", "no server said"));
    assert_eq!(place.query(known).await.len(), 2, "it struck itself out");
}

async fn an_issuer_that_no_server_serves_is_found(server: Server) {
    let (place, base) = (server.place(), &server.base);
    let mistyped = [("TENMINT_ISSUER", NEAR)];
    let (verdict, text) = found(place, &[], &mistyped, CHECK);
    assert_eq!(verdict, "problem", "{text}");
    for said in [NEAR, base] {
        assert!(text.contains(said), "{text}");
    }
    let said = ("problem", "no server that runs serves it");
    finds_with(place, &[], &mistyped, "issuer", said);
    // Where none is set, the one that is served is looked at.
    finds(place, CHECK, "ok", base);
    finds(place, "issuer", "warning", base);
    finds(place, "published keys", "ok", "of this database");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_starts_beside_one_with_another_issuer_says_so() {
    let Some(place) = Place::postgres().await else {
        return;
    };
    let serve = |issuer| Process::serve(&place, &["serve"], &[("TENMINT_ISSUER", issuer)]);
    let near = serve(NEAR);
    let far = serve(FAR);
    let log = far.log();
    assert_eq!(log.matches(WARNED).count(), 1, "{log}");
    let line = log.lines().find(|line| line.contains(WARNED)).unwrap();
    for said in [NEAR, FAR, &node_of(&near)] {
        assert!(line.contains(said), "{line}");
    }
    assert!(!near.log().contains(WARNED), "it was alone");

    let (verdict, text) = found(&place, &[], &[("TENMINT_ISSUER", NEAR)], CHECK);
    assert_eq!(verdict, "problem", "{text}");
    for (issuer, process) in [(NEAR, &near), (FAR, &far)] {
        let named = format!("{issuer} ({})", node_of(process));
        assert!(text.contains(&named), "{named}: {text}");
    }
    assert!(far.stop());
    let here = [("TENMINT_ISSUER", NEAR)];
    finds_with(&place, &[], &here, CHECK, ("ok", NEAR));
    // As from a machine that a firewall keeps from it.
    let said = ("warning", "while a server runs that serves it");
    finds_with(&place, &[], &here, "issuer", said);
    assert!(near.stop());
}

/// A killed one has the file no more, whatever it said.
#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite_a_server_that_was_killed_counts_no_more_when_another_starts() {
    let place = Place::sqlite();
    let serve = |issuer| Process::serve(&place, &["serve"], &[("TENMINT_ISSUER", issuer)]);
    serve(FAR).kill();
    finds_with(&place, &[], &[("TENMINT_ISSUER", FAR)], CHECK, ("ok", FAR));
    let server = serve(NEAR);
    assert!(!server.log().contains(WARNED), "{}", server.log());
    let here = [("TENMINT_ISSUER", NEAR)];
    finds_with(&place, &[], &here, CHECK, ("ok", NEAR));
    assert!(server.stop());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_answers_at_the_issuer_is_judged_by_what_it_says_and_by_who_lives() {
    let place = Place::sqlite().start().await.stop().await;
    let answer = Arc::new(Mutex::new((StatusCode::NOT_FOUND, "")));
    let given = Arc::clone(&answer);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(move || {
        let answer = *given.lock().unwrap();
        async move { answer }
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    let here = [("TENMINT_ISSUER", &*issuer)];
    let at = |status: u16, body: &'static str, said: (&str, &str)| {
        *answer.lock().unwrap() = (StatusCode::from_u16(status).unwrap(), body);
        finds_with(&place, &[], &here, "issuer", said);
    };
    // Nobody runs; then one that serves just this.
    at(404, "", ("problem", "answered with status 404"));
    at(502, "", ("warning", "if a server should run"));
    let hour = Duration::from_hours(1);
    let until = tenmint::clock::Clock::system().now().plus(hour);
    says(&place, "node_1", &issuer, until).await;
    at(
        404,
        "{}",
        ("problem", "what answers there is not this issuer"),
    );
    at(307, "", ("problem", "answered with status 307"));
    at(502, "", ("problem", "does not reach it"));
    at(403, "", ("warning", "this machine alone"));
    at(200, "<html>", ("problem", "no JSON"));
    at(200, "{}", ("problem", "names no issuer"));
    // Whoever answers there says nothing to the terminal.
    let hostile = r#"{"issuer":"https://a.example\u001b[2J\u202e"}"#;
    at(
        200,
        hostile,
        ("problem", "it is https://a.example[2J: clients"),
    );
    let shown = doctor(&place, &[], &here).out;
    assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown:?}");
}
