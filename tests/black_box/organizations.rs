//! `/v1/organizations`: created, listed, shown and renamed by the operator alone.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::support::crowd::at_once;
use crate::support::server::{Reply, Server};
use crate::support::wire::shown;

on_both_engines!(
    an_organization_is_created_shown_and_renamed,
    an_id_that_is_not_chosen_is_generated,
    reserved_and_malformed_ids_are_refused,
    an_id_is_taken_once_however_many_ask_at_once,
    pages_hold_every_organization_once_in_the_order_of_their_ids,
    organizations_that_come_between_pages_disturb_none,
    an_unknown_organization_is_not_found_by_any_route,
    tenants_learn_nothing_of_organizations,
);

async fn create(server: &Server, body: Value) -> Reply {
    let path = "/v1/organizations";
    server.operate(Method::POST, path, body).await
}

/// The ids on a page, and the cursor of the next one.
async fn page(server: &Server, query: &str) -> (Vec<String>, Option<String>) {
    let path = format!("/v1/organizations{query}");
    let reply = server.operate(Method::GET, &path, Value::Null).await;
    let data = reply.expect(StatusCode::OK).body["data"].as_array();
    let id = |row: &Value| row["id"].as_str().unwrap().to_owned();
    let ids = data.unwrap().iter().map(id).collect();
    (ids, reply.body["next_cursor"].as_str().map(str::to_owned))
}

async fn an_organization_is_created_shown_and_renamed(server: Server) {
    let created = create(&server, json!({ "id": "acme", "name": "Acme, Inc." })).await;
    created.expect(StatusCode::CREATED);
    assert_eq!(created.body["name"], "Acme, Inc.");
    assert_eq!(created.body["created_at"], server.clock.now().to_string());

    server.advance(60);
    let path = "/v1/organizations/acme";
    let name = json!({ "name": "  Acmé <script> " });
    let renamed = server.operate(Method::PATCH, path, name).await;
    renamed.expect(StatusCode::OK);
    assert_eq!(renamed.body["name"], "Acmé <script>");
    assert_eq!(renamed.body["created_at"], created.body["created_at"]);
    let seen = server.operate(Method::GET, path, Value::Null).await;
    assert_eq!(seen.expect(StatusCode::OK).body, renamed.body);

    // An edit without a name is none.
    let same = server.operate(Method::PATCH, path, json!({})).await;
    assert_eq!(same.expect(StatusCode::OK).body, renamed.body);
    create(&server, json!({ "id": "acme" }))
        .await
        .refuses(409, "organization_exists");
}

async fn an_id_that_is_not_chosen_is_generated(server: Server) {
    let first = create(&server, json!({ "name": "Generated" })).await;
    let second = create(&server, json!({})).await;
    let id = first.expect(StatusCode::CREATED).body["id"].as_str();
    let id = id.unwrap();
    assert!(id.starts_with("org_"), "{id}");
    assert_ne!(second.body["id"], id);
    assert_eq!(second.body["name"], second.body["id"]);

    let path = format!("/v1/organizations/{id}");
    let seen = server.operate(Method::GET, &path, Value::Null).await;
    assert_eq!(seen.expect(StatusCode::OK).body, first.body);
    let path = format!("{path}/bootstrap");
    let done = server.operate(Method::POST, &path, json!({})).await;
    done.expect(StatusCode::CREATED);
}

async fn reserved_and_malformed_ids_are_refused(server: Server) {
    let overlong = "a".repeat(65);
    let reserved = ["operator", "org_", "org_acme"];
    let malformed = ["", "-a", "_a", "Acme", "a b", "a/b", "a.b", "..", " acme"];
    let tricky = ["é", "a\0", "\u{430}cme", "\u{ff41}cme", "acme\n", &overlong];
    for id in reserved.iter().chain(&malformed).chain(&tricky) {
        let refused = create(&server, json!({ "id": id })).await;
        refused.refuses(422, "invalid_field");
        assert_eq!(refused.body["pointer"], "/id", "{id:?}");
    }
    let longest = "a".repeat(64);
    create(&server, json!({ "id": longest }))
        .await
        .expect(StatusCode::CREATED);
    assert_eq!(page(&server, "").await.0, [&*longest, "operator"]);
}

async fn an_id_is_taken_once_however_many_ask_at_once(server: Server) {
    let replies = at_once((0..12).map(|n| {
        server
            .request(Method::POST, "/v1/organizations")
            .bearer_auth(&server.operator)
            .json(&json!({ "id": "acme", "name": n.to_string() }))
    }))
    .await;
    let is_created = |reply: &&Reply| reply.status == StatusCode::CREATED;
    let created: Vec<_> = replies.iter().filter(is_created).collect();
    let [winner] = created[..] else {
        panic!("{} were first", created.len());
    };
    for other in replies.iter().filter(|reply| !is_created(reply)) {
        other.refuses(409, "organization_exists");
    }
    let path = "/v1/organizations/acme";
    let seen = server.operate(Method::GET, path, Value::Null).await;
    assert_eq!(seen.body, winner.body);
}

async fn pages_hold_every_organization_once_in_the_order_of_their_ids(server: Server) {
    // The order of bytes, whatever the database's language: `-`, digits, `_`, letters.
    let ids = ["a-1", "a-b", "a1", "a_b", "ab", "b", "operator", "z"];
    for id in ids.iter().rev().filter(|id| **id != "operator") {
        let created = create(&server, json!({ "id": id })).await;
        created.expect(StatusCode::CREATED);
    }
    assert_eq!(page(&server, "").await, (ids.map(Into::into).into(), None));
    for limit in 1..=8 {
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let (found, next) = page(&server, &format!("?limit={limit}{cursor}")).await;
            assert!(
                !found.is_empty(),
                "a page is announced if it holds something"
            );
            assert!(found.len() == limit || next.is_none());
            seen.extend(found);
            let Some(next) = next else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(seen, ids, "limit {limit}");
    }
}

async fn organizations_that_come_between_pages_disturb_none(server: Server) {
    for id in ["b", "d", "f"] {
        create(&server, json!({ "id": id })).await;
    }
    let (first, next) = page(&server, "?limit=2").await;
    assert_eq!(first, ["b", "d"]);
    for id in ["a", "c", "e"] {
        create(&server, json!({ "id": id })).await;
    }
    // Before the cursor: for the next walk. Behind it: for this one.
    let query = format!("?limit=9&cursor={}", next.unwrap());
    assert_eq!(page(&server, &query).await.0, ["e", "f", "operator"]);
}

async fn an_unknown_organization_is_not_found_by_any_route(server: Server) {
    let unknown = "/v1/organizations/nobody";
    let seen = server.operate(Method::GET, unknown, Value::Null).await;
    // What can be no id at all is answered as one that merely does not exist.
    let impossible = ["%00", "..x", "%2F", "%ff", "Acme", "a%20b", "%F0%9F%A6%80"];
    for id in ["nobody", "org_x"].iter().chain(&impossible) {
        let root = format!("/v1/organizations/{id}");
        let key = json!({ "name": "x", "scopes": ["a"] });
        for (method, path, body) in [
            (Method::GET, root.clone(), Value::Null),
            (Method::PATCH, root.clone(), json!({ "name": "x" })),
            (Method::POST, format!("{root}/suspend"), Value::Null),
            (Method::POST, format!("{root}/resume"), Value::Null),
            (Method::POST, format!("{root}/bootstrap"), json!({})),
            (Method::GET, format!("{root}/api-keys"), Value::Null),
            (Method::POST, format!("{root}/api-keys"), key),
        ] {
            let reply = server.operate(method.clone(), &path, body).await;
            let (reply, seen) = (shown(&server, &reply), shown(&server, &seen));
            assert_eq!(reply, seen, "{method} {path}");
        }
    }
    seen.refuses(404, "not_found");
}

async fn tenants_learn_nothing_of_organizations(server: Server) {
    let acme = server.organization("acme").await;
    server.organization("other").await;
    let token = server.management_token(&acme, &[]).await;
    let path = "/v1/organizations";
    let first = server
        .call(&acme.secret, Method::GET, path, Value::Null)
        .await;
    first.refuses(403, "operator_only");
    for bearer in [&acme.secret, &token] {
        for id in ["acme", "other", "operator", "nobody", "..x"] {
            let path = format!("{path}/{id}");
            let refused = server.call(bearer, Method::GET, &path, Value::Null).await;
            assert_eq!(shown(&server, &refused), shown(&server, &first), "{id}");
        }
        // Not even whether an id is taken, or would do.
        for body in [json!({ "id": "other" }), json!({ "id": "" }), json!([])] {
            let refused = server.call(bearer, Method::POST, path, body).await;
            assert_eq!(shown(&server, &refused), shown(&server, &first));
        }
    }
}
