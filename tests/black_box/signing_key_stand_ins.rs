//! An emergency waits for nothing that others do: for a key that takes seconds to make another
//! stands in, and is relieved by itself.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenmint::credentials::gate::Gate;
use tenmint::domain::timestamp::Timestamp;
use tokio::sync::oneshot;

use super::signing_keys::{
    LEAD, RETENTION, jwks, kid_in, outdated_until, rotate, rsa_key, signs, until,
};
use crate::on_both_engines;
use crate::support::database::Database;
use crate::support::server::{Key, Reply, Server};
use crate::support::shell::Shell;

on_both_engines!(
    a_withdrawal_does_not_wait_for_an_rsa_key_and_one_follows_by_itself,
    a_withdrawal_is_in_force_before_an_rsa_key_is_made_and_its_answer_tells_of_that,
    an_emergency_does_not_wait_for_an_rsa_key_and_one_follows_by_itself,
    a_key_that_stands_in_is_relieved_after_a_restart,
    keys_of_others_go_their_way_while_rsa_keys_wait_to_be_made,
);

const DAY: u64 = 86_400;

/// Gates before the making of RSA keys, as when others order more than can be made: nothing gets
/// through until this is dropped.
pub struct Shut {
    _places: Vec<mpsc::Sender<()>>,
}

/// Shuts both: that of orders, and that of emergencies.
pub async fn shut(server: &Server) -> Shut {
    let rsa = &server.app.management.rsa;
    shut_of(&[&rsa.ordinary, &rsa.urgent]).await
}

/// Shuts that of orders, of scheduled rotations too.
pub async fn shut_to_orders(server: &Server) -> Shut {
    shut_of(&[&server.app.management.rsa.ordinary]).await
}

async fn shut_of(gates: &[&Gate]) -> Shut {
    let mut places = Vec::new();
    for gate in gates {
        for _ in 0..gate.width() {
            let (open, closed) = mpsc::channel::<()>();
            let (hold, held) = oneshot::channel();
            let _run = gate.in_turn(None, move || {
                hold.send(()).unwrap();
                let _ = closed.recv();
            });
            held.await.unwrap();
            places.push(open);
        }
    }
    Shut { _places: places }
}

pub async fn revoke(server: &Server, bearer: &str, path: &str, kid: &str) -> Reply {
    let path = format!("{path}/signing-keys/{kid}/revoke");
    server.call(bearer, Method::POST, &path, Value::Null).await
}

pub async fn shown(server: &Server, manager: &Key, kid: &str) -> Value {
    let path = format!("/v1/signing-keys/{kid}");
    let shown = server.call(&manager.secret, Method::GET, &path, Value::Null);
    shown.await.expect(StatusCode::OK).body.clone()
}

/// Waits until another key signs, and says which. The jobs look every second.
async fn until_another_signs(server: &Server, acme: &Key, than: &str) -> Value {
    for _ in 0..600 {
        server.advance(1);
        let kid = signs(server, acme).await;
        if kid != than {
            return shown(server, acme, &kid).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no other key signs")
}

/// A key that stands in for one of 2048 bits signs now, and is relieved by it once that can be made.
async fn is_stood_in_for(server: &Server, acme: &Key, shut: Shut, stand_in: &str) {
    assert_eq!(signs(server, acme).await, stand_in);
    let key = shown(server, acme, stand_in).await;
    assert_eq!(
        [&key["alg"], &key["status"], &key["stands_in_for"]],
        ["ES256", "active", "RS256 of 2048 bits"]
    );
    assert!(jwks(server).await.contains(&stand_in.to_owned()));
    let table = Shell::new(&server.base, &acme.secret).does(&["signing-keys", "list"]);
    let row = table.lines().find(|row| row.starts_with(stand_in)).unwrap();
    assert!(row.ends_with(" RS256 of 2048 bits"), "{table}");
    // Whoever rotates without haste waits for what is being made.
    let early = rotate(server, acme, json!({})).await;
    early.refuses(409, "signing_key_being_made");

    drop(shut);
    let relief = until_another_signs(server, acme, stand_in).await;
    assert_eq!(relief["alg"], "RS256");
    assert_eq!(relief["public_jwk"]["n"].as_str().unwrap().len(), 342);
    assert_eq!(relief["stands_in_for"], Value::Null);
    assert_eq!(shown(server, acme, stand_in).await["status"], "retiring");
    let events = Database::of(server).await.audit_events("acme").await;
    let last = events.last().unwrap();
    assert_eq!(
        (&*last.action, &*last.actor, &last.details()["follows"]),
        ("signing_key.rotate", "tenmint", &json!(stand_in))
    );
}

async fn a_withdrawal_does_not_wait_for_an_rsa_key_and_one_follows_by_itself(server: Server) {
    let acme = server.organization_signing_with("acme", "RS256").await;
    let leaked = kid_in(&server, &acme, "active").await.unwrap();
    let shut = shut(&server).await;
    let request = server
        .request(Method::POST, &format!("/v1/signing-keys/{leaked}/revoke"))
        .bearer_auth(&acme.secret);
    let asked = Instant::now();
    let answer = tokio::spawn(Reply::of(request));
    // The answer waits a little for the RSA key. What it tells of does not.
    while jwks(&server).await.contains(&leaked) {
        assert!(asked.elapsed() < Duration::from_secs(4), "still in force");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!answer.is_finished());
    let revoked = answer.await.unwrap();
    let revoked = revoked.expect(StatusCode::OK).body.clone();
    let stand_in = revoked["replaced_by"].as_str().unwrap();
    assert_eq!(jwks(&server).await, [stand_in]);
    assert_eq!(revoked["replacement_stands_in_for"], "RS256 of 2048 bits");
    assert_eq!(revoked["relieved_by"], Value::Null);
    is_stood_in_for(&server, &acme, shut, stand_in).await;
    // Asked again, it tells the same, and what came after.
    let relief = signs(&server, &acme).await;
    let since = &shown(&server, &acme, &relief).await["activated_at"];
    let again = revoke(&server, &acme.secret, "/v1", &leaked).await;
    let again = again.expect(StatusCode::OK).body.clone();
    assert_eq!(again["relieved_by"], relief);
    let since: Timestamp = since.as_str().unwrap().parse().unwrap();
    let known = since.plus(Duration::from_secs(310));
    assert_eq!(again["unknown_until"], known.to_string());
    for same in [
        "replaced_by",
        "replacement_stands_in_for",
        "revoked_at",
        "accepted_elsewhere_until",
        "accepted_elsewhere_at_most_until",
    ] {
        assert_eq!(again[same], revoked[same], "{same}");
    }
    // What is to sign is what bootstrap ordered, also while another stood in for it.
    let path = "/v1/organizations/acme/bootstrap";
    let again = server.operate(Method::POST, path, json!({ "alg": "RS256" }));
    again.await.expect(StatusCode::OK);
}

/// What a thief signs counts no longer than it must: not while seconds go by at making a key.
async fn a_withdrawal_is_in_force_before_an_rsa_key_is_made_and_its_answer_tells_of_that(
    server: Server,
) {
    let acme = server.organization_signing_with("acme", "RS256").await;
    let leaked = kid_in(&server, &acme, "active").await.unwrap();
    let revoked = revoke(&server, &acme.secret, "/v1", &leaked).await;
    let mut revoked = revoked.expect(StatusCode::OK).body.clone();
    let stand_in = revoked["replaced_by"].as_str().unwrap().to_owned();
    assert_eq!(shown(&server, &acme, &stand_in).await["alg"], "ES256");
    let begun = Instant::now();
    while revoked["relieved_by"] == Value::Null {
        // On a busy machine the answer did not wait long enough.
        assert!(begun.elapsed() < Duration::from_mins(1), "{revoked}");
        tokio::time::sleep(Duration::from_millis(100)).await;
        let again = revoke(&server, &acme.secret, "/v1", &leaked).await;
        revoked = again.expect(StatusCode::OK).body.clone();
    }
    let relief = revoked["relieved_by"].as_str().unwrap();
    assert_eq!(shown(&server, &acme, relief).await["alg"], "RS256");
    assert_eq!(signs(&server, &acme).await, relief);
    // The clock stands: no job has looked.
    assert_eq!(
        [&revoked["unknown_until"], &revoked["unknown_at_most_until"]],
        outdated_until(&server).each_ref()
    );
    let events = Database::of(&server).await.audit_events("acme").await;
    let told = events.iter().rev().take(2);
    let told: Vec<_> = told.map(|event| (&*event.action, &*event.target)).collect();
    assert_eq!(
        told,
        [
            ("signing_key.rotate", relief),
            ("signing_key.revoke", &*leaked)
        ]
    );
    assert_eq!(
        shown(&server, &acme, &stand_in).await["replaced_by"],
        relief
    );
}

/// Whoever put it there may be gone before the other was made.
async fn a_key_that_stands_in_is_relieved_after_a_restart(server: Server) {
    let acme = server.organization("acme").await;
    let shut = shut(&server).await;
    let body = json!({ "alg": "RS256", "emergency": true });
    let rotated = rotate(&server, &acme, body).await;
    let stand_in = rotated.expect(StatusCode::CREATED).body["kid"].clone();
    let clock = server.clock.clone();
    let place = server.stop().await;
    drop(shut);
    let Ok(server) = Server::start(place, clock).await else {
        panic!("it did not start");
    };
    let relief = until_another_signs(&server, &acme, stand_in.as_str().unwrap()).await;
    assert_eq!(relief["alg"], "RS256");
}

/// One organization that cannot have its RSA key yet keeps no key of another from its time.
async fn keys_of_others_go_their_way_while_rsa_keys_wait_to_be_made(server: Server) {
    let globex = server.organization_signing_with("aa-globex", "RS256").await;
    let hooli = server.organization_signing_with("aa-hooli", "RS256").await;
    let acme = server.organization("acme").await;
    let shut = shut(&server).await;
    // One has a key that stands in; the other is to have its next one published.
    let hoolis = kid_in(&server, &hooli, "active").await.unwrap();
    let body = json!({ "emergency": true });
    let rotated = rotate(&server, &globex, body).await;
    let globexs = rotated.expect(StatusCode::CREATED).body["kid"].clone();
    server.advance(91 * DAY);
    let next = until(&server, &acme, "next").await;
    server.advance(LEAD);
    until(&server, &acme, "retiring").await;
    assert_eq!(signs(&server, &acme).await, next);
    server.advance(RETENTION);
    until(&server, &acme, "retired").await;
    // They still wait, and have what they wait for once it can be made.
    assert_eq!(kid_in(&server, &hooli, "next").await, None);
    assert_eq!(
        kid_in(&server, &hooli, "active").await.as_ref(),
        Some(&hoolis)
    );
    assert_eq!(kid_in(&server, &globex, "active").await, {
        globexs.as_str().map(str::to_owned)
    });
    drop(shut);
    until(&server, &hooli, "next").await;
    rsa_key(
        &server,
        &globex,
        &shown(&server, &globex, globexs.as_str().unwrap()).await,
    )
    .await;
}

async fn an_emergency_does_not_wait_for_an_rsa_key_and_one_follows_by_itself(server: Server) {
    let acme = server.organization("acme").await;
    let shut = shut(&server).await;
    let body = json!({ "alg": "RS256", "emergency": true });
    let rotated = rotate(&server, &acme, body).await;
    let rotated = rotated.expect(StatusCode::CREATED).body.clone();
    let stand_in = rotated["kid"].as_str().unwrap();
    is_stood_in_for(&server, &acme, shut, stand_in).await;
}
