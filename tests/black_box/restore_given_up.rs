//! A root key that was given up after the backup, with API keys that needed it: they end again, as
//! the logs tell. Where a version did it that did not tell which ended, nobody is to find out by
//! their being in force again.

use std::fs;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenmint::domain::organization::OrganizationId;
use tenmint::store::write::Event;

use super::restore_root_keys::again;
use crate::on_both_engines;
use crate::support::operations::{does, export, refuses, tells};
use crate::support::root_keys::{current, done, followed, use_up};
use crate::support::server::Server;
use crate::support::snapshot;

on_both_engines!(
    api_keys_that_ended_with_a_root_key_end_again,
    api_keys_that_ended_with_a_root_key_do_not_come_back_unnoticed,
);

/// Goes over to another root key, and answers which was the one before.
async fn replaced(server: &Server) -> String {
    let old = tokio::task::block_in_place(|| {
        let old = current(server.place());
        done(server.place(), &["rotate"]);
        old
    });
    followed(server).await;
    old
}

/// How what was begun is restored by what these logs tell.
fn told_by<'a>(begun: &'a [String], logs: &'a [String]) -> Vec<&'a str> {
    let logs = logs.iter().flat_map(|log| ["--audit-export", log]);
    begun.iter().map(String::as_str).chain(logs).collect()
}

async fn api_keys_that_ended_with_a_root_key_end_again(server: Server) {
    let acme = server.organization("acme").await;
    let forgotten = server.key_with(&acme, &["read"]).await;
    let path = server.place().root_key_file();
    let old = replaced(&server).await;
    use_up(&server, &[&acme, &server.operator_key()]).await;
    let snapshot = snapshot::take(&server);
    let both = fs::read(&path).unwrap();
    tokio::task::block_in_place(|| {
        done(server.place(), &["drop", &old, "--yes", "--force"]);
    });
    let logs = [
        export(&server, "acme").await,
        export(&server, "operator").await,
    ];
    let clock = server.clock.clone();
    let place = server.stop().await;
    fs::write(&path, both).unwrap();
    let begun = snapshot::put_back(&place, &snapshot).await;
    let restore = told_by(&begun, &logs);
    let told = tells(&place, &restore);
    let of_acme = &told["organizations"][0];
    assert_eq!(of_acme["log_whole"], true, "{told}");
    assert_eq!(of_acme["quarantined"], json!([]), "{told}");
    let server = again(place, &clock).await;
    let refused = server.exchange(&forgotten, &[]).await;
    refused.refuses(401, "invalid_client");
    let shown = format!("/v1/api-keys/{}", forgotten.id);
    let shown = server
        .call(&acme.secret, Method::GET, &shown, Value::Null)
        .await;
    assert_eq!(shown.body["revoke_reason"], "root_key_dropped");
}

/// As versions gave a root key up that did not revoke what needed it.
async fn given_up_before(server: &Server, root_key: &str) {
    let management = &server.app.management;
    let operator = OrganizationId::operator();
    let begun = management.store.begin_for_root_key(&operator).await;
    let mut write = begun.unwrap().unwrap();
    let at = server.clock.now();
    assert!(write.drop_root_key(root_key, at).await.unwrap());
    let event = Event {
        at,
        actor: "command line".to_owned(),
        acting_for: None,
        address: None,
        request_id: None,
        action: "root_key.drop",
        target: root_key.to_owned(),
        details: json!({ "forced": true, "api_keys_ended": 1 }),
        salt: [0; 16],
    };
    let chain = management.crypto.chain(write.root_key()).unwrap();
    write.commit(event, &chain, &[]).await.unwrap();
}

async fn api_keys_that_ended_with_a_root_key_do_not_come_back_unnoticed(server: Server) {
    let acme = server.organization("acme").await;
    let forgotten = server.key_with(&acme, &["read"]).await;
    let used = server.key_with(&acme, &["read"]).await;
    let path = server.place().root_key_file();
    let old = replaced(&server).await;
    let used_up = [&acme, &server.operator_key(), &used];
    use_up(&server, &used_up).await;
    let snapshot = snapshot::take(&server);
    let both = fs::read(&path).unwrap();
    given_up_before(&server, &old).await;
    let logs = [
        export(&server, "acme").await,
        export(&server, "operator").await,
    ];
    let clock = server.clock.clone();
    let place = server.stop().await;
    // Whoever restores has the root keys of all that time.
    fs::write(&path, both).unwrap();

    let begun = snapshot::put_back(&place, &snapshot).await;
    let restore = told_by(&begun, &logs);
    let said = refuses(&place, &restore, 5, "Nothing was changed");
    let ended = format!(
        "root key {old} was given up after the backup, and 1 API keys that needed it ended with it"
    );
    assert!(said.contains(&ended), "{said}");
    assert!(said.contains("1 API keys of the backup need such a root key"));

    let told = tells(&place, &[&restore[..], &["--quarantine"]].concat());
    let of_acme = &told["organizations"][0];
    let switched_off = of_acme["quarantined"].as_array().unwrap();
    assert_eq!(switched_off.len(), 1, "{told}");
    assert_eq!(switched_off[0]["id"], forgotten.id);
    let why = switched_off[0]["why"].as_str().unwrap();
    assert!(
        why.contains(&format!("root key {old} was given up")),
        "{why}"
    );
    assert_eq!(of_acme["revoked_signing_keys"], json!([]), "it is known");
    assert_eq!(told["ended_with"][&old], 1);
    let server = again(place, &clock).await;
    let refused = server.exchange(&forgotten, &[]).await;
    refused.refuses(401, "invalid_client");
    for key in [&used, &acme] {
        server.exchange(key, &[]).await.expect(StatusCode::OK);
    }
    let place = server.stop().await;

    let begun = snapshot::put_back(&place, &snapshot).await;
    let mut restore = told_by(&begun, &logs);
    restore.push("--accept-resurrected");
    let said = does(&place, &restore);
    let told = format!("`tenmint root-key drop {old} --force`, before a server starts");
    assert!(said.contains(&told), "{said}");
    // Which is enough.
    done(&place, &["drop", &old, "--yes", "--force"]);
    let server = again(place, &clock).await;
    let refused = server.exchange(&forgotten, &[]).await;
    refused.refuses(401, "invalid_client");
    server.exchange(&used, &[]).await.expect(StatusCode::OK);
}
