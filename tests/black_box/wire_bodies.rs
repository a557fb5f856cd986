//! Every successful answer of the management plane, as it goes over the wire.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::server::{Key, Server};
use crate::{assert_wire, on_both_engines};

on_both_engines!(
    organizations_over_the_wire,
    bootstraps_over_the_wire,
    api_keys_over_the_wire
);

async fn organizations_over_the_wire(server: Server) {
    let root = "/v1/organizations";
    let body = json!({ "id": "acme", "name": "Acme" });
    let created = server.operate(Method::POST, root, body).await;
    assert_wire!(server, created, @r#"
    201
    content-type: application/json
    {
      "bootstrapped_at": null,
      "created_at": "[now]",
      "effective_policy": {},
      "id": "acme",
      "issuer": "{base}/orgs/acme",
      "name": "Acme",
      "operator_policy": {},
      "policy": {},
      "revision": 1,
      "status": "active",
      "suspended_at": null
    }
    "#);
    let acme = "/v1/organizations/acme";
    server
        .operate(Method::POST, &format!("{acme}/bootstrap"), json!({}))
        .await;
    server.advance(60);
    let body = json!({ "name": "Acme, Inc." });
    let renamed = server.operate(Method::PATCH, acme, body).await;
    assert_wire!(server, renamed, @r#"
    200
    content-type: application/json
    {
      "bootstrapped_at": "[now-60s]",
      "created_at": "[now-60s]",
      "effective_policy": {},
      "id": "acme",
      "issuer": "{base}/orgs/acme",
      "name": "Acme, Inc.",
      "operator_policy": {},
      "policy": {},
      "revision": 2,
      "status": "active",
      "suspended_at": null
    }
    "#);
    let suspended = server
        .operate(Method::POST, &format!("{acme}/suspend"), Value::Null)
        .await;
    assert_wire!(server, suspended, @r#"
    200
    content-type: application/json
    {
      "bootstrapped_at": "[now-60s]",
      "created_at": "[now-60s]",
      "effective_policy": {},
      "id": "acme",
      "issuer": "{base}/orgs/acme",
      "name": "Acme, Inc.",
      "operator_policy": {},
      "policy": {},
      "revision": 2,
      "status": "suspended",
      "suspended_at": "[now]"
    }
    "#);
    let listed = server
        .operate(Method::GET, &format!("{root}?limit=1"), Value::Null)
        .await;
    assert_wire!(server, listed, @r#"
    200
    content-type: application/json
    {
      "data": [
        {
          "bootstrapped_at": "[now-60s]",
          "created_at": "[now-60s]",
          "effective_policy": {},
          "id": "acme",
          "issuer": "{base}/orgs/acme",
          "name": "Acme, Inc.",
          "operator_policy": {},
          "policy": {},
          "revision": 2,
          "status": "suspended",
          "suspended_at": "[now]"
        }
      ],
      "next_cursor": "acme"
    }
    "#);
}

#[allow(clippy::too_many_lines, reason = "the answer is shown whole")]
async fn bootstraps_over_the_wire(server: Server) {
    let root = "/v1/organizations";
    server
        .operate(Method::POST, root, json!({ "id": "acme" }))
        .await;
    let path = "/v1/organizations/acme/bootstrap";
    let first = server
        .operate(Method::POST, path, json!({ "alg": "EdDSA" }))
        .await;
    assert_wire!(server, first, @r#"
    201
    content-type: application/json
    {
      "management_key": {
        "allowed_ip_cidrs": [
          "0.0.0.0/0",
          "::/0"
        ],
        "created_at": "[now]",
        "created_by": "operator",
        "description": null,
        "disabled_at": null,
        "effective_scopes": [
          "*",
          "api_keys.*",
          "audit.*",
          "organization.*",
          "roles.*",
          "signing_keys.*",
          "tokens.*",
          "usage.*"
        ],
        "exchange_only": false,
        "expires_at": null,
        "external_id": null,
        "fingerprint": "sha256:[digest]",
        "id": "key_[ulid]",
        "last_used_at": null,
        "metadata": {},
        "name": "management",
        "organization": "acme",
        "rate_limit": null,
        "revision": 1,
        "revoke_reason": null,
        "revoked_at": null,
        "roles": [],
        "scopes": [
          "*",
          "api_keys.*",
          "audit.*",
          "organization.*",
          "roles.*",
          "signing_keys.*",
          "tokens.*",
          "usage.*"
        ],
        "secret": "tmsk_[ulid]_[secret]",
        "secrets": [
          {
            "created_at": "[now]",
            "expires_at": null,
            "fingerprint": "sha256:[digest]",
            "last_used_address": null,
            "last_used_at": null
          }
        ],
        "status": "active"
      },
      "organization": {
        "bootstrapped_at": "[now]",
        "created_at": "[now]",
        "effective_policy": {},
        "id": "acme",
        "issuer": "{base}/orgs/acme",
        "name": "acme",
        "operator_policy": {},
        "policy": {},
        "revision": 1,
        "status": "active",
        "suspended_at": null
      },
      "signing_key": {
        "activated_at": "[now]",
        "activates_at": "[now]",
        "alg": "EdDSA",
        "created_at": "[now]",
        "given_up": false,
        "imported": false,
        "kid": "[kid]",
        "public_jwk": {
          "crv": "Ed25519",
          "kty": "OKP",
          "x": "[kid]"
        },
        "published_at": "[now]",
        "replaced_by": null,
        "retired_at": null,
        "retires_at": null,
        "retiring_at": null,
        "revoked_at": null,
        "rotates_at": "[rotates_at]",
        "stands_in_for": null,
        "status": "active"
      }
    }
    "#);
    // Asked again, it is the same without the secret: bootstrap.rs.
}

async fn api_keys_over_the_wire(server: Server) {
    let acme = server.organization("acme").await;
    let call = async |method: Method, path: &str, body: Value| {
        server.call(&acme.secret, method, path, body).await
    };
    let body = json!({ "name": "ci", "scopes": ["read:projects/42/**"],
        "allowed_ip_cidrs": ["203.0.113.0/24"], "expires_in_days": 90,
        "external_id": "customer-42", "metadata": { "plan": "pro" } });
    let full = call(Method::POST, "/v1/api-keys", body).await;
    assert_wire!(server, full, @r#"
    201
    content-type: application/json
    {
      "allowed_ip_cidrs": [
        "203.0.113.0/24"
      ],
      "created_at": "[now]",
      "created_by": "key_[ulid]",
      "description": null,
      "disabled_at": null,
      "effective_scopes": [
        "read:projects/42/**"
      ],
      "exchange_only": false,
      "expires_at": "[now+7776000s]",
      "external_id": "customer-42",
      "fingerprint": "sha256:[digest]",
      "id": "key_[ulid]",
      "last_used_at": null,
      "metadata": {
        "plan": "pro"
      },
      "name": "ci",
      "organization": "acme",
      "rate_limit": null,
      "revision": 1,
      "revoke_reason": null,
      "revoked_at": null,
      "roles": [],
      "scopes": [
        "read:projects/42/**"
      ],
      "secret": "tmsk_[ulid]_[secret]",
      "secrets": [
        {
          "created_at": "[now]",
          "expires_at": null,
          "fingerprint": "sha256:[digest]",
          "last_used_address": null,
          "last_used_at": null
        }
      ],
      "status": "active",
      "warnings": []
    }
    "#);
    let body = json!({ "name": "least", "scopes": ["*"] });
    let least = call(Method::POST, "/v1/api-keys", body).await;
    assert_wire!(server, least, @r#"
    201
    content-type: application/json
    {
      "allowed_ip_cidrs": [
        "0.0.0.0/0",
        "::/0"
      ],
      "created_at": "[now]",
      "created_by": "key_[ulid]",
      "description": null,
      "disabled_at": null,
      "effective_scopes": [
        "*"
      ],
      "exchange_only": false,
      "expires_at": null,
      "external_id": null,
      "fingerprint": "sha256:[digest]",
      "id": "key_[ulid]",
      "last_used_at": null,
      "metadata": {},
      "name": "least",
      "organization": "acme",
      "rate_limit": null,
      "revision": 1,
      "revoke_reason": null,
      "revoked_at": null,
      "roles": [],
      "scopes": [
        "*"
      ],
      "secret": "tmsk_[ulid]_[secret]",
      "secrets": [
        {
          "created_at": "[now]",
          "expires_at": null,
          "fingerprint": "sha256:[digest]",
          "last_used_address": null,
          "last_used_at": null
        }
      ],
      "status": "active",
      "warnings": [
        {
          "code": "wildcard_network",
          "detail": "this key can be used from any address; name networks to restrict it"
        },
        {
          "code": "no_expiry",
          "detail": "this key never ends by itself; give it an end to be safe"
        }
      ]
    }
    "#);
    let path = format!("/v1/api-keys/{}", Key::of(&full.body).id);
    server.advance(60);
    let revoked = call(Method::POST, &format!("{path}/revoke"), Value::Null).await;
    assert_wire!(server, revoked, @r#"
    200
    content-type: application/json
    {
      "allowed_ip_cidrs": [
        "203.0.113.0/24"
      ],
      "created_at": "[now-60s]",
      "created_by": "key_[ulid]",
      "description": null,
      "disabled_at": null,
      "effective_scopes": [
        "read:projects/42/**"
      ],
      "exchange_only": false,
      "expires_at": "[now+7775940s]",
      "external_id": "customer-42",
      "fingerprint": "sha256:[digest]",
      "id": "key_[ulid]",
      "last_used_at": null,
      "metadata": {
        "plan": "pro"
      },
      "name": "ci",
      "organization": "acme",
      "rate_limit": null,
      "revision": 2,
      "revoke_reason": "unspecified",
      "revoked_at": "[now]",
      "roles": [],
      "scopes": [
        "read:projects/42/**"
      ],
      "secrets": [
        {
          "created_at": "[now-60s]",
          "expires_at": null,
          "fingerprint": "sha256:[digest]",
          "last_used_address": null,
          "last_used_at": null
        }
      ],
      "status": "revoked"
    }
    "#);
    let listed = call(Method::GET, "/v1/api-keys?status=revoked", Value::Null).await;
    assert_wire!(server, listed, @r#"
    200
    content-type: application/json
    {
      "data": [
        {
          "allowed_ip_cidrs": [
            "203.0.113.0/24"
          ],
          "created_at": "[now-60s]",
          "created_by": "key_[ulid]",
          "description": null,
          "disabled_at": null,
          "effective_scopes": [
            "read:projects/42/**"
          ],
          "exchange_only": false,
          "expires_at": "[now+7775940s]",
          "external_id": "customer-42",
          "fingerprint": "sha256:[digest]",
          "id": "key_[ulid]",
          "last_used_at": null,
          "metadata": {
            "plan": "pro"
          },
          "name": "ci",
          "organization": "acme",
          "rate_limit": null,
          "revision": 2,
          "revoke_reason": "unspecified",
          "revoked_at": "[now]",
          "roles": [],
          "scopes": [
            "read:projects/42/**"
          ],
          "secrets": [
            {
              "created_at": "[now-60s]",
              "expires_at": null,
              "fingerprint": "sha256:[digest]",
              "last_used_address": null,
              "last_used_at": null
            }
          ],
          "status": "revoked"
        }
      ],
      "next_cursor": null
    }
    "#);
    let none = call(Method::GET, "/v1/api-keys?status=expired", Value::Null).await;
    assert_wire!(server, none, @r#"
    200
    content-type: application/json
    {
      "data": [],
      "next_cursor": null
    }
    "#);
}
