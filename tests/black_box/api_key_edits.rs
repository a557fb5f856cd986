//! Edits of API keys: what is said changes, what is not said stays, and nobody is overtaken.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::support::server::{Key, Reply, Server};

on_both_engines!(
    what_is_said_changes_and_the_rest_stays,
    null_removes_what_can_be_absent,
    metadata_is_merged_member_by_member,
    an_edit_takes_effect_at_the_next_exchange,
    an_edit_that_changes_nothing_leaves_no_trace,
    an_edit_built_on_an_old_revision_is_refused,
    every_act_on_a_key_minds_its_revision,
    an_act_is_not_done_under_parameters_it_does_not_know,
    of_two_edits_built_on_one_revision_one_wins,
    an_edit_of_a_revoked_key_is_refused,
    edits_against_a_revoke_never_bring_the_key_back,
    an_edit_warns_of_what_it_widens,
    what_an_edit_does_not_know_is_refused,
    a_disabled_key_is_refused_until_it_is_enabled,
    a_revoke_keeps_its_reason,
    what_an_edit_adds_is_within_its_editor,
    an_edit_may_leave_what_is_beyond_its_editor,
    an_edit_moves_nothing_beyond_its_editors_bounds,
    what_is_given_back_is_within_its_giver,
);

async fn edit(server: &Server, manager: &Key, id: &str, body: Value) -> Reply {
    let path = format!("/v1/api-keys/{id}");
    server
        .call(&manager.secret, Method::PATCH, &path, body)
        .await
}

async fn post(server: &Server, manager: &Key, id: &str, verb: &str) -> Reply {
    let path = format!("/v1/api-keys/{id}/{verb}");
    server
        .call(&manager.secret, Method::POST, &path, Value::Null)
        .await
}

async fn show(server: &Server, manager: &Key, id: &str) -> Reply {
    let path = format!("/v1/api-keys/{id}");
    server
        .call(&manager.secret, Method::GET, &path, Value::Null)
        .await
}

async fn what_is_said_changes_and_the_rest_stays(server: Server) {
    let acme = server.organization("acme").await;
    let key = server
        .key(
            &acme,
            json!({ "name": "ci", "scopes": ["read"], "description": "d", "external_id": "e",
                "metadata": { "plan": "pro" }, "expires_in_days": 9,
                "rate_limit": { "limit": 5, "window_seconds": 60 } }),
        )
        .await;
    let mut expected = show(&server, &acme, &key.id).await.body;
    let changes = [
        ("name", json!("nightly")),
        ("description", json!("builds")),
        ("scopes", json!(["read", "write:a/**"])),
        ("allowed_ip_cidrs", json!(["127.0.0.0/8"])),
        ("rate_limit", json!({ "limit": 1, "window_seconds": 2 })),
        ("external_id", json!("customer-1")),
        ("expires_at", json!("2031-01-01T00:00:00Z")),
    ];
    for (revision, (field, value)) in (2..).zip(changes) {
        let edited = edit(&server, &acme, &key.id, json!({ field: value })).await;
        edited.expect(StatusCode::OK);
        expected[field] = value.clone();
        expected["revision"] = json!(revision);
        if field == "scopes" {
            expected["effective_scopes"] = value;
        }
        let shown = show(&server, &acme, &key.id).await;
        assert_eq!(shown.body, expected, "{field}");
        let tag = format!("\"r{revision}\"");
        assert_eq!(shown.header("etag"), Some(tag.as_str()));
        assert_eq!(edited.header("etag"), Some(tag.as_str()));
    }
    let days = edit(&server, &acme, &key.id, json!({ "expires_in_days": 2 })).await;
    let end = server.clock.now().plus(std::time::Duration::from_hours(48));
    assert_eq!(days.body["expires_at"], end.to_string());
}

async fn null_removes_what_can_be_absent(server: Server) {
    let acme = server.organization("acme").await;
    let body = json!({ "name": "ci", "scopes": ["read"], "description": "d", "external_id": "e",
        "metadata": { "plan": "pro" }, "expires_in_days": 9,
        "rate_limit": { "limit": 5, "window_seconds": 60 } });
    let key = server.key(&acme, body).await;
    let gone = json!({ "description": null, "external_id": null, "expires_at": null,
        "rate_limit": null, "metadata": null });
    let edited = edit(&server, &acme, &key.id, gone).await;
    edited.expect(StatusCode::OK);
    for field in ["description", "external_id", "expires_at", "rate_limit"] {
        assert_eq!(edited.body[field], Value::Null, "{field}");
    }
    assert_eq!(edited.body["metadata"], json!({}));
    for field in [
        "name",
        "scopes",
        "roles",
        "allowed_ip_cidrs",
        "expires_in_days",
    ] {
        let refused = edit(&server, &acme, &key.id, json!({ field: null })).await;
        refused.refuses(422, "invalid_field");
        assert_eq!(refused.body["pointer"], format!("/{field}"));
    }
}

async fn metadata_is_merged_member_by_member(server: Server) {
    let acme = server.organization("acme").await;
    let body = json!({ "name": "ci", "scopes": ["read"], "metadata": { "a": "1", "b": "2" } });
    let key = server.key(&acme, body).await;
    let merged = json!({ "metadata": { "b": null, "c": "3" } });
    let edited = edit(&server, &acme, &key.id, merged).await;
    assert_eq!(edited.body["metadata"], json!({ "a": "1", "c": "3" }));
    let mut many = json!({});
    for n in 0..19 {
        many[format!("n{n}")] = json!("x");
    }
    let refused = edit(&server, &acme, &key.id, json!({ "metadata": many })).await;
    refused.refuses(422, "invalid_field");
    assert_eq!(refused.body["pointer"], "/metadata");
    let refused = edit(&server, &acme, &key.id, json!({ "metadata": { "a": 1 } })).await;
    refused.refuses(422, "invalid_field");
    assert_eq!(refused.body["pointer"], "/metadata/a");
    let shown = show(&server, &acme, &key.id).await;
    assert_eq!(shown.body["metadata"], json!({ "a": "1", "c": "3" }));
}

async fn an_edit_takes_effect_at_the_next_exchange(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read", "write"]).await;
    let scope = [("scope", "write")];
    server.exchange(&key, &scope).await.expect(StatusCode::OK);
    let narrow = json!({ "scopes": ["read"] });
    edit(&server, &acme, &key.id, narrow)
        .await
        .expect(StatusCode::OK);
    let refused = server.exchange(&key, &scope).await;
    refused.refuses(400, "invalid_scope");
    let elsewhere = json!({ "allowed_ip_cidrs": ["192.0.2.0/24"] });
    edit(&server, &acme, &key.id, elsewhere)
        .await
        .expect(StatusCode::OK);
    server
        .exchange(&key, &[])
        .await
        .refuses(403, "access_denied");
}

async fn an_edit_that_changes_nothing_leaves_no_trace(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let count = "SELECT CAST(COUNT(*) AS TEXT) FROM audit_events";
    let before = server.place().query(count).await;
    for body in [
        json!({}),
        json!({ "name": "test", "scopes": ["read"], "metadata": {} }),
    ] {
        let same = edit(&server, &acme, &key.id, body).await;
        assert_eq!(same.expect(StatusCode::OK).body["revision"], 1);
    }
    assert_eq!(server.place().query(count).await, before);
}

async fn an_edit_built_on_an_old_revision_is_refused(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let path = format!("/v1/api-keys/{}", key.id);
    let conditional = async |tag: &str, name: &str| {
        let request = server
            .request(Method::PATCH, &path)
            .bearer_auth(&acme.secret)
            .header("if-match", tag)
            .json(&json!({ "name": name }));
        Reply::of(request).await
    };
    conditional("\"r1\"", "a").await.expect(StatusCode::OK);
    for tag in [
        "\"r1\"",
        "W/\"r2\"",
        "r2",
        "\"2\"",
        "\"r9\"",
        "",
        "x, \"r1\"",
    ] {
        conditional(tag, "b").await.refuses(412, "changed");
    }
    assert_eq!(show(&server, &acme, &key.id).await.body["name"], "a");
    for (tag, name) in [("\"r2\"", "c"), ("\"r1\", \"r3\"", "d"), ("*", "e")] {
        conditional(tag, name).await.expect(StatusCode::OK);
    }
}

async fn every_act_on_a_key_minds_its_revision(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    for verb in ["disable", "enable", "rotate", "rotate/finish", "revoke"] {
        let path = format!("/v1/api-keys/{}/{verb}", key.id);
        for tag in ["\"r99\"", "\"r01\"", "\"r+1\""] {
            let request = server
                .request(Method::POST, &path)
                .bearer_auth(&acme.secret)
                .header("if-match", tag);
            Reply::of(request).await.refuses(412, "changed");
        }
    }
    let path = "/v1/organizations/acme?force=true";
    let request = server
        .request(Method::DELETE, path)
        .bearer_auth(&server.operator)
        .header("if-match", "\"r99\"");
    Reply::of(request).await.refuses(412, "changed");
    assert_eq!(show(&server, &acme, &key.id).await.body["revision"], 1);
}

async fn an_act_is_not_done_under_parameters_it_does_not_know(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let one = format!("/v1/api-keys/{}", key.id);
    let acts = [
        (
            Method::POST,
            "/v1/api-keys".to_owned(),
            json!({ "name": "x", "scopes": ["read"] }),
        ),
        (Method::POST, format!("{one}/revoke"), Value::Null),
        (Method::POST, format!("{one}/disable"), Value::Null),
        (Method::POST, format!("{one}/rotate"), Value::Null),
        (
            Method::PATCH,
            "/v1/organization".to_owned(),
            json!({ "name": "x" }),
        ),
        (
            Method::POST,
            "/v1/roles".to_owned(),
            json!({ "name": "x", "scopes": ["read"] }),
        ),
        (
            Method::PUT,
            "/v1/scopes/read".to_owned(),
            json!({ "description": "x" }),
        ),
        (Method::DELETE, "/v1/scopes/read".to_owned(), Value::Null),
    ];
    for (method, path, body) in acts {
        let path = format!("{path}?dry_run=true");
        let refused = server.call(&acme.secret, method, &path, body).await;
        refused.refuses(422, "invalid_query");
    }
    assert_eq!(show(&server, &acme, &key.id).await.body["revision"], 1);
}

async fn of_two_edits_built_on_one_revision_one_wins(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let path = format!("/v1/api-keys/{}", key.id);
    let attempts = (0..8).map(|n| {
        let request = server
            .request(Method::PATCH, &path)
            .bearer_auth(&acme.secret)
            .header("if-match", "\"r1\"")
            .json(&json!({ "name": format!("n{n}") }));
        tokio::spawn(async move { Reply::of(request).await.status.as_u16() })
    });
    let mut statuses = Vec::new();
    for attempt in attempts.collect::<Vec<_>>() {
        statuses.push(attempt.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412, 412, 412, 412, 412, 412, 412]);
}

async fn an_edit_of_a_revoked_key_is_refused(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    post(&server, &acme, &key.id, "revoke")
        .await
        .expect(StatusCode::OK);
    let refused = edit(&server, &acme, &key.id, json!({ "expires_at": null })).await;
    refused.refuses(409, "key_revoked");
    for verb in ["disable", "enable"] {
        post(&server, &acme, &key.id, verb)
            .await
            .refuses(409, "key_revoked");
    }
}

async fn edits_against_a_revoke_never_bring_the_key_back(server: Server) {
    let acme = server.organization("acme").await;
    for _ in 0..5 {
        let key = server.key_with(&acme, &["read"]).await;
        let path = format!("/v1/api-keys/{}", key.id);
        let edits = (0..6).map(|n| {
            let request = server
                .request(Method::PATCH, &path)
                .bearer_auth(&acme.secret)
                .json(&json!({ "name": format!("n{n}") }));
            tokio::spawn(async move { Reply::of(request).await.status })
        });
        let edits: Vec<_> = edits.collect();
        let revoked = post(&server, &acme, &key.id, "revoke").await;
        revoked.expect(StatusCode::OK);
        for edit in edits {
            let status = edit.await.unwrap();
            assert!(status == StatusCode::OK || status == StatusCode::CONFLICT);
        }
        assert_eq!(
            show(&server, &acme, &key.id).await.body["status"],
            "revoked"
        );
        server
            .exchange(&key, &[])
            .await
            .refuses(401, "invalid_client");
    }
}

async fn an_edit_warns_of_what_it_widens(server: Server) {
    let acme = server.organization("acme").await;
    let body = json!({ "name": "ci", "scopes": ["read:a"], "expires_in_days": 9,
        "allowed_ip_cidrs": ["10.0.0.0/8"] });
    let key = server.key(&acme, body).await;
    let codes = async |body: Value| -> Vec<String> {
        let edited = edit(&server, &acme, &key.id, body).await;
        let warnings = edited.expect(StatusCode::OK).body["warnings"].clone();
        let code = |warning: &Value| warning["code"].as_str().unwrap().to_owned();
        warnings.as_array().unwrap().iter().map(code).collect()
    };
    assert_eq!(codes(json!({ "name": "other" })).await, [""; 0]);
    assert_eq!(
        codes(json!({ "scopes": ["read"] })).await,
        ["widened_scopes"]
    );
    let wide = json!({ "allowed_ip_cidrs": ["0.0.0.0/0"] });
    assert_eq!(codes(wide).await, ["wildcard_network", "widened_networks"]);
    assert_eq!(codes(json!({ "expires_at": null })).await, ["no_expiry"]);
    let narrow = json!({ "scopes": ["read:b"], "allowed_ip_cidrs": ["10.1.0.0/16"] });
    assert_eq!(codes(narrow).await, [""; 0]);
}

async fn what_an_edit_does_not_know_is_refused(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let cases = [
        (json!({ "nmae": "x" }), "/nmae"),
        (json!({ "id": "key_x" }), "/id"),
        (json!({ "status": "revoked" }), "/status"),
        (json!({ "organization": "other" }), "/organization"),
        (json!({ "name": " " }), "/name"),
        (json!({ "name": 5 }), "/name"),
        (json!({ "scopes": [] }), "/scopes"),
        (json!({ "scopes": ["Read"] }), "/scopes/0"),
        (json!({ "roles": ["nobody"] }), "/roles"),
        (json!({ "roles": ["A"] }), "/roles/0"),
        (json!({ "allowed_ip_cidrs": [] }), "/allowed_ip_cidrs"),
        (
            json!({ "allowed_ip_cidrs": ["10.0.0.1/8"] }),
            "/allowed_ip_cidrs/0",
        ),
        (
            json!({ "expires_at": "2001-01-01T00:00:00Z" }),
            "/expires_at",
        ),
        (json!({ "expires_in_days": 0 }), "/expires_in_days"),
        (
            json!({ "expires_in_days": 1, "expires_at": null }),
            "/expires_in_days",
        ),
        (
            json!({ "rate_limit": { "limit": 0, "window_seconds": 1 } }),
            "/rate_limit/limit",
        ),
        (
            json!({ "rate_limit": { "limit": 1, "window_seconds": 1e9 } }),
            "/rate_limit/window_seconds",
        ),
        (
            json!({ "rate_limit": { "limit": 1 } }),
            "/rate_limit/window_seconds",
        ),
    ];
    for (body, pointer) in cases {
        let refused = edit(&server, &acme, &key.id, body.clone()).await;
        refused.refuses(422, "invalid_field");
        assert_eq!(refused.body["pointer"], pointer, "{body}");
    }
    assert_eq!(show(&server, &acme, &key.id).await.body["revision"], 1);
}

async fn a_disabled_key_is_refused_until_it_is_enabled(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["api_keys.read"]).await;
    let token = server.management_token(&key, &[]).await;
    let off = post(&server, &acme, &key.id, "disable").await;
    assert_eq!(off.expect(StatusCode::OK).body["status"], "disabled");
    assert_eq!(off.body["disabled_at"], server.clock.now().to_string());
    let again = post(&server, &acme, &key.id, "disable").await;
    assert_eq!(again.expect(StatusCode::OK).body, off.body);
    server
        .exchange(&key, &[])
        .await
        .refuses(401, "invalid_client");
    for bearer in [&key.secret, &token] {
        let refused = server
            .call(bearer, Method::GET, "/v1/api-keys", Value::Null)
            .await;
        refused.refuses(401, "unauthenticated");
    }
    let listed = server
        .call(
            &acme.secret,
            Method::GET,
            "/v1/api-keys?status=disabled",
            Value::Null,
        )
        .await;
    assert_eq!(listed.body["data"][0]["id"], key.id);
    let on = post(&server, &acme, &key.id, "enable").await;
    assert_eq!(on.expect(StatusCode::OK).body["status"], "active");
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
}

async fn a_revoke_keeps_its_reason(server: Server) {
    let acme = server.organization("acme").await;
    for reason in ["unspecified", "compromised", "superseded", "unused"] {
        let key = server.key_with(&acme, &["read"]).await;
        let path = format!("/v1/api-keys/{}/revoke", key.id);
        let body = json!({ "reason": reason });
        let revoked = server.call(&acme.secret, Method::POST, &path, body).await;
        assert_eq!(revoked.expect(StatusCode::OK).body["revoke_reason"], reason);
        // A second revoke is too late to say otherwise.
        let body = json!({ "reason": "unused" });
        let again = server.call(&acme.secret, Method::POST, &path, body).await;
        assert_eq!(again.body, revoked.body);
    }
    let key = server.key_with(&acme, &["read"]).await;
    let path = format!("/v1/api-keys/{}/revoke", key.id);
    for bad in [json!("stolen"), json!(null), json!(1)] {
        let body = json!({ "reason": bad });
        let refused = server.call(&acme.secret, Method::POST, &path, body).await;
        refused.refuses(422, "invalid_field");
        assert_eq!(refused.body["pointer"], "/reason");
    }
}

async fn what_an_edit_adds_is_within_its_editor(server: Server) {
    let acme = server.organization("acme").await;
    let bounds = json!({ "name": "editor", "scopes": ["api_keys.update", "read:a/**", "write"],
        "allowed_ip_cidrs": ["127.0.0.0/8", "10.0.0.0/8"], "expires_in_days": 30 });
    let editor = server.key(&acme, bounds).await;
    let target = json!({ "name": "t", "scopes": ["write"], "expires_in_days": 10,
        "allowed_ip_cidrs": ["10.128.0.0/9"] });
    let target = server.key(&acme, target).await;
    let refused = async |body: Value, pointer: &str| {
        let refused = edit(&server, &editor, &target.id, body).await;
        refused.refuses(403, "exceeds_authority");
        assert_eq!(refused.body["pointer"], pointer);
    };
    refused(json!({ "scopes": ["write", "read"] }), "/scopes").await;
    let everywhere = json!({ "allowed_ip_cidrs": ["0.0.0.0/0"] });
    refused(everywhere, "/allowed_ip_cidrs").await;
    let one_more = json!({ "allowed_ip_cidrs": ["10.128.0.0/9", "192.0.2.1"] });
    refused(one_more, "/allowed_ip_cidrs").await;
    refused(json!({ "expires_at": null }), "/expires_at").await;
    refused(json!({ "expires_in_days": 31 }), "/expires_at").await;
    for body in [
        json!({ "scopes": ["write", "read:a/b"] }),
        json!({ "allowed_ip_cidrs": ["10.0.0.0/8"] }),
        json!({ "expires_in_days": 30 }),
        json!({ "expires_in_days": 1 }),
    ] {
        edit(&server, &editor, &target.id, body)
            .await
            .expect(StatusCode::OK);
    }
}

async fn an_edit_may_leave_what_is_beyond_its_editor(server: Server) {
    let acme = server.organization("acme").await;
    let editor = server.key_with(&acme, &["api_keys.update"]).await;
    let target = json!({ "name": "t", "scopes": ["write", "read"], "expires_in_days": 10 });
    let target = server.key(&acme, target).await;
    for body in [
        json!({ "name": "renamed", "metadata": { "a": "b" } }),
        json!({ "scopes": ["write:x/**", "read"] }),
        json!({ "allowed_ip_cidrs": ["10.0.0.0/8"] }),
        json!({ "expires_in_days": 1 }),
    ] {
        edit(&server, &editor, &target.id, body)
            .await
            .expect(StatusCode::OK);
    }
    // What was taken away does not come back by the same hand.
    let back = json!({ "scopes": ["write", "read"] });
    let refused = edit(&server, &editor, &target.id, back).await;
    refused.refuses(403, "exceeds_authority");
}

async fn an_edit_moves_nothing_beyond_its_editors_bounds(server: Server) {
    let acme = server.organization("acme").await;
    // One that is strong, and bound to a place and a time.
    let bound = json!({ "name": "bound", "scopes": ["api_keys.update", "write"],
        "allowed_ip_cidrs": ["127.0.0.0/8"], "expires_in_days": 30 });
    let bound = server.key(&acme, bound).await;
    let weak_everywhere = json!({ "name": "w", "scopes": ["read"], "expires_in_days": 10 });
    let weak_for_ever = json!({ "name": "w", "scopes": ["read"],
        "allowed_ip_cidrs": ["127.0.0.0/8"] });
    let add = json!({ "scopes": ["read", "write"] });
    for weak in [weak_everywhere, weak_for_ever] {
        let weak = server.key(&acme, weak).await;
        let refused = edit(&server, &bound, &weak.id, add.clone()).await;
        refused.refuses(403, "exceeds_authority");
        assert_eq!(refused.body["pointer"], Value::Null);
    }
    let any = json!({ "name": "any", "scopes": ["api_keys.update", "api_keys.any_network",
        "write"], "allowed_ip_cidrs": ["127.0.0.0/8"], "expires_in_days": 30 });
    let any = server.key(&acme, any).await;
    let weak = json!({ "name": "w", "scopes": ["read"], "expires_in_days": 10 });
    let weak = server.key(&acme, weak).await;
    edit(&server, &any, &weak.id, add)
        .await
        .expect(StatusCode::OK);
    // One that is weak, and bound by nothing: it cannot lift the bounds of a strong one.
    let weak = server.key_with(&acme, &["api_keys.update"]).await;
    let strong = json!({ "name": "s", "scopes": ["write"], "expires_in_days": 10,
        "allowed_ip_cidrs": ["10.0.0.0/8"] });
    let strong = server.key(&acme, strong).await;
    for body in [
        json!({ "allowed_ip_cidrs": ["0.0.0.0/0"] }),
        json!({ "expires_at": null }),
        json!({ "expires_in_days": 11 }),
    ] {
        let refused = edit(&server, &weak, &strong.id, body).await;
        refused.refuses(403, "exceeds_authority");
    }
}

async fn what_is_given_back_is_within_its_giver(server: Server) {
    let acme = server.organization("acme").await;
    let editor = server.key_with(&acme, &["api_keys.update"]).await;
    let key = server
        .key(
            &acme,
            json!({ "name": "x", "scopes": ["write"], "expires_in_days": 1 }),
        )
        .await;
    post(&server, &editor, &key.id, "disable")
        .await
        .expect(StatusCode::OK);
    let refused = post(&server, &editor, &key.id, "enable").await;
    refused.refuses(403, "exceeds_authority");
    post(&server, &acme, &key.id, "enable")
        .await
        .expect(StatusCode::OK);
    // An ended key is worth nothing, so to give it time is to give it all.
    server.advance(86_400);
    let revive = json!({ "expires_in_days": 1 });
    let refused = edit(&server, &editor, &key.id, revive.clone()).await;
    refused.refuses(403, "exceeds_authority");
    edit(&server, &acme, &key.id, revive)
        .await
        .expect(StatusCode::OK);
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
}
