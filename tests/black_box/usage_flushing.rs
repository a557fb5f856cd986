//! Usage on its way to the database: nothing lost, nothing twice, nothing kept for too long.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tenmint::clock::Clock;
use tenmint::domain::timestamp::Timestamp;

use super::usage::read;
use crate::on_both_engines;
use crate::support::crowd::at_once;
use crate::support::database::Database;
use crate::support::process::Process;
use crate::support::server::{Place, Reply, Server};

on_both_engines!(
    what_is_used_while_a_flush_runs_is_counted_once,
    a_database_that_fails_during_a_flush_loses_nothing,
    what_is_counted_leaves_no_trace_in_the_audit_log,
    a_node_is_waited_for_until_it_has_flushed_or_is_dead,
);

async fn what_is_used_while_a_flush_runs_is_counted_once(server: Server) {
    let acme = server.organization("acme").await;
    let keys = [
        server.key_with(&acme, &["read"]).await,
        server.key_with(&acme, &["read"]).await,
    ];
    let usage = Arc::clone(&server.app.usage);
    let flushing = tokio::spawn(async move {
        loop {
            usage.flush().await.unwrap();
        }
    });
    for _ in 0..10 {
        let exchanges = keys.iter().cycle().take(20).map(|key| {
            server
                .request(Method::POST, "/oauth/token")
                .basic_auth(&key.id, Some(&key.secret))
                .form(&[("grant_type", "client_credentials")])
        });
        for reply in at_once(exchanges).await {
            reply.expect(StatusCode::OK);
        }
    }
    // In the middle of whatever it is doing, as a request whose client hangs up.
    flushing.abort();
    let _ = flushing.await;
    for key in &keys {
        let path = format!("/v1/organizations/acme/api-keys/{}/usage", key.id);
        let usage = server.operate(Method::GET, &path, Value::Null).await;
        assert_eq!(usage.expect(StatusCode::OK).body["totals"]["issued"], 100);
    }
}

async fn a_database_that_fails_during_a_flush_loses_nothing(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
    // The third table of a flush is not there: the first two must not count either.
    let place = server.place();
    place
        .execute("ALTER TABLE exchange_records RENAME TO gone")
        .await;
    for _ in 0..3 {
        assert!(server.app.usage.flush().await.is_err());
        server.exchange(&key, &[]).await.expect(StatusCode::OK);
    }
    place
        .execute("ALTER TABLE gone RENAME TO exchange_records")
        .await;
    server.app.usage.flush().await.unwrap();
    let path = format!("/v1/api-keys/{}/usage", key.id);
    let usage = read(&server, &acme, &path).await.body;
    assert_eq!(usage["totals"]["issued"], 4);
    let recorded = place
        .query("SELECT CAST(SUM(count) AS TEXT) FROM exchange_records")
        .await;
    assert_eq!(recorded, ["4"]);
}

async fn what_is_counted_leaves_no_trace_in_the_audit_log(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let database = Database::of(&server).await;
    let before = database.contents().await;
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
    server.app.usage.flush().await.unwrap();
    read(&server, &acme, "/v1/usage").await;
    assert_eq!(database.contents().await, before);
}

async fn a_node_is_waited_for_until_it_has_flushed_or_is_dead(server: Server) {
    let place = server.place();
    let store = &server.app.management.store;
    let now = || server.clock.now();
    let all_flushed = async |since| store.all_nodes_flushed_since(since, now()).await.unwrap();
    server.app.usage.flush().await.unwrap();
    let since = now();
    assert!(!all_flushed(since).await, "this very second is not over");
    server.advance(60);
    server.app.usage.flush().await.unwrap();
    assert!(all_flushed(since).await);
    // Another node, heard two minutes ago.
    let heard = since.unix() - 60;
    place
        .execute(&format!(
            "INSERT INTO nodes VALUES ('node_x', {heard}, {heard}, 1)"
        ))
        .await;
    assert!(!all_flushed(since).await);
    server.advance(8 * 60);
    server.app.usage.flush().await.unwrap();
    assert!(!all_flushed(since).await, "it may be cut off");
    server.advance(60);
    server.app.usage.flush().await.unwrap();
    assert!(all_flushed(since).await, "it is dead");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_on_one_database_add_up() {
    let Some(place) = Place::postgres().await else {
        return;
    };
    let one = place.start().await;
    let acme = one.organization("acme").await;
    let key = one.key_with(&acme, &["read"]).await;
    let flags = ["serve", "--usage-flush-interval", "1s"];
    let two = Process::serve(one.place(), &flags, &[]);
    let nodes = "SELECT id FROM nodes";
    while one.place().query(nodes).await.len() != 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for round in 1..=5 {
        for _ in 0..round {
            one.exchange(&key, &[]).await.expect(StatusCode::OK);
            let request = reqwest::Client::new()
                .post(format!("{}/oauth/token", two.base))
                .basic_auth(&key.id, Some(&key.secret))
                .form(&[("grant_type", "client_credentials")]);
            Reply::of(request).await.expect(StatusCode::OK);
        }
        one.app.usage.flush().await.unwrap();
    }
    assert!(two.stop());
    assert_eq!(one.place().query(nodes).await.len(), 1, "it has left");
    // The other's clock goes, this one's stands.
    let until = one.clock.now().plus(Duration::from_hours(1));
    let path = format!("/v1/api-keys/{}/usage?until={until}", key.id);
    let usage = read(&one, &acme, &path).await.body;
    assert_eq!(usage["totals"]["issued"], 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_counted_is_written_by_itself() {
    let place = Place::sqlite().with(&["--usage-flush-interval", "1s"]);
    let server = place.start().await;
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
    let path = format!("/v1/api-keys/{}", key.id);
    while read(&server, &acme, &path).await.body["last_used_at"].is_null() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn old_counts_are_erased_by_their_age() {
    let place = Place::sqlite().with(&["--usage-flush-interval", "1s"]);
    let server = Server::start(
        place,
        Clock::manual("2027-01-15T12:00:00Z".parse().unwrap()),
    )
    .await
    .map_err(|(why, _)| why)
    .unwrap();
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
    server
        .exchange(&key, &[("scope", "write")])
        .await
        .refuses(400, "invalid_scope");
    server.app.usage.flush().await.unwrap();
    let rows = async |text: &str, count: usize| {
        while server.place().query(text).await.len() != count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let records = "SELECT scope FROM exchange_records";
    let refusals = "SELECT cause FROM refusals";
    let hours = "SELECT outcome FROM usage_counts WHERE grain = 'hour' AND outcome = 'issued'";
    let days = "SELECT outcome FROM usage_counts WHERE grain = 'day' AND outcome = 'issued'";
    let all = [(records, 1), (refusals, 1), (hours, 2), (days, 2)];
    for (text, count) in all {
        rows(text, count).await;
    }
    // Just not old enough, and a little older: each goes at its own age, and no other.
    let day = 86_400;
    for (text, age) in [
        (refusals, 7 * day),
        (records, 8 * day),
        (hours, 31 * day),
        (days, 401 * day),
    ] {
        let start = "2027-01-15T12:00:00Z".parse::<Timestamp>().unwrap();
        let passed = server.clock.now().seconds_since(start);
        server.advance(age - passed - day);
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert!(!server.place().query(text).await.is_empty(), "{text}");
        server.advance(day);
        rows(text, 0).await;
    }
    // Its last use is the key's own story, and stays.
    assert_eq!(
        server
            .place()
            .query("SELECT address FROM secret_uses")
            .await
            .len(),
        1 + 2
    );
}
