//! Every route of the management plane in one table: its methods, and the scope that each wants.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::support::server::{Key, Reply, Server};

on_both_engines!(
    each_route_wants_its_own_scope_and_no_other,
    the_table_knows_every_method,
);

/// The scope that it wants, the method, the path, and a body that it takes. `{org}`, `{id}`,
/// `{role}`, `{action}` and `{kid}` stand for an organization, a key, a role, an action and a
/// signing key.
const TABLE: &str = r#"
api_keys.read        GET    /v1/api-keys
api_keys.create      POST   /v1/api-keys                                   {"name":"x","scopes":["read"]}
api_keys.revoke      POST   /v1/api-keys/revoke                            {"filter":{"external_id":"x"},"dry_run":true}
api_keys.read        GET    /v1/api-keys/{id}
api_keys.update      PATCH  /v1/api-keys/{id}                              {"name":"N"}
api_keys.update      POST   /v1/api-keys/{id}/disable
api_keys.update      POST   /v1/api-keys/{id}/enable
api_keys.revoke      POST   /v1/api-keys/{id}/revoke
audit.read           GET    /v1/audit-events
audit.read           GET    /v1/audit-events/checkpoint
usage.read           GET    /v1/api-keys/{id}/usage
usage.read           GET    /v1/usage
usage.read           GET    /v1/migration
usage.read           GET    /v1/refusals
api_keys.update      POST   /v1/api-keys/{id}/rotate                       {"overlap_seconds":0}
api_keys.update      POST   /v1/api-keys/{id}/rotate/finish
roles.read           GET    /v1/roles
roles.write          POST   /v1/roles                                                  {"name":"new","scopes":["read"]}
roles.read           GET    /v1/roles/{role}
roles.write          PATCH  /v1/roles/{role}                                           {"description":"D"}
roles.write          DELETE /v1/roles/{role}
roles.read           GET    /v1/scopes
roles.write          PUT    /v1/scopes/{action}                                        {"description":"D"}
roles.write          DELETE /v1/scopes/{action}
signing_keys.read    GET    /v1/signing-keys
signing_keys.read    GET    /v1/signing-keys/{kid}
signing_keys.rotate  POST   /v1/signing-keys/rotate                        {}
signing_keys.rotate  POST   /v1/signing-keys/{kid}/revoke
organization.read    GET    /v1/organization
organization.write   PATCH  /v1/organization                               {"name":"N"}
organizations.read   GET    /v1/organizations
organizations.write  POST   /v1/organizations                              {"id":"new"}
organizations.read   GET    /v1/organizations/{org}
organizations.write  PATCH  /v1/organizations/{org}                        {"name":"N"}
organizations.write  DELETE /v1/organizations/{org}
organizations.write  POST   /v1/organizations/{org}/suspend
organizations.write  POST   /v1/organizations/{org}/resume
organizations.write  POST   /v1/organizations/{org}/bootstrap              {}
organizations.write  POST   /v1/organizations/{org}/signing-keys/import    {"private_key_pem":""}
api_keys.read        GET    /v1/organizations/{org}/api-keys
api_keys.create      POST   /v1/organizations/{org}/api-keys               {"name":"x","scopes":["read"]}
api_keys.revoke      POST   /v1/organizations/{org}/api-keys/revoke        {"filter":{"external_id":"x"},"dry_run":true}
api_keys.read        GET    /v1/organizations/{org}/api-keys/{id}
api_keys.update      PATCH  /v1/organizations/{org}/api-keys/{id}          {"name":"N"}
api_keys.update      POST   /v1/organizations/{org}/api-keys/{id}/disable
api_keys.update      POST   /v1/organizations/{org}/api-keys/{id}/enable
api_keys.revoke      POST   /v1/organizations/{org}/api-keys/{id}/revoke
audit.read           GET    /v1/organizations/{org}/audit-events
audit.read           GET    /v1/organizations/{org}/audit-events/checkpoint
usage.read           GET    /v1/organizations/{org}/api-keys/{id}/usage
usage.read           GET    /v1/organizations/{org}/usage
usage.read           GET    /v1/organizations/{org}/migration
usage.read           GET    /v1/organizations/{org}/refusals
api_keys.update      POST   /v1/organizations/{org}/api-keys/{id}/rotate   {"overlap_seconds":0}
api_keys.update      POST   /v1/organizations/{org}/api-keys/{id}/rotate/finish
roles.read           GET    /v1/organizations/{org}/roles
roles.write          POST   /v1/organizations/{org}/roles                              {"name":"new","scopes":["read"]}
roles.read           GET    /v1/organizations/{org}/roles/{role}
roles.write          PATCH  /v1/organizations/{org}/roles/{role}                       {"description":"D"}
roles.write          DELETE /v1/organizations/{org}/roles/{role}
roles.read           GET    /v1/organizations/{org}/scopes
roles.write          PUT    /v1/organizations/{org}/scopes/{action}                    {"description":"D"}
roles.write          DELETE /v1/organizations/{org}/scopes/{action}
signing_keys.read    GET    /v1/organizations/{org}/signing-keys
signing_keys.read    GET    /v1/organizations/{org}/signing-keys/{kid}
signing_keys.rotate  POST   /v1/organizations/{org}/signing-keys/rotate                        {}
signing_keys.rotate  POST   /v1/organizations/{org}/signing-keys/{kid}/revoke
"#;

/// A line of the table.
pub struct Route {
    pub scope: &'static str,
    pub verb: &'static str,
    pub path: &'static str,
    pub body: &'static str,
}

pub fn routes() -> impl Iterator<Item = Route> {
    TABLE.lines().skip(1).map(|line| {
        let mut columns = line.split_whitespace();
        let mut next = || columns.next().unwrap_or_default();
        let (scope, verb, path, body) = (next(), next(), next(), next());
        Route {
            scope,
            verb,
            path,
            body,
        }
    })
}

/// Every management action there is.
pub const ACTIONS: [&str; 16] = [
    "api_keys.read",
    "api_keys.create",
    "api_keys.update",
    "api_keys.revoke",
    "api_keys.any_network",
    "roles.read",
    "roles.write",
    "signing_keys.read",
    "signing_keys.rotate",
    "usage.read",
    "audit.read",
    "tokens.introspect",
    "organization.read",
    "organization.write",
    "organizations.read",
    "organizations.write",
];

pub const UNKNOWN: &str = "key_00000000000000000000000001";

pub async fn call(
    server: &Server,
    bearer: Option<&str>,
    verb: &str,
    path: &str,
    body: &str,
) -> Reply {
    // Unless the test named others.
    let path = path
        .replace("{role}", "nobody")
        .replace("{action}", "read")
        .replace("{kid}", "unknown");
    let mut request = server.request(verb.parse().unwrap(), &path);
    if let Some(bearer) = bearer {
        request = request.bearer_auth(bearer);
    }
    if !body.is_empty() {
        request = request
            .header("content-type", "application/json")
            .body(body.to_owned());
    }
    Reply::of(request).await
}

async fn each_route_wants_its_own_scope_and_no_other(server: Server) {
    server.organization("acme").await;
    let key = async |scopes: Value| {
        let body = json!({ "name": "x", "scopes": scopes });
        let path = "/v1/api-keys";
        let made = server.operate(Method::POST, path, body).await;
        Key::of(&made.expect(StatusCode::CREATED).body)
    };
    let scopes: BTreeSet<&str> = routes().map(|route| route.scope).collect();
    for scope in scopes {
        let others: Vec<_> = ACTIONS.iter().filter(|action| **action != scope).collect();
        let without = key(json!(others)).await;
        let filtered = key(json!(["*", format!("{scope}:x")])).await;
        let only = key(json!([scope])).await;
        let family = scope.split('.').next().unwrap();
        let by_family = key(json!([format!("{family}.*")])).await;
        for route in routes().filter(|route| route.scope == scope) {
            let (verb, body) = (route.verb, route.body);
            let path = route.path.replace("{org}", "acme").replace("{id}", UNKNOWN);
            for lacking in [&without, &filtered] {
                let refused = call(&server, Some(&lacking.secret), verb, &path, body).await;
                refused.refuses(403, "insufficient_scope");
                let detail = refused.body["detail"].as_str().unwrap();
                assert!(
                    detail.ends_with(&format!(" {scope}")),
                    "{verb} {path}: {detail}"
                );
                let challenge = refused.header("www-authenticate").unwrap();
                assert!(
                    challenge.contains(&format!(r#"scope="{scope}""#)),
                    "{challenge}"
                );
            }
            for enough in [&only, &by_family] {
                let reply = call(&server, Some(&enough.secret), verb, &path, body).await;
                assert_ne!(reply.body["code"], "insufficient_scope", "{verb} {path}");
                assert_ne!(reply.body["code"], "operator_only", "{verb} {path}");
            }
        }
    }
}

async fn the_table_knows_every_method(server: Server) {
    let acme = server.organization("acme").await;
    for path in routes().map(|route| route.path).collect::<BTreeSet<_>>() {
        let of_path = routes().filter(|route| route.path == path);
        let mut expected: BTreeSet<_> = of_path.map(|route| route.verb.to_owned()).collect();
        if expected.contains("GET") {
            expected.insert("HEAD".to_owned());
        }
        let path = path.replace("{org}", "acme").replace("{id}", &acme.id);
        for verb in [
            "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW",
        ] {
            if expected.contains(verb) {
                continue;
            }
            let refused = call(&server, Some(&server.operator), verb, &path, "").await;
            assert_eq!(refused.status, 405, "{verb} {path}");
            let allowed = refused.header("allow").unwrap().split(',');
            let allowed: BTreeSet<_> = allowed.map(|verb| verb.trim().to_owned()).collect();
            assert_eq!(allowed, expected, "{verb} {path}");
        }
    }
}

/// A new route belongs into the table above: then it stands behind the walls too.
#[test]
fn the_table_knows_every_route() {
    let router = include_str!("../../src/http.rs");
    let begin = router.find("fn management_plane").unwrap();
    let end = router[begin..].find("\n}\n").unwrap() + begin;
    let texts = router[begin..end].split('"').skip(1).step_by(2);
    let mut served = BTreeSet::new();
    for text in texts.filter(|text| text.contains("/v1/") || text.starts_with("{root}")) {
        for root in ["/v1", "/v1/organizations/{org}"] {
            served.insert(
                text.replace("{root}", root)
                    .replace("{{", "{")
                    .replace("}}", "}"),
            );
        }
    }
    let table: BTreeSet<_> = routes().map(|route| route.path.to_owned()).collect();
    assert_eq!(served, table);
}
