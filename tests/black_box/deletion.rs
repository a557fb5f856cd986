//! Organizations deleted: nothing of persons stays, and the audit chain still verifies.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::support::server::{Server, claims};

on_both_engines!(
    an_organization_with_keys_in_force_is_deleted_only_by_force,
    a_deleted_organization_is_unknown_everywhere,
    nothing_personal_stays_of_a_deleted_organization,
    the_audit_chain_of_a_deleted_organization_verifies,
    the_operators_own_organization_cannot_be_deleted,
    an_id_is_never_given_again,
);

const ACME: &str = "/v1/organizations/acme";

async fn delete(server: &Server, query: &str) -> crate::support::server::Reply {
    let path = format!("{ACME}{query}");
    server.operate(Method::DELETE, &path, Value::Null).await
}

async fn an_organization_with_keys_in_force_is_deleted_only_by_force(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    delete(&server, "").await.refuses(409, "keys_remain");
    delete(&server, "?force=false")
        .await
        .refuses(409, "keys_remain");
    for bad in [
        "?force=",
        "?force=1",
        "?force=true&force=true",
        "?purge=true",
    ] {
        delete(&server, bad).await.refuses(422, "invalid_query");
    }
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
    delete(&server, "?force=true")
        .await
        .expect(StatusCode::NO_CONTENT);
    server
        .exchange(&key, &[])
        .await
        .refuses(401, "invalid_client");

    server.organization("other").await;
    let keys = "/v1/organizations/other/api-keys/revoke";
    let all = json!({ "filter": { "all": true }, "expected_count": 1 });
    server
        .operate(Method::POST, keys, all)
        .await
        .expect(StatusCode::OK);
    // Nobody can do anything with it any more: no force is needed.
    let path = "/v1/organizations/other";
    let gone = server.operate(Method::DELETE, path, Value::Null).await;
    gone.expect(StatusCode::NO_CONTENT);
}

async fn a_deleted_organization_is_unknown_everywhere(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read", "api_keys.read"]).await;
    let token = server.management_token(&key, &[]).await;
    delete(&server, "?force=true")
        .await
        .expect(StatusCode::NO_CONTENT);
    delete(&server, "?force=true")
        .await
        .refuses(404, "not_found");
    for bearer in [&acme.secret, &key.secret, &token] {
        let refused = server
            .call(bearer, Method::GET, "/v1/api-keys", Value::Null)
            .await;
        refused.refuses(401, "unauthenticated");
    }
    for path in ["", "/api-keys", "/roles", "/usage"] {
        let path = format!("{ACME}{path}");
        let gone = server.operate(Method::GET, &path, Value::Null).await;
        gone.refuses(404, "not_found");
    }
    // What was done to it stays readable, to the operator.
    let path = format!("{ACME}/audit-events?limit=1");
    let log = server.operate(Method::GET, &path, Value::Null).await;
    assert_eq!(log.body["data"][0]["action"], "organization.delete");
    server
        .get("/orgs/acme/.well-known/jwks.json")
        .await
        .expect(StatusCode::NOT_FOUND);
    let at_own = server.exchange_at("/orgs/acme", &key, &[]).await;
    at_own.refuses(401, "invalid_client");
    let listed = server
        .operate(Method::GET, "/v1/organizations?limit=100", Value::Null)
        .await;
    assert!(!listed.text.contains("\"acme\""));
}

async fn nothing_personal_stays_of_a_deleted_organization(server: Server) {
    let created = json!({ "id": "acme", "name": "Canary Industries" });
    server
        .operate(Method::POST, "/v1/organizations", created)
        .await
        .expect(StatusCode::CREATED);
    let done = server
        .operate(Method::POST, &format!("{ACME}/bootstrap"), json!({}))
        .await;
    let acme = crate::support::server::Key::of(&done.body["management_key"]);
    let role = json!({ "name": "canary-role", "description": "Canary", "scopes": ["read"] });
    server
        .call(&acme.secret, Method::POST, "/v1/roles", role)
        .await
        .expect(StatusCode::CREATED);
    let key = server
        .key(
            &acme,
            json!({ "name": "canary", "description": "canary", "roles": ["canary-role"],
                "scopes": ["canary:x"], "external_id": "canary-42",
                "metadata": { "who": "canary" } }),
        )
        .await;
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
    server
        .exchange(&key, &[("scope", "canary:y")])
        .await
        .refuses(400, "invalid_scope");
    server
        .call(&acme.secret, Method::GET, "/v1/usage", Value::Null)
        .await
        .expect(StatusCode::OK);
    // What this node still holds in memory comes after the deletion, and finds nobody.
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
    delete(&server, "?force=true")
        .await
        .expect(StatusCode::NO_CONTENT);
    let place = server.stop().await;
    let counts = [
        "api_keys",
        "roles",
        "api_key_roles",
        "exchange_records",
        "secret_uses",
        "refusals",
    ];
    for table in counts {
        // The operator's own keys stay.
        let of_acme = match table {
            "secret_uses" | "exchange_records" => {
                format!("api_key_id IN ('{}', '{}')", acme.id, key.id)
            }
            _ => "organization_id = 'acme'".to_owned(),
        };
        let count = format!("SELECT CAST(COUNT(*) AS TEXT) FROM {table} WHERE {of_acme}");
        assert_eq!(place.query(&count).await, ["0"], "{table}");
    }
    let entries = place
        .query("SELECT details || COALESCE(address, '') || COALESCE(acting_for, '') FROM audit_events WHERE organization_id = 'acme'")
        .await;
    assert!(entries.len() >= 5);
    assert!(!entries.join(" ").to_lowercase().contains("canary"));
    let name = place
        .query("SELECT name FROM organizations WHERE id = 'acme'")
        .await;
    assert_eq!(name, ["acme"]);
}

async fn the_audit_chain_of_a_deleted_organization_verifies(server: Server) {
    let acme = server.organization("acme").await;
    server.key_with(&acme, &["read"]).await;
    delete(&server, "?force=true")
        .await
        .expect(StatusCode::NO_CONTENT);
    let line = "acme: verified 4 entries, 3 of them erased";
    crate::audit_verification::holds(&server, &["--organization", "acme"], line);
}

async fn the_operators_own_organization_cannot_be_deleted(server: Server) {
    let path = "/v1/organizations/operator?force=true";
    let refused = server.operate(Method::DELETE, path, Value::Null).await;
    refused.refuses(409, "operator_not_deletable");
    server.organization("acme").await;
}

async fn an_id_is_never_given_again(server: Server) {
    let acme = server.organization("acme").await;
    let token = server.token(&acme, &[]).await;
    delete(&server, "?force=true")
        .await
        .expect(StatusCode::NO_CONTENT);
    // A new owner of the name would otherwise be taken for the old one by whoever kept a token.
    let again = json!({ "id": "acme" });
    let refused = server
        .operate(Method::POST, "/v1/organizations", again)
        .await;
    refused.refuses(409, "organization_exists");
    assert_eq!(claims(&token)["org"], "acme");
}
