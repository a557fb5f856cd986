//! The scope catalogue: which actions there are, and that no key or role comes to name another.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::roles::{edit, role};
use super::routes::call;
use crate::on_both_engines;
use crate::support::database::Database;
use crate::support::server::{Key, Reply, Server};
use crate::support::wire::shown;

on_both_engines!(
    an_action_is_defined_described_and_removed,
    the_operators_actions_are_known_to_everybody,
    an_organizations_actions_are_its_own,
    unknown_actions_are_refused_where_there_is_a_catalogue,
    what_was_there_before_the_catalogue_may_stay,
    what_is_no_action_is_not_defined,
    a_catalogue_keeps_nobody_from_starting,
    every_act_on_the_catalogue_is_in_the_audit_log,
    a_catalogue_has_room_for_two_thousand_actions,
);

async fn define(server: &Server, manager: &Key, action: &str, body: Value) -> Reply {
    let path = format!("/v1/scopes/{action}");
    let bearer = &manager.secret;
    server.call(bearer, Method::PUT, &path, body).await
}

async fn remove(server: &Server, manager: &Key, action: &str) -> Reply {
    let path = format!("/v1/scopes/{action}");
    let bearer = &manager.secret;
    server
        .call(bearer, Method::DELETE, &path, Value::Null)
        .await
}

/// The catalogue as an organization sees it: action, description, by whom.
async fn known(server: &Server, manager: &Key) -> Vec<String> {
    let bearer = &manager.secret;
    let list = server.call(bearer, Method::GET, "/v1/scopes", Value::Null);
    let list = list.await;
    assert_eq!(list.expect(StatusCode::OK).body["next_cursor"], Value::Null);
    let entry = |entry: &Value| {
        assert_eq!(entry.as_object().unwrap().len(), 3);
        let text = |member: &str| entry[member].as_str().unwrap_or("-").to_owned();
        [text("action"), text("description"), text("defined_by")].join(" ")
    };
    list.body["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(entry)
        .collect()
}

async fn key(server: &Server, manager: &Key, scopes: &[&str]) -> Reply {
    let body = json!({ "name": "x", "scopes": scopes });
    let bearer = &manager.secret;
    server
        .call(bearer, Method::POST, "/v1/api-keys", body)
        .await
}

#[track_caller]
fn unknown(reply: &Reply, pointer: &str, action: &str) {
    reply.refuses(422, "invalid_field");
    assert_eq!(reply.body["pointer"], pointer, "{}", reply.text);
    let detail = reply.body["detail"].as_str().unwrap();
    assert!(
        detail.starts_with(&format!("there is no action {action} ")),
        "{detail}"
    );
}

async fn an_action_is_defined_described_and_removed(server: Server) {
    let acme = server.organization("acme").await;
    assert_eq!(known(&server, &acme).await, [""; 0]);
    let made = define(&server, &acme, "write", json!({ "description": "w" })).await;
    let expected = json!({ "action": "write", "description": "w", "defined_by": "organization" });
    assert_eq!(made.expect(StatusCode::CREATED).body, expected);
    let again = define(&server, &acme, "write", json!({ "description": "w" })).await;
    assert_eq!(again.expect(StatusCode::OK).body, expected);
    define(&server, &acme, "read", json!({})).await;
    let anew = define(&server, &acme, "write", json!({ "description": null })).await;
    assert_eq!(anew.expect(StatusCode::OK).body["description"], Value::Null);
    define(
        &server,
        &acme,
        "chats.completion",
        json!({ "description": "c" }),
    )
    .await;
    let expected = [
        "chats.completion c organization",
        "read - organization",
        "write - organization",
    ];
    assert_eq!(known(&server, &acme).await, expected);
    let page = |cursor: &str| {
        let path = format!("/v1/scopes?limit=2{cursor}");
        let secret = acme.secret.clone();
        let server = &server;
        async move { server.call(&secret, Method::GET, &path, Value::Null).await }
    };
    let first = page("").await;
    assert_eq!(first.body["next_cursor"], "read");
    let second = page("&cursor=read").await;
    assert_eq!(second.body["data"][0]["action"], "write");
    assert_eq!(second.body["next_cursor"], Value::Null);
    let gone = remove(&server, &acme, "read").await;
    gone.expect(StatusCode::NO_CONTENT);
    remove(&server, &acme, "read")
        .await
        .refuses(404, "not_found");
    assert_eq!(known(&server, &acme).await.len(), 2);
}

async fn the_operators_actions_are_known_to_everybody(server: Server) {
    let acme = server.organization("acme").await;
    let operator = server.operator_key();
    define(&server, &acme, "shared", json!({ "description": "ours" })).await;
    define(&server, &operator, "read", json!({ "description": "r" })).await;
    define(
        &server,
        &operator,
        "shared",
        json!({ "description": "all" }),
    )
    .await;
    let expected = ["read r operator", "shared all operator"];
    assert_eq!(known(&server, &acme).await, expected);
    assert_eq!(known(&server, &operator).await, expected);
    for refused in [
        define(&server, &acme, "read", json!({})).await,
        remove(&server, &acme, "read").await,
    ] {
        refused.refuses(409, "defined_by_operator");
    }
    // For an organization without a catalogue of its own, too.
    let other = server.organization("other").await;
    key(&server, &other, &["read"])
        .await
        .expect(StatusCode::CREATED);
    unknown(
        &key(&server, &other, &["wirte"]).await,
        "/scopes/0",
        "wirte",
    );
    // And for the operator itself.
    key(&server, &operator, &["read"])
        .await
        .expect(StatusCode::CREATED);
    unknown(
        &key(&server, &operator, &["wirte"]).await,
        "/scopes/0",
        "wirte",
    );
    // Once the operator takes it back, what the organization said is there.
    let gone = remove(&server, &operator, "shared").await;
    gone.expect(StatusCode::NO_CONTENT);
    let expected = ["read r operator", "shared ours organization"];
    assert_eq!(known(&server, &acme).await, expected);
}

async fn an_organizations_actions_are_its_own(server: Server) {
    let acme = server.organization("acme").await;
    let other = server.organization("other").await;
    define(&server, &acme, "read", json!({})).await;
    assert_eq!(known(&server, &other).await, [""; 0]);
    key(&server, &other, &["write"])
        .await
        .expect(StatusCode::CREATED);
    // What another defines is answered as what nobody does.
    let foreign = remove(&server, &other, "read").await;
    foreign.refuses(404, "not_found");
    for name in [
        "nothing",
        "api_keys.read",
        "*",
        "files.*",
        "%00",
        "%ff",
        "A",
    ] {
        let path = format!("/v1/scopes/{name}");
        let reply = call(&server, Some(&other.secret), "DELETE", &path, "").await;
        assert_eq!(shown(&server, &reply), shown(&server, &foreign), "{name}");
    }
    // The operator reaches in, and defines for that organization alone.
    let path = "/v1/organizations/other/scopes/write";
    let made = server.operate(Method::PUT, path, json!({})).await;
    assert_eq!(
        made.expect(StatusCode::CREATED).body["defined_by"],
        "organization"
    );
    assert_eq!(known(&server, &other).await, ["write - organization"]);
    assert_eq!(known(&server, &acme).await, ["read - organization"]);
    let path = "/v1/organizations/other/api-keys";
    let body = json!({ "name": "x", "scopes": ["read"] });
    unknown(
        &server.operate(Method::POST, path, body).await,
        "/scopes/0",
        "read",
    );
}

async fn unknown_actions_are_refused_where_there_is_a_catalogue(server: Server) {
    let acme = server.organization("acme").await;
    key(&server, &acme, &["anything"])
        .await
        .expect(StatusCode::CREATED);
    for action in [
        "read",
        "files.read",
        "files.write",
        "filesystem",
        "a-b",
        "a.b",
    ] {
        let made = define(&server, &acme, action, json!({})).await;
        made.expect(StatusCode::CREATED);
    }
    let ci = server.key_with(&acme, &["read"]).await;
    role(&server, &acme, "ci", &["read"])
        .await
        .expect(StatusCode::CREATED);
    for good in [
        "read",
        "read:projects/**",
        "*",
        "*:a",
        "files.*",
        "files.read:x",
        "a.*",
        "api_keys.read",
        "api_keys.*",
        "audit.*",
        "roles.read:x",
    ] {
        key(&server, &acme, &["read", good])
            .await
            .expect(StatusCode::CREATED);
        let body = json!({ "scopes": ["read", good] });
        let made = edit(&server, &acme, "ci", body).await;
        made.expect(StatusCode::OK);
    }
    for bad in [
        "raed",
        "raed:x",
        "rea",
        "reads",
        "files",
        "file.*",
        "files.read.*",
        "files.delete",
        "read.*",
        "filesystem.*",
        "api_keys",
        "api_keys.raed",
        "keys.*",
    ] {
        let action = bad.split(':').next().unwrap();
        let made = key(&server, &acme, &["read", bad]).await;
        unknown(&made, "/scopes/1", action);
        let detail = made.body["detail"].as_str().unwrap();
        assert!(
            detail.ends_with("a-b, a.b, files.read, files.write, filesystem"),
            "{detail}"
        );
        unknown(
            &role(&server, &acme, "new", &[bad]).await,
            "/scopes/0",
            action,
        );
        let body = json!({ "scopes": ["read", bad] });
        unknown(
            &edit(&server, &acme, "ci", body.clone()).await,
            "/scopes/1",
            action,
        );
        let path = format!("/v1/api-keys/{}", ci.id);
        let edited = server.call(&acme.secret, Method::PATCH, &path, body).await;
        unknown(&edited, "/scopes/1", action);
    }
}

async fn what_was_there_before_the_catalogue_may_stay(server: Server) {
    let acme = server.organization("acme").await;
    let old = server.key_with(&acme, &["old", "read"]).await;
    role(&server, &acme, "old", &["old:a/**", "read"]).await;
    define(&server, &acme, "read", json!({})).await;
    define(&server, &acme, "write", json!({})).await;
    let path = format!("/v1/api-keys/{}", old.id);
    let patch = async |scopes: Value| {
        let body = json!({ "scopes": scopes });
        server.call(&acme.secret, Method::PATCH, &path, body).await
    };
    patch(json!(["write", "old"])).await.expect(StatusCode::OK);
    patch(json!(["old:a"])).await.expect(StatusCode::OK);
    unknown(
        &patch(json!(["old:a", "older"])).await,
        "/scopes/1",
        "older",
    );
    let more = json!({ "scopes": ["old:a/**", "write"] });
    edit(&server, &acme, "old", more)
        .await
        .expect(StatusCode::OK);
    // A role is written once and given as it is.
    let body = json!({ "name": "x", "roles": ["old"] });
    server.key(&acme, body).await;
    server.exchange(&old, &[]).await.expect(StatusCode::OK);
    // What is removed stays with those who have it, and comes to nobody else.
    remove(&server, &acme, "write")
        .await
        .expect(StatusCode::NO_CONTENT);
    let kept = json!({ "scopes": ["write"] });
    edit(&server, &acme, "old", kept)
        .await
        .expect(StatusCode::OK);
    unknown(&key(&server, &acme, &["write"]).await, "/scopes/0", "write");
    // What was given up does not come back.
    patch(json!(["read"])).await.expect(StatusCode::OK);
    unknown(&patch(json!(["old:a"])).await, "/scopes/0", "old");
}

async fn what_is_no_action_is_not_defined(server: Server) {
    let acme = server.organization("acme").await;
    let database = Database::of(&server).await;
    let before = database.contents().await;
    let long = "a".repeat(201);
    for bad in [
        "*",
        "files.*",
        "read:a",
        "read:**",
        "Read",
        "a..b",
        ".a",
        "a%20b",
        "a%2Fb",
        "%ff",
        "%00",
        "api_keys.read",
        "organizations.write",
        &long,
        &acme.secret,
    ] {
        let refused = define(&server, &acme, bad, json!({})).await;
        refused.refuses(422, "invalid_action");
        assert!(!refused.text.contains(&acme.secret));
    }
    for (body, pointer) in [
        (json!({ "description": "" }), "/description"),
        (json!({ "description": 5 }), "/description"),
        (json!({ "action": "x" }), "/action"),
        (json!({ "defined_by": "operator" }), "/defined_by"),
    ] {
        let refused = define(&server, &acme, "read", body).await;
        refused.refuses(422, "invalid_field");
        assert_eq!(refused.body["pointer"], pointer);
    }
    assert_eq!(database.contents().await, before);
    let longest = "a".repeat(200);
    let made = define(&server, &acme, &longest, json!({})).await;
    made.expect(StatusCode::CREATED);
}

async fn a_catalogue_keeps_nobody_from_starting(server: Server) {
    define(&server, &server.operator_key(), "only", json!({})).await;
    // Bootstrap's key holds `*` and the management actions; so do the operator's.
    let acme = server.organization("acme").await;
    key(&server, &acme, &["only"])
        .await
        .expect(StatusCode::CREATED);
    let path = "/v1/organizations/acme/bootstrap";
    let again = server
        .operate(Method::POST, path, json!({ "reissue": true }))
        .await;
    again.expect(StatusCode::OK);
    // Another start makes another operator key, at the machine itself.
    let server = server.stop().await.start().await;
    let acme = Key::of(&again.body["management_key"]);
    assert_eq!(known(&server, &acme).await, ["only - operator"]);
    unknown(&key(&server, &acme, &["other"]).await, "/scopes/0", "other");
}

async fn every_act_on_the_catalogue_is_in_the_audit_log(server: Server) {
    let acme = server.organization("acme").await;
    define(&server, &acme, "read", json!({ "description": "a" })).await;
    define(&server, &acme, "read", json!({ "description": "a" })).await;
    define(&server, &acme, "read", json!({ "description": "b" })).await;
    remove(&server, &acme, "read").await;
    let events = Database::of(&server).await.audit_events("acme").await;
    let told: Vec<_> = events
        .iter()
        .filter(|event| event.action.starts_with("scope."))
        .map(|event| {
            (
                event.action.as_str(),
                event.target.as_str(),
                event.details(),
            )
        })
        .collect();
    let described = |new: bool, from: Value, to: &str| json!({ "new": new, "description": { "from": from, "to": to } });
    assert_eq!(
        told,
        [
            ("scope.define", "read", described(true, Value::Null, "a")),
            ("scope.define", "read", described(false, json!("a"), "b")),
            ("scope.remove", "read", json!({ "description": "b" })),
        ]
    );
}

async fn a_catalogue_has_room_for_two_thousand_actions(server: Server) {
    let acme = server.organization("acme").await;
    let rows: Vec<_> = (1..2000).map(|n| format!("('acme', 'a{n}', 0)")).collect();
    let insert = "INSERT INTO scope_catalogue (organization_id, action, created_at) VALUES";
    let rows = rows.join(", ");
    server.place().execute(&format!("{insert} {rows}")).await;
    let last = define(&server, &acme, "last", json!({})).await;
    last.expect(StatusCode::CREATED);
    let refused = define(&server, &acme, "more", json!({})).await;
    refused.refuses(409, "limit_reached");
    // What is there can still be described.
    let described = define(&server, &acme, "a7", json!({ "description": "d" })).await;
    described.expect(StatusCode::OK);
    remove(&server, &acme, "a7")
        .await
        .expect(StatusCode::NO_CONTENT);
    let again = define(&server, &acme, "more", json!({})).await;
    again.expect(StatusCode::CREATED);
}
