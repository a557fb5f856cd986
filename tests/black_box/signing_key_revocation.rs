//! A signing key that is withdrawn is trusted no longer, here at once and elsewhere soon; and of
//! one that is gone nobody finds the private half.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::signing_key_remains::{files_with, from_hex};
use super::signing_keys::{
    LEAD, RETENTION, jwks, kid_in, outdated_until, rotate, signs, states, until,
};
use crate::on_both_engines;
use crate::support::database::Database;
use crate::support::postgres::dump;
use crate::support::server::{Key, Reply, Server};

on_both_engines!(
    a_revoked_key_leaves_the_jwks_and_another_signs_in_its_place,
    tokens_of_a_revoked_key_are_refused_on_the_management_plane,
    a_key_that_stopped_signing_is_revoked_and_its_successor_told,
    a_key_that_does_not_sign_is_revoked_without_a_replacement,
    what_is_gone_is_not_revoked_and_what_is_revoked_stays_so,
    the_private_half_of_a_key_that_is_gone_is_nowhere_in_the_database,
    a_key_of_another_organization_is_unknown,
);

/// The SQLite half of this is below.
#[tokio::test(flavor = "multi_thread")]
async fn a_dump_of_postgres_holds_no_private_half_of_a_key_that_is_gone() {
    let Some(server) = Server::on_postgres().await else {
        return;
    };
    let acme = server.organization("acme").await;
    let sealed = "SELECT encode(sealed, 'hex') FROM signing_keys
         WHERE organization_id = 'acme' AND retired_at IS NULL ORDER BY kid";
    let dumped = async || {
        let url = server.place().database_url();
        let dumped = tokio::task::spawn_blocking(move || dump(&url));
        dumped.await.unwrap()
    };
    // One is retired in its time, one is given up before it signed, one is withdrawn.
    let mut gone = server.place().query(sealed).await;
    let ordinary = kid_in(&server, &acme, "active").await.unwrap();
    rotate(&server, &acme, json!({}))
        .await
        .expect(StatusCode::CREATED);
    gone.extend(server.place().query(sealed).await);
    rotate(&server, &acme, json!({ "emergency": true }))
        .await
        .expect(StatusCode::CREATED);
    gone.extend(server.place().query(sealed).await);
    gone.sort();
    gone.dedup();
    assert_eq!(gone.len(), 3);
    let Some(before) = dumped().await else { return };
    let found = gone.iter().filter(|half| before.contains(&***half));
    assert_eq!(found.count(), 2, "the test knows what to look for");

    let leaked = kid_in(&server, &acme, "active").await.unwrap();
    revoke(&server, &acme, &leaked).await.expect(StatusCode::OK);
    server.advance(RETENTION);
    for _ in 0..1_000 {
        let over = ("retired".to_owned(), ordinary.clone());
        if states(&server, &acme).await.contains(&over) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let after = dumped().await.unwrap();
    let left = server.place().query(sealed).await;
    assert_eq!(left.len(), 1);
    assert!(after.contains(&left[0]));
    for half in &gone {
        // Nor any part of it, however a dump may break its lines.
        let parts = half.as_bytes().chunks(40);
        for part in parts.filter(|part| part.len() == 40) {
            let part = std::str::from_utf8(part).unwrap();
            assert!(!after.contains(part), "{part} is in the dump");
        }
    }
}

async fn revoke(server: &Server, manager: &Key, kid: &str) -> Reply {
    let path = format!("/v1/signing-keys/{kid}/revoke");
    server
        .call(&manager.secret, Method::POST, &path, Value::Null)
        .await
}

async fn a_revoked_key_leaves_the_jwks_and_another_signs_in_its_place(server: Server) {
    let acme = server.organization("acme").await;
    let first = kid_in(&server, &acme, "active").await.unwrap();
    let revoked = revoke(&server, &acme, &first).await;
    let revoked = revoked.expect(StatusCode::OK).body.clone();
    assert_eq!(revoked["status"], "revoked");
    let replacement = revoked["replaced_by"].as_str().unwrap();
    assert_eq!(jwks(&server).await, [replacement]);
    assert_eq!(signs(&server, &acme).await, replacement);
    let [heeding, slowest] = &outdated_until(&server);
    assert_eq!(revoked["revoked_at"], server.clock.now().to_string());
    assert_eq!(revoked["unknown_until"], *heeding);
    assert_eq!(revoked["unknown_at_most_until"], *slowest);
    assert_eq!(revoked["accepted_elsewhere_until"], *heeding);
    assert_eq!(revoked["accepted_elsewhere_at_most_until"], *slowest);
    // However often it is asked, and whatever happens meanwhile.
    server.advance(60);
    rotate(&server, &acme, json!({ "emergency": true }))
        .await
        .expect(StatusCode::CREATED);
    assert_eq!(revoke(&server, &acme, &first).await.body, revoked);
}

async fn a_key_that_stopped_signing_is_revoked_and_its_successor_told(server: Server) {
    let acme = server.organization("acme").await;
    let first = kid_in(&server, &acme, "active").await.unwrap();
    let rotated = rotate(&server, &acme, json!({})).await;
    let second = rotated.body["kid"].clone();
    server.advance(LEAD);
    assert_eq!(until(&server, &acme, "retiring").await, first);
    let revoked = revoke(&server, &acme, &first).await;
    let revoked = revoked.expect(StatusCode::OK).body.clone();
    assert_eq!(revoked["replaced_by"], second);
    // It was published for the lead: nobody refuses it.
    for absent in ["unknown_until", "unknown_at_most_until", "relieved_by"] {
        assert_eq!(revoked[absent], Value::Null, "{absent}");
    }
    assert_eq!(signs(&server, &acme).await, second);
}

async fn tokens_of_a_revoked_key_are_refused_on_the_management_plane(server: Server) {
    let operator = server.operator_key();
    let token = server
        .management_token(&operator, &[("scope", "signing_keys.read")])
        .await;
    let list = async || {
        let path = "/v1/signing-keys";
        server.call(&token, Method::GET, path, Value::Null).await
    };
    list().await.expect(StatusCode::OK);
    let first = kid_in(&server, &operator, "active").await.unwrap();
    // A rotation leaves its tokens alone, a withdrawal does not.
    rotate(&server, &operator, json!({ "emergency": true }))
        .await
        .expect(StatusCode::CREATED);
    list().await.expect(StatusCode::OK);
    revoke(&server, &operator, &first)
        .await
        .expect(StatusCode::OK);
    assert_eq!(list().await.status, 401);
}

async fn a_key_that_does_not_sign_is_revoked_without_a_replacement(server: Server) {
    let acme = server.organization("acme").await;
    let active = kid_in(&server, &acme, "active").await.unwrap();
    let next = rotate(&server, &acme, json!({})).await;
    let next = next.body["kid"].as_str().unwrap().to_owned();
    let revoked = revoke(&server, &acme, &next).await;
    for absent in ["replaced_by", "unknown_until", "unknown_at_most_until"] {
        assert_eq!(revoked.expect(StatusCode::OK).body[absent], Value::Null);
    }
    assert_eq!(jwks(&server).await, std::slice::from_ref(&active));
    // It does not sign either when its time would have come.
    server.advance(LEAD);
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(signs(&server, &acme).await, active);
    rotate(&server, &acme, json!({}))
        .await
        .expect(StatusCode::CREATED);
}

async fn what_is_gone_is_not_revoked_and_what_is_revoked_stays_so(server: Server) {
    let acme = server.organization("acme").await;
    let first = kid_in(&server, &acme, "active").await.unwrap();
    rotate(&server, &acme, json!({ "emergency": true }))
        .await
        .expect(StatusCode::CREATED);
    server.advance(RETENTION);
    assert_eq!(until(&server, &acme, "retired").await, first);
    let gone = revoke(&server, &acme, &first).await;
    gone.refuses(409, "signing_key_retired");

    let active = kid_in(&server, &acme, "active").await.unwrap();
    let once = revoke(&server, &acme, &active).await;
    let before = Database::of(&server).await.contents().await;
    let again = revoke(&server, &acme, &active).await;
    assert_eq!(once.body, again.expect(StatusCode::OK).body);
    assert_eq!(Database::of(&server).await.contents().await, before);
    assert_eq!(states(&server, &acme).await.len(), 3);
}

async fn the_private_half_of_a_key_that_is_gone_is_nowhere_in_the_database(server: Server) {
    let acme = server.organization("acme").await;
    let sealed =
        "SELECT CAST(hex(sealed) AS TEXT) FROM signing_keys WHERE organization_id = 'acme'";
    let sealed = if server.place().is_sqlite() {
        sealed.to_owned()
    } else {
        sealed.replace("hex(sealed)", "upper(encode(sealed, 'hex'))")
    };
    let private = server.place().query(&sealed).await.remove(0);
    assert!(private.len() > 200, "a sealed PKCS#8 document: {private}");
    let bytes = &from_hex(&private)[32..96];
    let found = || files_with(server.place().folder(), bytes).len();
    if server.place().is_sqlite() {
        assert!(found() > 0, "the test knows where to look");
    }
    rotate(&server, &acme, json!({ "emergency": true }))
        .await
        .expect(StatusCode::CREATED);
    server.advance(RETENTION);
    until(&server, &acme, "retired").await;
    assert!(!server.place().query(&sealed).await.contains(&private));
    if server.place().is_sqlite() {
        // The log is emptied once nobody reads it.
        for _ in 0..100 {
            if found() == 0 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("the private half is still in a file");
    }
}

async fn a_key_of_another_organization_is_unknown(server: Server) {
    let acme = server.organization("acme").await;
    let umbrella = server.organization("umbrella").await;
    let kid = kid_in(&server, &umbrella, "active").await.unwrap();
    for path in ["/v1/signing-keys/KID", "/v1/signing-keys/KID/revoke"] {
        let method = if path.ends_with("revoke") {
            Method::POST
        } else {
            Method::GET
        };
        let ask = async |kid: &str| {
            let path = path.replace("KID", kid);
            let reply = server.call(&acme.secret, method.clone(), &path, Value::Null);
            let mut reply = reply.await;
            reply.body["request_id"].take();
            assert_eq!(reply.status, 404);
            reply.body
        };
        assert_eq!(ask(&kid).await, ask("unknown").await);
        assert_eq!(ask(&kid).await, ask("%ff").await);
    }
    assert_eq!(kid_in(&server, &umbrella, "active").await.unwrap(), kid);
}
