//! Refusals explained: a request id, or a key, leads an administrator to the true cause.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenmint::domain::usage::Outcome;

use crate::on_both_engines;
use crate::support::server::{Key, Reply, Server};

on_both_engines!(
    a_request_id_leads_to_the_true_cause,
    a_refusal_is_shown_to_the_keys_own_organization_alone,
    strangers_are_shown_to_the_operator_alone,
    no_flood_of_strangers_fills_the_database,
    a_client_that_repeats_itself_is_explained_a_few_times,
    the_newest_come_first_and_pages_join,
    no_refusal_shows_a_secret,
    what_is_asked_wrongly_is_refused_clearly,
);

async fn look(server: &Server, bearer: &str, query: &str) -> Vec<Value> {
    let path = format!("/v1/refusals{query}");
    let reply = server.call(bearer, Method::GET, &path, Value::Null).await;
    let reply = &reply.expect(StatusCode::OK).body;
    reply["data"].as_array().unwrap().clone()
}

fn request_id(reply: &Reply) -> String {
    reply.header("x-request-id").unwrap().to_owned()
}

async fn by_id(server: &Server, bearer: &str, refused: &Reply) -> Vec<Value> {
    look(
        server,
        bearer,
        &format!("?request_id={}", request_id(refused)),
    )
    .await
}

fn forged(key: &Key) -> Key {
    Key {
        secret: key.secret.replace("tmsk_", "tmskx_"),
        ..key.clone()
    }
}

async fn a_request_id_leads_to_the_true_cause(server: Server) {
    let acme = server.organization("acme").await;
    server.organization("other").await;
    let key = server.key_with(&acme, &["read"]).await;
    let body = json!({ "name": "x", "scopes": ["read"], "allowed_ip_cidrs": ["192.0.2.0/24"] });
    let far = server.key(&acme, body).await;
    let ends = json!({ "name": "x", "scopes": ["read"], "expires_in_days": 1 });
    let ends = server.key(&acme, ends).await;
    let revoked = server.key_with(&acme, &["read"]).await;
    let path = format!("/v1/api-keys/{}/revoke", revoked.id);
    let done = server
        .call(&acme.secret, Method::POST, &path, Value::Null)
        .await;
    done.expect(StatusCode::OK);
    server.advance(86_400);

    let nowhere = [("resource", "https://nowhere.example")];
    for (key, reply, cause, says) in [
        (
            &key,
            server.exchange(&key, &[("scope", "write:x")]).await,
            "invalid_scope",
            "write:x",
        ),
        (
            &key,
            server.exchange(&key, &nowhere).await,
            "invalid_target",
            "resource",
        ),
        (
            &far,
            server.exchange(&far, &[]).await,
            "network_denied",
            "127.0.0.1",
        ),
        (
            &ends,
            server.exchange(&ends, &[]).await,
            "expired",
            "expired",
        ),
        (
            &revoked,
            server.exchange(&revoked, &[]).await,
            "revoked",
            "revoked",
        ),
        (
            &key,
            server.exchange_at("/orgs/other", &key, &[]).await,
            "other_organization",
            "token URL",
        ),
    ] {
        let found = by_id(&server, &acme.secret, &reply).await;
        assert_eq!(found.len(), 1, "{cause}");
        let found = &found[0];
        assert_eq!(found["cause"], cause);
        assert_eq!(found["request_id"], request_id(&reply));
        assert_eq!(found["api_key_id"], *key.id);
        assert_eq!(found["address"], "127.0.0.1");
        assert_eq!(found["at"], server.clock.now().to_string());
        assert!(found["detail"].as_str().unwrap().contains(says), "{found}");
    }
    let of_key = look(&server, &acme.secret, &format!("?api_key_id={}", key.id)).await;
    let causes: Vec<_> = of_key
        .iter()
        .map(|one| one["cause"].as_str().unwrap())
        .collect();
    assert_eq!(causes.len(), 3);
    // The management plane refuses by the same causes, and is explained by them.
    let path = "/v1/api-keys";
    let reply = server
        .call(&revoked.secret, Method::GET, path, Value::Null)
        .await;
    let found = by_id(&server, &acme.secret, &reply).await;
    assert_eq!(found[0]["cause"], "revoked");
    let reply = server
        .call(&far.secret, Method::GET, path, Value::Null)
        .await;
    let found = by_id(&server, &acme.secret, reply.refuses(403, "network_denied")).await;
    assert_eq!(found[0]["cause"], "network_denied");
    // Suspension is told of by the operator, through the same route.
    let suspend = "/v1/organizations/acme/suspend";
    server
        .operate(Method::POST, suspend, Value::Null)
        .await
        .expect(StatusCode::OK);
    let reply = server.exchange(&key, &[]).await;
    let path = format!(
        "/v1/organizations/acme/refusals?request_id={}",
        request_id(&reply)
    );
    let seen = server.operate(Method::GET, &path, Value::Null).await;
    assert_eq!(seen.body["data"][0]["cause"], "organization_suspended");
}

async fn a_refusal_is_shown_to_the_keys_own_organization_alone(server: Server) {
    let (acme, other) = (
        server.organization("acme").await,
        server.organization("other").await,
    );
    let key = server.key_with(&acme, &["read"]).await;
    // Also when the key was refused at the other's own issuer.
    let refused = server.exchange_at("/orgs/other", &key, &[]).await;
    for (bearer, found) in [(&acme.secret, 1), (&other.secret, 0), (&server.operator, 0)] {
        assert_eq!(by_id(&server, bearer, &refused).await.len(), found);
        let of_key = look(&server, bearer, &format!("?api_key_id={}", key.id)).await;
        assert_eq!(of_key.len(), found);
        assert_eq!(look(&server, bearer, "").await.len(), found);
    }
    // To the neighbour it is as if there were no such request, to the byte.
    let path = |id: &str| format!("/v1/refusals?request_id={id}");
    let theirs = server
        .call(
            &other.secret,
            Method::GET,
            &path(&request_id(&refused)),
            Value::Null,
        )
        .await;
    let unknown = server
        .call(
            &other.secret,
            Method::GET,
            &path("req_unknown"),
            Value::Null,
        )
        .await;
    assert_eq!((theirs.status, theirs.text), (unknown.status, unknown.text));
}

async fn strangers_are_shown_to_the_operator_alone(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let forged = server.exchange(&forged(&key), &[]).await;
    forged.refuses(401, "invalid_client");
    let malformed = server.request(Method::POST, "/oauth/token").body("x");
    let malformed = Reply::of(malformed).await;
    malformed.refuses(400, "invalid_request");
    let method = Reply::of(server.request(Method::GET, "/oauth/token")).await;
    server
        .place()
        .execute(&format!(
            "DELETE FROM api_key_secrets WHERE api_key_id = '{}'",
            key.id
        ))
        .await;
    let unknown = server.exchange(&key, &[]).await;
    unknown.refuses(401, "invalid_client");
    for (refused, cause) in [
        (&forged, "forged"),
        (&malformed, "malformed"),
        (&method, "malformed"),
        (&unknown, "unknown_key"),
    ] {
        let found = by_id(&server, &server.operator, refused).await;
        assert_eq!(found.len(), 1, "{cause}");
        assert_eq!(found[0]["cause"], cause);
        assert_eq!(found[0]["api_key_id"], Value::Null);
        assert!(by_id(&server, &acme.secret, refused).await.is_empty());
        let path = format!(
            "/v1/organizations/acme/refusals?request_id={}",
            request_id(refused)
        );
        let seen = server.operate(Method::GET, &path, Value::Null).await;
        assert_eq!(seen.expect(StatusCode::OK).body["data"], json!([]));
    }
    assert!(look(&server, &acme.secret, "").await.is_empty());
}

async fn no_flood_of_strangers_fills_the_database(server: Server) {
    let acme = server.organization("acme").await;
    for _ in 0..60 {
        server
            .exchange(&forged(&acme), &[])
            .await
            .refuses(401, "invalid_client");
    }
    assert_eq!(
        server.app.usage.total(Outcome::Forged),
        60,
        "all are counted"
    );
    server.app.usage.flush().await.unwrap();
    let kept = server
        .place()
        .query("SELECT request_id FROM refusals")
        .await
        .len();
    // One regular flush may have fallen into the flood.
    assert!((20..=40).contains(&kept), "{kept}");
    let counted = server
        .place()
        .query("SELECT outcome FROM usage_counts WHERE outcome = 'forged'")
        .await;
    assert!(counted.is_empty());
}

async fn a_client_that_repeats_itself_is_explained_a_few_times(server: Server) {
    let acme = server.organization("acme").await;
    let (key, other) = (
        server.key_with(&acme, &["read"]).await,
        server.key_with(&acme, &["read"]).await,
    );
    for _ in 0..60 {
        server
            .exchange(&key, &[("scope", "write")])
            .await
            .refuses(400, "invalid_scope");
    }
    // Which takes nothing from its neighbours.
    let refused = server.exchange(&other, &[("scope", "write")]).await;
    assert_eq!(by_id(&server, &acme.secret, &refused).await.len(), 1);
    let kept = look(
        &server,
        &acme.secret,
        &format!("?limit=100&api_key_id={}", key.id),
    )
    .await;
    assert!((20..=40).contains(&kept.len()), "{}", kept.len());
    let path = format!("/v1/api-keys/{}/usage", key.id);
    let usage = server
        .call(&acme.secret, Method::GET, &path, Value::Null)
        .await;
    assert_eq!(
        usage.body["totals"]["refused"]["invalid_scope"], 60,
        "all are counted"
    );
}

async fn the_newest_come_first_and_pages_join(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        server.advance(1);
        ids.push(request_id(
            &server.exchange(&key, &[("scope", "write")]).await,
        ));
    }
    ids.reverse();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/refusals?limit=2{cursor}");
        let page = server
            .call(&acme.secret, Method::GET, &path, Value::Null)
            .await;
        for one in page.expect(StatusCode::OK).body["data"].as_array().unwrap() {
            seen.push(one["request_id"].as_str().unwrap().to_owned());
        }
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ids);
}

async fn no_refusal_shows_a_secret(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let scope = format!("read:{}", acme.secret);
    let refused = server
        .exchange(&key, &[("scope", &scope), ("resource", &scope)])
        .await;
    assert_eq!(refused.status, 400);
    let found = by_id(&server, &acme.secret, &refused).await;
    assert_eq!(found.len(), 1);
    let secret = acme.secret.rsplit('_').next().unwrap();
    assert!(!found[0].to_string().contains(&secret[..20]), "{found:?}");
}

async fn what_is_asked_wrongly_is_refused_clearly(server: Server) {
    let acme = server.organization("acme").await;
    for query in [
        "request_id=",
        "request_id=%00",
        "request_id=a%20b",
        "api_key_id=x",
        "cursor=%ff",
        "limit=0",
        "limit=101",
        "organization=other",
        "limit=1&limit=1",
    ] {
        let path = format!("/v1/refusals?{query}");
        let reply = server
            .call(&acme.secret, Method::GET, &path, Value::Null)
            .await;
        reply.refuses(422, "invalid_query");
    }
}
