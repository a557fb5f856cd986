//! The record of exchanges that dry runs are held against: bounded, of genuine secrets alone,
//! and erased in time.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::on_both_engines;
use crate::support::server::{Key, Place, Reply, Server};

on_both_engines!(
    what_was_obtained_from_where_is_recorded,
    a_refused_exchange_is_not_recorded,
    a_record_holds_two_hundred_pairs_a_day,
);

const PAIRS: &str = "SELECT address || ' ' || scope || ' ' || count FROM exchange_records
                     ORDER BY address, scope";

/// A place whose clients may say where they are.
fn told(place: Place) -> Place {
    place.with(&["--trusted-proxies", "127.0.0.1/32"])
}

async fn exchange_from(server: &Server, key: &Key, address: &str, scope: &str) -> Reply {
    let request = server
        .request(Method::POST, "/oauth/token")
        .basic_auth(&key.id, Some(&key.secret))
        .header("x-forwarded-for", address)
        .form(&[("grant_type", "client_credentials"), ("scope", scope)]);
    Reply::of(request).await
}

async fn again(server: Server) -> Server {
    let clock = server.clock.clone();
    let place = told(server.stop().await);
    let started = Server::start(place, clock).await;
    started.map_err(|(why, _)| why).unwrap()
}

async fn what_was_obtained_from_where_is_recorded(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read", "write"]).await;
    let server = again(server).await;
    for (address, scope) in [
        ("192.0.2.1", ""),
        ("192.0.2.1", "read write"),
        ("192.0.2.1", "read write"),
        ("2001:db8::1", "read"),
        ("2001:db8::2", "read"),
        ("2001:db8:0:1::2", "read"),
    ] {
        let reply = exchange_from(&server, &key, address, scope).await;
        reply.expect(StatusCode::OK);
    }
    server.app.usage.flush().await.unwrap();
    let first = exchange_from(&server, &key, "192.0.2.1", "").await;
    first.expect(StatusCode::OK);
    server.app.usage.flush().await.unwrap();
    let recorded = server.place().query(PAIRS).await;
    let expected = [
        "192.0.2.1  2",
        "192.0.2.1 read write 2",
        "2001:db8:0:1::/64 read 1",
        "2001:db8::/64 read 2",
    ];
    let sorted = |mut rows: Vec<String>| {
        rows.sort();
        rows
    };
    assert_eq!(sorted(recorded), expected);
}

async fn a_refused_exchange_is_not_recorded(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    server
        .exchange(&key, &[("scope", "write")])
        .await
        .refuses(400, "invalid_scope");
    server
        .exchange_at("/orgs/other", &key, &[])
        .await
        .refuses(401, "invalid_client");
    server.app.usage.flush().await.unwrap();
    assert!(server.place().query(PAIRS).await.is_empty());
}

async fn a_record_holds_two_hundred_pairs_a_day(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let server = again(server).await;
    // In three deliveries, each of which alone would fit.
    for n in 0..240 {
        let address = format!("192.0.2.{n}");
        exchange_from(&server, &key, &address, "")
            .await
            .expect(StatusCode::OK);
        if n % 80 == 79 {
            server.app.usage.flush().await.unwrap();
        }
    }
    // What is known is still told apart.
    exchange_from(&server, &key, "192.0.2.0", "")
        .await
        .expect(StatusCode::OK);
    server.app.usage.flush().await.unwrap();
    let recorded = server.place().query(PAIRS).await;
    assert_eq!(recorded.len(), 201);
    assert!(
        recorded.contains(&"other other 40".to_owned()),
        "{recorded:?}"
    );
    assert!(
        recorded.contains(&"192.0.2.0  2".to_owned()),
        "{recorded:?}"
    );
    // The next day has room again.
    server.advance(86_400);
    exchange_from(&server, &key, "192.0.2.239", "")
        .await
        .expect(StatusCode::OK);
    server.app.usage.flush().await.unwrap();
    let recorded = server.place().query(PAIRS).await;
    assert!(
        recorded.contains(&"192.0.2.239  1".to_owned()),
        "{recorded:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn switched_off_it_keeps_nothing_and_erases_what_was_kept() {
    let server = Place::sqlite().start().await;
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
    server.advance(3_600);
    let clock = server.clock.clone();
    let place = server.stop().await;
    assert_eq!(place.query(PAIRS).await.len(), 1);
    let place = place.with(&["--exchange-record", "off", "--usage-flush-interval", "1s"]);
    let server = Server::start(place, clock)
        .await
        .map_err(|(why, _)| why)
        .unwrap();
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
    server.app.usage.flush().await.unwrap();
    while !server.place().query(PAIRS).await.is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let path = format!("/v1/api-keys/{}/usage", key.id);
    let usage = server
        .call(&acme.secret, Method::GET, &path, Value::Null)
        .await;
    assert_eq!(usage.expect(StatusCode::OK).body["totals"]["issued"], 2);
    assert!(server.place().query(PAIRS).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_week_after_its_revocation_nothing_of_a_key_is_recorded() {
    let place = Place::sqlite().with(&["--usage-flush-interval", "1s"]);
    let server = place.start().await;
    let acme = server.organization("acme").await;
    let (gone, stays) = (
        server.key_with(&acme, &["read"]).await,
        server.key_with(&acme, &["read"]).await,
    );
    for key in [&gone, &stays] {
        server.exchange(key, &[]).await.expect(StatusCode::OK);
    }
    server.app.usage.flush().await.unwrap();
    let path = format!("/v1/api-keys/{}/revoke", gone.id);
    let revoked = server
        .call(&acme.secret, Method::POST, &path, Value::Null)
        .await;
    revoked.expect(StatusCode::OK);
    server.advance(7 * 86_400);
    let keys = "SELECT api_key_id FROM exchange_records";
    while server.place().query(keys).await.len() == 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.place().query(keys).await, [stays.id]);
}
