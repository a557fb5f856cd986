//! A bootstrap is a grant: whoever bootstraps holds what the management key will hold.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::support::database::Database;
use crate::support::server::{Key, Reply, Server};

on_both_engines!(
    whoever_may_write_organizations_alone_cannot_make_a_management_key,
    whoever_lacks_a_single_scope_of_the_management_key_is_told_which,
    a_network_restricted_operator_key_bootstraps_from_its_networks_alone,
    an_expiring_operator_key_makes_no_key_that_outlives_it,
    a_token_bootstraps_within_its_scopes,
    asking_again_is_no_grant_and_a_reissue_is,
);

const EVERYTHING: [&str; 9] = [
    "*",
    "api_keys.*",
    "audit.*",
    "organization.*",
    "organizations.*",
    "roles.*",
    "signing_keys.*",
    "tokens.*",
    "usage.*",
];

async fn create(server: &Server, id: &str) {
    let path = "/v1/organizations";
    let created = server
        .operate(Method::POST, path, json!({ "id": id }))
        .await;
    created.expect(StatusCode::CREATED);
}

/// An operator's key, less than everything.
async fn operator_key(server: &Server, mut body: Value) -> Key {
    body["name"] = "lesser".into();
    let made = server.operate(Method::POST, "/v1/api-keys", body).await;
    Key::of(&made.expect(StatusCode::CREATED).body)
}

async fn bootstrap(server: &Server, bearer: &str, body: Value) -> Reply {
    let path = "/v1/organizations/acme/bootstrap";
    server.call(bearer, Method::POST, path, body).await
}

/// A bootstrap of `acme` is refused, changes nothing, and whoever holds everything still can.
async fn is_beyond(server: &Server, bearer: &str) -> Reply {
    create(server, "acme").await;
    let database = Database::of(server).await;
    let before = database.contents().await;
    let refused = bootstrap(server, bearer, json!({})).await;
    refused.refuses(403, "exceeds_authority");
    assert_eq!(
        refused.body.get("pointer"),
        None,
        "the body says nothing of what goes too far: {}",
        refused.text
    );
    assert_eq!(database.contents().await, before);
    let done = bootstrap(server, &server.operator, json!({})).await;
    done.expect(StatusCode::CREATED);
    refused
}

fn detail(reply: &Reply) -> &str {
    reply.body["detail"].as_str().unwrap()
}

async fn whoever_may_write_organizations_alone_cannot_make_a_management_key(server: Server) {
    let lesser = operator_key(&server, json!({ "scopes": ["organizations.write"] })).await;
    is_beyond(&server, &lesser.secret).await;
}

async fn whoever_lacks_a_single_scope_of_the_management_key_is_told_which(server: Server) {
    let scopes = EVERYTHING.map(|s| if s == "audit.*" { "audit.read" } else { s });
    let lesser = operator_key(&server, json!({ "scopes": scopes })).await;
    let refused = is_beyond(&server, &lesser.secret).await;
    assert!(detail(&refused).contains("audit.*"), "{}", refused.text);
}

async fn a_network_restricted_operator_key_bootstraps_from_its_networks_alone(server: Server) {
    create(&server, "acme").await;
    let elsewhere = json!({ "scopes": EVERYTHING, "allowed_ip_cidrs": ["203.0.113.0/24"] });
    let elsewhere = operator_key(&server, elsewhere).await;
    let refused = bootstrap(&server, &elsewhere.secret, json!({})).await;
    refused.refuses(403, "network_denied");

    // `api_keys.*` includes api_keys.any_network: it may open keys to everywhere.
    let here = json!({ "scopes": EVERYTHING, "allowed_ip_cidrs": ["127.0.0.0/8", "::1"] });
    let here = operator_key(&server, here).await;
    let done = bootstrap(&server, &here.secret, json!({})).await;
    let made = &done.expect(StatusCode::CREATED).body["management_key"];
    assert_eq!(made["allowed_ip_cidrs"], json!(["0.0.0.0/0", "::/0"]));
}

async fn an_expiring_operator_key_makes_no_key_that_outlives_it(server: Server) {
    let expiring = json!({ "scopes": EVERYTHING, "expires_in_days": 30 });
    let expiring = operator_key(&server, expiring).await;
    let own = format!("/v1/api-keys/{}", expiring.id);
    let own = server.operate(Method::GET, &own, Value::Null).await;
    let end = own.expect(StatusCode::OK).body["expires_at"].clone();
    assert!(end.is_string());

    create(&server, "acme").await;
    let done = bootstrap(&server, &expiring.secret, json!({})).await;
    assert_eq!(
        done.expect(StatusCode::CREATED).body["management_key"]["expires_at"],
        end
    );
    // One that does not end makes one that does not.
    let reissued = server
        .operate(
            Method::POST,
            "/v1/organizations/acme/bootstrap",
            json!({ "reissue": true }),
        )
        .await;
    assert_eq!(
        reissued.expect(StatusCode::OK).body["management_key"]["expires_at"],
        Value::Null
    );
}

async fn a_token_bootstraps_within_its_scopes(server: Server) {
    let key = operator_key(&server, json!({ "scopes": EVERYTHING })).await;
    let narrow = [("scope", "organizations.write")];
    let narrow = server.management_token(&key, &narrow).await;
    is_beyond(&server, &narrow).await;

    let whole = server.management_token(&key, &[]).await;
    let reissued = bootstrap(&server, &whole, json!({ "reissue": true })).await;
    reissued.expect(StatusCode::OK);
}

async fn asking_again_is_no_grant_and_a_reissue_is(server: Server) {
    let acme = server.organization("acme").await;
    let lesser = operator_key(&server, json!({ "scopes": ["organizations.write"] })).await;
    let again = bootstrap(&server, &lesser.secret, json!({})).await;
    assert!(again.expect(StatusCode::OK).body["management_key"]["id"] == acme.id);
    assert!(!again.text.contains("\"secret\""));

    let reissue = json!({ "reissue": true });
    let refused = bootstrap(&server, &lesser.secret, reissue).await;
    refused.refuses(403, "exceeds_authority");
    // The old key was not revoked for nothing.
    server.exchange(&acme, &[]).await.expect(StatusCode::OK);
}
