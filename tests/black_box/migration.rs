//! The migration report: which keys services are still shown, which are ready, and of which nobody
//! knows.

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
    a_key_is_ready_that_was_exchanged_and_shown_to_no_service_for_thirty_days,
    of_a_key_that_was_not_used_nobody_knows_whether_it_is_ready,
    the_management_plane_is_no_service,
    the_command_line_tells_the_same_and_sets_the_rule,
);

async fn report(server: &Server, bearer: &str, query: &str) -> Value {
    let path = format!("/v1/migration{query}");
    let reply = server.call(bearer, Method::GET, &path, Value::Null).await;
    reply.expect(StatusCode::OK).body.clone()
}

/// Active, ready, not ready, unknown.
fn counts(whole: &Value) -> [u64; 4] {
    ["active", "ready", "not_ready", "unknown"]
        .map(|which| whole[format!("{which}_keys")].as_u64().unwrap())
}

/// Which keys a report has by these words of the query.
async fn listed(server: &Server, manager: &Key, query: &str) -> Vec<String> {
    let page = report(server, &manager.secret, query).await;
    let rows = page["data"].as_array().unwrap().iter();
    rows.map(|row| row["api_key_id"].as_str().unwrap().to_owned())
        .collect()
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
    assert_eq!(counts(&whole), [3, 1, 1, 1]);
    assert_eq!(whole["totals"]["last_7_days"], window(2, 0, 1));
    assert_eq!(whole["totals"]["last_30_days"], window(2, 3, 1));
    let first = json!({
        "api_key_id": key.id, "name": "shown", "external_id": "cust-7", "exchange_only": false,
        "readiness": "not_ready", "last_direct_at": at, "last_direct_address": null,
        "last_7_days": window(1, 0, 0), "last_30_days": window(1, 3, 0),
    });
    assert_eq!(whole["data"][0], first);
    let rows = whole["data"].as_array().unwrap();
    let of = |id: &str| rows.iter().find(|row| row["api_key_id"] == *id).unwrap();
    let row = of(&exchanged.id);
    assert_eq!(
        (&row["readiness"], &row["exchange_only"]),
        (&json!("ready"), &json!(true))
    );
    assert_eq!(row["last_30_days"], window(1, 0, 1));
    assert_eq!(row["last_direct_at"], Value::Null);
    assert_eq!(of(&acme.id)["readiness"], "unknown");

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
    server.token(&keys[3], &[]).await;
    let unknown = expected[3..].iter().filter(|id| **id != keys[3].id);
    let unknown: Vec<_> = unknown.cloned().collect();
    for (query, ids) in [
        ("?readiness=not_ready", &expected[..3]),
        ("?readiness=ready", &[keys[3].id.clone()]),
        ("?readiness=unknown", &unknown),
    ] {
        assert_eq!(listed(&server, &acme, query).await, ids, "{query}");
    }
    for bad in ["?readiness=maybe", "?ready=true", "?cursor=x", "?sort=name"] {
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
    assert_eq!(counts(&left), [4, 1, 2, 1]);
    assert_eq!(left["data"][0]["api_key_id"], *keys[1].id);
}

async fn a_key_is_ready_that_was_exchanged_and_shown_to_no_service_for_thirty_days(server: Server) {
    let server = behind_gateways(server, &[]).await;
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let is = async |readiness: &str| {
        for one in ["ready", "not_ready", "unknown"] {
            let keys = listed(&server, &acme, &format!("?readiness={one}")).await;
            assert_eq!(
                keys.contains(&key.id),
                one == readiness,
                "{one} {readiness}"
            );
        }
    };
    is("unknown").await;
    // Exchanged or not, it would break.
    told(&verify_bearer(&server, "", &key.secret).await);
    is("not_ready").await;
    server.token(&key, &[]).await;
    is("not_ready").await;
    server.advance(29 * 86_400);
    server.token(&key, &[]).await;
    is("not_ready").await;
    server.advance(86_400);
    is("ready").await;
    let whole = report(&server, &acme.secret, "").await;
    assert_eq!(counts(&whole), [2, 1, 0, 1]);
    // Whatever it did long ago says nothing of what it will do.
    server.advance(29 * 86_400);
    is("unknown").await;
}

/// A key that runs once a quarter would break at its next run, and nobody could have known.
async fn of_a_key_that_was_not_used_nobody_knows_whether_it_is_ready(server: Server) {
    let server = behind_gateways(server, &[]).await;
    let acme = server.organization("acme").await;
    let other = server.organization("other").await;
    let mut keys = Vec::new();
    for _ in 0..4 {
        keys.push(server.key_with(&acme, &["read"]).await);
    }
    let [idle, quarterly, refused, exchanged] = &keys[..] else {
        panic!("four");
    };
    told(&verify_bearer(&server, "", &quarterly.secret).await);
    server.advance(40 * 86_400);
    // A refused exchange obtains nothing; nor is it a token what its neighbour obtains.
    let beyond = server.exchange(refused, &[("scope", "write")]).await;
    beyond.refuses(400, "invalid_scope");
    server.token(&other, &[]).await;
    server.token(exchanged, &[]).await;
    let whole = report(&server, &acme.secret, "").await;
    assert_eq!(counts(&whole), [5, 1, 0, 4]);
    let ready = listed(&server, &acme, "?readiness=ready").await;
    assert_eq!(ready, std::slice::from_ref(&exchanged.id));
    let mut unknown = listed(&server, &acme, "?readiness=unknown").await;
    // One that was ever shown comes before those that never were.
    assert_eq!(unknown[0], quarterly.id);
    unknown.sort();
    let mut expected: Vec<_> = [&acme, idle, quarterly, refused]
        .map(|key| key.id.clone())
        .into();
    expected.sort();
    assert_eq!(unknown, expected);
    // Page by page as well.
    let first = report(&server, &acme.secret, "?readiness=unknown&limit=1").await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = listed(
        &server,
        &acme,
        &format!("?readiness=unknown&cursor={cursor}"),
    )
    .await;
    assert_eq!(rest.len(), 3);
    let shell = Shell::new(&server.base, &acme.secret);
    let said = shell.run(&["migration", "--readiness", "unknown"]);
    let wanted = "1 of 5 active keys are ready, 0 are not, of 4 that is unknown";
    assert!(said.err.contains(wanted), "{}", said.err);
    assert_eq!(rows(&said.out).len(), 4);
}

async fn the_management_plane_is_no_service(server: Server) {
    let acme = server.organization("acme").await;
    for _ in 0..3 {
        let whole = report(&server, &acme.secret, "").await;
        assert_eq!(whole["totals"]["last_30_days"], window(0, 0, 0));
        assert_eq!(counts(&whole), [1, 0, 0, 1]);
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
        said.err.contains("0 of 2 active keys are ready, 1 are not"),
        "{}",
        said.err
    );
    let table = rows(&said.out);
    assert_eq!((table.len(), table[0][0]), (2, &*key.id));
    let not_ready = shell.json(&["migration", "--readiness", "not_ready"]);
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
