//! Dry runs: what an edit would have done to the exchanges of the last 7 days, and nothing done.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::support::server::{Key, Place, Reply, Server};

on_both_engines!(
    a_dry_run_tells_which_exchanges_would_be_refused,
    a_dry_run_changes_nothing,
    whatever_refuses_the_edit_refuses_the_dry_run,
    exchanges_older_than_a_week_do_not_count,
    an_edit_that_breaks_present_use_says_so,
);

async fn edit(server: &Server, manager: &Key, id: &str, query: &str, body: Value) -> Reply {
    let path = format!("/v1/api-keys/{id}{query}");
    server
        .call(&manager.secret, Method::PATCH, &path, body)
        .await
}

async fn a_dry_run_tells_which_exchanges_would_be_refused(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read", "write"]).await;
    for (scope, times) in [("read", 2), ("write:a", 3)] {
        for _ in 0..times {
            let asked = [("scope", scope)];
            server.exchange(&key, &asked).await.expect(StatusCode::OK);
        }
    }
    server.advance(60);
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
    let now = server.clock.now();
    let before = tenmint::domain::timestamp::Timestamp::from_unix(now.unix() - 60).unwrap();

    let narrow = json!({ "scopes": ["read"] });
    let tried = edit(&server, &acme, &key.id, "?dry_run=true", narrow).await;
    tried.expect(StatusCode::OK);
    assert_eq!(tried.body["dry_run"], true);
    assert_eq!(tried.body["key"]["scopes"], json!(["read"]));
    assert_eq!(tried.body["recorded"], true);
    assert_eq!(
        tried.body["refused"],
        json!([{ "address": "127.0.0.1", "scope": "write:a", "count": 3,
            "last_seen": before.to_string(), "because": ["scope"] }])
    );
    assert_eq!(
        tried.body["would_lose"],
        json!([{ "address": "127.0.0.1", "scope": null, "count": 1,
            "last_seen": now.to_string(), "scopes": ["write"] }])
    );
    assert_eq!(tried.body["warnings"][0]["code"], "breaks_present_use");

    let elsewhere = json!({ "allowed_ip_cidrs": ["10.0.0.0/8"], "scopes": ["read"] });
    let tried = edit(&server, &acme, &key.id, "?dry_run=true", elsewhere).await;
    let because: Vec<_> = tried.body["refused"]
        .as_array()
        .unwrap()
        .iter()
        .map(|refused| (refused["scope"].clone(), refused["because"].clone()))
        .collect();
    assert_eq!(because.len(), 3);
    assert!(because.contains(&(json!("read"), json!(["network"]))));
    assert!(because.contains(&(json!("write:a"), json!(["network", "scope"]))));
    assert!(because.contains(&(Value::Null, json!(["network"]))));
    assert_eq!(tried.body["would_lose"], json!([]));

    let harmless = json!({ "scopes": ["read", "write:a/**", "write", "more"] });
    let tried = edit(&server, &acme, &key.id, "?dry_run=true", harmless).await;
    assert_eq!(tried.body["refused"], json!([]));
    assert_eq!(tried.body["would_lose"], json!([]));
}

async fn a_dry_run_changes_nothing(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read", "write"]).await;
    let count = "SELECT CAST(COUNT(*) AS TEXT) FROM audit_events";
    let events = server.place().query(count).await;
    let path = format!("/v1/api-keys/{}", key.id);
    let show = async || {
        let shown = server.call(&acme.secret, Method::GET, &path, Value::Null);
        shown.await.body
    };
    let before = show().await;
    let body = json!({ "name": "other", "scopes": ["read"] });
    edit(&server, &acme, &key.id, "?dry_run=true", body.clone())
        .await
        .expect(StatusCode::OK);
    assert_eq!(show().await, before);
    assert_eq!(server.place().query(count).await, events);
    server
        .exchange(&key, &[("scope", "write")])
        .await
        .expect(StatusCode::OK);
    let made = edit(&server, &acme, &key.id, "?dry_run=false", body).await;
    assert_eq!(made.expect(StatusCode::OK).body["name"], "other");
}

async fn whatever_refuses_the_edit_refuses_the_dry_run(server: Server) {
    let acme = server.organization("acme").await;
    let editor = server.key_with(&acme, &["api_keys.update"]).await;
    let key = server.key_with(&acme, &["read"]).await;
    let dry = "?dry_run=true";
    let beyond = json!({ "scopes": ["write"] });
    let refused = edit(&server, &editor, &key.id, dry, beyond).await;
    refused.refuses(403, "exceeds_authority");
    let unknown = json!({ "nmae": "x" });
    let refused = edit(&server, &acme, &key.id, dry, unknown).await;
    refused.refuses(422, "invalid_field");
    for query in [
        "?dry_run=",
        "?dry_run=1",
        "?dry_run=true&dry_run=true",
        "?dryrun=true",
    ] {
        let refused = edit(&server, &acme, &key.id, query, json!({})).await;
        refused.refuses(422, "invalid_query");
    }
}

async fn exchanges_older_than_a_week_do_not_count(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read", "write"]).await;
    server
        .exchange(&key, &[("scope", "write")])
        .await
        .expect(StatusCode::OK);
    let narrow = json!({ "scopes": ["read"] });
    let refused = async || {
        let tried = edit(&server, &acme, &key.id, "?dry_run=true", narrow.clone()).await;
        tried.body["refused"].as_array().unwrap().len()
    };
    server.advance(7 * 86_400);
    assert_eq!(refused().await, 1);
    server.advance(1);
    assert_eq!(refused().await, 0);
}

async fn an_edit_that_breaks_present_use_says_so(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read", "write"]).await;
    let used = [("scope", "write")];
    server.exchange(&key, &used).await.expect(StatusCode::OK);
    // Reading usage writes down what this node still holds in memory.
    server
        .call(&acme.secret, Method::GET, "/v1/usage", Value::Null)
        .await
        .expect(StatusCode::OK);
    let narrow = json!({ "scopes": ["read"] });
    let edited = edit(&server, &acme, &key.id, "", narrow).await;
    edited.expect(StatusCode::OK);
    assert_eq!(edited.body["warnings"][0]["code"], "breaks_present_use");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_is_recorded_a_dry_run_says_so() {
    let place = Place::sqlite().with(&["--exchange-record", "off"]);
    let server = place.start().await;
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read", "write"]).await;
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
    let narrow = json!({ "scopes": ["read"] });
    let tried = edit(&server, &acme, &key.id, "?dry_run=true", narrow).await;
    assert_eq!(tried.expect(StatusCode::OK).body["recorded"], false);
    assert_eq!(tried.body["would_lose"], json!([]));
}
