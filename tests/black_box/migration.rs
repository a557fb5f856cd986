//! The migration report: which keys services are still shown, and which are ready.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::gateway::{behind_gateways, told, verify_bearer};
use crate::introspection::{introspect, is_active};
use crate::on_both_engines;
use crate::rotation::post;
use crate::support::server::{Key, Reply, Server};
use crate::support::shell::{Shell, rows};

on_both_engines!(
    direct_uses_are_set_against_exchanges_key_by_key,
    the_latest_shown_come_first_and_pages_miss_none,
    a_key_is_ready_once_thirty_days_have_passed,
    the_management_plane_is_no_service,
    the_command_line_tells_the_same_and_sets_the_rule,
);

async fn report(server: &Server, bearer: &str, query: &str) -> Value {
    let path = format!("/v1/migration{query}");
    let reply = server.call(bearer, Method::GET, &path, Value::Null).await;
    reply.expect(StatusCode::OK).body.clone()
}

fn window(issued: u64, direct: u64, refused: u64) -> Value {
    json!({ "issued": issued, "direct": direct, "direct_refused": refused })
}

async fn direct_uses_are_set_against_exchanges_key_by_key(server: Server) {
    let server = behind_gateways(server, &[]).await;
    let acme = server.organization("acme").await;
    let other = server.organization("other").await;
    let body = json!({ "name": "shown", "scopes": ["read"], "external_id": "cust-7" });
    let key = server.key(&acme, body).await;
    let exchanged = server.key_with(&acme, &["read"]).await;
    for _ in 0..2 {
        told(&verify_bearer(&server, "", &key.secret).await);
    }
    is_active(&introspect(&server, &acme, &key.secret).await);
    let at = server.clock.now().to_string();
    server.advance(10 * 86_400);
    server.token(&key, &[]).await;
    let token = server.token(&exchanged, &[]).await;
    told(&verify_bearer(&server, "", &token).await);
    let path = format!("/v1/api-keys/{}", exchanged.id);
    let only = json!({ "exchange_only": true });
    let edited = server.call(&acme.secret, Method::PATCH, &path, only).await;
    edited.expect(StatusCode::OK);
    verify_bearer(&server, "", &exchanged.secret)
        .await
        .refuses(401, "invalid_token");

    let whole = report(&server, &acme.secret, "").await;
    assert_eq!(whole["exchange_only"], false);
    // The management key is one of them.
    assert_eq!(
        (&whole["active_keys"], &whole["ready_keys"]),
        (&json!(3), &json!(2))
    );
    assert_eq!(whole["totals"]["last_7_days"], window(2, 0, 1));
    assert_eq!(whole["totals"]["last_30_days"], window(2, 3, 1));
    let first = json!({
        "api_key_id": key.id, "name": "shown", "external_id": "cust-7", "exchange_only": false,
        "ready": false, "last_direct_at": at, "last_direct_address": null,
        "last_7_days": window(1, 0, 0), "last_30_days": window(1, 3, 0),
    });
    assert_eq!(whole["data"][0], first);
    let rows = whole["data"].as_array().unwrap();
    let of = |id: &str| rows.iter().find(|row| row["api_key_id"] == *id).unwrap();
    let row = of(&exchanged.id);
    assert_eq!(
        (&row["ready"], &row["exchange_only"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(row["last_30_days"], window(1, 0, 1));
    assert_eq!(row["last_direct_at"], Value::Null);

    // The operator sees the same, and the neighbour nothing of it.
    let path = "/v1/organizations/acme/migration";
    let reached = server.operate(Method::GET, path, Value::Null).await;
    assert_eq!(reached.body, whole);
    let theirs = report(&server, &other.secret, "").await;
    assert_eq!(theirs["totals"]["last_30_days"], window(0, 0, 0));
    assert_eq!(theirs["data"].as_array().unwrap().len(), 1);
}

async fn the_latest_shown_come_first_and_pages_miss_none(server: Server) {
    let server = behind_gateways(server, &[]).await;
    let acme = server.organization("acme").await;
    let mut keys: Vec<Key> = Vec::new();
    for _ in 0..5 {
        keys.push(server.key_with(&acme, &["read"]).await);
    }
    for key in &keys[..3] {
        server.advance(60);
        told(&verify_bearer(&server, "", &key.secret).await);
    }
    let expected = [&keys[2], &keys[1], &keys[0], &acme, &keys[3], &keys[4]];
    let mut expected: Vec<_> = expected.iter().map(|key| key.id.clone()).collect();
    expected[3..].sort();
    for limit in 1..=7 {
        let mut seen: Vec<String> = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = report(&server, &acme.secret, &format!("?limit={limit}{cursor}")).await;
            let rows = page["data"].as_array().unwrap();
            seen.extend(
                rows.iter()
                    .map(|row| row["api_key_id"].as_str().unwrap().to_owned()),
            );
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen, expected, "{limit}");
    }
    for (query, ids) in [
        ("?ready=false", &expected[..3]),
        ("?ready=true", &expected[3..]),
    ] {
        let page = report(&server, &acme.secret, query).await;
        let rows = page["data"].as_array().unwrap();
        let seen: Vec<_> = rows.iter().map(|row| row["api_key_id"].clone()).collect();
        assert_eq!(json!(seen), json!(ids), "{query}");
    }
    for bad in ["?ready=maybe", "?cursor=x", "?sort=name"] {
        let path = format!("/v1/migration{bad}");
        let refused = server
            .call(&acme.secret, Method::GET, &path, Value::Null)
            .await;
        refused.expect(StatusCode::UNPROCESSABLE_ENTITY);
    }
    // What is of no more use is nobody's to move.
    post(&server, &acme, &keys[2].id, "revoke")
        .await
        .expect(StatusCode::OK);
    post(&server, &acme, &keys[4].id, "disable")
        .await
        .expect(StatusCode::OK);
    let left = report(&server, &acme.secret, "").await;
    assert_eq!(
        (&left["active_keys"], &left["ready_keys"]),
        (&json!(4), &json!(2))
    );
    assert_eq!(left["data"][0]["api_key_id"], *keys[1].id);
}

async fn a_key_is_ready_once_thirty_days_have_passed(server: Server) {
    let server = behind_gateways(server, &[]).await;
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    told(&verify_bearer(&server, "", &key.secret).await);
    server.advance(29 * 86_400);
    let whole = report(&server, &acme.secret, "?ready=false").await;
    assert_eq!(whole["data"][0]["api_key_id"], *key.id);
    server.advance(86_400);
    let whole = report(&server, &acme.secret, "?ready=true").await;
    assert_eq!(whole["data"][0]["api_key_id"], *key.id);
    assert_eq!(whole["ready_keys"], 2);
    let none = report(&server, &acme.secret, "?ready=false").await;
    assert_eq!(none["data"], json!([]));
}

async fn the_management_plane_is_no_service(server: Server) {
    let acme = server.organization("acme").await;
    for _ in 0..3 {
        let whole = report(&server, &acme.secret, "").await;
        assert_eq!(whole["totals"]["last_30_days"], window(0, 0, 0));
        assert_eq!(whole["ready_keys"], 1);
    }
    let usage = server.call(&acme.secret, Method::GET, "/v1/usage", Value::Null);
    let usage: Reply = usage.await;
    assert_eq!(usage.body["totals"]["direct"], 4);
}

async fn the_command_line_tells_the_same_and_sets_the_rule(server: Server) {
    let server = behind_gateways(server, &[]).await;
    let acme = server.organization("acme").await;
    let shell = Shell::new(&server.base, &acme.secret);
    let key = server.key_with(&acme, &["read"]).await;
    told(&verify_bearer(&server, "", &key.secret).await);
    let said = shell.run(&["migration", "--all"]);
    assert!(
        said.err.contains("1 of 2 active keys are ready"),
        "{}",
        said.err
    );
    let table = rows(&said.out);
    assert_eq!((table.len(), table[0][0]), (2, &*key.id));
    let not_ready = shell.json(&["migration", "--ready=false"]);
    assert_eq!(not_ready["data"].as_array().unwrap().len(), 1);
    let operator = Shell::operator(&server);
    assert!(
        operator
            .does(&["migration", "--org", "acme"])
            .contains(&key.id)
    );

    let edit = ["keys", "edit", &key.id, "--exchange-only"];
    let tried = shell.json(&[&edit[..], &["--dry-run"]].concat());
    assert_eq!(tried["refused_direct"], 1);
    assert_eq!(shell.json(&edit)["exchange_only"], true);
    verify_bearer(&server, "", &key.secret)
        .await
        .refuses(401, "invalid_token");
    let back = ["keys", "edit", &key.id, "--exchange-only=false"];
    assert_eq!(shell.json(&back)["exchange_only"], false);
    let set = ["policy", "edit", "--set", "exchange_only=true"];
    assert_eq!(shell.json(&set)["violations"][0]["rule"], "exchange_only");
    verify_bearer(&server, "", &key.secret)
        .await
        .refuses(401, "invalid_token");
}
