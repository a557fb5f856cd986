//! `tenmint audit verify`: whatever was done to the log behind tenmint's back is found.

use std::fs;

use reqwest::{Method, StatusCode};
use ring::hmac;
use serde_json::{Value, json};
use tenmint::domain::hex::hex;
use tenmint::store::write::Event;

use super::audit_events::read;
use crate::on_both_engines;
use crate::support::crowd::at_once;
use crate::support::database::Database;
use crate::support::process::{Run, run};
use crate::support::server::Server;

on_both_engines!(
    an_untouched_log_holds_also_while_it_grows,
    what_a_checkpoint_knows_is_missed,
    what_an_act_erased_is_gone_and_the_chain_holds,
    entries_from_before_there_were_digests_still_hold,
    nothing_is_verified_where_nothing_is,
);

pub const EDITED: &str = "entry 3 is not as it was written";

/// Runs the command beside the server.
fn verify(server: &Server, more: &[&str]) -> Run {
    let (url, root) = (
        server.place().database_url(),
        server.place().root_key_file(),
    );
    let environment = [
        ("TENMINT_DATABASE_URL", &*url),
        ("TENMINT_ROOT_KEY_FILE", root.to_str().unwrap()),
    ];
    run(&[&["audit", "verify"], more].concat(), &environment)
}

#[track_caller]
pub fn holds(server: &Server, more: &[&str], line: &str) {
    let done = verify(server, more);
    assert!(done.success, "{}{}", done.out, done.err);
    assert!(done.out.lines().any(|l| l == line), "{line}: {}", done.out);
}

#[track_caller]
pub fn faults(server: &Server, more: &[&str], fault: &str) {
    let done = verify(server, more);
    assert!(!done.success, "{fault}: {}", done.out);
    let line = format!("acme: {fault}");
    assert!(done.out.contains(&line), "{line}: {}", done.out);
    assert!(done.err.contains("1 of"), "{}", done.err);
}

/// `acme` with seven entries.
pub async fn seven(server: &Server) -> Database {
    server.organization("acme").await;
    rename(server, &["a", "b", "c", "d", "e"]).await;
    Database::of(server).await
}

async fn rename(server: &Server, names: &[&str]) {
    for name in names {
        let request = server.request(Method::PATCH, "/v1/organizations/acme");
        let request = request.header("tenmint-acting-for", "ana");
        let request = request.bearer_auth(&server.operator);
        let done = request.json(&json!({ "name": name })).send().await;
        assert_eq!(done.unwrap().status(), StatusCode::OK);
    }
}

async fn an_untouched_log_holds_also_while_it_grows(server: Server) {
    let acme = server.organization("acme").await;
    holds(&server, &[], "acme: verified 2 entries");
    let body = json!({ "name": "x", "scopes": ["read"] });
    let acts = at_once((0..40).map(|_| {
        let request = server.request(Method::POST, "/v1/api-keys");
        request.bearer_auth(&acme.secret).json(&body)
    }));
    let look = async {
        for _ in 0..4 {
            let done = tokio::task::block_in_place(|| verify(&server, &[]));
            assert!(done.success, "{}{}", done.out, done.err);
        }
    };
    let (replies, ()) = tokio::join!(acts, look);
    assert!(replies.iter().all(|reply| reply.status == 201));
    let only = ["--organization", "acme"];
    holds(&server, &only, "acme: verified 42 entries");
    assert_eq!(verify(&server, &only).out.lines().count(), 1);
}

async fn what_a_checkpoint_knows_is_missed(server: Server) {
    let database = seven(&server).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kept.jsonl");
    let with = ["--checkpoint", file.to_str().unwrap()];
    let path = "/v1/organizations/acme/audit-events/checkpoint";
    let checkpoint = read(&server, &server.operator, path).await.body;
    fs::write(&file, format!("{checkpoint}\n")).unwrap();
    rename(&server, &["f"]).await;
    holds(&server, &with, "acme: verified 8 entries");

    // Lines of an export are checkpoints too.
    let export = server.request(Method::GET, "/v1/organizations/acme/audit-events");
    let export = export.bearer_auth(&server.operator);
    let export = export.header("accept", "application/jsonl").send().await;
    let export = export.unwrap().text().await.unwrap();
    let exported = folder.path().join("export.jsonl");
    fs::write(&exported, &export).unwrap();
    let with_export = ["--checkpoint", exported.to_str().unwrap()];
    holds(&server, &with_export, "acme: verified 8 entries");
    let mac = checkpoint["mac"].as_str().unwrap();
    fs::write(&exported, export.replace(mac, &"0".repeat(64))).unwrap();
    let rewritten = "entry 7 is not the one of the checkpoint: the chain was rewritten";
    faults(&server, &with_export, rewritten);

    let of_another = [&with[..], &["--organization", "operator"]].concat();
    assert!(!verify(&server, &of_another).success);
    for bad in ["", "{}", "x", &format!("{checkpoint}\n{{")] {
        fs::write(&exported, bad).unwrap();
        assert!(!verify(&server, &with_export).success, "{bad}");
    }
    let gone = json!({ "organization": "gone", "sequence": 1, "mac": "00" });
    fs::write(&exported, format!("{checkpoint}\n{gone}\n")).unwrap();
    let done = verify(&server, &with_export);
    assert!(!done.success && done.out.contains("gone: there is no such organization"));

    // The end is cut off, and the organization's row says so.
    for text in [
        "DELETE FROM audit_events WHERE organization_id = 'acme' AND sequence > 6",
        "UPDATE organizations SET audit_sequence = 6, audit_mac =
           (SELECT mac FROM audit_events WHERE organization_id = 'acme' AND sequence = 6)
         WHERE id = 'acme'",
    ] {
        database.run(text, &[]).await;
    }
    holds(&server, &[], "acme: verified 6 entries");
    let cut = "it ends with entry 6, and a checkpoint knows entry 7: the end was cut off";
    faults(&server, &with, cut);
    // Nor does it help to let it grow again.
    rename(&server, &["g", "h"]).await;
    holds(&server, &[], "acme: verified 8 entries");
    faults(&server, &with, rewritten);
}

/// What the deletion of an organization says in its log of so many entries.
async fn say_erased(server: &Server, entries: i64) {
    let management = &server.app.management;
    let acme = "acme".parse().unwrap();
    let write = management.store.begin(&acme).await.unwrap().unwrap();
    let event = Event {
        at: server.clock.now(),
        actor: "command line".to_owned(),
        acting_for: None,
        address: None,
        request_id: None,
        action: "organization.delete",
        target: "acme".to_owned(),
        details: json!({ "audit_erased_through": entries }),
        salt: [7; 16],
    };
    let chain = management.crypto.chain(write.root_key()).unwrap();
    write.commit(event, &chain, &[]).await.unwrap();
}

/// What follows it, in portions.
async fn erase(database: &Database, entries: &str) {
    let empty = "UPDATE audit_events
                 SET address = NULL, acting_for = NULL, salt = NULL, details = '{}'
                 WHERE organization_id = 'acme' AND sequence <= CAST($1 AS BIGINT)";
    database.run(empty, &[entries]).await;
}

async fn what_an_act_erased_is_gone_and_the_chain_holds(server: Server) {
    let database = seven(&server).await;
    say_erased(&server, 7).await;
    for (gone, said) in [
        ("0", "acme: verified 8 entries"),
        ("4", "acme: verified 8 entries, 4 of them erased"),
    ] {
        erase(&database, gone).await;
        holds(&server, &[], said);
    }
    erase(&database, "7").await;
    let events = database.audit_events("acme").await;
    for event in &events[..7] {
        let left = (
            &event.address,
            &event.acting_for,
            &event.salt,
            &*event.details,
        );
        assert_eq!(left, (&None, &None, &None, "{}"));
    }
    assert_eq!(events[7].details(), json!({ "audit_erased_through": 7 }));
    holds(&server, &[], "acme: verified 8 entries, 7 of them erased");
    rename(&server, &["f"]).await;
    holds(&server, &[], "acme: verified 9 entries, 7 of them erased");
    // What is left is as safe as before, and what came later is not taken for erased.
    let empty = "UPDATE audit_events
                 SET address = NULL, acting_for = NULL, salt = NULL, details = '{}'
                 WHERE organization_id = 'acme' AND sequence = 9";
    database.run(empty, &[]).await;
    faults(&server, &[], "entry 9 was emptied");
    let edit = "UPDATE audit_events SET target = 'x'
                WHERE organization_id = 'acme' AND sequence = 3";
    database.run(edit, &[]).await;
    faults(&server, &[], EDITED);
}

async fn entries_from_before_there_were_digests_still_hold(server: Server) {
    let database = seven(&server).await;
    // The chain as an earlier version wrote it.
    let crypto = &server.app.management.crypto;
    let chain = crypto.chain(crypto.keyring().current().as_str()).unwrap();
    let mut previous = Vec::new();
    for event in database.audit_events("acme").await {
        let entry = json!([
            event.organization_id,
            event.sequence,
            event.at,
            event.actor,
            event.address,
            event.request_id,
            event.action,
            event.target,
            event.details,
        ]);
        let signed = [&previous, entry.to_string().as_bytes()].concat();
        let mac = hmac::sign(&chain, &signed);
        previous = mac.as_ref().to_vec();
        let value = if server.place().is_sqlite() {
            format!("x'{}'", hex(&previous))
        } else {
            format!("'\\x{}'::bytea", hex(&previous))
        };
        for text in [
            format!(
                "UPDATE audit_events SET mac = {value}, salt = NULL, digest = NULL,
                 acting_for = NULL
                 WHERE organization_id = 'acme' AND sequence = {}",
                event.sequence
            ),
            format!("UPDATE organizations SET audit_mac = {value} WHERE id = 'acme'"),
        ] {
            server.place().execute(&text).await;
        }
    }
    holds(&server, &[], "acme: verified 7 entries");
    rename(&server, &["f"]).await;
    holds(&server, &[], "acme: verified 8 entries");
    let reply = read(
        &server,
        &server.operator,
        "/v1/organizations/acme/audit-events",
    )
    .await;
    assert_eq!(reply.body["data"].as_array().unwrap().len(), 8);
    let claim = "UPDATE audit_events SET acting_for = 'bo'
                 WHERE organization_id = 'acme' AND sequence = 3";
    database.run(claim, &[]).await;
    faults(&server, &[], EDITED);
    say_erased(&server, 8).await;
    erase(&database, "8").await;
    holds(&server, &[], "acme: verified 9 entries, 8 of them erased");
}

async fn nothing_is_verified_where_nothing_is(server: Server) {
    let unknown = verify(&server, &["--organization", "nobody"]);
    assert!(!unknown.success && unknown.out.contains("no such organization"));
    let missing = verify(&server, &["--checkpoint", "/nowhere/x"]);
    assert!(!missing.success && missing.err.contains("/nowhere/x"));
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("t.db");
    let url = format!("sqlite:{}", database.display());
    let environment = [("TENMINT_DATABASE_URL", &*url)];
    let empty = run(&["audit", "verify"], &environment);
    assert!(!empty.success && empty.err.contains("no tenmint deployment"));
    assert!(!database.exists());
    let clear = "postgres://u:hunter2@h/d";
    let refused = run(&["audit", "verify", "--database-url", clear], &[]);
    assert!(!refused.success && !refused.err.contains("hunter2"));
    assert!(refused.err.contains("TENMINT_DATABASE_URL"));
    let reply = server.operate(Method::GET, "/v1/audit-events", Value::Null);
    reply.await.expect(StatusCode::OK);
}
