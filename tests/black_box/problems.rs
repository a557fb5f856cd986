//! Every refusal of a caller by the management plane, as it goes over the wire.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::server::{Key, Reply, Server};
use crate::{assert_wire, on_both_engines};

on_both_engines!(
    who_calls,
    what_the_caller_may_not_do,
    what_a_grant_goes_beyond,
    every_answer_is_for_no_cache_and_every_refusal_can_be_found_again,
);

const KEYS: &str = "/v1/api-keys";

async fn who_calls(server: Server) {
    let nobody = server.get(KEYS).await;
    assert_wire!(server, nobody, @r#"
    401
    content-type: application/problem+json
    www-authenticate: Bearer realm="tenmint"
    {
      "code": "unauthenticated",
      "detail": "send Authorization: Bearer with an API key, or with an access token obtained for the resource of this management plane",
      "request_id": "req_[ulid]",
      "status": 401,
      "title": "Not authenticated",
      "type": "urn:tenmint:problem:unauthenticated"
    }
    "#);
    let acme = server.organization("acme").await;
    let revoke = format!("{KEYS}/{}/revoke", acme.id);
    server
        .call(&acme.secret, Method::POST, &revoke, Value::Null)
        .await;
    let revoked = server
        .call(&acme.secret, Method::GET, KEYS, Value::Null)
        .await;
    assert_wire!(server, revoked, @r#"
    401
    content-type: application/problem+json
    www-authenticate: Bearer realm="tenmint", error="invalid_token"
    {
      "code": "unauthenticated",
      "detail": "this credential is not, or no longer, in force",
      "request_id": "req_[ulid]",
      "status": 401,
      "title": "Not authenticated",
      "type": "urn:tenmint:problem:unauthenticated"
    }
    "#);
    let token = server.call("a.b.c", Method::GET, KEYS, Value::Null).await;
    assert_wire!(server, token, @r#"
    401
    content-type: application/problem+json
    www-authenticate: Bearer realm="tenmint", error="invalid_token"
    {
      "code": "unauthenticated",
      "detail": "this access token does not count here: obtain one from the deployment's token endpoint with resource set to the base URL",
      "request_id": "req_[ulid]",
      "status": 401,
      "title": "Not authenticated",
      "type": "urn:tenmint:problem:unauthenticated"
    }
    "#);
    let url = server.get("/v1/api-keys?access_token=a.b.c").await;
    assert_wire!(server, url, @r#"
    400
    content-type: application/problem+json
    {
      "code": "credential_in_url",
      "detail": "send it as Authorization: Bearer; URLs are kept in logs and histories, so consider the one you sent leaked",
      "request_id": "req_[ulid]",
      "status": 400,
      "title": "Credential in the URL",
      "type": "urn:tenmint:problem:credential_in_url"
    }
    "#);
}

async fn what_the_caller_may_not_do(server: Server) {
    let acme = server.organization("acme").await;
    let weak = server.key_with(&acme, &["*"]).await;
    let lacking = server
        .call(&weak.secret, Method::GET, KEYS, Value::Null)
        .await;
    assert_wire!(server, lacking, @r#"
    403
    content-type: application/problem+json
    www-authenticate: Bearer realm="tenmint", error="insufficient_scope", scope="api_keys.read"
    {
      "code": "insufficient_scope",
      "detail": "this needs the scope api_keys.read",
      "request_id": "req_[ulid]",
      "status": 403,
      "title": "Scope missing",
      "type": "urn:tenmint:problem:insufficient_scope"
    }
    "#);
    let path = "/v1/organizations";
    let tenant = server
        .call(&acme.secret, Method::GET, path, Value::Null)
        .await;
    assert_wire!(server, tenant, @r#"
    403
    content-type: application/problem+json
    {
      "code": "operator_only",
      "detail": "only keys of the operator organization can do this; your own organization is at /v1/…",
      "request_id": "req_[ulid]",
      "status": 403,
      "title": "For the operator",
      "type": "urn:tenmint:problem:operator_only"
    }
    "#);
    let body = json!({ "name": "x", "scopes": ["api_keys.*"],
        "allowed_ip_cidrs": ["203.0.113.0/24"] });
    let elsewhere = server.key(&acme, body).await;
    let denied = server
        .call(&elsewhere.secret, Method::GET, KEYS, Value::Null)
        .await;
    assert_wire!(server, denied, @r#"
    403
    content-type: application/problem+json
    {
      "code": "network_denied",
      "detail": "this API key cannot be used from this network address",
      "request_id": "req_[ulid]",
      "status": 403,
      "title": "Network refused",
      "type": "urn:tenmint:problem:network_denied"
    }
    "#);
}

async fn what_a_grant_goes_beyond(server: Server) {
    let acme = server.organization("acme").await;
    let body = json!({ "name": "x", "scopes": ["api_keys.create"], "expires_in_days": 1,
        "allowed_ip_cidrs": ["127.0.0.1"] });
    let granter = server.key(&acme, body.clone()).await;
    let ask = async |member: &str, value: Value| {
        let mut body = body.clone();
        body[member] = value;
        server.call(&granter.secret, Method::POST, KEYS, body).await
    };
    let scope = ask("scopes", json!(["read:a/b"])).await;
    assert_wire!(server, scope, @r#"
    403
    content-type: application/problem+json
    {
      "code": "exceeds_authority",
      "detail": "you cannot grant read:a/b, which your own credential does not hold",
      "pointer": "/scopes",
      "request_id": "req_[ulid]",
      "status": 403,
      "title": "Beyond your own authority",
      "type": "urn:tenmint:problem:exceeds_authority"
    }
    "#);
    let networks = ask("allowed_ip_cidrs", json!(["0.0.0.0/0"])).await;
    assert_wire!(server, networks, @r#"
    403
    content-type: application/problem+json
    {
      "code": "exceeds_authority",
      "detail": "you cannot open a key to networks that your own key is not open to; name networks within your own, or hold api_keys.any_network",
      "pointer": "/allowed_ip_cidrs",
      "request_id": "req_[ulid]",
      "status": 403,
      "title": "Beyond your own authority",
      "type": "urn:tenmint:problem:exceeds_authority"
    }
    "#);
    let lifetime = ask("expires_in_days", json!(2)).await;
    assert_wire!(server, lifetime, @r#"
    403
    content-type: application/problem+json
    {
      "code": "exceeds_authority",
      "detail": "you cannot make a key that outlives your own; let it expire by [now+86400s] at the latest",
      "pointer": "/expires_at",
      "request_id": "req_[ulid]",
      "status": 403,
      "title": "Beyond your own authority",
      "type": "urn:tenmint:problem:exceeds_authority"
    }
    "#);

    let body = json!({ "name": "x", "scopes": ["organizations.write"] });
    let clerk = server.operate(Method::POST, KEYS, body).await;
    let clerk = Key::of(&clerk.body);
    let path = "/v1/organizations/acme/bootstrap";
    let body = json!({ "reissue": true });
    let bootstrap = server.call(&clerk.secret, Method::POST, path, body).await;
    assert_wire!(server, bootstrap, @r#"
    403
    content-type: application/problem+json
    {
      "code": "exceeds_authority",
      "detail": "the management key would hold *, and so must the operator key that makes it: use one like those of tenmint operator-key",
      "request_id": "req_[ulid]",
      "status": 403,
      "title": "Beyond your own authority",
      "type": "urn:tenmint:problem:exceeds_authority"
    }
    "#);
}

async fn every_answer_is_for_no_cache_and_every_refusal_can_be_found_again(server: Server) {
    let acme = server.organization("acme").await;
    let replies = [
        server.get(KEYS).await,
        server.get("/v1/nothing").await,
        server
            .call(&acme.secret, Method::GET, KEYS, Value::Null)
            .await,
        server
            .call(&acme.secret, Method::PUT, KEYS, Value::Null)
            .await,
        server
            .call(&acme.secret, Method::POST, KEYS, json!({}))
            .await,
        server
            .call(&acme.secret, Method::GET, "/v1/organizations", Value::Null)
            .await,
        server
            .operate(Method::GET, "/v1/organizations", Value::Null)
            .await,
        server
            .operate(Method::GET, "/v1/organizations/nobody", Value::Null)
            .await,
    ];
    for reply in &replies {
        assert_eq!(
            reply.header("cache-control"),
            Some("no-store"),
            "{}",
            reply.text
        );
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        if reply.status != StatusCode::OK {
            assert_eq!(
                reply.header("content-type"),
                Some("application/problem+json")
            );
            let id = reply.body["request_id"].as_str();
            assert!(id.unwrap().starts_with("req_"));
            assert_eq!(reply.header("x-request-id"), id);
            assert_eq!(reply.body["status"], reply.status.as_u16());
        }
    }
    // It is made here: what a caller says is not repeated.
    let request = server
        .request(Method::GET, KEYS)
        .header("x-request-id", "req_mine");
    assert_ne!(Reply::of(request).await.body["request_id"], "req_mine");
}
