//! Keys that nobody uses are revoked where a policy says so: after a warning, and never on usage
//! that is still on its way.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::support::database::{AuditEvent, Database};
use crate::support::server::{Key, Server};

on_both_engines!(
    an_unused_key_is_warned_of_once_and_revoked_a_week_later,
    a_use_after_the_warning_lifts_it,
    a_policy_that_is_new_warns_first,
    usage_that_is_on_its_way_is_waited_for,
    keys_that_others_depend_on_stay,
    what_ended_otherwise_or_counts_no_longer_is_let_be,
);

const DAY: u64 = 86_400;

async fn policy(server: &Server, column: &str, days: Option<u32>) {
    let policy = days.map_or(
        json!({}),
        |days| json!({ "revoke_unused_after_days": days }),
    );
    let text = format!("UPDATE organizations SET {column} = '{policy}'");
    server.place().execute(&text).await;
}

async fn exchange(server: &Server, key: &Key) {
    server.exchange(key, &[]).await.expect(StatusCode::OK);
    server.app.usage.flush().await.unwrap();
}

/// Lets hours pass until `done` is true of what the log says of a key.
async fn until(server: &Server, key: &Key, done: impl Fn(&[AuditEvent]) -> bool) {
    let began = Instant::now();
    loop {
        let said = said(server, key).await;
        if done(&said) {
            return;
        }
        assert!(began.elapsed() < Duration::from_mins(2), "{said:?}");
        server.advance(61);
        server.app.usage.flush().await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn until_warned(server: &Server, key: &Key) {
    until(server, key, |said| said.last().is_some_and(is_warning)).await;
}

async fn until_revoked(server: &Server, key: &Key) {
    let revoked = |said: &[AuditEvent]| said.last().is_some_and(|e| e.action == "api_key.revoke");
    until(server, key, revoked).await;
}

/// Lets hours pass until no warning stands of a key that goes on.
async fn until_no_warning_stands(server: &Server) {
    let warned = "SELECT id FROM api_keys
                  WHERE unused_warned_at IS NOT NULL AND revoked_at IS NULL";
    let began = Instant::now();
    while !server.place().query(warned).await.is_empty() {
        assert!(began.elapsed() < Duration::from_mins(2), "they stay");
        server.advance(61);
        server.app.usage.flush().await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn is_warning(entry: &AuditEvent) -> bool {
    entry.action == "api_key.unused"
}

/// What the log says of a key, but for notices that it expires: these come beside the others, before
/// or after, as it happens.
async fn said(server: &Server, key: &Key) -> Vec<AuditEvent> {
    let mut said = Database::of(server).await.audit_events("acme").await;
    said.retain(|entry| {
        let is_notice = matches!(&*entry.action, "api_key.expiring" | "api_key.expired");
        entry.target == key.id && !is_notice
    });
    said
}

async fn warnings(server: &Server, key: &Key) -> usize {
    let said = said(server, key).await;
    said.iter().filter(|entry| is_warning(entry)).count()
}

async fn status(server: &Server, key: &Key) -> String {
    show(server, key).await["status"]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn show(server: &Server, key: &Key) -> Value {
    let path = format!("/v1/organizations/acme/api-keys/{}", key.id);
    let shown = server.operate(Method::GET, &path, Value::Null).await;
    shown.expect(StatusCode::OK).body.clone()
}

async fn an_unused_key_is_warned_of_once_and_revoked_a_week_later(server: Server) {
    let acme = server.organization("acme").await;
    policy(&server, "policy", Some(30)).await;
    policy(&server, "operator_policy", Some(90)).await;
    let key = server.key_with(&acme, &["read"]).await;
    exchange(&server, &key).await;
    let used = server.clock.now();
    let before = show(&server, &key).await;
    server.advance(23 * DAY - 3_600);
    until_warned(&server, &key).await;
    let warned = said(&server, &key).await.pop().unwrap();
    let days = |days: u64| Duration::from_secs(days * DAY);
    assert!(warned.at >= used.plus(days(23)).unix(), "{warned:?}");
    assert_eq!(warned.actor, "tenmint");
    let told = warned.details();
    assert_eq!(told["last_used_at"], json!(used));
    let end: tenmint::domain::timestamp::Timestamp = told["will_be_revoked_at"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(end.unix(), warned.at + 7 * 86_400);
    assert_eq!(show(&server, &key).await["revision"], before["revision"]);
    server.advance(7 * DAY - 3_600);
    until_revoked(&server, &key).await;
    assert_eq!(warnings(&server, &key).await, 1);
    let revoked = said(&server, &key).await.pop().unwrap();
    assert!(revoked.at >= end.unix(), "{revoked:?}");
    assert_eq!(revoked.actor, "tenmint");
    assert_eq!(revoked.details()["reason"], "unused");
    // What this node knew of the key it has forgotten.
    let refused = server.exchange(&key, &[]).await;
    refused.refuses(401, "invalid_client");
    let shown = show(&server, &key).await;
    assert_eq!(shown["status"], "revoked");
    assert_eq!(shown["revoke_reason"], "unused");
}

async fn a_use_after_the_warning_lifts_it(server: Server) {
    let acme = server.organization("acme").await;
    policy(&server, "operator_policy", Some(30)).await;
    let [used, unused] = [
        server.key_with(&acme, &["read"]).await,
        server.key_with(&acme, &["read"]).await,
    ];
    server.advance(23 * DAY);
    // Either may be looked at first.
    until_warned(&server, &unused).await;
    until_warned(&server, &used).await;
    server.advance(DAY);
    exchange(&server, &used).await;
    server.advance(6 * DAY);
    until_revoked(&server, &unused).await;
    assert_eq!(status(&server, &used).await, "active");
    until_no_warning_stands(&server).await;
    // It is warned of anew before it goes.
    server.advance(17 * DAY);
    until(&server, &used, |said| {
        said.iter().filter(|entry| is_warning(entry)).count() == 2
    })
    .await;
    server.advance(7 * DAY);
    until_revoked(&server, &used).await;
}

async fn a_policy_that_is_new_warns_first(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    server.advance(400 * DAY);
    policy(&server, "policy", Some(30)).await;
    until_warned(&server, &key).await;
    // In five days it is too early; whether it was looked at, another key tells.
    server.advance(5 * DAY);
    let other = server.key_with(&acme, &["read"]).await;
    let long_ago = format!(
        "UPDATE api_keys SET created_at = 1000 WHERE id = '{0}';
         UPDATE api_key_secrets SET created_at = 1000 WHERE api_key_id = '{0}'",
        other.id
    );
    server.place().execute(&long_ago).await;
    server.advance(DAY / 24);
    until_warned(&server, &other).await;
    assert_eq!(status(&server, &key).await, "active");
    server.advance(2 * DAY);
    until_revoked(&server, &key).await;
    assert_eq!(warnings(&server, &key).await, 1);
}

async fn usage_that_is_on_its_way_is_waited_for(server: Server) {
    let acme = server.organization("acme").await;
    policy(&server, "policy", Some(30)).await;
    let key = server.key_with(&acme, &["read"]).await;
    server.advance(23 * DAY);
    until_warned(&server, &key).await;
    let place = server.place();
    server.advance(7 * DAY + DAY / 24);
    // Another node, which lives and is some minutes behind.
    let heard = server.clock.now().unix() - 60;
    place
        .execute(&format!(
            "INSERT INTO nodes VALUES ('node_x', {heard}, {heard}, 1)"
        ))
        .await;
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert_eq!(status(&server, &key).await, "active");
        server.advance(61);
        server.app.usage.flush().await.unwrap();
    }
    // It delivers: the key was in use.
    let now = server.clock.now().unix();
    place
        .execute(&format!(
            "INSERT INTO secret_uses (api_key_id, fingerprint, last_used_at)
             SELECT api_key_id, fingerprint, {heard} + 30 FROM api_key_secrets
             WHERE api_key_id = '{}';
             UPDATE nodes SET flushed_at = {now} WHERE id = 'node_x'",
            key.id
        ))
        .await;
    until_no_warning_stands(&server).await;
    assert_eq!(status(&server, &key).await, "active");
}

async fn keys_that_others_depend_on_stay(server: Server) {
    let acme = server.organization("acme").await;
    // The operator's as well.
    policy(&server, "policy", Some(10)).await;
    let key = server.key_with(&acme, &["read"]).await;
    server.advance(DAY);
    exchange(&server, &acme).await;
    server.advance(400 * DAY);
    until_warned(&server, &key).await;
    server.advance(7 * DAY);
    until_revoked(&server, &key).await;
    assert_eq!(status(&server, &acme).await, "active");
    assert_eq!(warnings(&server, &acme).await, 0);
    let operators = Database::of(&server).await.audit_events("operator").await;
    let of_keys = |action: &str| action.starts_with("api_key.");
    let mut acts = operators.iter().filter(|entry| of_keys(&entry.action));
    assert!(!acts.any(|entry| entry.actor == "tenmint"));
}

async fn what_ended_otherwise_or_counts_no_longer_is_let_be(server: Server) {
    let acme = server.organization("acme").await;
    let ending = server
        .key(
            &acme,
            json!({ "name": "short", "scopes": ["read"], "expires_in_days": 26 }),
        )
        .await;
    let key = server.key_with(&acme, &["read"]).await;
    let path = format!("/v1/organizations/acme/api-keys/{}/disable", key.id);
    let disabled = server.operate(Method::POST, &path, Value::Null).await;
    disabled.expect(StatusCode::OK);
    policy(&server, "policy", Some(30)).await;
    server.advance(23 * DAY);
    // Either may be looked at first.
    until_warned(&server, &key).await;
    until_warned(&server, &ending).await;
    // The policy goes, and with it the warnings.
    policy(&server, "policy", None).await;
    server.advance(DAY);
    until_no_warning_stands(&server).await;
    server.advance(30 * DAY);
    assert_eq!(status(&server, &key).await, "disabled");
    // It comes back, and warns anew, of a key that is switched off as well.
    policy(&server, "policy", Some(30)).await;
    until(&server, &key, |said| {
        said.iter().filter(|entry| is_warning(entry)).count() == 2
    })
    .await;
    server.advance(7 * DAY);
    until_revoked(&server, &key).await;
    assert_eq!(status(&server, &ending).await, "expired");
    assert_eq!(warnings(&server, &ending).await, 1);
}
