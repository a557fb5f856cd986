//! Organizations are walls: what is another's cannot be told from what does not exist.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::support::database::Database;
use crate::support::server::{Key, Reply, Server};
use crate::support::wire::shown;

on_both_engines!(
    a_foreign_key_is_answered_as_an_unknown_one,
    tenants_are_told_the_same_of_every_organization,
    a_stranger_is_told_the_same_by_every_route,
    the_operator_finds_a_key_in_its_own_organization_alone,
    the_operators_own_keys_show_through_no_wall,
    each_route_wants_its_own_scope_and_no_other,
    the_table_knows_every_method,
);

/// Every route of the management plane with every method it takes, a body that it takes, and the
/// scope that it wants. `{org}` and `{id}` stand for an organization and a key.
const ROUTES: &[(&str, &str, &str, &str)] = &[
    ("GET", "/v1/api-keys", "", "api_keys.read"),
    ("POST", "/v1/api-keys", NEW_KEY, "api_keys.create"),
    ("GET", "/v1/api-keys/{id}", "", "api_keys.read"),
    ("POST", "/v1/api-keys/{id}/revoke", "", "api_keys.revoke"),
    ("GET", "/v1/organizations", "", "organizations.read"),
    (
        "POST",
        "/v1/organizations",
        r#"{"id":"new"}"#,
        "organizations.write",
    ),
    ("GET", "/v1/organizations/{org}", "", "organizations.read"),
    (
        "PATCH",
        "/v1/organizations/{org}",
        r#"{"name":"N"}"#,
        "organizations.write",
    ),
    (
        "POST",
        "/v1/organizations/{org}/suspend",
        "",
        "organizations.write",
    ),
    (
        "POST",
        "/v1/organizations/{org}/resume",
        "",
        "organizations.write",
    ),
    (
        "POST",
        "/v1/organizations/{org}/bootstrap",
        "{}",
        "organizations.write",
    ),
    (
        "GET",
        "/v1/organizations/{org}/api-keys",
        "",
        "api_keys.read",
    ),
    (
        "POST",
        "/v1/organizations/{org}/api-keys",
        NEW_KEY,
        "api_keys.create",
    ),
    (
        "GET",
        "/v1/organizations/{org}/api-keys/{id}",
        "",
        "api_keys.read",
    ),
    (
        "POST",
        "/v1/organizations/{org}/api-keys/{id}/revoke",
        "",
        "api_keys.revoke",
    ),
];

const NEW_KEY: &str = r#"{"name":"x","scopes":["read"]}"#;

/// Every management action there is.
const ACTIONS: [&str; 15] = [
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
    "organization.read",
    "organization.write",
    "organizations.read",
    "organizations.write",
];

const UNKNOWN: &str = "key_00000000000000000000000001";

fn method(name: &str) -> Method {
    name.parse().unwrap()
}

async fn call(server: &Server, bearer: Option<&str>, verb: &str, path: &str, body: &str) -> Reply {
    let mut request = server.request(method(verb), path);
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

async fn a_foreign_key_is_answered_as_an_unknown_one(server: Server) {
    let acme = server.organization("acme").await;
    let other = server.organization("other").await;
    let theirs = server.key_with(&other, &["read"]).await;
    let path = format!("/v1/api-keys/{}/revoke", theirs.id);
    let ended = server.key_with(&other, &["read"]).await;
    let path_of_ended = path.replace(&theirs.id, &ended.id);
    let done = call(&server, Some(&other.secret), "POST", &path_of_ended, "").await;
    done.expect(StatusCode::OK);
    let operators = server
        .operate(Method::GET, "/v1/api-keys", Value::Null)
        .await;
    let operators = operators.body["data"][0]["id"].as_str().unwrap();
    let lower = theirs.id.to_ascii_lowercase();
    let impossible = [
        "key_",
        "x",
        "..x",
        "%00",
        "%ff",
        "%2F",
        &lower,
        &theirs.id[4..],
    ];
    let foreign = [&*theirs.id, &ended.id, &other.id, operators];

    let token = server.management_token(&acme, &[]).await;
    let database = Database::of(&server).await;
    let before = database.contents().await;
    for (verb, path, body, _) in ROUTES
        .iter()
        .filter(|r| r.1.starts_with("/v1/api-keys/{id}"))
    {
        for bearer in [&acme.secret, &token] {
            let unknown = path.replace("{id}", UNKNOWN);
            let unknown = call(&server, Some(bearer), verb, &unknown, body).await;
            unknown.refuses(404, "not_found");
            for id in foreign.iter().chain(&impossible) {
                let path = path.replace("{id}", id);
                let reply = call(&server, Some(bearer), verb, &path, body).await;
                assert_eq!(
                    shown(&server, &reply),
                    shown(&server, &unknown),
                    "{verb} {path}"
                );
                assert_eq!(
                    reply.text.len(),
                    unknown.text.len(),
                    "but for the request id"
                );
            }
        }
    }
    assert_eq!(database.contents().await, before);
    server.exchange(&theirs, &[]).await.expect(StatusCode::OK);
}

async fn tenants_are_told_the_same_of_every_organization(server: Server) {
    // It may do whatever an organization can be given to do, the operator's actions included.
    let acme = server.organization("acme").await;
    let other = server.organization("other").await;
    let all = json!({ "name": "all", "scopes": ACTIONS });
    let path = "/v1/organizations/acme/api-keys";
    let strong = server.operate(Method::POST, path, all).await;
    let strong = Key::of(&strong.expect(StatusCode::CREATED).body);
    let token = server.management_token(&strong, &[]).await;
    let database = Database::of(&server).await;
    let before = database.contents().await;

    let path = "/v1/organizations";
    let expected = call(&server, Some(&acme.secret), "GET", path, "").await;
    expected.refuses(403, "operator_only");
    for (verb, path, body, _) in ROUTES
        .iter()
        .filter(|r| r.1.starts_with("/v1/organizations"))
    {
        for bearer in [&acme.secret, &strong.secret, &token] {
            for organization in ["acme", "other", "operator", "nobody", "org_x", "%00", "..x"] {
                for id in [&*acme.id, &other.id, UNKNOWN] {
                    let path = path.replace("{org}", organization).replace("{id}", id);
                    let reply = call(&server, Some(bearer), verb, &path, body).await;
                    let told = (shown(&server, &reply), shown(&server, &expected));
                    assert_eq!(told.0, told.1, "{verb} {path}");
                    // Nor does it matter what was sent.
                    if !body.is_empty() {
                        let reply = call(&server, Some(bearer), verb, &path, "{").await;
                        assert_eq!(shown(&server, &reply), told.1, "{verb} {path}");
                    }
                    if !path.contains(id) {
                        break;
                    }
                }
                if !path.contains("{org}") {
                    break;
                }
            }
        }
    }
    assert_eq!(database.contents().await, before);
}

async fn a_stranger_is_told_the_same_by_every_route(server: Server) {
    let acme = server.organization("acme").await;
    let forged = acme.secret.replace("tmsk_", "tmskx_");
    for bearer in [None, Some(&*forged), Some("x.y.z")] {
        let expected = call(&server, bearer, "GET", "/v1/api-keys", "").await;
        expected.refuses(401, "unauthenticated");
        for (verb, path, body, _) in ROUTES {
            for (organization, id) in [("acme", &*acme.id), ("nobody", UNKNOWN), ("%00", "x")] {
                let path = path.replace("{org}", organization).replace("{id}", id);
                let reply = call(&server, bearer, verb, &path, body).await;
                let told = (shown(&server, &reply), shown(&server, &expected));
                assert_eq!(told.0, told.1, "{verb} {path}");
            }
        }
    }
}

async fn the_operator_finds_a_key_in_its_own_organization_alone(server: Server) {
    let acme = server.organization("acme").await;
    server.organization("other").await;
    let through = ROUTES
        .iter()
        .filter(|route| route.1.contains("/api-keys/{id}"));
    for (verb, path, body, _) in through {
        let wrong = path.replace("{org}", "other");
        let unknown = wrong.replace("{id}", UNKNOWN);
        let unknown = call(&server, Some(&server.operator), verb, &unknown, body).await;
        unknown.refuses(404, "not_found");
        let path = wrong.replace("{id}", &acme.id);
        let reply = call(&server, Some(&server.operator), verb, &path, body).await;
        assert_eq!(
            shown(&server, &reply),
            shown(&server, &unknown),
            "{verb} {path}"
        );
    }
    server.exchange(&acme, &[]).await.expect(StatusCode::OK);
}

async fn the_operators_own_keys_show_through_no_wall(server: Server) {
    let acme = server.organization("acme").await;
    let path = "/v1/organizations/acme/api-keys";
    let body = json!({ "name": "from the dashboard", "scopes": ["read"] });
    let made = server.operate(Method::POST, path, body).await;
    let made = Key::of(&made.expect(StatusCode::CREATED).body);
    for id in [&acme.id, &made.id] {
        let path = format!("/v1/api-keys/{id}");
        let seen = call(&server, Some(&acme.secret), "GET", &path, "").await;
        assert_eq!(seen.expect(StatusCode::OK).body["created_by"], "operator");
    }
    // Which of its keys it was is in the audit log alone.
    let listed = call(&server, Some(&acme.secret), "GET", "/v1/api-keys", "").await;
    let operator = server.operator.split('_').nth(1).unwrap();
    assert!(listed.text.contains(&acme.id) && !listed.text.contains(operator));
    // Among the operator's own keys there is no wall.
    let body = json!({ "name": "x", "scopes": ["read"] });
    let own = server.operate(Method::POST, "/v1/api-keys", body).await;
    assert_eq!(own.body["created_by"], format!("key_{operator}"));
}

async fn each_route_wants_its_own_scope_and_no_other(server: Server) {
    server.organization("acme").await;
    let key = async |scopes: Value| {
        let body = json!({ "name": "x", "scopes": scopes });
        let path = "/v1/api-keys";
        let made = server.operate(Method::POST, path, body).await;
        Key::of(&made.expect(StatusCode::CREATED).body)
    };
    let scopes: BTreeSet<&str> = ROUTES.iter().map(|route| route.3).collect();
    for scope in scopes {
        let others: Vec<_> = ACTIONS.iter().filter(|action| **action != scope).collect();
        let without = key(json!(others)).await;
        let filtered = key(json!(["*", format!("{scope}:x")])).await;
        let only = key(json!([scope])).await;
        let family = scope.split('.').next().unwrap();
        let by_family = key(json!([format!("{family}.*")])).await;
        for (verb, path, body, _) in ROUTES.iter().filter(|route| route.3 == scope) {
            let path = path.replace("{org}", "acme").replace("{id}", UNKNOWN);
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
    for path in ROUTES.iter().map(|route| route.1).collect::<BTreeSet<_>>() {
        let of_path = ROUTES.iter().filter(|route| route.1 == path);
        let mut expected: BTreeSet<_> = of_path.map(|route| route.0.to_owned()).collect();
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
    let mut routes = BTreeSet::new();
    for text in texts.filter(|text| text.contains("/v1/") || text.starts_with("{root}")) {
        for root in ["/v1", "/v1/organizations/{org}"] {
            routes.insert(text.replace("{root}", root).replace("{{id}}", "{id}"));
        }
    }
    let table: BTreeSet<_> = ROUTES.iter().map(|route| route.1.to_owned()).collect();
    assert_eq!(routes, table);
}
