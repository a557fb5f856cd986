//! Rotation: another secret under the same id, and the one before only for as long as was said.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::support::crowd::at_once;
use crate::support::database::Database;
use crate::support::server::{Key, Reply, Server};
use crate::support::wire::shown;

on_both_engines!(
    both_secrets_count_until_the_overlap_ends,
    without_an_overlap_the_secret_before_ends_at_once,
    a_rotation_under_way_is_finished_or_waited_for,
    finishing_twice_leaves_no_trace,
    a_rotation_extends_no_life,
    a_key_that_ended_is_not_rotated,
    a_disabled_key_is_rotated_and_stays_disabled,
    of_many_rotations_at_once_one_wins,
    a_rotation_against_a_revoke_leaves_nothing_in_force,
    a_rotation_built_on_an_old_revision_is_refused,
    what_a_rotation_does_not_know_is_refused,
    whoever_rotates_holds_all_that_the_key_holds,
    the_audit_log_tells_the_secrets_apart_and_holds_neither,
);

pub async fn rotate(server: &Server, manager: &Key, id: &str, body: Value) -> Reply {
    let path = format!("/v1/api-keys/{id}/rotate");
    let bearer = &manager.secret;
    server.call(bearer, Method::POST, &path, body).await
}

/// Rotates, which must be done; gives the key as its holder has it then.
pub async fn rotated(server: &Server, manager: &Key, key: &Key, overlap: u32) -> Key {
    let body = json!({ "overlap_seconds": overlap });
    let reply = rotate(server, manager, &key.id, body).await;
    Key::of(&reply.expect(StatusCode::OK).body)
}

pub async fn post(server: &Server, manager: &Key, id: &str, verb: &str) -> Reply {
    let path = format!("/v1/api-keys/{id}/{verb}");
    let bearer = &manager.secret;
    server.call(bearer, Method::POST, &path, Value::Null).await
}

async fn show(server: &Server, manager: &Key, id: &str) -> Reply {
    let path = format!("/v1/api-keys/{id}");
    let bearer = &manager.secret;
    server.call(bearer, Method::GET, &path, Value::Null).await
}

async fn works(server: &Server, key: &Key) {
    server.exchange(key, &[]).await.expect(StatusCode::OK);
}

/// Refused as a key that never was is refused.
async fn is_over(server: &Server, key: &Key) {
    let minted = server.app.management.crypto.mint(ulid::Ulid(1));
    let unknown = Key {
        id: minted.id().to_string(),
        secret: minted.expose().to_owned(),
    };
    let expected = server.exchange(&unknown, &[]).await;
    expected.refuses(401, "invalid_client");
    let reply = server.exchange(key, &[]).await;
    assert_eq!(shown(server, &reply), shown(server, &expected));
}

async fn both_secrets_count_until_the_overlap_ends(server: Server) {
    let acme = server.organization("acme").await;
    let old = server.key_with(&acme, &["read"]).await;
    works(&server, &old).await;
    let before = show(&server, &acme, &old.id).await.body;
    let reply = rotate(&server, &acme, &old.id, Value::Null).await;
    let new = Key::of(&reply.expect(StatusCode::OK).body);
    assert_eq!(new.id, old.id);
    assert_ne!(new.secret, old.secret);
    assert_eq!(reply.body["warnings"], json!([]));
    assert_eq!(reply.header("etag"), Some("\"r2\""));
    assert_eq!(reply.header("cache-control"), Some("no-store"));

    let now = server.clock.now();
    let end = now.plus(Duration::from_hours(24)).to_string();
    let after = show(&server, &acme, &old.id).await.body;
    assert_ne!(after["fingerprint"], before["fingerprint"]);
    let secrets = json!([
        { "fingerprint": after["fingerprint"], "created_at": now.to_string(), "expires_at": null,
          "last_used_at": null, "last_used_address": null },
        { "fingerprint": before["fingerprint"], "created_at": before["created_at"],
          "expires_at": end, "last_used_at": null, "last_used_address": null },
    ]);
    assert_eq!(after["secrets"], secrets);
    let mut expected = before;
    for changed in ["fingerprint", "secrets", "revision"] {
        expected[changed] = after[changed].clone();
    }
    assert_eq!(after, expected, "nothing else changes");

    server.advance(86_399);
    works(&server, &old).await;
    works(&server, &new).await;
    server.advance(1);
    is_over(&server, &old).await;
    works(&server, &new).await;
    let later = show(&server, &acme, &old.id).await.body;
    assert_eq!(later["secrets"].as_array().unwrap().len(), 1);
}

async fn without_an_overlap_the_secret_before_ends_at_once(server: Server) {
    let acme = server.organization("acme").await;
    let old = server.key_with(&acme, &["read"]).await;
    works(&server, &old).await;
    let new = rotated(&server, &acme, &old, 0).await;
    is_over(&server, &old).await;
    works(&server, &new).await;
    let path = "/v1/api-keys";
    let refused = server.call(&old.secret, Method::GET, path, Value::Null);
    refused.await.refuses(401, "unauthenticated");
}

async fn a_rotation_under_way_is_finished_or_waited_for(server: Server) {
    let acme = server.organization("acme").await;
    let first = server.key_with(&acme, &["read"]).await;
    let second = rotated(&server, &acme, &first, 60).await;
    let refused = rotate(&server, &acme, &first.id, Value::Null).await;
    refused.refuses(409, "rotation_under_way");
    let end = server.clock.now().plus(Duration::from_mins(1)).to_string();
    let detail = format!(
        "the secret before counts until {end}: wait for that, or end it now by POST to \
         rotate/finish, then rotate again"
    );
    assert_eq!(refused.body["detail"], detail);
    works(&server, &first).await;

    post(&server, &acme, &first.id, "rotate/finish")
        .await
        .expect(StatusCode::OK);
    is_over(&server, &first).await;
    works(&server, &second).await;
    let third = rotated(&server, &acme, &first, 60).await;
    works(&server, &second).await;
    server.advance(60);
    is_over(&server, &second).await;
    let fourth = rotated(&server, &acme, &first, 60).await;
    for (key, counts) in [
        (&first, false),
        (&second, false),
        (&third, true),
        (&fourth, true),
    ] {
        if counts {
            works(&server, key).await;
        } else {
            is_over(&server, key).await;
        }
    }
    let rows = format!(
        "SELECT fingerprint FROM api_key_secrets WHERE api_key_id = '{}'",
        first.id
    );
    assert_eq!(server.place().query(&rows).await.len(), 2);
}

async fn finishing_twice_leaves_no_trace(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    rotated(&server, &acme, &key, 60).await;
    let finished = post(&server, &acme, &key.id, "rotate/finish").await;
    finished.expect(StatusCode::OK);
    assert_eq!(finished.body["revision"], 3);
    let database = Database::of(&server).await;
    let before = database.contents().await;
    let again = post(&server, &acme, &key.id, "rotate/finish").await;
    assert_eq!(again.text, finished.text);
    assert_eq!(again.status, finished.status);
    assert_eq!(database.contents().await, before);
}

async fn a_rotation_extends_no_life(server: Server) {
    let acme = server.organization("acme").await;
    let body = json!({ "name": "short", "scopes": ["read"], "expires_in_days": 1 });
    let old = server.key(&acme, body).await;
    let end = show(&server, &acme, &old.id).await.body["expires_at"].clone();
    let body = json!({ "overlap_seconds": 2_592_000 });
    let reply = rotate(&server, &acme, &old.id, body).await;
    let new = Key::of(&reply.expect(StatusCode::OK).body);
    assert_eq!(reply.body["expires_at"], end);
    assert_eq!(reply.body["secrets"][1]["expires_at"], end);
    server.advance(86_400);
    is_over(&server, &old).await;
    is_over(&server, &new).await;
    // A longer life of the key is none of the secret before.
    let path = format!("/v1/api-keys/{}", old.id);
    let longer = json!({ "expires_in_days": 9 });
    let longer = server.call(&acme.secret, Method::PATCH, &path, longer);
    longer.await.expect(StatusCode::OK);
    is_over(&server, &old).await;
    works(&server, &new).await;
}

async fn a_key_that_ended_is_not_rotated(server: Server) {
    let acme = server.organization("acme").await;
    let revoked = server.key_with(&acme, &["read"]).await;
    rotated(&server, &acme, &revoked, 60).await;
    post(&server, &acme, &revoked.id, "revoke")
        .await
        .expect(StatusCode::OK);
    for verb in ["rotate", "rotate/finish"] {
        let refused = post(&server, &acme, &revoked.id, verb).await;
        refused.refuses(409, "key_revoked");
    }
    let body = json!({ "name": "short", "scopes": ["read"], "expires_in_days": 1 });
    let expired = server.key(&acme, body).await;
    server.advance(86_400);
    let refused = post(&server, &acme, &expired.id, "rotate").await;
    refused.refuses(409, "key_expired");
}

async fn a_disabled_key_is_rotated_and_stays_disabled(server: Server) {
    let acme = server.organization("acme").await;
    let old = server.key_with(&acme, &["read"]).await;
    post(&server, &acme, &old.id, "disable")
        .await
        .expect(StatusCode::OK);
    let new = rotated(&server, &acme, &old, 0).await;
    is_over(&server, &new).await;
    let shown = show(&server, &acme, &old.id).await;
    assert_eq!(shown.body["status"], "disabled");
    post(&server, &acme, &old.id, "enable")
        .await
        .expect(StatusCode::OK);
    works(&server, &new).await;
    is_over(&server, &old).await;
}

async fn of_many_rotations_at_once_one_wins(server: Server) {
    let acme = server.organization("acme").await;
    let old = server.key_with(&acme, &["read"]).await;
    let request = || {
        server
            .request(Method::POST, &format!("/v1/api-keys/{}/rotate", old.id))
            .bearer_auth(&acme.secret)
    };
    let replies = at_once((0..6).map(|_| request())).await;
    let (won, lost): (Vec<_>, Vec<_>) = replies
        .into_iter()
        .partition(|reply| reply.status == StatusCode::OK);
    assert_eq!(won.len(), 1);
    for reply in lost {
        reply.refuses(409, "rotation_under_way");
    }
    works(&server, &Key::of(&won[0].body)).await;
    works(&server, &old).await;
}

async fn a_rotation_against_a_revoke_leaves_nothing_in_force(server: Server) {
    let acme = server.organization("acme").await;
    for _ in 0..6 {
        let old = server.key_with(&acme, &["read"]).await;
        works(&server, &old).await;
        let request = |verb: &str| {
            server
                .request(Method::POST, &format!("/v1/api-keys/{}/{verb}", old.id))
                .bearer_auth(&acme.secret)
        };
        let replies = at_once([request("rotate"), request("revoke")]).await;
        replies[1].expect(StatusCode::OK);
        is_over(&server, &old).await;
        match replies[0].status {
            StatusCode::OK => is_over(&server, &Key::of(&replies[0].body)).await,
            _ => drop(replies[0].refuses(409, "key_revoked")),
        }
    }
}

async fn a_rotation_built_on_an_old_revision_is_refused(server: Server) {
    let acme = server.organization("acme").await;
    let old = server.key_with(&acme, &["read"]).await;
    let request = async |verb: &str, tag: &str| {
        let path = format!("/v1/api-keys/{}/{verb}", old.id);
        let request = server.request(Method::POST, &path).header("if-match", tag);
        Reply::of(request.bearer_auth(&acme.secret)).await
    };
    request("rotate", "\"r2\"").await.refuses(412, "changed");
    let done = request("rotate", "\"r1\"").await;
    done.expect(StatusCode::OK);
    request("rotate", "\"r1\"").await.refuses(412, "changed");
    request("rotate/finish", "\"r1\"")
        .await
        .refuses(412, "changed");
    works(&server, &old).await;
    request("rotate/finish", "\"r2\"")
        .await
        .expect(StatusCode::OK);
    is_over(&server, &old).await;
}

async fn what_a_rotation_does_not_know_is_refused(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    for bad in [
        json!(-1),
        json!(2_592_001),
        json!(1.5),
        json!("24h"),
        Value::Null,
    ] {
        let body = json!({ "overlap_seconds": bad });
        let refused = rotate(&server, &acme, &key.id, body).await;
        refused.refuses(422, "invalid_field");
        assert_eq!(refused.body["pointer"], "/overlap_seconds");
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.contains("from 0 to 2592000"), "{detail}");
    }
    let refused = rotate(&server, &acme, &key.id, json!({ "overlap": "24h" })).await;
    refused.refuses(422, "invalid_field");
    assert_eq!(refused.body["pointer"], "/overlap");
    let path = format!("/v1/api-keys/{}/rotate/finish", key.id);
    let body = json!({ "overlap_seconds": 0 });
    let refused = server.call(&acme.secret, Method::POST, &path, body).await;
    refused.refuses(422, "invalid_field");
    assert_eq!(
        show(&server, &acme, &key.id).await.body["revision"],
        1,
        "nothing was done"
    );
}

async fn whoever_rotates_holds_all_that_the_key_holds(server: Server) {
    let acme = server.organization("acme").await;
    let clerk = server
        .key_with(&acme, &["api_keys.update", "read:a/**"])
        .await;
    let within = server.key_with(&acme, &["read:a/1"]).await;
    let beyond = server.key_with(&acme, &["read:b"]).await;
    rotated(&server, &clerk, &within, 60).await;
    let refused = rotate(&server, &clerk, &beyond.id, Value::Null).await;
    refused.refuses(403, "exceeds_authority");
    assert!(!refused.text.contains("tmsk_"));
    works(&server, &beyond).await;
    // Ending a secret gives nobody anything.
    rotated(&server, &acme, &beyond, 60).await;
    post(&server, &clerk, &beyond.id, "rotate/finish")
        .await
        .expect(StatusCode::OK);
    is_over(&server, &beyond).await;
}

async fn the_audit_log_tells_the_secrets_apart_and_holds_neither(server: Server) {
    let acme = server.organization("acme").await;
    let old = server.key_with(&acme, &["read"]).await;
    let from = show(&server, &acme, &old.id).await.body["fingerprint"].clone();
    let new = rotated(&server, &acme, &old, 60).await;
    let to = show(&server, &acme, &old.id).await.body["fingerprint"].clone();
    post(&server, &acme, &old.id, "rotate/finish")
        .await
        .expect(StatusCode::OK);
    rotated(&server, &acme, &old, 0).await;
    let events = Database::of(&server).await.audit_events("acme").await;
    let [.., rotate, finish, at_once] = &events[..] else {
        panic!("{events:?}")
    };
    let end = server.clock.now().plus(Duration::from_mins(1)).to_string();
    assert_eq!(rotate.action, "api_key.rotate");
    assert_eq!(rotate.target, old.id);
    let details = json!({ "name": "test", "fingerprint": { "from": from, "to": to },
        "overlap_ends_at": end });
    assert_eq!(rotate.details(), details);
    assert_eq!(finish.action, "api_key.rotate_finish");
    let details = json!({ "name": "test", "fingerprint": to, "ended_fingerprint": from,
        "overlap_ends_at": end });
    assert_eq!(finish.details(), details);
    assert_eq!(at_once.details()["overlap_ends_at"], Value::Null);
    for event in &events {
        for secret in [&old.secret, &new.secret] {
            let bare = secret.rsplit('_').next().unwrap();
            assert!(!event.details.contains(&bare[..22]));
        }
    }
}
