//! A revoke wins over acts that are under way: once it is answered, its key does nothing more.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::crowd::at_once;
use crate::support::database::{Database, Held};
use crate::support::server::{Key, Server};

/// Takes the next place in the audit chain of `acme`, so that an act there comes to a stop just
/// before its end.
const IN_THE_WAY: &str = "INSERT INTO audit_events \
    (organization_id, sequence, at, actor, action, target, details, mac) \
    SELECT id, audit_sequence + 1, 0, '', '', '', '', '' FROM organizations WHERE id = 'acme'";

const WAITING: &str = "SELECT COUNT(*) FROM pg_stat_activity \
    WHERE datname = current_database() AND wait_event_type = 'Lock'";

/// SQLite has one writer: there, acts take turns as a whole.
#[tokio::test(flavor = "multi_thread")]
async fn no_act_ends_well_after_the_revoke_of_its_key_was_answered() {
    let Some(server) = Server::on_postgres().await else {
        return;
    };
    server.organization("acme").await;
    let body = json!({ "name": "x", "scopes": ["api_keys.create", "read"] });
    let path = "/v1/api-keys";
    let clerk = server.operate(Method::POST, path, body.clone()).await;
    let clerk = Key::of(&clerk.expect(StatusCode::CREATED).body);

    let (database, beside) = (Database::of(&server).await, Database::of(&server).await);
    let held = database.begin(IN_THE_WAY).await;
    let act = server
        .request(Method::POST, "/v1/organizations/acme/api-keys")
        .bearer_auth(&clerk.secret)
        .json(&body);
    let act = tokio::spawn(at_once([act]));
    until(async || beside.count(WAITING).await == 1).await;

    let revoke = server
        .request(Method::POST, &format!("{path}/{}/revoke", clerk.id))
        .bearer_auth(&server.operator);
    let revoke = tokio::spawn(at_once([revoke]));
    until(async || revoke.is_finished() || beside.count(WAITING).await == 2).await;
    let was_answered = revoke.is_finished();
    Held::release(held).await;

    let (act, revoke) = (act.await.unwrap(), revoke.await.unwrap());
    revoke[0].expect(StatusCode::OK);
    assert!(
        !(was_answered && act[0].status == StatusCode::CREATED),
        "revoked, then: {}",
        act[0].text
    );
    let path = "/v1/organizations/acme/api-keys";
    let late = server
        .call(&clerk.secret, Method::GET, path, Value::Null)
        .await;
    late.refuses(401, "unauthenticated");
}

/// Looks again and again, for as long as the server itself would wait.
async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let patience = tokio::time::timeout(Duration::from_secs(30), async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    patience.await.unwrap();
}
