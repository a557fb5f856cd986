//! Roles: named sets of scopes, written in one place and held by many keys.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::routes::call;
use crate::on_both_engines;
use crate::support::crowd::at_once;
use crate::support::database::Database;
use crate::support::server::{Key, Reply, Server, claims};
use crate::support::wire::shown;

on_both_engines!(
    a_role_is_shown_as_it_was_made,
    roles_are_listed_in_the_order_of_their_names,
    a_name_is_given_once_and_never_changes,
    what_a_role_does_not_know_is_refused,
    an_edit_of_a_role_takes_effect_at_the_next_exchange,
    an_edit_of_a_role_built_on_an_old_revision_is_refused,
    a_role_that_keys_hold_is_deleted_by_force_alone,
    no_key_is_left_without_scope_and_role,
    a_foreign_role_is_answered_as_an_unknown_one,
    the_operator_writes_roles_of_every_organization,
    every_act_on_a_role_is_in_the_audit_log,
    an_organization_has_room_for_a_thousand_roles,
);

pub async fn role(server: &Server, manager: &Key, name: &str, scopes: &[&str]) -> Reply {
    let body = json!({ "name": name, "scopes": scopes });
    server
        .call(&manager.secret, Method::POST, "/v1/roles", body)
        .await
}

pub async fn edit(server: &Server, manager: &Key, name: &str, body: Value) -> Reply {
    let path = format!("/v1/roles/{name}");
    let bearer = &manager.secret;
    server.call(bearer, Method::PATCH, &path, body).await
}

pub async fn delete(server: &Server, manager: &Key, name: &str) -> Reply {
    let path = format!("/v1/roles/{name}");
    let bearer = &manager.secret;
    server
        .call(bearer, Method::DELETE, &path, Value::Null)
        .await
}

async fn get(server: &Server, manager: &Key, path: &str) -> Reply {
    let bearer = &manager.secret;
    server.call(bearer, Method::GET, path, Value::Null).await
}

pub async fn holder(server: &Server, manager: &Key, scopes: &[&str], roles: &[&str]) -> Key {
    let body = json!({ "name": "holder", "scopes": scopes, "roles": roles });
    server.key(manager, body).await
}

async fn revoke(server: &Server, manager: &Key, id: &str) {
    let path = format!("/v1/api-keys/{id}/revoke");
    let bearer = &manager.secret;
    let done = server.call(bearer, Method::POST, &path, Value::Null).await;
    done.expect(StatusCode::OK);
}

async fn scope_of(server: &Server, key: &Key) -> String {
    let token = server.token(key, &[]).await;
    claims(&token)["scope"].as_str().unwrap().to_owned()
}

async fn a_role_is_shown_as_it_was_made(server: Server) {
    let acme = server.organization("acme").await;
    let body = json!({ "name": "readers", "description": "may look",
        "scopes": ["read", { "action": "list", "resource": "a/**" }] });
    let made = server
        .call(&acme.secret, Method::POST, "/v1/roles", body)
        .await;
    let mut expected = json!({ "name": "readers", "description": "may look",
        "scopes": ["read", "list:a/**"], "created_at": server.clock.now().to_string(),
        "revision": 1, "api_keys": 0 });
    assert_eq!(made.expect(StatusCode::CREATED).body, expected);
    assert_eq!(made.header("etag"), Some("\"r1\""));
    let shown = get(&server, &acme, "/v1/roles/readers").await;
    assert_eq!(shown.expect(StatusCode::OK).body, expected);
    assert_eq!(shown.header("etag"), Some("\"r1\""));

    // Every key that is not revoked counts, whatever else it is.
    let held = holder(&server, &acme, &["write"], &["readers"]).await;
    for (verb, keys) in [("disable", 1), ("revoke", 0)] {
        let path = format!("/v1/api-keys/{}/{verb}", held.id);
        call(&server, Some(&acme.secret), "POST", &path, "").await;
        expected["api_keys"] = json!(keys);
        let shown = get(&server, &acme, "/v1/roles/readers").await;
        assert_eq!(shown.body, expected);
    }

    let gone = json!({ "description": null });
    let edited = edit(&server, &acme, "readers", gone).await;
    expected["description"] = Value::Null;
    expected["revision"] = json!(2);
    expected["warnings"] = json!([]);
    assert_eq!(edited.expect(StatusCode::OK).body, expected);
    assert_eq!(edited.header("etag"), Some("\"r2\""));
    // What says nothing new is no edit.
    for same in [json!({}), json!({ "scopes": ["read", "list:a/**"] })] {
        let edited = edit(&server, &acme, "readers", same).await;
        assert_eq!(edited.expect(StatusCode::OK).body, expected);
    }
}

async fn roles_are_listed_in_the_order_of_their_names(server: Server) {
    let acme = server.organization("acme").await;
    let other = server.organization("other").await;
    for name in ["b", "a_1", "a-1", "0", "z"] {
        role(&server, &acme, name, &["read"])
            .await
            .expect(StatusCode::CREATED);
    }
    role(&server, &other, "c", &["read"])
        .await
        .expect(StatusCode::CREATED);
    holder(&server, &acme, &[], &["b"]).await;
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/roles?limit=2{cursor}");
        let page = get(&server, &acme, &path).await;
        let rows = page.expect(StatusCode::OK).body["data"].as_array().unwrap();
        assert!(rows.len() <= 2);
        for row in rows {
            let name = row["name"].as_str().unwrap().to_owned();
            assert_eq!(row["api_keys"], i32::from(name == "b"));
            let shown = get(&server, &acme, &format!("/v1/roles/{name}")).await;
            assert_eq!(*row, shown.body);
            seen.push(name);
        }
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["0", "a-1", "a_1", "b", "z"]);
    for bad in ["cursor=A", "limit=0", "cursor=", "force=true"] {
        let refused = get(&server, &acme, &format!("/v1/roles?{bad}")).await;
        refused.refuses(422, "invalid_query");
    }
}

async fn a_name_is_given_once_and_never_changes(server: Server) {
    let acme = server.organization("acme").await;
    let other = server.organization("other").await;
    let made = role(&server, &acme, "ci", &["read"]).await;
    made.expect(StatusCode::CREATED);
    let again = role(&server, &acme, "ci", &["write"]).await;
    again.refuses(409, "role_exists");
    let refused = edit(&server, &acme, "ci", json!({ "name": "cd" })).await;
    refused.refuses(422, "invalid_field");
    assert_eq!(refused.body["pointer"], "/name");
    // Another organization has names of its own.
    let theirs = role(&server, &other, "ci", &["write"]).await;
    theirs.expect(StatusCode::CREATED);
    let kept = get(&server, &acme, "/v1/roles/ci").await;
    assert_eq!(kept.body, made.body);
    let body = json!({ "name": "one", "scopes": ["read"] });
    let attempts = (0..6).map(|_| {
        let request = server.request(Method::POST, "/v1/roles");
        request.bearer_auth(&acme.secret).json(&body)
    });
    let replies = at_once(attempts.collect::<Vec<_>>()).await;
    let made = replies.iter().filter(|reply| reply.status == 201).count();
    assert_eq!(made, 1);
}

async fn what_a_role_does_not_know_is_refused(server: Server) {
    let acme = server.organization("acme").await;
    role(&server, &acme, "ci", &["read"])
        .await
        .expect(StatusCode::CREATED);
    let many: Vec<_> = (0..65).map(|n| format!("a{n}")).collect();
    for (body, pointer) in [
        (json!({ "scopes": ["read"] }), "/name"),
        (json!({ "name": "x" }), "/scopes"),
        (json!({ "name": "x", "scopes": [] }), "/scopes"),
        (json!({ "name": "x", "scopes": null }), "/scopes"),
        (
            json!({ "name": "x", "scopes": ["read", "Read"] }),
            "/scopes/1",
        ),
        (json!({ "name": "x", "scopes": many }), "/scopes/64"),
        (json!({ "name": "X", "scopes": ["read"] }), "/name"),
        (json!({ "name": "-", "scopes": ["read"] }), "/name"),
        (json!({ "name": "", "scopes": ["read"] }), "/name"),
        (
            json!({ "name": "x", "scopes": ["read"], "api_keys": 1 }),
            "/api_keys",
        ),
        (
            json!({ "name": "x", "scopes": ["read"], "description": "" }),
            "/description",
        ),
    ] {
        let path = "/v1/roles";
        let refused = server
            .call(&acme.secret, Method::POST, path, body.clone())
            .await;
        refused.refuses(422, "invalid_field");
        assert_eq!(refused.body["pointer"], pointer, "{body}");
    }
    for (body, pointer) in [
        (json!({ "scopes": [] }), "/scopes"),
        (json!({ "scopes": null }), "/scopes"),
        (json!({ "revision": 5 }), "/revision"),
        (json!({ "description": 5 }), "/description"),
    ] {
        let refused = edit(&server, &acme, "ci", body.clone()).await;
        refused.refuses(422, "invalid_field");
        assert_eq!(refused.body["pointer"], pointer, "{body}");
    }
    for query in ["force=yes", "force=", "limit=1", "force=true&force=true"] {
        let refused = delete(&server, &acme, &format!("ci?{query}")).await;
        refused.refuses(422, "invalid_query");
    }
    let kept = get(&server, &acme, "/v1/roles/ci").await;
    assert_eq!(kept.expect(StatusCode::OK).body["revision"], 1);
}

async fn an_edit_of_a_role_takes_effect_at_the_next_exchange(server: Server) {
    let acme = server.organization("acme").await;
    role(&server, &acme, "ci", &["read"]).await;
    role(&server, &acme, "cd", &["deploy"]).await;
    let key = holder(&server, &acme, &["own"], &["ci", "cd"]).await;
    assert_eq!(scope_of(&server, &key).await, "own deploy read");
    let wider = json!({ "scopes": ["read", "write"] });
    let edited = edit(&server, &acme, "ci", wider).await;
    let warnings = &edited.expect(StatusCode::OK).body["warnings"];
    assert_eq!(warnings[0]["code"], "widened_scopes");
    assert_eq!(edited.body["api_keys"], 1);
    assert_eq!(scope_of(&server, &key).await, "own deploy read write");
    let narrower = json!({ "scopes": ["write:a"] });
    let edited = edit(&server, &acme, "ci", narrower).await;
    assert_eq!(edited.expect(StatusCode::OK).body["warnings"], json!([]));
    assert_eq!(scope_of(&server, &key).await, "own deploy write:a");
    let asked = server.exchange(&key, &[("scope", "read")]).await;
    asked.refuses(400, "invalid_scope");
    // What its holders can do on this plane changes at once too, with tokens from before.
    role(&server, &acme, "clerk", &["api_keys.read", "roles.read"]).await;
    let clerk = holder(&server, &acme, &[], &["clerk"]).await;
    let token = server.management_token(&clerk, &[]).await;
    let clerk = Key {
        secret: token,
        ..clerk
    };
    get(&server, &clerk, "/v1/api-keys")
        .await
        .expect(StatusCode::OK);
    edit(&server, &acme, "clerk", json!({ "scopes": ["roles.read"] })).await;
    let refused = get(&server, &clerk, "/v1/api-keys").await;
    refused.refuses(403, "insufficient_scope");
    get(&server, &clerk, "/v1/roles")
        .await
        .expect(StatusCode::OK);
    let path = format!("/v1/api-keys/{}", key.id);
    let forced = delete(&server, &acme, "cd?force=true").await;
    forced.expect(StatusCode::NO_CONTENT);
    assert_eq!(scope_of(&server, &key).await, "own write:a");
    let shown = get(&server, &acme, &path).await;
    assert_eq!(shown.body["roles"], json!(["ci"]));
    assert_eq!(shown.body["revision"], 2);
}

async fn an_edit_of_a_role_built_on_an_old_revision_is_refused(server: Server) {
    let acme = server.organization("acme").await;
    role(&server, &acme, "ci", &["read"]).await;
    let conditional = async |method: Method, tag: &str, body: Value| {
        let request = server
            .request(method, "/v1/roles/ci")
            .bearer_auth(&acme.secret)
            .header("if-match", tag)
            .json(&body);
        Reply::of(request).await
    };
    let text = |text: &str| json!({ "description": text });
    let first = conditional(Method::PATCH, "\"r1\"", text("a")).await;
    first.expect(StatusCode::OK);
    let late = conditional(Method::PATCH, "\"r1\"", text("b")).await;
    late.refuses(412, "changed");
    let late = conditional(Method::DELETE, "\"r1\"", json!({})).await;
    late.refuses(412, "changed");
    let kept = get(&server, &acme, "/v1/roles/ci").await;
    assert_eq!(kept.body["description"], "a");
    let gone = conditional(Method::DELETE, "\"r2\"", json!({})).await;
    gone.expect(StatusCode::NO_CONTENT);
    let gone = get(&server, &acme, "/v1/roles/ci").await;
    gone.refuses(404, "not_found");
}

async fn a_role_that_keys_hold_is_deleted_by_force_alone(server: Server) {
    let acme = server.organization("acme").await;
    role(&server, &acme, "ci", &["read"]).await;
    let keys = [
        holder(&server, &acme, &["own"], &["ci"]).await,
        holder(&server, &acme, &["own"], &["ci"]).await,
    ];
    for query in ["", "?force=false"] {
        let refused = delete(&server, &acme, &format!("ci{query}")).await;
        refused.refuses(409, "role_in_use");
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.starts_with("2 API keys"), "{detail}");
    }
    assert_eq!(scope_of(&server, &keys[1]).await, "own read");
    // Revoked keys hold nobody up.
    revoke(&server, &acme, &keys[0].id).await;
    delete(&server, &acme, "ci")
        .await
        .refuses(409, "role_in_use");
    let done = delete(&server, &acme, "ci?force=true").await;
    done.expect(StatusCode::NO_CONTENT);
    assert_eq!(done.text, "");
    assert_eq!(scope_of(&server, &keys[1]).await, "own");
    delete(&server, &acme, "ci").await.refuses(404, "not_found");
    // The name is free again, and nobody holds it by its old name.
    role(&server, &acme, "ci", &["write"])
        .await
        .expect(StatusCode::CREATED);
    assert_eq!(scope_of(&server, &keys[1]).await, "own");
}

async fn no_key_is_left_without_scope_and_role(server: Server) {
    let acme = server.organization("acme").await;
    role(&server, &acme, "ci", &["read"]).await;
    role(&server, &acme, "cd", &["deploy"]).await;
    holder(&server, &acme, &["own"], &["ci"]).await;
    holder(&server, &acme, &[], &["ci", "cd"]).await;
    let bare = holder(&server, &acme, &[], &["ci"]).await;
    let database = Database::of(&server).await;
    let before = database.contents().await;
    let refused = delete(&server, &acme, "ci?force=true").await;
    refused.refuses(409, "role_needed");
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(detail.starts_with("1 API keys"), "{detail}");
    assert!(detail.contains(&bare.id), "{detail}");
    assert_eq!(database.contents().await, before);
    // A revoked key needs nothing, and is still shown.
    revoke(&server, &acme, &bare.id).await;
    let done = delete(&server, &acme, "ci?force=true").await;
    done.expect(StatusCode::NO_CONTENT);
    let shown = get(&server, &acme, &format!("/v1/api-keys/{}", bare.id)).await;
    assert_eq!(shown.expect(StatusCode::OK).body["roles"], json!([]));
}

async fn a_foreign_role_is_answered_as_an_unknown_one(server: Server) {
    let acme = server.organization("acme").await;
    let other = server.organization("other").await;
    role(&server, &other, "theirs", &["read"]).await;
    role(&server, &server.operator_key(), "operators", &["read"]).await;
    let database = Database::of(&server).await;
    let before = database.contents().await;
    let patch = r#"{"description":"D"}"#;
    for (verb, query, body) in [
        ("GET", "", ""),
        ("PATCH", "", patch),
        ("DELETE", "", ""),
        ("DELETE", "?force=true", ""),
    ] {
        let path = format!("/v1/roles/unknown{query}");
        let unknown = call(&server, Some(&acme.secret), verb, &path, body).await;
        unknown.refuses(404, "not_found");
        let long = "a".repeat(65);
        let impossible = ["-", "A", "%00", "%ff", "%2F", "..x", &long, &acme.secret];
        for name in ["theirs", "operators"].iter().chain(&impossible) {
            let path = format!("/v1/roles/{name}{query}");
            let reply = call(&server, Some(&acme.secret), verb, &path, body).await;
            assert_eq!(shown(&server, &reply), shown(&server, &unknown), "{path}");
            assert_eq!(reply.text.len(), unknown.text.len(), "{path}");
        }
    }
    // Nor can a key be given one.
    let refusals = ["theirs", "unknown"].map(|name| {
        let body = json!({ "name": "x", "scopes": ["read"], "roles": [name] });
        server.call(&acme.secret, Method::POST, "/v1/api-keys", body)
    });
    for refused in refusals {
        let refused = refused.await;
        refused.refuses(422, "invalid_field");
        assert_eq!(refused.body["pointer"], "/roles");
    }
    assert_eq!(database.contents().await, before);
}

async fn the_operator_writes_roles_of_every_organization(server: Server) {
    let acme = server.organization("acme").await;
    let path = "/v1/organizations/acme/roles";
    let body = json!({ "name": "ci", "scopes": ["read"] });
    let made = server.operate(Method::POST, path, body).await;
    made.expect(StatusCode::CREATED);
    let listed = server.operate(Method::GET, path, Value::Null).await;
    assert_eq!(listed.body["data"][0], made.body);
    let one = format!("{path}/ci");
    let wider = json!({ "scopes": ["read", "write"] });
    let edited = server.operate(Method::PATCH, &one, wider).await;
    edited.expect(StatusCode::OK);
    let seen = get(&server, &acme, "/v1/roles/ci").await;
    assert_eq!(seen.body["scopes"], json!(["read", "write"]));
    let gone = server.operate(Method::DELETE, &one, Value::Null).await;
    gone.expect(StatusCode::NO_CONTENT);
    let nowhere = "/v1/organizations/nobody/roles";
    let refused = server.operate(Method::GET, nowhere, Value::Null).await;
    refused.refuses(404, "not_found");
    assert!(
        refused.body["detail"]
            .as_str()
            .unwrap()
            .contains("organization")
    );
}

async fn every_act_on_a_role_is_in_the_audit_log(server: Server) {
    let acme = server.organization("acme").await;
    role(&server, &acme, "ci", &["read"]).await;
    holder(&server, &acme, &["own"], &["ci"]).await;
    edit(&server, &acme, "ci", json!({ "scopes": ["write"] })).await;
    delete(&server, &acme, "ci?force=true").await;
    let events = Database::of(&server).await.audit_events("acme").await;
    let of_roles = events
        .iter()
        .filter(|event| event.action.starts_with("role."));
    let told: Vec<_> = of_roles
        .map(|event| {
            assert_eq!((&*event.actor, &*event.target), (&*acme.id, "ci"));
            (event.action.as_str(), event.details())
        })
        .collect();
    assert_eq!(
        told,
        [
            (
                "role.create",
                json!({ "description": null, "scopes": ["read"] })
            ),
            (
                "role.update",
                json!({ "scopes": { "from": ["read"], "to": ["write"] } })
            ),
            (
                "role.delete",
                json!({ "scopes": ["write"], "taken_from": 1 })
            ),
        ]
    );
}

async fn an_organization_has_room_for_a_thousand_roles(server: Server) {
    let acme = server.organization("acme").await;
    let rows: Vec<_> = (1..1000)
        .map(|n| format!("('acme', 'r{n}', 'read', 0, 1)"))
        .collect();
    let insert = "INSERT INTO roles (organization_id, name, scopes, created_at, revision) VALUES";
    let rows = rows.join(", ");
    server.place().execute(&format!("{insert} {rows}")).await;
    let last = role(&server, &acme, "last", &["read"]).await;
    last.expect(StatusCode::CREATED);
    let refused = role(&server, &acme, "more", &["read"]).await;
    refused.refuses(409, "limit_reached");
    delete(&server, &acme, "r7")
        .await
        .expect(StatusCode::NO_CONTENT);
    let again = role(&server, &acme, "more", &["read"]).await;
    again.expect(StatusCode::CREATED);
}
