//! Every refusal for what is or is not there, as it goes over the wire.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::database::Database;
use crate::support::server::Server;
use crate::{assert_wire, on_both_engines};

on_both_engines!(what_is_not_there, what_is_in_conflict, what_fails_inside);

const KEYS: &str = "/v1/api-keys";

async fn what_is_not_there(server: Server) {
    server.organization("acme").await;
    let get = async |path: &str| server.operate(Method::GET, path, Value::Null).await;
    let key = get("/v1/api-keys/key_00000000000000000000000001").await;
    assert_wire!(server, key, @r#"
    404
    content-type: application/problem+json
    {
      "code": "not_found",
      "detail": "there is no such API key here",
      "request_id": "req_[ulid]",
      "status": 404,
      "title": "Not found",
      "type": "urn:tenmint:problem:not_found"
    }
    "#);
    let organization = get("/v1/organizations/nobody").await;
    assert_wire!(server, organization, @r#"
    404
    content-type: application/problem+json
    {
      "code": "not_found",
      "detail": "there is no such organization here",
      "request_id": "req_[ulid]",
      "status": 404,
      "title": "Not found",
      "type": "urn:tenmint:problem:not_found"
    }
    "#);
    let route = get("/v1/nothing").await;
    assert_wire!(server, route, @r#"
    404
    content-type: application/problem+json
    {
      "code": "not_found",
      "detail": "there is nothing at this path",
      "request_id": "req_[ulid]",
      "status": 404,
      "title": "Not found",
      "type": "urn:tenmint:problem:not_found"
    }
    "#);
    let method = server.operate(Method::DELETE, KEYS, Value::Null).await;
    assert_wire!(server, method, @r#"
    405
    content-type: application/problem+json
    allow: GET,HEAD,POST
    {
      "code": "method_not_allowed",
      "detail": "use a method that the Allow header names",
      "request_id": "req_[ulid]",
      "status": 405,
      "title": "Method not allowed",
      "type": "urn:tenmint:problem:method_not_allowed"
    }
    "#);
}

async fn what_is_in_conflict(server: Server) {
    server.organization("acme").await;
    let body = json!({ "id": "acme" });
    let taken = server
        .operate(Method::POST, "/v1/organizations", body)
        .await;
    assert_wire!(server, taken, @r#"
    409
    content-type: application/problem+json
    {
      "code": "organization_exists",
      "detail": "an organization of this id exists: choose another id",
      "request_id": "req_[ulid]",
      "status": 409,
      "title": "In conflict with what is there",
      "type": "urn:tenmint:problem:organization_exists"
    }
    "#);
    let path = "/v1/organizations/acme/bootstrap";
    let other = server
        .operate(Method::POST, path, json!({ "alg": "EdDSA" }))
        .await;
    assert_wire!(server, other, @r#"
    409
    content-type: application/problem+json
    {
      "code": "other_algorithm",
      "detail": "this organization signs with ES256: leave alg out, or say ES256",
      "request_id": "req_[ulid]",
      "status": 409,
      "title": "In conflict with what is there",
      "type": "urn:tenmint:problem:other_algorithm"
    }
    "#);
    let path = "/v1/organizations/operator/suspend";
    let operator = server.operate(Method::POST, path, Value::Null).await;
    assert_wire!(server, operator, @r#"
    409
    content-type: application/problem+json
    {
      "code": "operator_not_suspendable",
      "detail": "the operator organization cannot be suspended: revoke its keys instead",
      "request_id": "req_[ulid]",
      "status": 409,
      "title": "In conflict with what is there",
      "type": "urn:tenmint:problem:operator_not_suspendable"
    }
    "#);
}

async fn what_fails_inside(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["a"]).await;
    let damage = "UPDATE api_keys SET scopes = $2 WHERE id = $1";
    let database = Database::of(&server).await;
    database.run(damage, &[&key.id, "what is this"]).await;
    let path = format!("{KEYS}/{}", key.id);
    let corrupt = server
        .call(&acme.secret, Method::GET, &path, Value::Null)
        .await;
    assert_wire!(server, corrupt, @r#"
    500
    content-type: application/problem+json
    {
      "code": "internal",
      "detail": "tenmint failed; the operator finds the cause in the log under this request id",
      "request_id": "req_[ulid]",
      "status": 500,
      "title": "Internal error",
      "type": "urn:tenmint:problem:internal"
    }
    "#);
    server.app.close().await;
    let closed = server
        .call(&acme.secret, Method::GET, &path, Value::Null)
        .await;
    assert_wire!(server, closed, @r#"
    503
    content-type: application/problem+json
    retry-after: 2
    {
      "code": "unavailable",
      "detail": "it is not known whether anything was done: look, then try again",
      "request_id": "req_[ulid]",
      "status": 503,
      "title": "Unavailable",
      "type": "urn:tenmint:problem:unavailable"
    }
    "#);
}
