//! A root key that was replaced after the backup: the restore goes over to it again, and does what
//! was done under it.

use std::fs;

use reqwest::{Method, StatusCode};
use ring::hmac;
use serde_json::{Value, json};
use tenmint::clock::Clock;
use tenmint::crypto::Crypto;
use tenmint::crypto::keyring::Keyring;
use tenmint::crypto::secret_hash::HashCost;
use tenmint::domain::hex::{hex, unhex};
use tenmint::domain::timestamp::Timestamp;
use tenmint::store::audit_chain::end_proof;

use crate::on_both_engines;
use crate::support::operations::{backup, database, does, export, refuses, tells, tenmint};
use crate::support::root_keys::{current, described, done, followed, in_file, status};
use crate::support::server::{Key, Place, Server};
use crate::support::snapshot;

on_both_engines!(
    what_was_done_under_later_root_keys_is_done_again,
    whoever_has_a_former_root_key_writes_no_log_that_a_restore_believes,
);

/// Starts a server at a place again.
pub async fn again(place: Place, clock: &Clock) -> Server {
    match Server::start(place, clock.clone()).await {
        Ok(server) => server,
        Err((why, _)) => panic!("{why}"),
    }
}

pub async fn revoke(server: &Server, key: &Key) {
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
    let snapshot = snapshot::take(&server);
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
    // Nor does a command add to it, which would make it look like the newest.
    for command in [&["operator-key"][..], &["root-key", "rotate"]] {
        let beside = tenmint(&place, command);
        assert!(beside.err.contains("older than the one"), "{}", beside.err);
        assert!(beside.out.is_empty(), "{}", beside.out);
    }
    // What is known to be missing is missed by a restore too.
    refuses(&place, &["restore", "--in-place"], 5, "acts were done");
}

/// The thief has the root key from before a rotation, and the export on its way to the restore: a
/// revocation is to be forgotten.
async fn whoever_has_a_former_root_key_writes_no_log_that_a_restore_believes(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let stolen = in_file(server.place()).remove(0);
    rotate(&server).await;
    let snapshot = snapshot::take(&server);
    revoke(&server, &key).await;
    let logs = [
        export(&server, "acme").await,
        export(&server, "operator").await,
    ];
    let place = server.stop().await;
    let begun = snapshot::put_back(&place, &snapshot).await;

    let whole = fs::read_to_string(&logs[0]).unwrap();
    let lines: Vec<_> = whole.lines().collect();
    let old = stolen.id().to_string();
    let thief = Crypto::new(
        Keyring::of(&stolen),
        "tmsk".parse().unwrap(),
        HashCost::default(),
    );
    // In the place of the revocation: back to the root key that was stolen, and the end.
    let kept = &lines[..lines.len() - 2];
    let last: Value = serde_json::from_str(kept[kept.len() - 1]).unwrap();
    let mut forged: Value = serde_json::from_str(lines[lines.len() - 2]).unwrap();
    forged["action"] = json!("root_key.rotate");
    forged["target"] = json!(old);
    let sequence = forged["sequence"].as_i64().unwrap();
    let at: Timestamp = forged["at"].as_str().unwrap().parse().unwrap();
    let entry = json!([
        "acme",
        sequence,
        at.unix(),
        forged["actor"],
        forged["action"],
        forged["target"],
        forged["request_id"],
        forged["digest"],
    ]);
    let previous = unhex(last["mac"].as_str().unwrap()).unwrap();
    let signed = [&*previous, entry.to_string().as_bytes()].concat();
    let mac = hmac::sign(&thief.chain(&old).unwrap(), &signed);
    forged["mac"] = json!(hex(mac.as_ref()));
    let anchor = thief.anchor(&old).unwrap();
    let proof = end_proof(&anchor, "acme", (sequence, mac.as_ref()), at);
    let end = json!({
        "organization": "acme", "sequence": sequence, "mac": forged["mac"], "at": at,
        "proof": hex(&proof),
    });
    let forged = format!("{}\n{forged}\n{end}\n", kept.join("\n"));
    fs::write(&logs[0], forged).unwrap();
    let wanted = format!("it goes over to root key {old}, and the operator's log does not tell");
    refuses(&place, &with(&begun, &logs), 5, &wanted);
    // Nor is an end under it believed where the log stands under the one after it.
    let mac = previous;
    let sequence = sequence - 1;
    let proof = end_proof(&anchor, "acme", (sequence, &mac), at);
    let end = json!({
        "organization": "acme", "sequence": sequence, "mac": hex(&mac), "at": at,
        "proof": hex(&proof),
    });
    fs::write(&logs[0], format!("{}\n{end}\n", kept.join("\n"))).unwrap();
    refuses(
        &place,
        &with(&begun, &logs),
        5,
        "lacks the line that proves",
    );
    fs::write(&logs[0], &whole).unwrap();
    let told = tells(&place, &with(&begun, &logs));
    assert_eq!(told["organizations"][0]["reapplied"], 1);
}
