//! Owners are told that their keys near their ends: at each mark once, in order, whatever happens.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenmint::app::{App, Role};
use tenmint::domain::secret::KeyId;
use tenmint::manage::notices::{Announced, announce};

use crate::on_both_engines;
use crate::support::database::{AuditEvent, Database};
use crate::support::server::{Key, Place, Server};

on_both_engines!(
    each_mark_is_told_once_and_in_order,
    a_key_made_for_five_days_is_told_of_its_last_day_and_its_end,
    marks_missed_while_nobody_served_are_told_once_and_say_that_they_are_late,
    a_later_end_is_told_of_anew_and_a_removed_one_is_not,
    an_earlier_end_is_told_of_at_the_next_mark_ahead,
    a_revoked_key_is_not_told_of,
    keys_that_nobody_can_use_now_are_told_of,
    a_corrupt_key_and_a_busy_organization_keep_no_other_waiting,
    many_keys_of_one_instant_are_told_of_once_also_when_interrupted,
);

const DAY: u64 = 86_400;

/// Makes a key that ends in so many days.
async fn key_for(server: &Server, manager: &Key, days: u64) -> Key {
    let body = json!({ "name": "ci", "scopes": ["read"], "expires_in_days": days });
    server.key(manager, body).await
}

/// Waits until nothing is due any more.
async fn settle(server: &Server) {
    let due = format!(
        "SELECT id FROM api_keys
         WHERE next_notice_at <= {} AND revoked_at IS NULL AND scopes <> 'nonsense'",
        server.clock.now().unix()
    );
    while !server.place().query(&due).await.is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn entries(server: &Server) -> Vec<AuditEvent> {
    let mut entries = Database::of(server).await.audit_events("acme").await;
    entries.retain(|entry| matches!(&*entry.action, "api_key.expiring" | "api_key.expired"));
    entries
}

/// What was told of a key: at which mark and how many days before its end; `end` at last.
async fn told(server: &Server, key: &Key) -> Vec<String> {
    let mut told = Vec::new();
    for entry in entries(server).await {
        if entry.target != key.id {
            continue;
        }
        let details = entry.details();
        assert_eq!(details["name"], "ci");
        assert_eq!(entry.actor, "tenmint");
        told.push(match &*entry.action {
            "api_key.expired" => "end".to_owned(),
            _ => format!("{} {}", details["notice_days"], details["days_left"]),
        });
    }
    told
}

async fn patch(server: &Server, manager: &Key, key: &Key, body: Value) {
    let path = format!("/v1/api-keys/{}", key.id);
    let edited = server.call(&manager.secret, Method::PATCH, &path, body);
    edited.await.expect(StatusCode::OK);
}

async fn post(server: &Server, path: &str) {
    let done = server.operate(Method::POST, path, Value::Null).await;
    done.expect(StatusCode::OK);
}

async fn each_mark_is_told_once_and_in_order(server: Server) {
    let acme = server.organization("acme").await;
    let key = key_for(&server, &acme, 90).await;
    let path = format!("/v1/organizations/acme/api-keys/{}", key.id);
    let before = server.operate(Method::GET, &path, Value::Null).await;
    let all = ["30 30", "7 7", "1 1", "end"];
    let days = [60, 83, 89, 90];
    for (number, day) in days.into_iter().enumerate() {
        let now = before.body["created_at"].as_str().unwrap();
        let passed = server.clock.now().seconds_since(now.parse().unwrap());
        // Just not yet.
        server.advance(day * DAY - passed - 120);
        settle(&server).await;
        server.advance(60);
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert_eq!(told(&server, &key).await, all[..number]);
        server.advance(60);
        settle(&server).await;
        assert_eq!(told(&server, &key).await, all[..=number]);
    }
    let entry = &entries(&server).await[0];
    assert_eq!(
        entry.details()["expires_at"],
        before.body["expires_at"],
        "{entry:?}"
    );
    let mut after = server.operate(Method::GET, &path, Value::Null).await;
    assert_eq!(after.header("etag"), before.header("etag"));
    assert_eq!(after.body["status"], "expired");
    after.body["status"] = json!("active");
    assert_eq!(after.body, before.body);
    server.advance(400 * DAY);
    settle(&server).await;
    assert_eq!(told(&server, &key).await, all);
}

async fn a_key_made_for_five_days_is_told_of_its_last_day_and_its_end(server: Server) {
    let acme = server.organization("acme").await;
    let key = key_for(&server, &acme, 5).await;
    for _ in 0..6 {
        server.advance(DAY);
        settle(&server).await;
    }
    assert_eq!(told(&server, &key).await, ["1 1", "end"]);
}

async fn marks_missed_while_nobody_served_are_told_once_and_say_that_they_are_late(server: Server) {
    let acme = server.organization("acme").await;
    let key = key_for(&server, &acme, 90).await;
    let soon = key_for(&server, &acme, 40).await;
    let (clock, place) = (server.clock.clone(), server.stop().await);
    clock.advance(Duration::from_secs(88 * DAY));
    let server = place.start_at(clock.now()).await;
    settle(&server).await;
    assert_eq!(told(&server, &key).await, ["30 2", "7 2"]);
    assert_eq!(told(&server, &soon).await, ["30 0", "7 0", "1 0", "end"]);
    let (clock, place) = (server.clock.clone(), server.stop().await);
    let server = place.start_at(clock.now()).await;
    server.advance(DAY);
    settle(&server).await;
    assert_eq!(told(&server, &key).await, ["30 2", "7 2", "1 1"]);
}

async fn a_later_end_is_told_of_anew_and_a_removed_one_is_not(server: Server) {
    let acme = server.organization("acme").await;
    let keys = [
        key_for(&server, &acme, 40).await,
        key_for(&server, &acme, 40).await,
    ];
    server.advance(34 * DAY);
    settle(&server).await;
    // Six days left; twenty more, and later no end at all for one.
    for key in &keys {
        patch(&server, &acme, key, json!({ "expires_in_days": 26 })).await;
    }
    server.advance(19 * DAY);
    settle(&server).await;
    patch(&server, &acme, &keys[1], json!({ "expires_at": null })).await;
    server.advance(60 * DAY);
    settle(&server).await;
    let late = ["30 6", "7 6", "7 7", "1 0", "end"];
    assert_eq!(told(&server, &keys[0]).await, late);
    assert_eq!(told(&server, &keys[1]).await, late[..3]);
}

async fn an_earlier_end_is_told_of_at_the_next_mark_ahead(server: Server) {
    let acme = server.organization("acme").await;
    let key = key_for(&server, &acme, 365).await;
    patch(&server, &acme, &key, json!({ "expires_in_days": 5 })).await;
    server.advance(3 * DAY);
    settle(&server).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(told(&server, &key).await.is_empty());
    for _ in 0..3 {
        server.advance(DAY);
        settle(&server).await;
    }
    assert_eq!(told(&server, &key).await, ["1 1", "end"]);
}

async fn a_revoked_key_is_not_told_of(server: Server) {
    let acme = server.organization("acme").await;
    let [key, other] = [
        key_for(&server, &acme, 90).await,
        key_for(&server, &acme, 90).await,
    ];
    let path = format!("/v1/organizations/acme/api-keys/{}/revoke", key.id);
    post(&server, &path).await;
    // Also if a notice were still noted.
    let place = server.place();
    let again = format!(
        "UPDATE api_keys SET next_notice_at = 1000 WHERE id = '{}'",
        key.id
    );
    place.execute(&again).await;
    server.advance(91 * DAY);
    settle(&server).await;
    assert_eq!(told(&server, &other).await.len(), 4);
    assert!(told(&server, &key).await.is_empty());
    let id = key.id.parse().unwrap();
    let acme = "acme".parse().unwrap();
    let told_now = announce(&server.app.management, &acme, id).await;
    assert_eq!(told_now.unwrap(), Announced::Nothing);
    assert!(told(&server, &key).await.is_empty());
}

async fn keys_that_nobody_can_use_now_are_told_of(server: Server) {
    let acme = server.organization("acme").await;
    let key = key_for(&server, &acme, 40).await;
    let path = format!("/v1/organizations/acme/api-keys/{}/disable", key.id);
    post(&server, &path).await;
    post(&server, "/v1/organizations/acme/suspend").await;
    server.advance(10 * DAY);
    settle(&server).await;
    assert_eq!(told(&server, &key).await, ["30 30"]);
}

async fn a_corrupt_key_and_a_busy_organization_keep_no_other_waiting(server: Server) {
    let acme = server.organization("acme").await;
    let [corrupt, sound] = [
        key_for(&server, &acme, 39).await,
        key_for(&server, &acme, 40).await,
    ];
    let place = server.place();
    let nonsense = format!(
        "UPDATE api_keys SET scopes = 'nonsense' WHERE id = '{}'",
        corrupt.id
    );
    place.execute(&nonsense).await;
    server.advance(10 * DAY);
    settle(&server).await;
    assert_eq!(told(&server, &sound).await, ["30 30"]);
    assert!(told(&server, &corrupt).await.is_empty());
    if place.is_sqlite() {
        // There, whoever holds one organization holds them all.
        return;
    }
    let globex = server.organization("globex").await;
    let other = key_for(&server, &globex, 25).await;
    let (database, holder) = (Database::of(&server).await, Database::of(&server).await);
    let held = holder.hold_acme().await;
    server.advance(24 * DAY);
    loop {
        let told = database.audit_events("globex").await;
        if told.iter().filter(|entry| entry.target == other.id).count() == 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(told(&server, &sound).await, ["30 30"]);
    held.release().await;
    server.advance(60);
    settle(&server).await;
    assert_eq!(told(&server, &sound).await, ["30 30", "7 6"]);
}

/// Copies of a key, which all end at one instant.
async fn copies(server: &Server, key: &Key, count: u32) -> Vec<KeyId> {
    use std::fmt::Write;
    let (mut ids, mut text) = (Vec::new(), String::new());
    for number in 0..count {
        let id = format!("key_01HZZZZZZZZZZZZZZZZZZZ{number:04}");
        write!(
            text,
            "INSERT INTO api_keys (id, organization_id, name, scopes, allowed_ip_cidrs, metadata,
                 created_at, expires_at, next_notice_at)
             SELECT '{id}', organization_id, name, scopes, allowed_ip_cidrs, metadata,
                 created_at, expires_at, next_notice_at FROM api_keys WHERE id = '{key}';
             INSERT INTO api_key_secrets (api_key_id, fingerprint, hash, root_key, created_at)
             SELECT '{id}', '{number}', hash, root_key, created_at FROM api_key_secrets
             WHERE api_key_id = '{key}';",
            key = key.id
        )
        .unwrap();
        ids.push(id.parse().unwrap());
    }
    let text = format!("BEGIN; {text} COMMIT;");
    server.place().execute(&text).await;
    ids
}

async fn many_keys_of_one_instant_are_told_of_once_also_when_interrupted(server: Server) {
    let acme = server.organization("acme").await;
    let key = key_for(&server, &acme, 40).await;
    let ids = copies(&server, &key, 230).await;
    server.advance(10 * DAY);
    // Beside the job, somebody who dies in the middle of it.
    let management = Arc::clone(&server.app.management);
    let dying = tokio::spawn(async move {
        let acme = "acme".parse().unwrap();
        for id in ids.into_iter().rev() {
            announce(&management, &acme, id).await.unwrap();
        }
    });
    while entries(&server).await.len() < 20 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    dying.abort();
    let _ = dying.await;
    // A server that stops does not work everything off first.
    let (clock, place) = (server.clock.clone(), server.stop().await);
    let server = place.start_at(clock.now()).await;
    // Whoever manages meanwhile has their turn.
    key_for(&server, &acme, 90).await;
    settle(&server).await;
    let mut targets: Vec<_> = entries(&server)
        .await
        .into_iter()
        .map(|entry| entry.target)
        .collect();
    targets.sort_unstable();
    let told = targets.len();
    targets.dedup();
    assert_eq!((told, targets.len()), (231, 231));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_nodes_that_tell_at_once_one_does() {
    let Some(place) = Place::postgres().await else {
        return;
    };
    let server = place.start().await;
    let acme = server.organization("acme").await;
    let key = key_for(&server, &acme, 40).await;
    let ids = copies(&server, &key, 120).await;
    let (settings, base) = (server.place().settings(), server.app.mint.base.clone());
    let other = App::open(&settings, base, server.clock.clone(), Role::Server);
    let other = other.await.unwrap();
    let jobs = other.start_jobs();
    server.advance(38 * DAY);
    // Beside the jobs, which take turns, whoever does not.
    let racing = [&server.app, &other].map(|node| {
        let (management, ids) = (Arc::clone(&node.management), ids.clone());
        tokio::spawn(async move {
            let acme = "acme".parse().unwrap();
            let mut told = 0;
            for id in ids {
                let announced = announce(&management, &acme, id).await.unwrap();
                told += u32::from(announced != Announced::Nothing);
            }
            told
        })
    });
    for node in racing {
        assert!(node.await.unwrap() > 0, "both had a part in it");
    }
    settle(&server).await;
    let mut told: Vec<_> = entries(&server)
        .await
        .into_iter()
        .map(|entry| {
            let mark = entry.details()["notice_days"].to_string();
            (entry.target, mark)
        })
        .collect();
    told.sort_unstable();
    assert_eq!(told.len(), 2 * 121);
    told.dedup();
    assert_eq!(told.len(), 2 * 121, "none twice");
    jobs.stop().await;
    other.close().await;
}
