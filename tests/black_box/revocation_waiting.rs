//! Waiting for the revocation feed: who holds the present one is answered when there is another, by
//! whichever node, and is never a burden.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::revocation_feed::{alias, feed_path};
use crate::on_both_engines;
use crate::support::crowd::at_once;
use crate::support::server::{Key, Reply, Server, claims};

on_both_engines!(
    who_waits_is_answered_by_a_revocation,
    who_waits_in_vain_is_told_that_nothing_changed,
    what_revokes_nothing_wakes_nobody,
    who_holds_nothing_or_something_else_does_not_wait,
    whoever_comes_when_too_many_wait_does_not,
    a_server_that_stops_lets_everybody_go,
);

const PATIENCE: Duration = Duration::from_secs(5);

async fn tag(server: &Server, issuer: &str) -> String {
    let reply = server.get(&feed_path(issuer)).await;
    reply.header("etag").unwrap().to_owned()
}

fn waiting(server: &Server, issuer: &str, tag: &str, seconds: u32) -> reqwest::RequestBuilder {
    let path = format!("{}?wait={seconds}", feed_path(issuer));
    server
        .request(Method::GET, &path)
        .header("if-none-match", tag)
}

async fn revoke(server: &Server, manager: &Key, id: &str) {
    let path = format!("/v1/api-keys/{id}/revoke");
    let done = server.call(&manager.secret, Method::POST, &path, Value::Null);
    done.await.expect(StatusCode::OK);
}

async fn who_waits_is_answered_by_a_revocation(server: Server) {
    let acme = server.organization("acme").await;
    for issuer in ["", "/orgs/acme"] {
        let key = server.key_with(&acme, &["read"]).await;
        let tag = tag(&server, issuer).await;
        let crowd = (0..20).map(|_| waiting(&server, issuer, &tag, 20));
        let crowd = tokio::spawn(at_once(crowd.collect::<Vec<_>>()));
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!crowd.is_finished());
        let revoked = Instant::now();
        revoke(&server, &acme, &key.id).await;
        for reply in crowd.await.unwrap() {
            let said = claims(&reply.expect(StatusCode::OK).text);
            assert!(said["revoked"]["keys"][alias(&key.id)].is_i64());
            assert_eq!(reply.header("cache-control"), Some("no-store"));
            assert_ne!(reply.header("etag"), Some(&*tag));
        }
        assert!(revoked.elapsed() < PATIENCE);
    }
}

async fn who_waits_in_vain_is_told_that_nothing_changed(server: Server) {
    let tag = tag(&server, "").await;
    let begun = Instant::now();
    let reply = Reply::of(waiting(&server, "", &tag, 1)).await;
    assert_eq!(reply.expect(StatusCode::NOT_MODIFIED).text, "");
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert!(begun.elapsed() < PATIENCE);
}

async fn what_revokes_nothing_wakes_nobody(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let tag = tag(&server, "").await;
    let waiter = tokio::spawn(Reply::of(waiting(&server, "", &tag, 2)));
    for _ in 0..5 {
        server.key_with(&acme, &["read"]).await;
        server.exchange(&key, &[]).await.expect(StatusCode::OK);
    }
    waiter.await.unwrap().expect(StatusCode::NOT_MODIFIED);
}

async fn who_holds_nothing_or_something_else_does_not_wait(server: Server) {
    let begun = Instant::now();
    for tag in ["", "\"x\"", "W/\"x.5\"", "W/\"x\""] {
        let reply = Reply::of(waiting(&server, "", tag, 20)).await;
        reply.expect(StatusCode::OK);
    }
    let anything = Reply::of(waiting(&server, "", "*", 20)).await;
    anything.expect(StatusCode::NOT_MODIFIED);
    let path = format!("{}?wait=20", feed_path("/orgs/nobody"));
    server.get(&path).await.refuses(404, "not_found");
    assert!(begun.elapsed() < PATIENCE);
}

async fn whoever_comes_when_too_many_wait_does_not(server: Server) {
    let server = server.stop().await.with(&["--max-connections", "40"]);
    let server = server.start().await;
    let tag = tag(&server, "").await;
    // A quarter of the connections may wait.
    let crowd = (0..14).map(|_| waiting(&server, "", &tag, 6));
    let begun = Instant::now();
    let crowd = crowd.map(|asked| {
        tokio::spawn(async move {
            Reply::of(asked).await.expect(StatusCode::NOT_MODIFIED);
            begun.elapsed()
        })
    });
    let mut at_once = 0;
    for waited in crowd.collect::<Vec<_>>() {
        at_once += usize::from(waited.await.unwrap() < Duration::from_secs(5));
    }
    assert_eq!(at_once, 4);
    // Afterwards there is room again.
    let begun = Instant::now();
    Reply::of(waiting(&server, "", &tag, 1)).await;
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

async fn a_server_that_stops_lets_everybody_go(server: Server) {
    let tag = tag(&server, "").await;
    let waiter = tokio::spawn(Reply::of(waiting(&server, "", &tag, 20)));
    tokio::time::sleep(Duration::from_millis(200)).await;
    let begun = Instant::now();
    server.app.begin_draining();
    waiter.await.unwrap().expect(StatusCode::NOT_MODIFIED);
    assert!(begun.elapsed() < PATIENCE);
}

/// SQLite has one server.
#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_at_one_node_answers_who_waits_at_the_other() {
    let Some(server) = Server::on_postgres().await else {
        return;
    };
    let other = server.another_node().await;
    let acme = server.organization("acme").await;
    // Nodes answer for different bases here, and so each signs a feed of its own.
    let key = server.key_with(&acme, &["read"]).await;
    let tag = tag(&other, "/orgs/acme").await;
    let waiter = tokio::spawn(Reply::of(waiting(&other, "/orgs/acme", &tag, 20)));
    tokio::time::sleep(Duration::from_millis(300)).await;
    let revoked = Instant::now();
    revoke(&server, &acme, &key.id).await;
    let reply = waiter.await.unwrap();
    let said = claims(&reply.expect(StatusCode::OK).text);
    assert!(said["revoked"]["keys"][alias(&key.id)].is_i64());
    assert!(revoked.elapsed() < PATIENCE);
    // What one node gave is known to the other: whoever is sent to both does not begin anew.
    let tag = reply.header("etag").unwrap();
    let here = waiting(&server, "/orgs/acme", tag, 0);
    Reply::of(here).await.expect(StatusCode::NOT_MODIFIED);
}

/// As long as the last one counts: a database that restarts is not to stop resource servers.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_away_the_last_feed_is_served_until_it_ends() {
    let Some(server) = Server::on_postgres().await else {
        return;
    };
    let first = server.get(&feed_path("")).await;
    server.app.close().await;
    server
        .app
        .management
        .generations
        .raise(&tenmint::store::changes::Change::Everything);
    let again = server.get(&feed_path("")).await;
    assert_eq!(again.expect(StatusCode::OK).text, first.text);
    server.advance(300);
    let late = server.get(&feed_path("")).await;
    late.expect(StatusCode::SERVICE_UNAVAILABLE);
}
