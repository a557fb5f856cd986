//! Organizations are walls: what is another's cannot be told from what does not exist.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::routes::{ACTIONS, Route, UNKNOWN, call, routes};
use crate::on_both_engines;
use crate::support::database::Database;
use crate::support::server::{Key, Server};
use crate::support::wire::shown;

on_both_engines!(
    a_foreign_key_is_answered_as_an_unknown_one,
    tenants_are_told_the_same_of_every_organization,
    a_stranger_is_told_the_same_by_every_route,
    the_operator_finds_a_key_in_its_own_organization_alone,
    the_operators_own_keys_show_through_no_wall,
);

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
    let of_one_key = routes().filter(|route| route.path.starts_with("/v1/api-keys/{id}"));
    for Route {
        verb, path, body, ..
    } in of_one_key
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
    let operators = routes().filter(|route| route.path.starts_with("/v1/organizations"));
    for Route {
        verb, path, body, ..
    } in operators
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
        for Route {
            verb, path, body, ..
        } in routes()
        {
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
    let through = routes().filter(|route| route.path.contains("/api-keys/{id}"));
    for Route {
        verb, path, body, ..
    } in through
    {
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
