//! Usage: what keys were used for, counted exactly, and shown to whoever may see it.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenmint::clock::Clock;

use crate::on_both_engines;
use crate::support::database::Database;
use crate::support::process::Process;
use crate::support::server::{Key, Place, Reply, Server};

on_both_engines!(
    counts_by_cause_are_exact_after_a_graceful_stop,
    a_day_holds_what_its_hours_held,
    the_last_use_of_a_key_is_shown,
    a_key_used_directly_was_used_too,
    a_user_agent_with_an_api_key_in_it_is_blacked_out,
    a_client_that_never_caches_is_flagged,
    a_database_that_fails_during_a_flush_loses_nothing,
    what_is_counted_leaves_no_trace_in_the_audit_log,
    what_is_asked_wrongly_is_refused_clearly,
    a_node_is_waited_for_until_it_has_flushed_or_is_dead,
);

/// Usage as an administrator reads it.
pub async fn read(server: &Server, manager: &Key, path: &str) -> Reply {
    let reply = server
        .call(&manager.secret, Method::GET, path, Value::Null)
        .await;
    reply.expect(StatusCode::OK);
    reply
}

async fn exchange_as(server: &Server, key: &Key, agent: &str) -> Reply {
    let request = server
        .request(Method::POST, "/oauth/token")
        .basic_auth(&key.id, Some(&key.secret))
        .header("user-agent", agent)
        .form(&[("grant_type", "client_credentials")]);
    Reply::of(request).await
}

/// A key string that is genuine and not this key's secret.
async fn outdated(server: &Server, key: &Key) -> Key {
    let place = server.place();
    let fingerprint = format!(
        "SELECT fingerprint FROM api_key_secrets WHERE api_key_id = '{}'",
        key.id
    );
    let hash = format!(
        "SELECT hash FROM api_key_secrets WHERE api_key_id <> '{}'",
        key.id
    );
    assert_eq!(place.query(&fingerprint).await.len(), 1);
    let other = place.query(&hash).await.remove(0);
    place
        .execute(&format!(
            "UPDATE api_key_secrets SET hash = '{other}' WHERE api_key_id = '{}'",
            key.id
        ))
        .await;
    key.clone()
}

async fn counts_by_cause_are_exact_after_a_graceful_stop(server: Server) {
    let acme = server.organization("acme").await;
    let other = server.organization("other").await;
    let key = server.key_with(&acme, &["read"]).await;
    let body = json!({ "name": "x", "scopes": ["read"], "allowed_ip_cidrs": ["192.0.2.0/24"] });
    let far = server.key(&acme, body).await;
    let wrong = server.key_with(&acme, &["read"]).await;
    let wrong = outdated(&server, &wrong).await;
    let ended = server.key_with(&acme, &["read"]).await;
    let path = format!("/v1/api-keys/{}/revoke", ended.id);
    server
        .call(&acme.secret, Method::POST, &path, Value::Null)
        .await
        .expect(StatusCode::OK);
    for _ in 0..7 {
        server.exchange(&key, &[]).await.expect(StatusCode::OK);
    }
    for _ in 0..3 {
        let asked = server.exchange(&key, &[("scope", "write")]).await;
        asked.refuses(400, "invalid_scope");
        server
            .exchange(&far, &[])
            .await
            .refuses(403, "access_denied");
    }
    let asked = server.exchange(&key, &[("scope", "re ad\u{7f}")]).await;
    asked.refuses(400, "invalid_scope");
    let target = server
        .exchange(&key, &[("resource", "https://nowhere.example")])
        .await;
    target.refuses(400, "invalid_target");
    for _ in 0..2 {
        server
            .exchange(&wrong, &[])
            .await
            .refuses(401, "invalid_client");
        server
            .exchange(&ended, &[])
            .await
            .refuses(401, "invalid_client");
        let elsewhere = server.exchange_at("/orgs/other", &key, &[]).await;
        elsewhere.refuses(401, "invalid_client");
    }
    // Strangers count for nobody.
    let forged = Key {
        secret: key.secret.replace("tmsk_", "tmskx_"),
        ..key.clone()
    };
    server
        .exchange(&forged, &[])
        .await
        .refuses(401, "invalid_client");

    let clock = server.clock.clone();
    let place = server.stop().await;
    assert!(place.query("SELECT id FROM nodes").await.is_empty());
    let server = Server::start(place, clock)
        .await
        .map_err(|(why, _)| why)
        .unwrap();

    let of_key = read(&server, &acme, &format!("/v1/api-keys/{}/usage", key.id))
        .await
        .body;
    let refused = json!({ "invalid_scope": 4, "invalid_target": 1, "other_organization": 2 });
    let expected = json!({ "issued": 7, "direct": 0, "refused": refused });
    assert_eq!(of_key["totals"], expected);
    assert_eq!(of_key["data"].as_array().unwrap().len(), 1);
    assert_eq!(of_key["data"][0]["issued"], 7);
    assert_eq!(of_key["data"][0]["refused"], refused);
    for (key, cause, count) in [
        (&far, "network_denied", 3),
        (&wrong, "wrong_secret", 2),
        (&ended, "revoked", 2),
    ] {
        let path = format!("/v1/api-keys/{}/usage", key.id);
        let usage = read(&server, &acme, &path).await.body;
        let expected = json!({ "issued": 0, "direct": 0, "refused": { cause: count } });
        assert_eq!(usage["totals"], expected, "{cause}");
        assert_eq!(usage["last_used_at"], Value::Null);
    }
    let all = read(&server, &acme, "/v1/usage").await.body;
    assert_eq!(all["totals"]["issued"], 7);
    let refused = json!({
        "invalid_scope": 4, "invalid_target": 1, "other_organization": 2,
        "network_denied": 3, "wrong_secret": 2, "revoked": 2,
    });
    assert_eq!(all["totals"]["refused"], refused);
    // The operator sees the same from outside, and the neighbour nothing of it.
    let path = "/v1/organizations/acme/usage";
    let seen = server.operate(Method::GET, path, Value::Null).await;
    assert_eq!(
        seen.expect(StatusCode::OK).body["totals"]["refused"],
        refused
    );
    let theirs = read(&server, &other, "/v1/usage").await.body;
    assert_eq!(
        theirs["totals"],
        json!({ "issued": 0, "direct": 1, "refused": {} })
    );
}

async fn a_day_holds_what_its_hours_held(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    // To just before the next midnight.
    let now = u64::try_from(server.clock.now().unix()).unwrap();
    server.advance(86_400 - now % 86_400 - 3_601);
    for (uses, pause) in [(1, 3_600), (2, 1), (4, 3_600), (8, 0)] {
        for _ in 0..uses {
            server.exchange(&key, &[]).await.expect(StatusCode::OK);
        }
        server.advance(pause);
    }
    let path = format!("/v1/api-keys/{}/usage", key.id);
    let issued = async |query: &str| {
        let usage = read(&server, &acme, &format!("{path}{query}")).await.body;
        let data = usage["data"].as_array().unwrap();
        data.iter()
            .map(|span| span["issued"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(issued("?grain=hour").await, [1, 2, 4, 8]);
    assert_eq!(issued("?grain=day").await, [3, 12]);
    let day = read(&server, &acme, "/v1/usage?grain=day").await.body;
    assert_eq!(day["totals"]["issued"], 15);
    // And over a restart in the middle of a day.
    let clock = server.clock.clone();
    let server = Server::start(server.stop().await, clock)
        .await
        .map_err(|(why, _)| why)
        .unwrap();
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
    let day = read(&server, &acme, "/v1/usage?grain=day").await.body;
    assert_eq!(day["data"][1]["issued"], 13);
}

async fn the_last_use_of_a_key_is_shown(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let path = format!("/v1/api-keys/{}", key.id);
    let shown = read(&server, &acme, &path).await;
    assert_eq!(shown.body["last_used_at"], Value::Null);
    exchange_as(&server, &key, "first/1")
        .await
        .expect(StatusCode::OK);
    server.advance(100);
    exchange_as(&server, &key, "second/2")
        .await
        .expect(StatusCode::OK);
    let at = server.clock.now().to_string();
    server.advance(100);

    let usage = read(&server, &acme, &format!("{path}/usage")).await.body;
    assert_eq!(usage["last_used_at"], at);
    assert_eq!(usage["last_used_address"], "127.0.0.1");
    assert_eq!(usage["last_used_user_agent"], "second/2");
    let shown = read(&server, &acme, &path).await;
    assert_eq!(shown.body["last_used_at"], at);
    let listed = read(&server, &acme, "/v1/api-keys").await.body;
    let listed = listed["data"].as_array().unwrap();
    let listed = listed.iter().find(|one| one["id"] == *key.id).unwrap();
    assert_eq!(listed["last_used_at"], at);
    // A refusal is no use.
    server
        .exchange(&key, &[("scope", "write")])
        .await
        .refuses(400, "invalid_scope");
    let usage = read(&server, &acme, &format!("{path}/usage")).await.body;
    assert_eq!(usage["last_used_at"], at);
}

async fn a_key_used_directly_was_used_too(server: Server) {
    let acme = server.organization("acme").await;
    let path = format!("/v1/api-keys/{}/usage", acme.id);
    read(&server, &acme, "/v1/api-keys").await;
    let token = server.management_token(&acme, &[]).await;
    let reply = server.call(&token, Method::GET, &path, Value::Null).await;
    let usage = &reply.expect(StatusCode::OK).body;
    // The token's own use of the management plane is not the key's.
    assert_eq!(
        usage["totals"],
        json!({ "issued": 1, "direct": 1, "refused": {} })
    );
    assert_eq!(usage["last_used_at"], server.clock.now().to_string());
}

async fn a_user_agent_with_an_api_key_in_it_is_blacked_out(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let agent = format!("broken-client key={}", key.secret);
    exchange_as(&server, &key, &agent)
        .await
        .expect(StatusCode::OK);
    let path = format!("/v1/api-keys/{}/usage", key.id);
    let usage = read(&server, &acme, &path).await;
    let kept = usage.body["last_used_user_agent"].as_str().unwrap();
    assert!(kept.starts_with("broken-client key=tmsk_"), "{kept}");
    assert!(kept.ends_with("_[secret]"), "{kept}");
    let stored = server
        .place()
        .query("SELECT user_agent FROM secret_uses WHERE user_agent IS NOT NULL")
        .await;
    let secret = key.secret.rsplit('_').next().unwrap();
    assert!(!stored.join(" ").contains(&secret[..20]));
}

async fn a_client_that_never_caches_is_flagged(server: Server) {
    let acme = server.organization("acme").await;
    let (calm, hasty) = (
        server.key_with(&acme, &["read"]).await,
        server.key_with(&acme, &["read"]).await,
    );
    for n in 0..30 {
        server.exchange(&hasty, &[]).await.expect(StatusCode::OK);
        if n < 6 {
            server.exchange(&calm, &[]).await.expect(StatusCode::OK);
        }
    }
    let habit = async |key: &Key| {
        let path = format!("/v1/api-keys/{}/usage", key.id);
        let usage = read(&server, &acme, &path).await.body;
        (
            usage["tokens_per_lifetime"].clone(),
            usage["not_caching"].clone(),
        )
    };
    assert_eq!(habit(&hasty).await, (json!(5.0), json!(true)));
    assert_eq!(habit(&calm).await, (json!(1.0), json!(false)));
    // A day later it is forgotten.
    server.advance(90_000);
    assert_eq!(habit(&hasty).await, (json!(0.0), json!(false)));
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

async fn what_is_asked_wrongly_is_refused_clearly(server: Server) {
    let acme = server.organization("acme").await;
    let path = format!("/v1/api-keys/{}/usage", acme.id);
    for query in [
        "grain=minute",
        "since=yesterday",
        "until=0",
        "since=2020-01-01T00:00:00Z",
        "since=2030-01-01T00:00:00Z&until=2029-01-01T00:00:00Z",
        "limit=3",
        "grain=day&grain=day",
    ] {
        for path in ["/v1/usage", &path, "/v1/organizations/acme/usage"] {
            let path = format!("{path}?{query}");
            let reply = server
                .operate(
                    Method::GET,
                    &path.replace("/v1/api-keys", "/v1/organizations/acme/api-keys"),
                    Value::Null,
                )
                .await;
            reply.refuses(422, "invalid_query");
        }
    }
    let path = "/v1/organizations/nobody/usage";
    let reply = server.operate(Method::GET, path, Value::Null).await;
    reply.refuses(404, "not_found");
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
        let start = "2027-01-15T12:00:00Z"
            .parse::<tenmint::domain::timestamp::Timestamp>()
            .unwrap();
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
