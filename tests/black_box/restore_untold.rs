//! What no log tells is not taken for what did not happen: logs that were cut off, signing keys of
//! which nobody knows, and what was counted on another database.

use std::fs;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::restore_root_keys::{again, revoke};
use crate::on_both_engines;
use crate::support::operations::{backup, does, export, lose, refuses, tells};
use crate::support::server::{Server, header};
use crate::support::snapshot;

on_both_engines!(
    an_export_that_was_cut_off_is_not_taken_for_whole,
    under_quarantine_no_signing_key_of_the_backup_signs_or_is_published,
);

fn with<'a>(begun: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    let begun = begun.iter().map(String::as_str);
    begun.chain(more.iter().copied()).collect()
}

async fn an_export_that_was_cut_off_is_not_taken_for_whole(server: Server) {
    let acme = server.organization("acme").await;
    let [first, second] = [
        server.key_with(&acme, &["read"]).await,
        server.key_with(&acme, &["read"]).await,
    ];
    let snapshot = snapshot::take(&server);
    server.advance(60);
    revoke(&server, &first).await;
    server.advance(60);
    revoke(&server, &second).await;
    server.advance(60);
    let logs = [
        export(&server, "acme").await,
        export(&server, "operator").await,
    ];
    let exported_at = server.clock.now().to_string();
    let clock = server.clock.clone();
    let place = server.stop().await;
    let whole = fs::read_to_string(&logs[0]).unwrap();
    let lines: Vec<_> = whole.lines().collect();
    let end: Value = serde_json::from_str(lines[lines.len() - 1]).unwrap();
    assert_eq!(
        (&end["sequence"], &end["at"]),
        (&json!(6), &json!(exported_at))
    );

    let begun = snapshot::put_back(&place, &snapshot).await;
    let given = ["--audit-export", &logs[0], "--audit-export", &logs[1]];
    let restore = with(&begun, &given);
    let refused = |log: &[String], why: &str| {
        fs::write(&logs[0], log.join("\n")).unwrap();
        let said = refuses(&place, &restore, 5, &format!("acme: {why}"));
        assert!(said.contains("--accept-resurrected"), "{said}");
    };
    let owned = |lines: &[&str]| -> Vec<String> { lines.iter().map(|&l| l.to_owned()).collect() };
    // The end alone, with one entry, with every entry since the backup, and within a line.
    let lacks = "lacks the line that proves the end";
    for (left, reaches) in [(6, "entry 6 of 2"), (5, "entry 5 of 2"), (4, "entry 4")] {
        let why = format!("what was given of it reaches {reaches}");
        refused(&owned(&lines[..left]), &why);
        refuses(&place, &restore, 5, lacks);
    }
    // Whoever cuts it cannot write another end: neither the old one moved up, nor made out to be of
    // this entry, nor another log's, nor the same with a later time.
    let cut = owned(&lines[..5]);
    let ends_with = |end: Value, why: &str| {
        refused(&[&cut[..], &[end.to_string()]].concat(), why);
    };
    ends_with(end.clone(), "it ends with entry 5, and there were 6");
    let last: Value = serde_json::from_str(lines[4]).unwrap();
    let mut moved = end.clone();
    (moved["sequence"], moved["mac"]) = (last["sequence"].clone(), last["mac"].clone());
    ends_with(moved, "what was given of it reaches entry 5");
    let of_another = fs::read_to_string(&logs[1]).unwrap();
    let mut of_another: Value = serde_json::from_str(of_another.lines().last().unwrap()).unwrap();
    of_another["organization"] = json!("acme");
    of_another["sequence"] = json!(5);
    of_another["mac"] = last["mac"].clone();
    ends_with(of_another, "what was given of it reaches entry 5");
    let mut later = end.clone();
    later["at"] = json!("2099-01-01T00:00:00Z");
    let later = [owned(&lines[..6]), vec![later.to_string()]].concat();
    refused(&later, "what was given of it reaches entry 6");

    // Whole, it says until when everything is known.
    fs::write(&logs[0], &whole).unwrap();
    let told = tells(&place, &restore);
    let of_acme = &told["organizations"][0];
    assert_eq!(of_acme["log_until"], json!(exported_at));
    assert_eq!(of_acme["log_whole"], true);
    assert_eq!(
        (&of_acme["log_entry"], &of_acme["reapplied"]),
        (&json!(6), &json!(2))
    );
    let server = again(place, &clock).await;
    for key in [&first, &second] {
        let refused = server.exchange(key, &[]).await;
        refused.refuses(401, "invalid_client");
    }
    let place = server.stop().await;
    // Of what was cut off, as much as it tells is done, where somebody accepts the rest.
    let begun = snapshot::put_back(&place, &snapshot).await;
    fs::write(&logs[0], cut.join("\n")).unwrap();
    let accepted = [&given[..], &["--accept-resurrected"]].concat();
    let said = does(&place, &with(&begun, &accepted));
    assert!(
        said.contains("acme: known up to entry 5 of 2") && said.contains("is not known"),
        "{said}"
    );
    let until = format!("until {exported_at}");
    assert!(
        said.contains("operator: everything is known") && said.contains(&until),
        "{said}"
    );
    let server = again(place, &clock).await;
    let refused = server.exchange(&first, &[]).await;
    refused.refuses(401, "invalid_client");
    server.exchange(&second, &[]).await.expect(StatusCode::OK);
}

/// The thief has a private signing key, which was revoked after the backup; no log is left.
async fn under_quarantine_no_signing_key_of_the_backup_signs_or_is_published(server: Server) {
    server.organization("acme").await;
    let jwks = async |server: &Server, issuer: &str| {
        let path = format!("{issuer}/.well-known/jwks.json");
        let reply = server.get(&path).await;
        let keys = reply.body["keys"].as_array().unwrap().clone();
        let kids = keys
            .iter()
            .map(|key| key["kid"].as_str().unwrap().to_owned());
        kids.collect::<Vec<_>>()
    };
    // One that is next may have leaked as well.
    let rotate = "/v1/organizations/acme/signing-keys/rotate";
    let rotated = server.operate(Method::POST, rotate, json!({})).await;
    rotated.expect(StatusCode::CREATED);
    let before = jwks(&server, "/orgs/acme").await;
    let of_operator = jwks(&server, "").await;
    assert_eq!((before.len(), of_operator.len()), (2, 1));
    let snapshot = snapshot::take(&server);
    for kid in &before {
        let path = format!("/v1/organizations/acme/signing-keys/{kid}/revoke");
        let revoked = server.operate(Method::POST, &path, json!({})).await;
        assert!(revoked.status.is_success() || revoked.status == StatusCode::CONFLICT);
    }
    let clock = server.clock.clone();
    let place = server.stop().await;
    let begun = snapshot::put_back(&place, &snapshot).await;
    let told = tells(&place, &with(&begun, &["--quarantine"]));
    let withdrawn = told["organizations"][0]["revoked_signing_keys"].clone();
    let mut withdrawn: Vec<String> = serde_json::from_value(withdrawn).unwrap();
    withdrawn.sort();
    let mut expected = before.clone();
    expected.sort();
    assert_eq!(withdrawn, expected);
    let left = "SELECT CAST(SUM(LENGTH(sealed)) AS TEXT) FROM signing_keys
                WHERE revoked_at IS NOT NULL";
    assert_eq!(place.query(left).await, ["0"]);

    let server = again(place, &clock).await;
    for (issuer, before) in [("/orgs/acme", &before), ("", &of_operator)] {
        let now = jwks(&server, issuer).await;
        assert_eq!(now.len(), 1, "{issuer}: {now:?}");
        assert!(!before.contains(&now[0]), "{issuer}: {now:?}");
    }
    // It signs at once.
    let token = server.token(&server.operator_key(), &[]).await;
    assert_eq!(
        header(&token)["kid"].as_str().unwrap(),
        jwks(&server, "").await[0]
    );
    let log = "/v1/organizations/acme/audit-events?action=signing_key.*";
    let log = server.operate(Method::GET, log, Value::Null).await.body;
    let acts: Vec<_> = log["data"].as_array().unwrap().iter().collect();
    assert_eq!(acts[0]["action"], "signing_key.rotate");
    assert_eq!(acts[1]["action"], "signing_key.revoke");
    assert!(acts[1]["details"]["quarantine"].is_string());
    assert!(does(server.place(), &["audit", "verify"]).contains("acme: verified"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_counted_before_an_earlier_restore_is_not_missed() {
    let server = Server::on_sqlite().await;
    server.organization("acme").await;
    let first = tokio::task::block_in_place(|| backup(server.place(), "first.db"));
    for n in 0..20 {
        server.organization(&format!("o{n}")).await;
    }
    let clock = server.clock.clone();
    let place = server.stop().await;
    // It counts what was done on a database that somebody chose to do without.
    let mark = place.folder().join("tenmint.db.mark");
    let counted = fs::read(&mark).unwrap();
    lose(&place);
    does(&place, &["restore", &first, "--accept-resurrected"]);
    let server = again(place, &clock).await;
    let second = tokio::task::block_in_place(|| backup(server.place(), "second.db"));
    let logs = [
        export(&server, "acme").await,
        export(&server, "operator").await,
    ];
    let place = server.stop().await;
    lose(&place);
    fs::write(&mark, counted).unwrap();
    let restore = [
        "restore",
        &second,
        "--audit-export",
        &logs[0],
        "--audit-export",
        &logs[1],
    ];
    assert_eq!(tells(&place, &restore)["missing_acts"], 0);
}
