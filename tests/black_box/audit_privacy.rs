//! Who is named in the audit log, and to whom: the caller's own users, and the operator's keys.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::audit_chain::the_chain_holds;
use super::audit_events::{read, sequences};
use crate::on_both_engines;
use crate::support::database::Database;
use crate::support::server::{Reply, Server};

on_both_engines!(
    the_callers_own_user_is_in_the_log,
    a_user_that_cannot_be_named_is_refused_and_nothing_is_done,
    a_tenant_never_learns_which_of_the_operators_keys_acted,
    the_operator_sees_all_of_its_own_acts,
    a_log_holds_no_entry_of_another_organization,
);

const PATH: &str = "/v1/organizations/acme";
const LOG: &str = "/v1/audit-events";
const LOG_OF_ACME: &str = "/v1/organizations/acme/audit-events";

async fn rename(server: &Server, name: &str, users: &[&[u8]]) -> Reply {
    let mut request = server.request(Method::PATCH, PATH);
    for user in users {
        request = request.header("Tenmint-Acting-For", *user);
    }
    let request = request.bearer_auth(&server.operator);
    Reply::of(request.json(&json!({ "name": name }))).await
}

async fn the_callers_own_user_is_in_the_log(server: Server) {
    server.organization("acme").await;
    let long = "é".repeat(200);
    for (n, (sent, kept)) in [
        ("ana@example.com", "ana@example.com"),
        ("  user 42\t", "user 42"),
        ("Zoë, <b>", "Zoë, <b>"),
        (&*long, &*long),
    ]
    .into_iter()
    .enumerate()
    {
        let done = rename(&server, &format!("{n}"), &[sent.as_bytes()]).await;
        done.expect(StatusCode::OK);
        let reply = read(&server, &server.operator, LOG_OF_ACME).await;
        assert_eq!(reply.body["data"][0]["acting_for"], kept);
    }
    let done = rename(&server, "without", &[]).await;
    done.expect(StatusCode::OK);
    let reply = read(&server, &server.operator, LOG_OF_ACME).await;
    assert_eq!(reply.body["data"][0]["acting_for"], Value::Null);
    the_chain_holds(&server, "acme").await;
}

async fn a_user_that_cannot_be_named_is_refused_and_nothing_is_done(server: Server) {
    let acme = server.organization("acme").await;
    let before = Database::of(&server).await.contents().await;
    let long = "x".repeat(201);
    let secret = format!("key {}", acme.secret);
    let faults: [&[&[u8]]; 7] = [
        &[b""],
        &[b"  "],
        &[long.as_bytes()],
        &[b"a", b"a"],
        &[b"\xff"],
        &["a\u{202e}b".as_bytes()],
        &[secret.as_bytes()],
    ];
    for users in faults {
        let refused = rename(&server, "new", users).await;
        refused.refuses(422, "invalid_header");
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.starts_with("Tenmint-Acting-For: "), "{detail}");
        assert!(!refused.text.contains(&acme.secret[32..]), "{detail}");
        // Nor is it read where nothing is written down; but a stranger is not told of it.
        let request = server.request(Method::GET, LOG);
        let mut request = request.bearer_auth("x.y.z");
        for user in users {
            request = request.header("tenmint-acting-for", *user);
        }
        Reply::of(request).await.refuses(401, "unauthenticated");
    }
    assert_eq!(Database::of(&server).await.contents().await, before);
}

async fn a_tenant_never_learns_which_of_the_operators_keys_acted(server: Server) {
    let acme = server.organization("acme").await;
    let done = rename(&server, "new", &[b"support person"]).await;
    done.expect(StatusCode::OK);
    let operator = server.operator_key().id;
    let ulid = operator.strip_prefix("key_").unwrap();
    let token = server.management_token(&acme, &[]).await;
    for bearer in [&acme.secret, &token] {
        for accept in ["application/json", "application/jsonl"] {
            for query in ["", "?actor=operator", "?action=organization.update"] {
                let path = format!("{LOG}{query}");
                let request = server.request(Method::GET, &path).bearer_auth(bearer);
                let reply = Reply::of(request.header("accept", accept)).await;
                assert!(reply.text.contains(r#""actor":"operator""#), "{query}");
                for hidden in [ulid, "operator:", "support", "127.0.0.1"] {
                    assert!(!reply.text.contains(hidden), "{query}: {hidden}");
                }
            }
            // What is hidden cannot be found by asking for it either.
            let asked = async |query: &str| {
                let path = format!("{LOG}?{query}");
                let request = server.request(Method::GET, &path).bearer_auth(bearer);
                let reply = Reply::of(request.header("accept", accept)).await;
                reply.expect(StatusCode::OK).text.clone()
            };
            let nothing = asked("actor=operator:key_00000000000000000000000001").await;
            for query in [
                format!("actor=operator:{operator}"),
                format!("actor={operator}"),
                "acting_for=support%20person".to_owned(),
                "acting_for=support%20person&actor=operator".to_owned(),
            ] {
                assert_eq!(asked(&query).await, nothing, "{query}");
            }
        }
    }
    // What it did itself is its own to know.
    let made = server.key_with(&acme, &["read"]).await;
    let own = read(&server, &acme.secret, &format!("{LOG}?target={}", made.id)).await;
    assert_eq!(own.body["data"][0]["actor"], acme.id);
    assert_eq!(own.body["data"][0]["address"], "127.0.0.1");
}

async fn the_operator_sees_all_of_its_own_acts(server: Server) {
    server.organization("acme").await;
    let done = rename(&server, "new", &[b"support person"]).await;
    done.expect(StatusCode::OK);
    let actor = format!("operator:{}", server.operator_key().id);
    let path = format!("{LOG_OF_ACME}?actor={actor}&acting_for=support%20person");
    let reply = read(&server, &server.operator, &path).await;
    let mut entry = reply.body["data"][0].clone();
    let request = entry.as_object_mut().unwrap().remove("request_id");
    assert!(request.unwrap().as_str().unwrap().starts_with("req_"));
    let expected = json!({
        "organization": "acme", "sequence": 3, "at": server.clock.now().to_string(),
        "actor": actor, "acting_for": "support person", "address": "127.0.0.1",
        "action": "organization.update", "target": "acme",
        "details": { "name": { "from": "acme", "to": "new" } },
    });
    assert_eq!(entry, expected);
    assert_eq!(reply.body["next_cursor"], Value::Null);
}

async fn a_log_holds_no_entry_of_another_organization(server: Server) {
    let acme = server.organization("acme").await;
    let other = server.organization("other").await;
    let theirs = server.key_with(&other, &["read"]).await;
    let reply = read(&server, &acme.secret, LOG).await;
    assert_eq!(sequences(&reply), [2, 1]);
    assert!(!reply.text.contains("other"), "{}", reply.text);
    let path = format!("{LOG}?target={}", theirs.id);
    let reply = read(&server, &acme.secret, &path).await;
    assert!(sequences(&reply).is_empty());
}
