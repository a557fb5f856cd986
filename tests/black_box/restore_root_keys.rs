//! A root key that was replaced after the backup: the restore goes over to it again, and does what
//! was done under it.

use std::fs;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenmint::clock::Clock;

use crate::on_both_engines;
use crate::support::operations::{backup, database, does, export, refuses, tells, tenmint};
use crate::support::root_keys::{current, described, done, followed, in_file, status};
use crate::support::server::{Key, Place, Server};
use crate::support::snapshot;

on_both_engines!(what_was_done_under_later_root_keys_is_done_again);

async fn again(place: Place, clock: &Clock) -> Server {
    match Server::start(place, clock.clone()).await {
        Ok(server) => server,
        Err((why, _)) => panic!("{why}"),
    }
}

async fn revoke(server: &Server, key: &Key) {
    let path = format!("/v1/organizations/acme/api-keys/{}/revoke", key.id);
    let done = server.operate(Method::POST, &path, json!({})).await;
    done.expect(StatusCode::OK);
}

async fn rotate(server: &Server) {
    tokio::task::block_in_place(|| done(server.place(), &["rotate"]));
    followed(server).await;
}

fn with<'a>(begun: &'a [String], logs: &'a [String]) -> Vec<&'a str> {
    let mut all: Vec<&str> = begun.iter().map(String::as_str).collect();
    for log in logs {
        all.extend(["--audit-export", log]);
    }
    all
}

async fn what_was_done_under_later_root_keys_is_done_again(server: Server) {
    let acme = server.organization("acme").await;
    server.organization("gone").await;
    let mut keys = Vec::new();
    for _ in 0..4 {
        keys.push(server.key_with(&acme, &["read"]).await);
    }
    let issuer = "/orgs/acme/.well-known/jwks.json";
    let jwks = server.get(issuer).await.text;
    let snapshot = snapshot::take(&server).await;
    revoke(&server, &keys[0]).await;
    rotate(&server).await;
    revoke(&server, &keys[1]).await;
    let delete = "/v1/organizations/gone?force=true";
    let deleted = server.operate(Method::DELETE, delete, Value::Null).await;
    deleted.expect(StatusCode::NO_CONTENT);
    rotate(&server).await;
    revoke(&server, &keys[2]).await;
    let mut logs = Vec::new();
    for organization in ["acme", "gone", "operator"] {
        logs.push(export(&server, organization).await);
    }
    let clock = server.clock.clone();
    let place = server.stop().await;
    let ring = in_file(&place);
    let ids: Vec<_> = ring.iter().map(|key| key.id().to_string()).collect();
    assert_eq!(current(&place), ids[2]);

    let begun = snapshot::put_back(&place, &snapshot).await;
    let with = |logs| with(&begun, logs);
    let all = with(&logs);
    // Which log is wanted, and which root key.
    let without = with(&logs[..2]);
    let said = refuses(&place, &without, 5, "operator: no log");
    let wanted = format!(
        "it goes over to root key {}, and the operator's log",
        ids[1]
    );
    assert!(said.contains(&wanted), "{said}");
    let path = place.root_key_file();
    let whole = fs::read_to_string(&path).unwrap();
    let lines = |keys: &[usize]| -> String {
        let lines = keys.iter().map(|&key| ring[key].to_line().to_string());
        lines.collect()
    };
    fs::write(&path, lines(&[0, 1])).unwrap();
    let lacking = format!("root key {}, which is not held here", ids[2]);
    refuses(&place, &all, 5, &lacking);
    fs::write(&path, lines(&[1, 2])).unwrap();
    let said = tenmint(&place, &all).err;
    assert!(said.contains(&ids[0]), "the backup's own: {said}");
    fs::write(&path, &whole).unwrap();

    let told = tells(&place, &all);
    assert_eq!(told["root_key"], json!(ids[2]));
    let of_acme = &told["organizations"][0];
    assert_eq!(of_acme["log_whole"], true);
    assert_eq!(of_acme["quarantined"], json!([]), "{of_acme}");
    let verified = does(&place, &["audit", "verify", "--checkpoint", &logs[0]]);
    assert!(verified.contains("acme: verified"), "{verified}");
    does(&place, &["audit", "verify", "--checkpoint", &logs[1]]);
    does(&place, &["audit", "verify", "--checkpoint", &logs[2]]);
    assert_eq!(current(&place), ids[2]);
    for (id, keys) in [(&ids[0], 6), (&ids[1], 0)] {
        let former = described(&place, id);
        assert_eq!(former["state"], "former", "{former}");
        assert_eq!(
            (&former["organizations"], &former["signing_keys"]),
            (&json!(0), &json!(0)),
            "{former}"
        );
        assert!(former["api_keys"].as_i64().unwrap() <= keys, "{former}");
    }
    let shown = status(&place);
    assert!(shown["api_keys"].as_array().unwrap().len() > 1, "{shown}");
    let server = again(place, &clock).await;
    for key in &keys[..3] {
        let refused = server.exchange(key, &[]).await;
        refused.refuses(401, "invalid_client");
    }
    let kept = server.exchange_at("/orgs/acme", &keys[3], &[]).await;
    kept.expect(StatusCode::OK);
    assert_eq!(server.get(issuer).await.text, jwks, "the same signing key");
    let gone = server.operate(Method::GET, "/v1/organizations/gone", Value::Null);
    gone.await.refuses(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_from_before_a_rotation_is_not_served_in_silence() {
    let server = Server::on_sqlite().await;
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let file = tokio::task::block_in_place(|| backup(server.place(), "b.db"));
    rotate(&server).await;
    revoke(&server, &key).await;
    let place = server.stop().await;
    fs::copy(&file, database(&place)).unwrap();
    let served = tenmint(&place, &["serve"]);
    assert!(served.err.contains("older than the one"), "{}", served.err);
    // What is known to be missing is missed by a restore too.
    refuses(&place, &["restore", "--in-place"], 5, "acts were done");
}
