//! What no edit of a role breaks: the bounds of every key that holds it, and least privilege.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::roles::{delete, edit, holder, role};
use crate::on_both_engines;
use crate::support::crowd::at_once;
use crate::support::database::{Database, Held};
use crate::support::server::{Key, Server, claims};

on_both_engines!(
    what_is_added_to_a_role_is_within_its_writer,
    what_a_role_gives_its_holders_is_within_its_writer,
    a_role_too_large_for_a_holder_is_refused,
    a_revoked_holder_stands_in_nobodys_way,
    a_role_and_its_holders_grow_within_bounds_at_the_same_time,
    an_exchange_after_an_edit_of_a_role_has_its_scopes,
);

async fn what_is_added_to_a_role_is_within_its_writer(server: Server) {
    let acme = server.organization("acme").await;
    let writer = server
        .key_with(&acme, &["roles.write", "read:a/**", "api_keys.read"])
        .await;
    for within in ["read:a/**", "read:a/b", "api_keys.read:x"] {
        let name = within.replace([':', '/', '*', '.'], "-");
        let made = role(&server, &writer, &name, &[within]).await;
        made.expect(StatusCode::CREATED);
    }
    for beyond in [
        "*",
        "read",
        "read:*/b",
        "write",
        "api_keys.*",
        "organizations.read",
    ] {
        let refused = role(&server, &writer, "beyond", &["read:a/b", beyond]).await;
        refused.refuses(403, "exceeds_authority");
        assert_eq!(refused.body["pointer"], "/scopes");
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.contains(&format!("{beyond},")), "{detail}");
    }
    // By a token, it is the token that bounds.
    let token = server
        .management_token(&writer, &[("scope", "roles.write read:a/b")])
        .await;
    let by_token = Key {
        secret: token,
        ..writer.clone()
    };
    let refused = role(&server, &by_token, "beyond", &["read:a/**"]).await;
    refused.refuses(403, "exceeds_authority");

    // What is there may stay, narrowed or not; what is the writer's own may come.
    role(&server, &acme, "strong", &["write", "deploy"]).await;
    for (scopes, status) in [
        (json!(["write", "deploy", "read:a/b"]), 200),
        (json!(["write:x", "read:a/b"]), 200),
        (json!(["write:x", "read:a/**"]), 200),
        (json!(["write", "read:a/b"]), 403),
        (json!(["deploy"]), 403),
        (json!(["write:x", "read"]), 403),
    ] {
        let body = json!({ "scopes": scopes });
        let reply = edit(&server, &writer, "strong", body).await;
        assert_eq!(reply.status, status, "{scopes}: {}", reply.text);
    }
    // Nobody lifts itself by a role of its own.
    role(&server, &acme, "own", &["roles.write"]).await;
    let lifted = holder(&server, &acme, &[], &["own"]).await;
    for more in ["*", "api_keys.create"] {
        let body = json!({ "scopes": ["roles.write", more] });
        let refused = edit(&server, &lifted, "own", body).await;
        refused.refuses(403, "exceeds_authority");
    }
}

async fn what_a_role_gives_its_holders_is_within_its_writer(server: Server) {
    let acme = server.organization("acme").await;
    let mut writer = json!({ "name": "writer", "scopes": ["roles.write", "read"],
        "allowed_ip_cidrs": ["127.0.0.0/8"], "expires_in_days": 30 });
    let bound = server.key(&acme, writer.clone()).await;
    writer["scopes"] = json!(["roles.write", "read", "api_keys.any_network"]);
    let anywhere = server.key(&acme, writer).await;
    let key = async |role: &str, networks: Value, days: Value, scopes: Value| {
        let mut body = json!({ "name": "holder", "scopes": scopes, "roles": [role],
            "allowed_ip_cidrs": networks });
        if !days.is_null() {
            body["expires_in_days"] = days;
        }
        server.key(&acme, body).await
    };
    let grow = json!({ "scopes": ["other", "read"] });
    let within = json!(["127.0.0.1"]);
    for (name, networks, days, own, by_bound, by_anywhere) in [
        (
            "within",
            json!(["127.0.0.1"]),
            json!(30),
            json!([]),
            200,
            200,
        ),
        (
            "elsewhere",
            json!(["10.0.0.0/8"]),
            json!(30),
            json!([]),
            403,
            200,
        ),
        (
            "longer",
            json!(["127.0.0.1"]),
            json!(31),
            json!([]),
            403,
            403,
        ),
        (
            "for-ever",
            json!(["127.0.0.1"]),
            Value::Null,
            json!([]),
            403,
            403,
        ),
        // It is given nothing that it has not.
        (
            "not-given",
            json!(["0.0.0.0/0"]),
            Value::Null,
            json!(["read"]),
            200,
            200,
        ),
    ] {
        for (by, status) in [(&bound, by_bound), (&anywhere, by_anywhere)] {
            let name = format!("{name}-{}", by.id[20..].to_lowercase());
            role(&server, &acme, &name, &["other"])
                .await
                .expect(StatusCode::CREATED);
            // Among others that are within.
            key(&name, within.clone(), json!(1), json!([])).await;
            let held = key(&name, networks.clone(), days.clone(), own.clone()).await;
            let narrow = json!({ "scopes": ["other:a"] });
            let reply = edit(&server, by, &name, grow.clone()).await;
            assert_eq!(reply.status, status, "{name}: {}", reply.text);
            if status == 403 {
                reply.refuses(403, "exceeds_authority");
                assert_eq!(reply.body["pointer"], "/scopes");
                let detail = reply.body["detail"].as_str().unwrap();
                assert!(detail.contains(&held.id), "{detail}");
                // A revoked key is given nothing.
                let path = format!("/v1/api-keys/{}/revoke", held.id);
                let revoked = server.call(&acme.secret, Method::POST, &path, Value::Null);
                revoked.await.expect(StatusCode::OK);
                let reply = edit(&server, by, &name, grow.clone()).await;
                reply.expect(StatusCode::OK);
            }
            // To take is not to give.
            let reply = edit(&server, by, &name, narrow).await;
            reply.expect(StatusCode::OK);
        }
    }
}

fn scopes(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}{n}")).collect()
}

async fn a_role_too_large_for_a_holder_is_refused(server: Server) {
    let acme = server.organization("acme").await;
    role(&server, &acme, "ci", &["read"]).await;
    role(&server, &acme, "cd", &["deploy"]).await;
    let own: Vec<_> = scopes("own", 30);
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    holder(&server, &acme, &["x"], &["ci"]).await;
    let large = holder(&server, &acme, &own, &["cd", "ci"]).await;
    // 30 of its own, one of another role, and what both have counts once.
    for (count, status) in [(34, 422), (33, 200)] {
        let mut of_role = scopes("r", count);
        of_role.push("own7".to_owned());
        let body = json!({ "scopes": of_role });
        let reply = edit(&server, &acme, "ci", body).await;
        assert_eq!(reply.status, status, "{}", reply.text);
        if status == 422 {
            assert_eq!(reply.body["pointer"], "/scopes");
            let detail = reply.body["detail"].as_str().unwrap();
            assert!(detail.contains(&large.id), "{detail}");
            assert!(detail.contains("64"), "{detail}");
        }
    }
    let token = server.token(&large, &[]).await;
    let scope = claims(&token)["scope"].as_str().unwrap().to_owned();
    assert_eq!(scope.split(' ').count(), 64);
    // Few scopes, but of many bytes.
    role(&server, &acme, "long", &["read"]).await;
    let held = holder(&server, &acme, &[], &["long"]).await;
    let long: Vec<_> = (0..30)
        .map(|n| format!("a{n}{}", "x".repeat(190)))
        .collect();
    let refused = edit(&server, &acme, "long", json!({ "scopes": long })).await;
    refused.refuses(422, "invalid_field");
    assert_eq!(refused.body["pointer"], "/scopes");
    assert!(refused.body["detail"].as_str().unwrap().contains(&held.id));
    server.exchange(&held, &[]).await.expect(StatusCode::OK);
}

async fn a_revoked_holder_stands_in_nobodys_way(server: Server) {
    let acme = server.organization("acme").await;
    role(&server, &acme, "ci", &["read"]).await;
    let own: Vec<_> = scopes("own", 60);
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    let ended = holder(&server, &acme, &own, &["ci"]).await;
    let path = format!("/v1/api-keys/{}", ended.id);
    let revoke = format!("{path}/revoke");
    let revoked = server.call(&acme.secret, Method::POST, &revoke, Value::Null);
    revoked.await.expect(StatusCode::OK);
    let body = json!({ "scopes": scopes("r", 60) });
    let edited = edit(&server, &acme, "ci", body).await;
    edited.expect(StatusCode::OK);
    // And it is shown and listed as before.
    for path in [&path, "/v1/api-keys"] {
        let shown = server.call(&acme.secret, Method::GET, path, Value::Null);
        shown.await.expect(StatusCode::OK);
    }
    let refused = server.exchange(&ended, &[]).await;
    refused.refuses(401, "invalid_client");
}

async fn a_role_and_its_holders_grow_within_bounds_at_the_same_time(server: Server) {
    let acme = server.organization("acme").await;
    let mut refused = [0, 0];
    for round in 0..6 {
        let name = format!("r{round}");
        role(&server, &acme, &name, &["read"]).await;
        let own: Vec<_> = scopes("own", 40);
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        let key = server.key_with(&acme, &own).await;
        let request = |path: String, body: Value| {
            let request = server.request(Method::PATCH, &path);
            request.bearer_auth(&acme.secret).json(&body)
        };
        let grow = request(
            format!("/v1/roles/{name}"),
            json!({ "scopes": scopes("role", 40) }),
        );
        let gain = request(
            format!("/v1/api-keys/{}", key.id),
            json!({ "roles": [name] }),
        );
        let replies = at_once([grow, gain]).await;
        // One of the two comes second, and is too much.
        let statuses = [replies[0].status.as_u16(), replies[1].status.as_u16()];
        assert!(
            statuses == [200, 422] || statuses == [422, 200],
            "{statuses:?}"
        );
        for (refused, status) in refused.iter_mut().zip(statuses) {
            *refused += i32::from(status == 422);
        }
        let path = format!("/v1/api-keys/{}", key.id);
        let shown = server.call(&acme.secret, Method::GET, &path, Value::Null);
        let shown = shown.await;
        let effective = &shown.expect(StatusCode::OK).body["effective_scopes"];
        assert!(effective.as_array().unwrap().len() <= 64);
        server.exchange(&key, &[]).await.expect(StatusCode::OK);
    }
    assert_eq!(refused[0] + refused[1], 6);
}

async fn an_exchange_after_an_edit_of_a_role_has_its_scopes(server: Server) {
    let acme = server.organization("acme").await;
    role(&server, &acme, "ci", &["n0"]).await;
    let key = holder(&server, &acme, &[], &["ci"]).await;
    for round in 1..8 {
        let exchange = || {
            let form = [("grant_type", "client_credentials")];
            let request = server.request(Method::POST, "/oauth/token");
            request.basic_auth(&key.id, Some(&key.secret)).form(&form)
        };
        let storm = tokio::spawn(at_once((0..16).map(|_| exchange()).collect::<Vec<_>>()));
        let now = format!("n{round}");
        let edited = edit(&server, &acme, "ci", json!({ "scopes": [now] })).await;
        edited.expect(StatusCode::OK);
        let after = server.exchange(&key, &[]).await;
        assert_eq!(after.expect(StatusCode::OK).body["scope"], now);
        // Those that were under way had the one or the other.
        for reply in storm.await.unwrap() {
            let scope = reply.expect(StatusCode::OK).body["scope"].as_str().unwrap();
            assert!(
                scope == now || scope == format!("n{}", round - 1),
                "{scope}"
            );
        }
    }
}

/// On SQLite there is one server alone.
#[tokio::test(flavor = "multi_thread")]
async fn another_node_follows_the_edit_of_a_role() {
    let Some(server) = Server::on_postgres().await else {
        return;
    };
    let second = server.another_node().await;
    let acme = server.organization("acme").await;
    role(&server, &acme, "ci", &["read"]).await;
    let key = holder(&server, &acme, &["own"], &["ci"]).await;
    let there = second.exchange(&key, &[]).await;
    assert_eq!(there.expect(StatusCode::OK).body["scope"], "own read");
    let follows = async |scope: &str| {
        until(async || second.exchange(&key, &[]).await.body["scope"] == scope).await;
    };
    edit(&server, &acme, "ci", json!({ "scopes": ["write"] })).await;
    follows("own write").await;
    let gone = delete(&server, &acme, "ci?force=true").await;
    gone.expect(StatusCode::NO_CONTENT);
    follows("own").await;
}

/// Takes the next place in the audit chain of `acme`, so that an act there comes to a stop just
/// before its end.
const IN_THE_WAY: &str = "INSERT INTO audit_events \
    (organization_id, sequence, at, actor, action, target, details, mac) \
    SELECT id, audit_sequence + 1, 0, '', '', '', '', '' FROM organizations WHERE id = 'acme'";

const WAITING: &str = "SELECT COUNT(*) FROM pg_stat_activity \
    WHERE datname = current_database() AND wait_event_type = 'Lock'";

/// What a role of the operator's own organization gives reaches into all others. SQLite has one
/// writer: there, acts take turns as a whole.
#[tokio::test(flavor = "multi_thread")]
async fn no_act_ends_well_after_its_role_was_narrowed() {
    let Some(server) = Server::on_postgres().await else {
        return;
    };
    server.organization("acme").await;
    let operator = server.operator_key();
    for narrowing in [Method::PATCH, Method::DELETE] {
        let name = narrowing.as_str().to_lowercase();
        role(&server, &operator, &name, &["api_keys.create", "read"]).await;
        let clerk = holder(&server, &operator, &["read"], &[&name]).await;
        let (database, beside) = (Database::of(&server).await, Database::of(&server).await);
        let held = database.begin(IN_THE_WAY).await;
        let path = "/v1/organizations/acme/api-keys";
        let act = server
            .request(Method::POST, path)
            .bearer_auth(&clerk.secret);
        let act = act.json(&json!({ "name": "x", "scopes": ["read"] }));
        let act = tokio::spawn(at_once([act]));
        until(async || beside.count(WAITING).await == 1).await;

        let path = format!("/v1/roles/{name}?force=true");
        let path = path.trim_end_matches(if narrowing == "PATCH" {
            "?force=true"
        } else {
            ""
        });
        let mut narrow = server.request(narrowing.clone(), path);
        if narrowing == Method::PATCH {
            narrow = narrow.json(&json!({ "scopes": ["read"] }));
        }
        let narrow = tokio::spawn(at_once([narrow.bearer_auth(&server.operator)]));
        until(async || narrow.is_finished() || beside.count(WAITING).await == 2).await;
        let was_answered = narrow.is_finished();
        Held::release(held).await;
        let (act, narrow) = (act.await.unwrap(), narrow.await.unwrap());
        assert!(narrow[0].status.is_success(), "{}", narrow[0].text);
        assert!(
            !(was_answered && act[0].status == StatusCode::CREATED),
            "narrowed, then: {}",
            act[0].text
        );
        let path = "/v1/organizations/acme/api-keys";
        let late = json!({ "name": "x", "scopes": ["read"] });
        let late = server.call(&clerk.secret, Method::POST, path, late).await;
        late.refuses(403, "insufficient_scope");
    }
}

/// Looks again and again, for as long as the server itself would wait.
async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let patience = tokio::time::timeout(Duration::from_secs(30), async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    patience.await.unwrap();
}
