//! Signing keys where acts meet, and where somebody may not: always exactly one key signs.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use super::signing_keys::{LEAD, jwks, kid_in, rotate, signs, states, until};
use crate::on_both_engines;
use crate::support::crowd::at_once;
use crate::support::database::Database;
use crate::support::server::{Key, Server};

on_both_engines!(
    a_key_that_was_next_is_given_up_with_the_leaked_one,
    a_withdrawal_and_the_key_that_begins_to_sign_meet,
    revokes_and_emergencies_at_once_leave_one_key_that_signs,
    rotations_at_once_publish_one_next_key,
    whoever_may_not_rotate_changes_nothing,
    rotation_goes_on_in_a_suspended_organization,
    a_deleted_organization_has_no_signing_keys,
);

const ROTATE: &str = "/v1/signing-keys/rotate";

fn revoke(server: &Server, manager: &Key, kid: &str) -> RequestBuilder {
    server
        .request(Method::POST, &format!("/v1/signing-keys/{kid}/revoke"))
        .bearer_auth(&manager.secret)
}

fn rotation(server: &Server, manager: &Key, body: &Value) -> RequestBuilder {
    server
        .request(Method::POST, ROTATE)
        .bearer_auth(&manager.secret)
        .json(body)
}

async fn count(server: &Server, manager: &Key, state: &str) -> usize {
    let states = states(server, manager).await;
    states.iter().filter(|(its, _)| its == state).count()
}

/// One key signs, tokens are signed with it and it is published, and no key that is gone has a
/// private half.
async fn is_sound(server: &Server, manager: &Key) {
    assert_eq!(count(server, manager, "active").await, 1);
    assert!(count(server, manager, "next").await <= 1);
    let active = kid_in(server, manager, "active").await.unwrap();
    assert_eq!(signs(server, manager).await, active);
    assert!(jwks(server).await.contains(&active));
    let left = "SELECT kid FROM signing_keys WHERE retired_at IS NOT NULL AND length(sealed) > 0";
    assert_eq!(server.place().query(left).await, Vec::<String>::new());
}

async fn a_key_that_was_next_is_given_up_with_the_leaked_one(server: Server) {
    let acme = server.organization("acme").await;
    let leaked = signs(&server, &acme).await;
    rotate(&server, &acme, json!({}))
        .await
        .expect(StatusCode::CREATED);
    let next = kid_in(&server, &acme, "next").await.unwrap();
    let revoked = revoke(&server, &acme, &leaked).send().await.unwrap();
    assert_eq!(revoked.status(), StatusCode::OK);
    let revoked: Value = revoked.json().await.unwrap();
    let instead = revoked["replaced_by"].as_str().unwrap();
    assert_eq!(jwks(&server).await, [instead]);
    let states = states(&server, &acme).await;
    assert!(
        states.contains(&("retired".to_owned(), next.clone())),
        "{states:?}"
    );
    is_sound(&server, &acme).await;
    let events = Database::of(&server).await.audit_events("acme").await;
    let told = events.last().unwrap();
    assert_eq!(told.action, "signing_key.revoke");
    assert_eq!(told.details()["given_up"], json!(next));
    // It does not sign either when its time would have come.
    server.advance(LEAD);
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(signs(&server, &acme).await, instead);
}

async fn a_withdrawal_and_the_key_that_begins_to_sign_meet(server: Server) {
    let acme = server.organization("acme").await;
    for _ in 0..5 {
        let begun = rotate(&server, &acme, json!({})).await;
        begun.expect(StatusCode::CREATED);
        let active = kid_in(&server, &acme, "active").await.unwrap();
        let next = kid_in(&server, &acme, "next").await.unwrap();
        // Its time comes while the active one, or it, is withdrawn.
        server.advance(LEAD);
        let both = [
            revoke(&server, &acme, &active),
            revoke(&server, &acme, &next),
        ];
        for reply in at_once(both).await {
            // The next one is given up with the active one, if that comes first.
            if reply.status != StatusCode::OK {
                reply.refuses(409, "signing_key_retired");
            }
        }
        is_sound(&server, &acme).await;
        let left = jwks(&server).await;
        assert!(!left.contains(&active) && !left.contains(&next), "{left:?}");
    }
}

async fn revokes_and_emergencies_at_once_leave_one_key_that_signs(server: Server) {
    let acme = server.organization("acme").await;
    for _ in 0..5 {
        let begun = rotate(&server, &acme, json!({})).await;
        begun.expect(StatusCode::CREATED);
        let leaked = kid_in(&server, &acme, "active").await.unwrap();
        let emergency = json!({ "emergency": true });
        let acts = [
            revoke(&server, &acme, &leaked),
            rotation(&server, &acme, &emergency),
            revoke(&server, &acme, &leaked),
            rotation(&server, &acme, &emergency),
        ];
        let replies = at_once(acts).await;
        for (reply, status) in replies.iter().zip([200, 201, 200, 201]) {
            reply.expect(status.try_into().unwrap());
        }
        // Both revokes say the same of the key, and of the one that signs in its place.
        assert!(replies[0].body["replaced_by"].is_string());
        assert_eq!(replies[0].body, replies[2].body);
        is_sound(&server, &acme).await;
        assert!(!jwks(&server).await.contains(&leaked));
    }
    let database = Database::of(&server).await;
    let events = database.audit_events("acme").await;
    let revokes = events.iter().filter(|e| e.action == "signing_key.revoke");
    assert_eq!(revokes.count(), 5, "each key is withdrawn once");
}

async fn rotations_at_once_publish_one_next_key(server: Server) {
    let acme = server.organization("acme").await;
    let requests = (0..8).map(|_| rotation(&server, &acme, &json!({})));
    let replies = at_once(requests).await;
    let done: Vec<_> = replies
        .iter()
        .filter(|reply| reply.status == StatusCode::CREATED)
        .collect();
    assert_eq!(done.len(), 1);
    for reply in replies.iter().filter(|reply| reply.status != 201) {
        reply.refuses(409, "signing_key_under_way");
    }
    assert_eq!(
        done[0].body["kid"],
        kid_in(&server, &acme, "next").await.unwrap()
    );
    is_sound(&server, &acme).await;
}

async fn whoever_may_not_rotate_changes_nothing(server: Server) {
    let acme = server.organization("acme").await;
    let other = server.organization("other").await;
    let reader = server
        .key_with(&acme, &["signing_keys.read", "organization.write", "*"])
        .await;
    let kid = signs(&server, &acme).await;
    let token = server
        .management_token(&acme, &[("scope", "signing_keys.read")])
        .await;
    let own = format!("/v1/signing-keys/{kid}/revoke");
    let reaching = "/v1/organizations/acme/signing-keys/rotate";
    let reaching_kid = format!("/v1/organizations/acme/signing-keys/{kid}/revoke");
    let database = Database::of(&server).await;
    let before = database.contents().await;
    let emergency = || json!({ "emergency": true });
    for bearer in [&reader.secret, &token] {
        for (path, body) in [(ROTATE, emergency()), (&own, Value::Null)] {
            let refused = server.call(bearer, Method::POST, path, body).await;
            refused.refuses(403, "insufficient_scope");
        }
    }
    for bearer in [&other.secret, &acme.secret] {
        for (path, body) in [(reaching, emergency()), (&reaching_kid, Value::Null)] {
            let refused = server.call(bearer, Method::POST, path, body).await;
            refused.refuses(403, "operator_only");
        }
    }
    assert_eq!(database.contents().await, before);

    // A key whose scope was taken away has a token that says otherwise.
    let rotator = server.key_with(&acme, &["signing_keys.rotate"]).await;
    let token = server.management_token(&rotator, &[]).await;
    let path = format!("/v1/api-keys/{}", rotator.id);
    let body = json!({ "scopes": ["read"] });
    server
        .call(&acme.secret, Method::PATCH, &path, body)
        .await
        .expect(StatusCode::OK);
    let refused = server.call(&token, Method::POST, ROTATE, emergency()).await;
    refused.refuses(403, "insufficient_scope");
    assert_eq!(signs(&server, &acme).await, kid);

    let done = server.operate(Method::POST, reaching, emergency()).await;
    done.expect(StatusCode::CREATED);
    assert_ne!(signs(&server, &acme).await, kid);
}

async fn rotation_goes_on_in_a_suspended_organization(server: Server) {
    let acme = server.organization("acme").await;
    rotate(&server, &acme, json!({}))
        .await
        .expect(StatusCode::CREATED);
    let leaked = kid_in(&server, &acme, "active").await.unwrap();
    let operate = async |verb: Method, path: &str, body: Value| {
        let path = format!("/v1/organizations/acme/{path}");
        server.operate(verb, &path, body).await
    };
    let post = Method::POST;
    let done = operate(post.clone(), "suspend", Value::Null).await;
    done.expect(StatusCode::OK);
    let refused = rotate(&server, &acme, json!({ "emergency": true })).await;
    assert_eq!(refused.status, 401, "{}", refused.text);
    let path = format!("signing-keys/{leaked}/revoke");
    let revoked = operate(post.clone(), &path, Value::Null).await;
    assert_eq!(revoked.expect(StatusCode::OK).body["status"], "revoked");
    let done = operate(post.clone(), "signing-keys/rotate", json!({})).await;
    done.expect(StatusCode::CREATED);
    // Time does not stop either: whoever comes back later finds keys that are young.
    server.advance(LEAD);
    let list = async || {
        let list = operate(Method::GET, "signing-keys", Value::Null).await;
        list.body["data"].as_array().unwrap().clone()
    };
    for _ in 0..1_000 {
        if list().await.iter().any(|key| key["status"] == "retiring") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let done = operate(post, "resume", Value::Null).await;
    done.expect(StatusCode::OK);
    until(&server, &acme, "retiring").await;
    is_sound(&server, &acme).await;
}

async fn a_deleted_organization_has_no_signing_keys(server: Server) {
    let acme = server.organization("acme").await;
    rotate(&server, &acme, json!({}))
        .await
        .expect(StatusCode::CREATED);
    let kid = kid_in(&server, &acme, "next").await.unwrap();
    let path = "/v1/organizations/acme?force=true";
    let gone = server.operate(Method::DELETE, path, Value::Null).await;
    gone.expect(StatusCode::NO_CONTENT);
    server.advance(LEAD);
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let left = "SELECT kid FROM signing_keys WHERE organization_id = 'acme' AND length(sealed) > 0";
    assert_eq!(server.place().query(left).await, Vec::<String>::new());
    let jwks = server.get("/orgs/acme/.well-known/jwks.json").await;
    assert_eq!(jwks.status, 404);
    let of_kid = format!("/{kid}");
    for (verb, path) in [
        (Method::GET, ""),
        (Method::GET, &*of_kid),
        (Method::POST, "/rotate"),
        (Method::POST, &format!("{of_kid}/revoke")),
    ] {
        let ask = async |organization: &str| {
            let path = format!("/v1/organizations/{organization}/signing-keys{path}");
            let mut reply = server.operate(verb.clone(), &path, Value::Null).await;
            reply.body["request_id"].take();
            (reply.status, reply.body)
        };
        let (status, body) = ask("acme").await;
        assert_eq!(status, 404, "{verb} {path}: {body}");
        assert_eq!((status, body), ask("nobody").await, "{verb} {path}");
    }
}
