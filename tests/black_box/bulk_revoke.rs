//! Many keys revoked in one act: what was looked at is what ends, or nothing does.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::audit_chain::the_chain_holds;
use crate::on_both_engines;
use crate::support::crowd::at_once;
use crate::support::database::Database;
use crate::support::many_keys;
use crate::support::server::{Key, Reply, Server};

on_both_engines!(
    what_a_dry_run_shows_is_what_is_then_revoked,
    another_count_than_expected_changes_nothing,
    what_a_leaked_key_made_is_found_to_the_last,
    the_break_glass_ends_every_key_and_a_reissue_brings_the_organization_back,
    every_key_has_its_audit_entry_and_the_act_has_one,
    ten_thousand_keys_end_in_one_act_and_no_more,
    of_two_who_expect_the_same_one_revokes,
    whoever_may_revoke_and_not_read_is_shown_a_count_alone,
    what_a_bulk_revoke_does_not_know_is_refused,
    no_filter_reaches_another_organization,
);

async fn bulk(server: &Server, manager: &Key, body: Value) -> Reply {
    let path = "/v1/api-keys/revoke";
    server.call(&manager.secret, Method::POST, path, body).await
}

async fn preview(server: &Server, manager: &Key, filter: &Value) -> (u64, BTreeSet<String>) {
    let reply = bulk(
        server,
        manager,
        json!({ "filter": filter, "dry_run": true }),
    )
    .await;
    reply.expect(StatusCode::OK);
    assert_eq!(reply.body["dry_run"], true);
    (reply.body["count"].as_u64().unwrap(), ids(&reply))
}

fn ids(reply: &Reply) -> BTreeSet<String> {
    let data = reply.body["data"].as_array().unwrap();
    let id = |row: &Value| row["id"].as_str().unwrap().to_owned();
    data.iter().map(id).collect()
}

fn set(ids: &[&String]) -> BTreeSet<String> {
    ids.iter().map(|&id| id.clone()).collect()
}

async fn named(server: &Server, manager: &Key, name: &str) -> Key {
    let body = json!({ "name": name, "scopes": ["read"], "external_id": format!("of {name}"),
        "metadata": { "n": name } });
    server.key(manager, body).await
}

async fn what_a_dry_run_shows_is_what_is_then_revoked(server: Server) {
    let acme = server.organization("acme").await;
    let first = named(&server, &acme, "first").await;
    let second = named(&server, &acme, "second").await;
    let third = named(&server, &acme, "third").await;
    let off = format!("/v1/api-keys/{}/disable", second.id);
    server
        .call(&acme.secret, Method::POST, &off, Value::Null)
        .await
        .expect(StatusCode::OK);
    let database = Database::of(&server).await;
    let before = database.contents().await;
    // What is disabled could be enabled, and is meant too.
    let all_three = set(&[&first.id, &second.id, &third.id]);
    for (filter, expected) in [
        (
            json!({ "scope": "read", "search": "ir" }),
            set(&[&first.id, &third.id]),
        ),
        (json!({ "external_id": "of second" }), set(&[&second.id])),
        (
            json!({ "external_id": "of second", "status": "active" }),
            set(&[]),
        ),
        (json!({ "metadata": { "n": "third" } }), set(&[&third.id])),
        (json!({ "created_by": acme.id }), all_three.clone()),
        (json!({ "search": "nothing of the kind" }), set(&[])),
    ] {
        let (count, shown) = preview(&server, &acme, &filter).await;
        assert_eq!(
            (count, &shown),
            (expected.len() as u64, &expected),
            "{filter}"
        );
    }
    assert_eq!(database.contents().await, before);

    server.exchange(&first, &[]).await.expect(StatusCode::OK);
    let body = json!({ "filter": { "created_by": acme.id }, "reason": "superseded",
        "expected_count": 3 });
    let done = bulk(&server, &acme, body.clone()).await;
    done.expect(StatusCode::OK);
    assert_eq!(
        (&done.body["dry_run"], &done.body["count"]),
        (&json!(false), &json!(3))
    );
    assert_eq!(ids(&done), all_three);
    for row in done.body["data"].as_array().unwrap() {
        let path = format!("/v1/api-keys/{}", row["id"].as_str().unwrap());
        let shown = server
            .call(&acme.secret, Method::GET, &path, Value::Null)
            .await;
        assert_eq!(&shown.body, row);
        assert_eq!(
            (&row["status"], &row["revoke_reason"]),
            (&json!("revoked"), &json!("superseded"))
        );
    }
    for key in [&first, &second, &third] {
        server
            .exchange(key, &[])
            .await
            .refuses(401, "invalid_client");
    }
    server.exchange(&acme, &[]).await.expect(StatusCode::OK);
    // Again there is nothing left, and nothing is done.
    bulk(&server, &acme, body)
        .await
        .refuses(409, "count_changed");
    let before = database.contents().await;
    let none = json!({ "filter": { "created_by": acme.id }, "expected_count": 0 });
    bulk(&server, &acme, none).await.expect(StatusCode::OK);
    assert_eq!(database.contents().await, before);
}

async fn another_count_than_expected_changes_nothing(server: Server) {
    let acme = server.organization("acme").await;
    let keys = [
        named(&server, &acme, "a").await,
        named(&server, &acme, "b").await,
    ];
    let database = Database::of(&server).await;
    let before = database.contents().await;
    for expected in [0, 1, 3, u32::MAX] {
        let body = json!({ "filter": { "created_by": acme.id }, "expected_count": expected });
        let refused = bulk(&server, &acme, body).await;
        refused.refuses(409, "count_changed");
        assert_eq!(refused.body["count"], 2);
    }
    assert_eq!(database.contents().await, before);
    for key in &keys {
        server.exchange(key, &[]).await.expect(StatusCode::OK);
    }
}

async fn what_a_leaked_key_made_is_found_to_the_last(server: Server) {
    let acme = server.organization("acme").await;
    let maker = json!({ "name": "maker", "scopes": ["read", "api_keys.*"] });
    let leaked = server.key(&acme, maker.clone()).await;
    let child = server.key(&leaked, maker.clone()).await;
    let grandchild = server.key(&child, maker.clone()).await;
    let last = server.key(&grandchild, maker.clone()).await;
    let beside = server.key(&acme, maker).await;
    let of_beside = named(&server, &beside, "x").await;
    // In between, one has ended already: what it made is found all the same.
    let path = format!("/v1/api-keys/{}/revoke", child.id);
    let revoked = server
        .call(&acme.secret, Method::POST, &path, Value::Null)
        .await;
    revoked.expect(StatusCode::OK);
    let by = |more: Value| {
        let mut filter = json!({ "created_by": leaked.id });
        filter
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        filter
    };
    for (more, expected) in [
        (json!({}), set(&[])),
        (json!({ "include_creator": true }), set(&[&leaked.id])),
        (
            json!({ "transitive": true }),
            set(&[&grandchild.id, &last.id]),
        ),
        (
            json!({ "transitive": true, "include_creator": true }),
            set(&[&leaked.id, &grandchild.id, &last.id]),
        ),
        (
            json!({ "transitive": true, "search": &last.id }),
            set(&[&last.id]),
        ),
        (json!({ "transitive": true, "scope": "write" }), set(&[])),
    ] {
        assert_eq!(preview(&server, &acme, &by(more)).await.1, expected);
    }
    // Rows that name each other as makers, as no act leaves them, are an end too.
    let database = Database::of(&server).await;
    let text = "UPDATE api_keys SET created_by = $1 WHERE id = $2";
    database.run(text, &[&last.id, &leaked.id]).await;
    let filter = by(json!({ "transitive": true }));
    let expected = set(&[&leaked.id, &grandchild.id, &last.id]);
    assert_eq!(preview(&server, &acme, &filter).await, (3, expected));
    let body = json!({ "filter": filter, "reason": "compromised", "expected_count": 3 });
    // Even by the leaked key itself.
    bulk(&server, &leaked, body).await.expect(StatusCode::OK);
    for key in [&leaked, &grandchild, &last] {
        server
            .exchange(key, &[])
            .await
            .refuses(401, "invalid_client");
    }
    for key in [&acme, &beside, &of_beside] {
        server.exchange(key, &[]).await.expect(StatusCode::OK);
    }
    // Of the operator's making, all the way down: whatever there is.
    let filter = json!({ "created_by": "operator", "transitive": true });
    let expected = set(&[&acme.id, &beside.id, &of_beside.id]);
    assert_eq!(preview(&server, &acme, &filter).await.1, expected);
}

async fn the_break_glass_ends_every_key_and_a_reissue_brings_the_organization_back(server: Server) {
    let acme = server.organization("acme").await;
    let other = server.organization("other").await;
    let active = named(&server, &acme, "active").await;
    let disabled = named(&server, &acme, "disabled").await;
    let brief = json!({ "name": "brief", "scopes": ["read"], "expires_in_days": 1 });
    let expired = server.key(&acme, brief).await;
    server.advance(86_400);
    let off = format!("/v1/api-keys/{}/disable", disabled.id);
    server
        .call(&acme.secret, Method::POST, &off, Value::Null)
        .await
        .expect(StatusCode::OK);
    let token = server.management_token(&acme, &[]).await;
    let all = json!({ "all": true });
    let expected = set(&[&acme.id, &active.id, &disabled.id, &expired.id]);
    assert_eq!(preview(&server, &acme, &all).await, (4, expected.clone()));

    let body = json!({ "filter": all, "reason": "compromised", "expected_count": 4 });
    // The very key that asks ends too, and is answered.
    let done = bulk(&server, &acme, body).await;
    done.expect(StatusCode::OK);
    assert_eq!(ids(&done), expected);
    for key in [&acme, &active, &disabled, &expired] {
        server
            .exchange(key, &[])
            .await
            .refuses(401, "invalid_client");
    }
    for bearer in [&acme.secret, &token] {
        let refused = server
            .call(bearer, Method::GET, "/v1/api-keys", Value::Null)
            .await;
        refused.refuses(401, "unauthenticated");
    }
    server.exchange(&other, &[]).await.expect(StatusCode::OK);

    let path = "/v1/organizations/acme/bootstrap";
    let reissued = server
        .operate(Method::POST, path, json!({ "reissue": true }))
        .await;
    let manager = Key::of(&reissued.expect(StatusCode::OK).body["management_key"]);
    let fresh = named(&server, &manager, "fresh").await;
    server.exchange(&fresh, &[]).await.expect(StatusCode::OK);
    assert_eq!(
        preview(&server, &manager, &json!({ "all": true })).await.0,
        2
    );
    the_chain_holds(&server, "acme").await;
}

async fn every_key_has_its_audit_entry_and_the_act_has_one(server: Server) {
    let acme = server.organization("acme").await;
    let mut keys = Vec::new();
    for name in ["a", "b"] {
        // A millisecond apart at least: ids made within one have no order.
        server.advance(1);
        keys.push(named(&server, &acme, name).await);
    }
    let database = Database::of(&server).await;
    let before = database.audit_events("acme").await.len();
    let filter = json!({ "search": "A", "created_by": acme.id, "transitive": true });
    let path = "/v1/organizations/acme/api-keys/revoke";
    let body =
        json!({ "filter": { "created_by": acme.id }, "reason": "unused", "expected_count": 2 });
    server
        .operate(Method::POST, path, body)
        .await
        .expect(StatusCode::OK);
    assert_eq!(preview(&server, &acme, &filter).await.0, 0);
    let events = database.audit_events("acme").await;
    let events = &events[before..];
    assert_eq!(events.len(), 3);
    for (event, key) in events.iter().zip(&keys) {
        assert_eq!(
            (event.action.as_str(), &event.target),
            ("api_key.revoke", &key.id)
        );
        assert_eq!(event.details()["reason"], "unused");
    }
    let act = &events[2];
    assert_eq!(
        (act.action.as_str(), act.target.as_str()),
        ("api_key.bulk_revoke", "acme")
    );
    assert_eq!(
        act.details(),
        json!({ "count": 2, "reason": "unused", "filter": {
            "status": "unrevoked", "created_by": acme.id, "transitive": false,
            "include_creator": false,
        } })
    );
    for event in events {
        assert_eq!(
            event.actor,
            format!("operator:{}", server.operator_key().id)
        );
        assert_eq!(event.request_id, act.request_id);
    }
    // The chain goes on behind them.
    named(&server, &acme, "c").await;
    the_chain_holds(&server, "acme").await;
}

async fn ten_thousand_keys_end_in_one_act_and_no_more(server: Server) {
    let acme = server.organization("acme").await;
    // Of ten, one was revoked before.
    many_keys::add(server.place(), "acme", 0, 11_112).await;
    let filter = json!({ "created_by": "key_00000000000000000000000001" });
    let body = json!({ "filter": filter, "dry_run": true });
    let refused = bulk(&server, &acme, body).await;
    refused.refuses(422, "invalid_field");
    assert_eq!(refused.body["pointer"], "/filter");
    let body = json!({ "filter": filter, "expected_count": 10_001 });
    let refused = bulk(&server, &acme, body).await;
    refused.refuses(422, "invalid_field");

    server
        .place()
        .execute("UPDATE api_keys SET revoked_at = 1 WHERE id = 'key_00000000000000000000000002'")
        .await;
    let database = Database::of(&server).await;
    let events = database.audit_events("acme").await.len();
    assert_eq!(preview(&server, &acme, &filter).await.0, 10_000);
    let body = json!({ "filter": filter, "reason": "compromised", "expected_count": 10_000 });
    let begun = Instant::now();
    let done = bulk(&server, &acme, body).await;
    let took = begun.elapsed();
    done.expect(StatusCode::OK);
    assert_eq!(done.body["count"], 10_000);
    assert_eq!(done.body["data"].as_array().unwrap().len(), 100);
    // Far from it on a quiet machine, and without optimisation; but not a query for each.
    assert!(took < Duration::from_secs(25), "{took:?}");
    let left = "SELECT COUNT(*) FROM api_keys WHERE revoked_at IS NULL AND id < 'key_00000001'";
    assert_eq!(database.count(left).await, 0);
    assert_eq!(database.audit_events("acme").await.len(), events + 10_001);
    the_chain_holds(&server, "acme").await;
    server.exchange(&acme, &[]).await.expect(StatusCode::OK);
}

async fn of_two_who_expect_the_same_one_revokes(server: Server) {
    let acme = server.organization("acme").await;
    for name in ["a", "b", "c"] {
        named(&server, &acme, name).await;
    }
    let body = json!({ "filter": { "created_by": acme.id }, "expected_count": 3 });
    let replies = at_once((0..6).map(|_| {
        let request = server.request(Method::POST, "/v1/api-keys/revoke");
        request.bearer_auth(&acme.secret).json(&body)
    }))
    .await;
    let done = replies
        .iter()
        .filter(|reply| reply.status == StatusCode::OK);
    assert_eq!(done.count(), 1);
    for reply in replies
        .iter()
        .filter(|reply| reply.status != StatusCode::OK)
    {
        reply.refuses(409, "count_changed");
        assert_eq!(reply.body["count"], 0);
    }
    the_chain_holds(&server, "acme").await;
}

async fn whoever_may_revoke_and_not_read_is_shown_a_count_alone(server: Server) {
    let acme = server.organization("acme").await;
    let revoker = server.key_with(&acme, &["api_keys.revoke"]).await;
    let target = named(&server, &acme, "target").await;
    let filter = json!({ "external_id": "of target" });
    for body in [
        json!({ "filter": filter, "dry_run": true }),
        json!({ "filter": filter, "expected_count": 1 }),
    ] {
        let reply = bulk(&server, &revoker, body).await;
        reply.expect(StatusCode::OK);
        assert_eq!(
            (&reply.body["count"], &reply.body["data"]),
            (&json!(1), &Value::Null)
        );
        assert!(!reply.text.contains(&target.id));
    }
    server
        .exchange(&target, &[])
        .await
        .refuses(401, "invalid_client");
}

async fn what_a_bulk_revoke_does_not_know_is_refused(server: Server) {
    let acme = server.organization("acme").await;
    named(&server, &acme, "a").await;
    let database = Database::of(&server).await;
    let before = database.contents().await;
    for (filter, pointer) in [
        (json!({}), ""),
        (json!({ "all": false }), ""),
        (json!({ "status": "unrevoked" }), ""),
        (json!({ "metadata": {} }), ""),
        (json!({ "all": true, "status": "unrevoked" }), "/all"),
        (json!({ "all": true, "status": "active" }), "/all"),
        (json!({ "all": true, "search": "a" }), "/all"),
        (json!({ "all": null }), "/all"),
        (json!({ "status": "revoked" }), "/status"),
        (json!({ "status": "all" }), "/status"),
        (json!({ "status": null }), "/status"),
        (json!({ "search": "" }), "/search"),
        (json!({ "search": null }), "/search"),
        (json!({ "external_id": "" }), "/external_id"),
        (json!({ "metadata": { "a": 1 } }), "/metadata/a"),
        (json!({ "role": "A" }), "/role"),
        (json!({ "scope": "a b" }), "/scope"),
        (json!({ "created_by": "somebody" }), "/created_by"),
        (json!({ "transitive": true }), "/transitive"),
        (
            json!({ "search": "a", "include_creator": true }),
            "/include_creator",
        ),
        (
            json!({ "created_by": "operator", "include_creator": true }),
            "/include_creator",
        ),
        (json!({ "expires_before": "soon" }), "/expires_before"),
        (json!({ "sort": "name" }), "/sort"),
        (json!({ "limit": 1 }), "/limit"),
    ] {
        for more in [json!({ "dry_run": true }), json!({ "expected_count": 2 })] {
            let mut body = json!({ "filter": filter });
            body.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            let refused = bulk(&server, &acme, body).await;
            refused.refuses(422, "invalid_field");
            assert_eq!(
                refused.body["pointer"],
                format!("/filter{pointer}"),
                "{filter}"
            );
        }
    }
    let all = json!({ "all": true });
    for (body, pointer) in [
        (json!({}), "/filter"),
        (json!({ "filter": null }), "/filter"),
        (json!({ "filter": all }), "/expected_count"),
        (
            json!({ "filter": all, "dry_run": false }),
            "/expected_count",
        ),
        (
            json!({ "filter": all, "dry_run": true, "expected_count": 2 }),
            "/expected_count",
        ),
        (
            json!({ "filter": all, "expected_count": null }),
            "/expected_count",
        ),
        (
            json!({ "filter": all, "expected_count": -1 }),
            "/expected_count",
        ),
        (
            json!({ "filter": all, "expected_count": 2, "reason": "x" }),
            "/reason",
        ),
        (
            json!({ "filter": all, "expected_count": 2, "ids": [] }),
            "/ids",
        ),
    ] {
        let refused = bulk(&server, &acme, body.clone()).await;
        refused.refuses(422, "invalid_field");
        assert_eq!(refused.body["pointer"], pointer, "{body}");
    }
    assert_eq!(database.contents().await, before);
}

async fn no_filter_reaches_another_organization(server: Server) {
    let acme = server.organization("acme").await;
    let other = server.organization("other").await;
    let theirs = named(&server, &other, "theirs").await;
    for filter in [
        json!({ "created_by": other.id, "transitive": true, "include_creator": true }),
        json!({ "search": theirs.id }),
        json!({ "external_id": "of theirs" }),
        json!({ "metadata": { "n": "theirs" } }),
    ] {
        assert_eq!(
            preview(&server, &acme, &filter).await,
            (0, set(&[])),
            "{filter}"
        );
    }
    let filter = json!({ "created_by": "operator", "transitive": true });
    assert_eq!(
        preview(&server, &acme, &filter).await,
        (1, set(&[&acme.id]))
    );
    let body = json!({ "filter": { "all": true }, "expected_count": 1 });
    bulk(&server, &acme, body).await.expect(StatusCode::OK);
    for key in [&other, &theirs] {
        server.exchange(key, &[]).await.expect(StatusCode::OK);
    }
    server
        .exchange(&server.operator_key(), &[])
        .await
        .expect(StatusCode::OK);
}
