//! What an imported string can never do: run tenmint itself, whoever edits its key; and what its
//! holder always can: end it.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::imports::{KINDS, exchange, imported};
use crate::introspection::{introspect, is_active, is_inactive};
use crate::on_both_engines;
use crate::rotation::{post, rotated};
use crate::self_revocation::{report, show};
use crate::support::database::Database;
use crate::support::imports::old_string;
use crate::support::server::{Key, Reply, Server, claims};

on_both_engines!(
    no_edit_lets_an_imported_string_run_tenmint,
    no_role_lets_an_imported_string_run_tenmint,
    a_rotated_key_is_tenmints_own_once_its_old_string_has_ended,
    a_found_string_is_ended_by_posting_it,
    of_a_string_and_a_secret_the_string_ends_itself_alone,
    a_client_ends_the_tokens_that_its_string_obtained,
    what_is_nobodys_string_ends_nothing,
);

async fn call(server: &Server, manager: &Key, method: Method, path: &str, body: Value) -> Reply {
    server.call(&manager.secret, method, path, body).await
}

async fn patch(server: &Server, manager: &Key, id: &str, body: Value) -> Reply {
    let path = format!("/v1/api-keys/{id}");
    call(server, manager, Method::PATCH, &path, body).await
}

async fn role(server: &Server, manager: &Key, name: &str, scopes: &[&str]) {
    let body = json!({ "name": name, "scopes": scopes });
    let made = call(server, manager, Method::POST, "/v1/roles", body).await;
    made.expect(StatusCode::CREATED);
}

/// By the rule, and not for lack of authority.
#[track_caller]
fn refused(reply: &Reply, action: &str, pointer: &str) {
    reply.expect(StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(reply.body["pointer"], pointer, "{}", reply.text);
    let detail = reply.body["detail"].as_str().unwrap();
    let rule = format!("{action} runs tenmint itself, which no imported string may");
    assert!(detail.contains(&rule), "{detail}");
}

/// What the string obtains is no good for the management plane.
async fn runs_nothing(server: &Server, string: &str) {
    let form = [
        ("grant_type", "client_credentials"),
        ("resource", &*server.base),
    ];
    let asked = server.request(Method::POST, "/oauth/token").form(&form);
    let issued = Reply::of(asked.bearer_auth(string)).await;
    if let Some(token) = issued.body["access_token"].as_str() {
        let path = "/v1/api-keys";
        let reply = server.call(token, Method::GET, path, Value::Null).await;
        reply.expect(StatusCode::FORBIDDEN);
    }
}

async fn no_edit_lets_an_imported_string_run_tenmint(server: Server) {
    let acme = server.organization("acme").await;
    role(&server, &acme, "reader", &["read", "write"]).await;
    role(&server, &acme, "manager", &["read", "api_keys.read"]).await;
    for key in imported(&server, "acme", 0).await {
        for (edit, action, pointer) in [
            (
                json!({ "scopes": ["read", "api_keys.*"] }),
                "api_keys.read",
                "/scopes",
            ),
            (json!({ "scopes": ["audit.read"] }), "audit.read", "/scopes"),
            (
                json!({ "scopes": ["tokens.introspect"] }),
                "tokens.introspect",
                "/scopes",
            ),
            (json!({ "roles": ["manager"] }), "api_keys.read", "/roles"),
            (
                json!({ "roles": ["reader", "manager"], "name": "x" }),
                "api_keys.read",
                "/roles",
            ),
        ] {
            let reply = patch(&server, &acme, &key.id, edit.clone()).await;
            refused(&reply, action, pointer);
            let tried = format!("{}?dry_run=true", key.id);
            refused(
                &patch(&server, &acme, &tried, edit.clone()).await,
                action,
                pointer,
            );
            // Nor by the operator's hand.
            let path = format!("/v1/organizations/acme/api-keys/{}", key.id);
            let reply = server.operate(Method::PATCH, &path, edit).await;
            refused(&reply, action, pointer);
        }
        runs_nothing(&server, &key.secret).await;
        // Whatever the platform itself has to give it may have.
        for edit in [
            json!({ "scopes": ["*"] }),
            json!({ "scopes": ["read", "api_keys.read:x"] }),
            json!({ "roles": ["reader"] }),
        ] {
            let reply = patch(&server, &acme, &key.id, edit).await;
            reply.expect(StatusCode::OK);
        }
        runs_nothing(&server, &key.secret).await;
    }
}

async fn no_role_lets_an_imported_string_run_tenmint(server: Server) {
    let acme = server.organization("acme").await;
    role(&server, &acme, "shared", &["read"]).await;
    let own = server.key_with(&acme, &["read"]).await;
    let shared = json!({ "roles": ["shared"] });
    patch(&server, &acme, &own.id, shared.clone()).await;
    let edit = async |scopes: Value| {
        let body = json!({ "scopes": scopes });
        call(&server, &acme, Method::PATCH, "/v1/roles/shared", body).await
    };
    let manages = json!(["read", "roles.read"]);
    edit(manages.clone()).await.expect(StatusCode::OK);
    edit(json!(["read"])).await.expect(StatusCode::OK);

    let keys = imported(&server, "acme", 0).await;
    for key in &keys {
        let given = patch(&server, &acme, &key.id, shared.clone()).await;
        given.expect(StatusCode::OK);
        let reply = edit(manages.clone()).await;
        refused(&reply, "roles.read", "/scopes");
        assert!(reply.text.contains(&key.id), "{}", reply.text);
        edit(json!(["read", "write"])).await.expect(StatusCode::OK);
        runs_nothing(&server, &key.secret).await;
        // Revoked, it stands in nobody's way.
        post(&server, &acme, &key.id, "revoke").await;
        edit(manages.clone()).await.expect(StatusCode::OK);
        edit(json!(["read"])).await.expect(StatusCode::OK);
    }
}

async fn a_rotated_key_is_tenmints_own_once_its_old_string_has_ended(server: Server) {
    let acme = server.organization("acme").await;
    role(&server, &acme, "shared", &["read"]).await;
    let key = &imported(&server, "acme", 0).await[0];
    let manages = json!({ "scopes": ["read", "roles.read"] });
    let role = async |body: &Value| {
        let path = "/v1/roles/shared";
        call(&server, &acme, Method::PATCH, path, body.clone()).await
    };
    let given = patch(&server, &acme, &key.id, json!({ "roles": ["shared"] })).await;
    given.expect(StatusCode::OK);
    rotated(&server, &acme, key, 600).await;
    // The string still counts.
    refused(
        &patch(&server, &acme, &key.id, manages.clone()).await,
        "roles.read",
        "/scopes",
    );
    refused(&role(&manages).await, "roles.read", "/scopes");
    server.advance(600);
    let edited = patch(&server, &acme, &key.id, manages.clone()).await;
    edited.expect(StatusCode::OK);
    role(&manages).await.expect(StatusCode::OK);
    let reply = exchange(&server, &key.secret).await;
    reply.refuses(401, "invalid_client");
}

async fn a_found_string_is_ended_by_posting_it(server: Server) {
    let acme = server.organization("acme").await;
    server.organization("other").await;
    let keys = imported(&server, "acme", 0).await;
    for (kind, key) in KINDS.iter().zip(&keys) {
        let issued = exchange(&server, &key.secret).await;
        let token = issued.body["access_token"].as_str().unwrap();
        // Another organization's endpoint knows it as little as any other key of acme's.
        let elsewhere = report(&server, "/orgs/other", &key.secret).await;
        assert_eq!(elsewhere.expect(StatusCode::OK).text, "");
        exchange(&server, &key.secret).await.expect(StatusCode::OK);

        let ended = report(&server, "", &key.secret).await;
        assert_eq!(ended.expect(StatusCode::OK).text, "", "{kind}");
        let reply = exchange(&server, &key.secret).await;
        reply.refuses(401, "invalid_client");
        is_inactive(&introspect(&server, &acme, token).await);
        let shown = show(&server, &acme, &key.id).await;
        assert_eq!(shown["revoke_reason"], "compromised");
        let events = Database::of(&server).await.audit_events("acme").await;
        let event = events.last().unwrap();
        assert_eq!((&*event.action, &event.actor), ("api_key.revoke", &key.id));
        let details = event.details();
        assert_eq!(details["fingerprint"], shown["fingerprint"]);
        assert!(!event.details().to_string().contains(&key.secret));
        // Again, for whoever does not trust the first answer.
        let again = report(&server, "", &key.secret).await;
        again.expect(StatusCode::OK);
    }
}

async fn of_a_string_and_a_secret_the_string_ends_itself_alone(server: Server) {
    let acme = server.organization("acme").await;
    let key = &imported(&server, "acme", 0).await[0];
    let fresh = rotated(&server, &acme, key, 600).await;
    report(&server, "/orgs/acme", &key.secret)
        .await
        .expect(StatusCode::OK);
    let reply = exchange(&server, &key.secret).await;
    reply.refuses(401, "invalid_client");
    exchange(&server, &fresh.secret)
        .await
        .expect(StatusCode::OK);
    assert_eq!(show(&server, &acme, &key.id).await["status"], "active");
    // It is no secret of the key any more, and ends nothing.
    report(&server, "", &key.secret)
        .await
        .expect(StatusCode::OK);
    exchange(&server, &fresh.secret)
        .await
        .expect(StatusCode::OK);
}

async fn a_client_ends_the_tokens_that_its_string_obtained(server: Server) {
    let acme = server.organization("acme").await;
    let keys = imported(&server, "acme", 0).await;
    let stranger = &keys[4];
    for key in &keys[..4] {
        let issued = exchange(&server, &key.secret).await;
        let token = issued.body["access_token"].as_str().unwrap();
        let ended = async |id: &str, secret: &str| {
            let request = server.request(Method::POST, "/oauth/revoke");
            let request = request.basic_auth(id, Some(secret));
            Reply::of(request.form(&[("token", token)])).await
        };
        let nobody = ended("api_key", &old_string(77)).await;
        nobody.refuses(401, "invalid_client");
        let theirs = ended("api_key", &stranger.secret).await;
        theirs.expect(StatusCode::OK);
        is_active(&introspect(&server, &acme, token).await);
        ended("api_key", &key.secret).await.expect(StatusCode::OK);
        is_inactive(&introspect(&server, &acme, token).await);
        // The key goes on.
        let next = exchange(&server, &key.secret).await;
        let next = next.expect(StatusCode::OK).body["access_token"].clone();
        assert_eq!(claims(next.as_str().unwrap())["sub"], key.id);
    }
}

async fn what_is_nobodys_string_ends_nothing(server: Server) {
    let acme = server.organization("acme").await;
    let keys = imported(&server, "acme", 0).await;
    let events = async || Database::of(&server).await.audit_events("acme").await.len();
    let before = events().await;
    for key in &keys {
        let text = &key.secret;
        for wrong in [
            format!("{text}x"),
            text[..text.len() - 1].to_owned(),
            format!("{}{}", &text[..12], "y7Qk2".repeat(5)),
            "SG.ngeVfQFYQlKU0ufo8x5d1A.TwL2iGABf9DHoTf-09kqeF8tAm".to_owned(),
        ] {
            // What could be an access token wants its client; what could be a key is one that
            // nobody has.
            let reply = report(&server, "", &wrong).await;
            let status = if wrong.starts_with("SG.") { 401 } else { 200 };
            assert_eq!(reply.status, status, "{}", reply.text);
            let beside = server
                .request(Method::POST, "/oauth/revoke")
                .basic_auth(&acme.id, Some(&acme.secret));
            let reply = Reply::of(beside.form(&[("token", &wrong)])).await;
            reply.expect(StatusCode::OK);
        }
        exchange(&server, text).await.expect(StatusCode::OK);
    }
    assert_eq!(events().await, before);
}
