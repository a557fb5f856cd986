//! Every refusal of what was sent to the management plane, as it goes over the wire.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::server::{Reply, Server};
use crate::{assert_wire, on_both_engines};

on_both_engines!(what_is_not_acceptable, what_cannot_be_read);

const JSON: &str = "application/json";

async fn send(server: &Server, content_type: &str, body: String) -> Reply {
    let request = server.request(Method::POST, "/v1/api-keys");
    let request = request.bearer_auth(&server.operator);
    Reply::of(request.header("content-type", content_type).body(body)).await
}

async fn what_is_not_acceptable(server: Server) {
    let field = json!({ "name": "x", "scopes": ["a"], "allowed_ip_cidrs": ["10.0.0.1/8"] });
    let field = send(&server, JSON, field.to_string()).await;
    assert_wire!(server, field, @r#"
    422
    content-type: application/problem+json
    {
      "code": "invalid_field",
      "detail": "`10.0.0.1/8` has bits set after its prefix: write `10.0.0.0/8`",
      "pointer": "/allowed_ip_cidrs/0",
      "request_id": "req_[ulid]",
      "status": 422,
      "title": "A value is not acceptable",
      "type": "urn:tenmint:problem:invalid_field"
    }
    "#);
    let unknown = send(&server, JSON, r#"{"nmae":"x"}"#.to_owned()).await;
    assert_wire!(server, unknown, @r#"
    422
    content-type: application/problem+json
    {
      "code": "invalid_field",
      "detail": "unknown field `nmae`, expected one of `name`, `description`, `scopes`, `roles`, `allowed_ip_cidrs`, `rate_limit`, `exchange_only`, `expires_at`, `expires_in_days`, `external_id`, `metadata`",
      "pointer": "/nmae",
      "request_id": "req_[ulid]",
      "status": 422,
      "title": "A value is not acceptable",
      "type": "urn:tenmint:problem:invalid_field"
    }
    "#);
    let missing = send(&server, JSON, "{}".to_owned()).await;
    assert_wire!(server, missing, @r#"
    422
    content-type: application/problem+json
    {
      "code": "invalid_field",
      "detail": "missing field `name`",
      "pointer": "/name",
      "request_id": "req_[ulid]",
      "status": 422,
      "title": "A value is not acceptable",
      "type": "urn:tenmint:problem:invalid_field"
    }
    "#);
    let array = send(&server, JSON, "[]".to_owned()).await;
    assert_wire!(server, array, @r#"
    422
    content-type: application/problem+json
    {
      "code": "invalid_field",
      "detail": "send a JSON object",
      "pointer": "",
      "request_id": "req_[ulid]",
      "status": 422,
      "title": "A value is not acceptable",
      "type": "urn:tenmint:problem:invalid_field"
    }
    "#);
}

async fn what_cannot_be_read(server: Server) {
    let malformed = send(&server, JSON, "{\"name\":\n  x}".to_owned()).await;
    assert_wire!(server, malformed, @r#"
    400
    content-type: application/problem+json
    {
      "code": "malformed_json",
      "detail": "the body is not JSON: see line 2, column 3",
      "request_id": "req_[ulid]",
      "status": 400,
      "title": "Malformed JSON",
      "type": "urn:tenmint:problem:malformed_json"
    }
    "#);
    let not_json = send(&server, "text/plain", "x".to_owned()).await;
    assert_wire!(server, not_json, @r#"
    415
    content-type: application/problem+json
    {
      "code": "unsupported_media_type",
      "detail": "send the body as application/json",
      "request_id": "req_[ulid]",
      "status": 415,
      "title": "Not JSON",
      "type": "urn:tenmint:problem:unsupported_media_type"
    }
    "#);
    let large = send(&server, JSON, " ".repeat(64 * 1024 + 1)).await;
    assert_wire!(server, large, @r#"
    413
    content-type: application/problem+json
    {
      "code": "body_too_large",
      "detail": "send at most 64 KiB",
      "request_id": "req_[ulid]",
      "status": 413,
      "title": "The body was not read",
      "type": "urn:tenmint:problem:body_too_large"
    }
    "#);
    let path = "/v1/api-keys?limit=1000";
    let query = server.operate(Method::GET, path, Value::Null).await;
    assert_wire!(server, query, @r#"
    422
    content-type: application/problem+json
    {
      "code": "invalid_query",
      "detail": "write a limit from 1 to 100",
      "request_id": "req_[ulid]",
      "status": 422,
      "title": "A query parameter is not acceptable",
      "type": "urn:tenmint:problem:invalid_query"
    }
    "#);
}
