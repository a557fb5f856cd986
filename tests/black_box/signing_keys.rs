//! Signing keys are published before they sign and after they signed, and then are gone.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::support::database::Database;
use crate::support::server::{Key, Reply, Server, header};

on_both_engines!(
    a_rotation_publishes_the_next_key_and_signs_with_it_after_the_lead,
    time_rotates_by_itself_and_destroys_what_nobody_needs,
    an_emergency_signs_at_once_and_gives_up_the_key_that_was_next,
    of_a_key_that_never_signs_it_is_said_when_it_ended_and_why,
    a_second_rotation_waits_for_the_first_and_an_emergency_does_not,
    a_rotation_can_change_the_algorithm,
    a_rotation_that_is_sent_again_is_done_once,
    two_nodes_rotate_once,
    a_next_key_that_cannot_sign_is_given_up_and_the_active_one_goes_on,
    at_most_fifty_keys_are_published_unless_it_is_an_emergency,
);

pub const LEAD: u64 = 130 * 60;
const DAY: u64 = 86_400;
/// An hour, the longest that a token lives; five minutes by which validators' clocks differ, and one
/// by which servers' do; ten seconds that a server goes on cut off; five minutes of JWKS cache.
pub const RETENTION: u64 = 71 * 60 + 10;

/// Until when a JWKS of before may be in use after a change at this moment: at validators that heed
/// `max-age`, and at the slowest that are known, when a server that is cut off hands it out.
pub fn outdated_until(server: &Server) -> [String; 2] {
    [5, 120].map(|minutes| {
        let span = Duration::from_secs(minutes * 60 + 10);
        server.clock.now().plus(span).to_string()
    })
}

pub async fn rotate(server: &Server, manager: &Key, body: Value) -> Reply {
    let path = "/v1/signing-keys/rotate";
    server.call(&manager.secret, Method::POST, path, body).await
}

/// The keys of an organization by their states, the newest first: `active kid`.
pub async fn states(server: &Server, manager: &Key) -> Vec<(String, String)> {
    let path = "/v1/signing-keys?limit=100";
    let list = server.call(&manager.secret, Method::GET, path, Value::Null);
    let list = list.await;
    let rows = list.expect(StatusCode::OK).body["data"].clone();
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| (text(row, "status"), text(row, "kid")))
        .collect()
}

pub async fn kid_in(server: &Server, manager: &Key, state: &str) -> Option<String> {
    let states = states(server, manager).await;
    let found = states.into_iter().find(|(its, _)| its == state);
    found.map(|(_, kid)| kid)
}

/// Waits until the jobs have led some key into this state.
pub async fn until(server: &Server, manager: &Key, state: &str) -> String {
    for _ in 0..1_000 {
        if let Some(kid) = kid_in(server, manager, state).await {
            return kid;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no key became {state}: {:?}", states(server, manager).await)
}

pub async fn jwks(server: &Server) -> Vec<String> {
    let jwks = server.get("/orgs/acme/.well-known/jwks.json").await;
    let keys = jwks.expect(StatusCode::OK).body["keys"].clone();
    let keys = keys.as_array().unwrap().iter();
    keys.map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

/// Which key signs tokens of `acme`'s issuer now.
pub async fn signs(server: &Server, key: &Key) -> String {
    let answer = server.exchange_at("/orgs/acme", key, &[]).await;
    let token = answer.expect(StatusCode::OK).body["access_token"].clone();
    header(token.as_str().unwrap())["kid"]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn a_rotation_publishes_the_next_key_and_signs_with_it_after_the_lead(server: Server) {
    let acme = server.organization("acme").await;
    let first = kid_in(&server, &acme, "active").await.unwrap();
    let rotated = rotate(&server, &acme, json!({})).await;
    let rotated = rotated.expect(StatusCode::CREATED).body.clone();
    let second = rotated["kid"].as_str().unwrap().to_owned();
    assert_eq!(rotated["status"], "next");
    assert_eq!(rotated["unknown_until"], Value::Null);
    assert_eq!(rotated["unknown_at_most_until"], Value::Null);
    assert_eq!(jwks(&server).await, [first.clone(), second.clone()]);
    assert_eq!(signs(&server, &acme).await, first);

    server.advance(LEAD - 1);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(signs(&server, &acme).await, first);

    server.advance(1);
    assert_eq!(until(&server, &acme, "retiring").await, first);
    assert_eq!(signs(&server, &acme).await, second);
    assert_eq!(jwks(&server).await, [second.clone(), first.clone()]);

    server.advance(RETENTION);
    assert_eq!(until(&server, &acme, "retired").await, first);
    assert_eq!(jwks(&server).await, [second]);
    let entries = Database::of(&server).await.audit_events("acme").await;
    let told: Vec<_> = entries
        .iter()
        .filter(|entry| entry.action.starts_with("signing_key."))
        .map(|entry| (&*entry.action, &*entry.actor))
        .collect();
    assert_eq!(
        told,
        [
            ("signing_key.rotate", &*acme.id),
            ("signing_key.activate", "tenmint"),
            ("signing_key.retire", "tenmint"),
        ]
    );
}

async fn time_rotates_by_itself_and_destroys_what_nobody_needs(server: Server) {
    let acme = server.organization("acme").await;
    let first = kid_in(&server, &acme, "active").await.unwrap();
    // Eighty-one days are ninety less the most jitter.
    server.advance(81 * DAY - LEAD - 1);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(states(&server, &acme).await.len(), 1);
    server.advance(9 * DAY + 1);
    let next = until(&server, &acme, "next").await;
    assert_eq!(signs(&server, &acme).await, first);
    server.advance(9 * DAY);
    assert_eq!(until(&server, &acme, "retiring").await, first);
    assert_eq!(signs(&server, &acme).await, next);
    server.advance(RETENTION);
    until(&server, &acme, "retired").await;
    let sealed =
        "SELECT kid FROM signing_keys WHERE organization_id = 'acme' AND length(sealed) > 0";
    assert_eq!(server.place().query(sealed).await, [next]);
}

async fn an_emergency_signs_at_once_and_gives_up_the_key_that_was_next(server: Server) {
    let acme = server.organization("acme").await;
    let first = kid_in(&server, &acme, "active").await.unwrap();
    rotate(&server, &acme, json!({}))
        .await
        .expect(StatusCode::CREATED);
    let next = kid_in(&server, &acme, "next").await.unwrap();
    let rotated = rotate(&server, &acme, json!({ "emergency": true })).await;
    let rotated = rotated.expect(StatusCode::CREATED).body.clone();
    assert_eq!(rotated["status"], "active");
    let kid = rotated["kid"].as_str().unwrap();
    assert_eq!(
        [&rotated["unknown_until"], &rotated["unknown_at_most_until"]],
        outdated_until(&server).each_ref()
    );
    assert_eq!(signs(&server, &acme).await, kid);
    assert_eq!(jwks(&server).await, [kid, &first]);
    let path = format!("/v1/signing-keys/{first}");
    let shown = server.call(&acme.secret, Method::GET, &path, Value::Null);
    assert_eq!(shown.await.body["replaced_by"], kid);
    let states = states(&server, &acme).await;
    assert!(
        states.contains(&("retired".to_owned(), next.clone())),
        "{states:?}"
    );
    assert!(
        states.contains(&("retiring".to_owned(), first)),
        "{states:?}"
    );
}

async fn of_a_key_that_never_signs_it_is_said_when_it_ended_and_why(server: Server) {
    let acme = server.organization("acme").await;
    let read = async |kid: &str| {
        let path = format!("/v1/signing-keys/{kid}");
        let shown = server.call(&acme.secret, Method::GET, &path, Value::Null);
        shown.await.expect(StatusCode::OK).body.clone()
    };
    let revoke = async |kid: &str| {
        let path = format!("/v1/signing-keys/{kid}/revoke");
        let revoked = server.call(&acme.secret, Method::POST, &path, Value::Null);
        revoked.await
    };
    let publish = async || {
        let rotated = rotate(&server, &acme, json!({})).await;
        let next = rotated.expect(StatusCode::CREATED).body.clone();
        assert_eq!(next["given_up"], false);
        assert!(next["activates_at"].is_string(), "{next}");
        next["kid"].as_str().unwrap().to_owned()
    };
    let given_up = publish().await;
    rotate(&server, &acme, json!({ "emergency": true }))
        .await
        .expect(StatusCode::CREATED);
    let ended = server.clock.now().to_string();
    let [heeding, slowest] = outdated_until(&server);
    server.advance(60);
    let shown = read(&given_up).await;
    assert_eq!(
        [&shown["activates_at"], &shown["activated_at"]],
        [&Value::Null; 2],
        "it signs from no time on"
    );
    assert_eq!(
        (&shown["given_up"], &shown["retires_at"]),
        (&json!(true), &json!(ended))
    );
    // There is nothing to withdraw, and what is left of it elsewhere is said.
    let refused = revoke(&given_up).await;
    refused.refuses(409, "signing_key_retired");
    let detail = refused.body["detail"].as_str().unwrap().to_owned();
    for said in [
        "given up before it signed anything",
        &format!("left the JWKS at {ended}"),
        &format!("may hold it until {heeding}, the slowest until {slowest}"),
    ] {
        assert!(detail.contains(said), "{detail}");
    }
    server.advance(3 * 3_600);
    let refused = revoke(&given_up).await;
    let detail = refused.body["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("no cached JWKS holds it"), "{detail}");

    // One that is withdrawn while it is next was not given up, and never signs either.
    let withdrawn = publish().await;
    revoke(&withdrawn).await.expect(StatusCode::OK);
    let shown = read(&withdrawn).await;
    assert_eq!(shown["activates_at"], Value::Null);
    assert_eq!(
        (&shown["given_up"], &shown["retires_at"]),
        (&json!(false), &shown["revoked_at"])
    );
}

async fn a_second_rotation_waits_for_the_first_and_an_emergency_does_not(server: Server) {
    let acme = server.organization("acme").await;
    rotate(&server, &acme, json!({}))
        .await
        .expect(StatusCode::CREATED);
    let before = Database::of(&server).await.contents().await;
    let again = rotate(&server, &acme, json!({})).await;
    again.refuses(409, "signing_key_under_way");
    assert_eq!(Database::of(&server).await.contents().await, before);
    rotate(&server, &acme, json!({ "emergency": true }))
        .await
        .expect(StatusCode::CREATED);
}

async fn a_rotation_can_change_the_algorithm(server: Server) {
    let acme = server.organization("acme").await;
    let body = json!({ "alg": "EdDSA", "emergency": true });
    let rotated = rotate(&server, &acme, body).await;
    assert_eq!(rotated.expect(StatusCode::CREATED).body["alg"], "EdDSA");
    let answer = server.exchange_at("/orgs/acme", &acme, &[]).await;
    let token = answer.expect(StatusCode::OK).body["access_token"].clone();
    assert_eq!(header(token.as_str().unwrap())["alg"], "EdDSA");
    let path = "/orgs/acme/.well-known/openid-configuration";
    let metadata = server.get(path).await.body;
    let algorithms = &metadata["id_token_signing_alg_values_supported"];
    assert_eq!(*algorithms, json!(["EdDSA", "ES256"]));
    // Another of the same kind and size, unless something else is asked for.
    for (asked, length) in [
        (
            json!({ "alg": "RS256", "rsa_bits": 3072, "emergency": true }),
            512,
        ),
        (json!({ "emergency": true }), 512),
        (json!({ "emergency": true, "rsa_bits": 2048 }), 342),
    ] {
        let rotated = rotate(&server, &acme, asked).await;
        let rotated = rotated.expect(StatusCode::CREATED).body.clone();
        let jwk = &rsa_key(&server, &acme, &rotated).await["public_jwk"];
        assert_eq!(jwk["n"].as_str().unwrap().len(), length);
    }
    let answer = server.exchange_at("/orgs/acme", &acme, &[]).await;
    let token = answer.expect(StatusCode::OK).body["access_token"].clone();
    assert_eq!(header(token.as_str().unwrap())["alg"], "RS256");
    for body in [
        json!({ "alg": "HS256" }),
        json!({ "alg": null }),
        json!({ "emergency": "yes" }),
        json!({ "kid": "mine" }),
        json!({ "alg": "EdDSA", "rsa_bits": 2048 }),
        json!({ "alg": "RS256", "rsa_bits": 1024 }),
    ] {
        let refused = rotate(&server, &acme, body.clone()).await;
        assert_eq!(refused.status, 422, "{body}");
    }
}

/// The RSA key that signs after an emergency: this one, or the one that it stands in for.
pub async fn rsa_key(server: &Server, manager: &Key, rotated: &Value) -> Value {
    let mut key = rotated.clone();
    for _ in 0..1_800 {
        // On a busy machine another signs until it is made.
        if key["alg"] == "RS256" {
            return key;
        }
        server.advance(1);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let kid = kid_in(server, manager, "active").await.unwrap();
        let path = format!("/v1/signing-keys/{kid}");
        let shown = server.call(&manager.secret, Method::GET, &path, Value::Null);
        key = shown.await.body;
    }
    panic!("no RSA key was made: {key}")
}

async fn a_rotation_that_is_sent_again_is_done_once(server: Server) {
    let acme = server.organization("acme").await;
    let send = async || {
        let request = server
            .request(Method::POST, "/v1/signing-keys/rotate")
            .bearer_auth(&acme.secret)
            .header("Idempotency-Key", "one")
            .json(&json!({ "emergency": true }));
        Reply::of(request).await
    };
    let first = send().await;
    let again = send().await;
    assert_eq!(
        (first.status, again.status),
        (201.try_into().unwrap(), 200.try_into().unwrap())
    );
    assert_eq!(first.body["kid"], again.body["kid"]);
    assert_eq!(states(&server, &acme).await.len(), 2);
}

async fn two_nodes_rotate_once(server: Server) {
    if server.place().is_sqlite() {
        return;
    }
    let other = server.another_node().await;
    let acme = server.organization("acme").await;
    for round in 1..=3 {
        server.advance(91 * DAY);
        until(&server, &acme, "next").await;
        server.advance(LEAD);
        until(&server, &acme, "retiring").await;
        server.advance(RETENTION);
        for _ in 0..1_000 {
            let states = states(&server, &acme).await;
            let retired = states.iter().filter(|(state, _)| state == "retired");
            if retired.count() == round {
                assert_eq!(states.len(), round + 1, "{states:?}");
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(signs(&server, &acme).await, signs(&other, &acme).await);
    }
}

async fn a_next_key_that_cannot_sign_is_given_up_and_the_active_one_goes_on(server: Server) {
    let acme = server.organization("acme").await;
    let first = kid_in(&server, &acme, "active").await.unwrap();
    rotate(&server, &acme, json!({}))
        .await
        .expect(StatusCode::CREATED);
    let next = kid_in(&server, &acme, "next").await.unwrap();
    let damage = "UPDATE signing_keys SET sealed = public_jwk WHERE activated_at IS NULL";
    let damage = if server.place().is_sqlite() {
        damage.replace("public_jwk", "CAST(public_jwk AS BLOB)")
    } else {
        damage.replace("public_jwk", "convert_to(public_jwk, 'UTF8')")
    };
    server.place().execute(&damage).await;
    server.advance(LEAD);
    assert_eq!(until(&server, &acme, "retired").await, next);
    assert_eq!(signs(&server, &acme).await, first);
    rotate(&server, &acme, json!({}))
        .await
        .expect(StatusCode::CREATED);
}

async fn at_most_fifty_keys_are_published_unless_it_is_an_emergency(server: Server) {
    let acme = server.organization("acme").await;
    let emergency = async || {
        let path = "/v1/organizations/acme/signing-keys/rotate";
        let body = json!({ "emergency": true });
        let rotated = server.operate(Method::POST, path, body).await;
        rotated.expect(StatusCode::CREATED);
    };
    for _ in 1..50 {
        emergency().await;
    }
    assert_eq!(jwks(&server).await.len(), 50);
    let refused = rotate(&server, &acme, json!({})).await;
    refused.refuses(409, "too_many_signing_keys");
    emergency().await;
    assert_eq!(jwks(&server).await.len(), 51);
    server.advance(RETENTION);
    until(&server, &acme, "retired").await;
}
