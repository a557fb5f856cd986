//! Usage: what keys were used for, counted exactly, and shown to whoever may see it.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::support::server::{Key, Reply, Server};

on_both_engines!(
    counts_by_cause_are_exact_after_a_graceful_stop,
    a_day_holds_what_its_hours_held,
    the_last_use_of_a_key_is_shown,
    a_key_used_directly_was_used_too,
    a_user_agent_with_an_api_key_in_it_is_blacked_out,
    a_client_that_never_caches_is_flagged,
    what_is_asked_wrongly_is_refused_clearly,
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

/// Gives a key another secret than the one that its holder has.
async fn outdate(server: &Server, key: &Key, other: &Key) {
    let hash = "SELECT hash FROM api_key_secrets WHERE api_key_id";
    let place = server.place();
    let sql = format!(
        "UPDATE api_key_secrets SET hash = ({hash} = '{}') WHERE api_key_id = '{}'",
        other.id, key.id
    );
    place.execute(&sql).await;
}

async fn counts_by_cause_are_exact_after_a_graceful_stop(server: Server) {
    let acme = server.organization("acme").await;
    let other = server.organization("other").await;
    let key = server.key_with(&acme, &["read"]).await;
    let body = json!({ "name": "x", "scopes": ["read"], "allowed_ip_cidrs": ["192.0.2.0/24"] });
    let far = server.key(&acme, body).await;
    let wrong = server.key_with(&acme, &["read"]).await;
    outdate(&server, &wrong, &acme).await;
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
    let expected = json!({ "issued": 7, "direct": 0, "checked": 0, "refused": refused });
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
        let expected =
            json!({ "issued": 0, "direct": 0, "checked": 0, "refused": { cause: count } });
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
        json!({ "issued": 0, "direct": 1, "checked": 0, "refused": {} })
    );
}

async fn a_day_holds_what_its_hours_held(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    // To an hour and a second before a midnight.
    let now = u64::try_from(server.clock.now().unix()).unwrap();
    server.advance((2 * 86_400 - now % 86_400 - 3_601) % 86_400);
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
    let last = day["data"].as_array().unwrap().last().unwrap();
    assert_eq!(last["issued"], 13);
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
        json!({ "issued": 1, "direct": 1, "checked": 0, "refused": {} })
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
