//! Authority at this moment: what a token carries, within what its key holds now.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenmint::store::changes::Change;

use super::authority::{create, exceeds};
use crate::on_both_engines;
use crate::support::database::Database;
use crate::support::server::{Key, Server};

on_both_engines!(
    a_token_grants_what_it_carries_and_no_more,
    a_token_is_worth_what_its_key_holds_at_present,
    an_act_asks_the_database_not_the_cache,
);

async fn a_token_grants_what_it_carries_and_no_more(server: Server) {
    let acme = server.organization("acme").await;
    let whole = server.management_token(&acme, &[]).await;
    let body = json!({ "scopes": ["read", "api_keys.*"] });
    let made = create(&server, &whole, &body).await;
    made.expect(StatusCode::CREATED);

    let scope = [("scope", "api_keys.create read:a/**")];
    let narrow = server.management_token(&acme, &scope).await;
    let body = json!({ "scopes": ["read:a/b", "api_keys.create"] });
    let made = create(&server, &narrow, &body).await;
    made.expect(StatusCode::CREATED);
    for beyond in ["read", "api_keys.read", "write"] {
        let body = json!({ "scopes": [beyond] });
        exceeds(&create(&server, &narrow, &body).await, "/scopes");
    }
    let path = "/v1/api-keys";
    let refused = server.call(&narrow, Method::GET, path, Value::Null).await;
    refused.refuses(403, "insufficient_scope");

    // Leave to open keys to any network is a scope like others.
    let body = json!({ "name": "here", "allowed_ip_cidrs": ["127.0.0.1"],
        "scopes": ["api_keys.create", "api_keys.any_network", "read"] });
    let here = server.key(&acme, body).await;
    let scope = [("scope", "api_keys.create read")];
    let confined = server.management_token(&here, &scope).await;
    let body = json!({ "scopes": ["read"] });
    exceeds(
        &create(&server, &confined, &body).await,
        "/allowed_ip_cidrs",
    );
    let made = create(&server, &here.secret, &body).await;
    made.expect(StatusCode::CREATED);
}

/// Changes a key behind the server's back, as another node would, and lets the server know.
async fn change(server: &Server, text: &'static str, key: &Key, to: &str) {
    let database = Database::of(server).await;
    database.run(text, &[&key.id, to]).await;
    let change = Change::Key(key.id.parse().unwrap());
    server.app.management.generations.raise(&change);
}

const SCOPES: &str = "UPDATE api_keys SET scopes = $2 WHERE id = $1";

const NETWORKS: &str = "UPDATE api_keys SET allowed_ip_cidrs = $2 WHERE id = $1";

async fn a_token_is_worth_what_its_key_holds_at_present(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["api_keys.*", "read"]).await;
    let token = server.management_token(&key, &[]).await;
    let body = json!({ "scopes": ["read"] });
    let made = create(&server, &token, &body).await;
    made.expect(StatusCode::CREATED);

    change(&server, SCOPES, &key, r#"["api_keys.create"]"#).await;
    exceeds(&create(&server, &token, &body).await, "/scopes");
    let path = "/v1/api-keys";
    let refused = server.call(&token, Method::GET, path, Value::Null).await;
    refused.refuses(403, "insufficient_scope");

    // What the key gained since, the token does not carry.
    change(&server, SCOPES, &key, r#"["*", "api_keys.*", "roles.*"]"#).await;
    let wider = json!({ "scopes": ["roles.read"] });
    exceeds(&create(&server, &token, &wider).await, "/scopes");
    let made = create(&server, &token, &body).await;
    made.expect(StatusCode::CREATED);

    change(&server, NETWORKS, &key, r#"["203.0.113.0/24"]"#).await;
    let refused = server.call(&token, Method::GET, path, Value::Null).await;
    refused.refuses(403, "network_denied");
}

async fn an_act_asks_the_database_not_the_cache(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["api_keys.*", "read"]).await;
    let body = json!({ "scopes": ["read"] });
    let made = create(&server, &key.secret, &body).await;
    made.expect(StatusCode::CREATED);
    // Another node's change, of which the news has not come yet.
    let database = Database::of(&server).await;
    database
        .run(SCOPES, &[&key.id, r#"["api_keys.create"]"#])
        .await;
    exceeds(&create(&server, &key.secret, &body).await, "/scopes");
    let revoked = "UPDATE api_keys SET revoked_at = created_at WHERE id = $1";
    database.run(revoked, &[&key.id]).await;
    let refused = create(&server, &key.secret, &body).await;
    refused.refuses(401, "unauthenticated");
}
