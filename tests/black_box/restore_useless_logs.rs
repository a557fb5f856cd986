//! Logs that are of no use to a restore: another deployment's, older than the backup, or empty. Each is
//! called what it is, and counts for nothing.

use std::fs;

use serde_json::json;

use super::restore_root_keys::revoke;
use crate::on_both_engines;
use crate::support::operations::{at, backup, database, export, refuses, tells};
use crate::support::server::Server;
use crate::support::snapshot;

on_both_engines!(
    logs_of_another_deployment_are_not_called_a_fork,
    logs_that_end_before_the_backup_are_named_and_empty_ones_too,
);

async fn logs_of_another_deployment_are_not_called_a_fork(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let snapshot = snapshot::take(&server);
    revoke(&server, &key).await;
    let place = server.stop().await;
    let other = Server::on_sqlite().await;
    for organization in ["acme", "elsewhere"] {
        other.organization(organization).await;
    }
    let [of_acme, of_elsewhere, of_operator] = [
        export(&other, "acme").await,
        export(&other, "elsewhere").await,
        export(&other, "operator").await,
    ];
    let other = other.stop().await;
    let begun = snapshot::put_back(&place, &snapshot).await;
    let with = |more: &[&'static str], logs: &[&str]| -> Vec<String> {
        let logs = logs.iter().flat_map(|log| ["--audit-export", log]);
        let more = more.iter().copied();
        let words = begun.iter().map(String::as_str).chain(logs).chain(more);
        words.map(str::to_owned).collect()
    };
    let refused = |words: &[String], said: &str| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let said = refuses(&place, &words, 5, said);
        assert!(!said.contains("fork"), "{said}");
        said
    };
    // The operator's log begins with the deployment.
    let apart = with(&[], &[&of_operator, &of_acme]);
    let said = refused(
        &apart,
        &format!("operator: {of_operator} is another deployment's"),
    );
    let no_entry = format!("acme: {of_acme} has not one entry in common with the backup");
    assert!(said.contains(&no_entry), "{said}");
    // In one file, it says it of all; and what is not here was not lost here.
    let together = at(&place, "together.jsonl");
    let text: String = [&of_acme, &of_elsewhere, &of_operator]
        .map(|log| fs::read_to_string(log).unwrap())
        .concat();
    fs::write(&together, text).unwrap();
    let said = format!("acme: {together} is another deployment's");
    refused(&with(&[], &[&together]), &said);
    if place.is_sqlite() {
        let copy = database(&other).to_str().unwrap().to_owned();
        let restore = [&begun[..], &["--audit-database".to_owned(), copy.clone()]].concat();
        let said = refused(&restore, &format!("acme: {copy} is another deployment's"));
        assert!(!said.contains("elsewhere"), "{said}");
    }
    let accepted = with(&["--accept-resurrected"], &[&together]);
    let accepted: Vec<&str> = accepted.iter().map(String::as_str).collect();
    let told = tells(&place, &accepted);
    assert_eq!(told["lost_organizations"], json!({}), "{told}");
    assert_eq!(told["lost_organizations_signing_keys"], json!({}), "{told}");
}

async fn logs_that_end_before_the_backup_are_named_and_empty_ones_too(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let early = export(&server, "acme").await;
    let reached = fs::read_to_string(&early).unwrap().lines().count() - 1;
    server.key_with(&acme, &["read"]).await;
    let snapshot = snapshot::take(&server);
    revoke(&server, &key).await;
    let place = server.stop().await;
    let empty = at(&place, "empty.jsonl");
    fs::write(&empty, "\n").unwrap();
    let begun = snapshot::put_back(&place, &snapshot).await;
    let begun: Vec<&str> = begun.iter().map(String::as_str).collect();
    let given = ["--audit-export", &early, "--audit-export", &empty];
    let restore = [&begun[..], &given].concat();
    let ends = format!(
        "no log that was given tells of it: {early} ends with entry {reached}, and the backup has {}",
        reached + 1
    );
    let said = refuses(&place, &restore, 5, &format!("acme: {ends}"));
    assert!(said.contains("operator: no log that was given tells of it\n"));
    assert!(said.contains(&format!("{empty} is empty")), "{said}");
    // Its end alone says no more.
    let whole = fs::read_to_string(&early).unwrap();
    fs::write(&early, whole.lines().next_back().unwrap()).unwrap();
    refuses(&place, &restore, 5, &format!("acme: {ends}"));

    let told = tells(&place, &[&restore[..], &["--accept-resurrected"]].concat());
    assert_eq!(told["organizations"][0]["unknown_because"], ends);
    assert_eq!(told["empty_exports"], json!([empty]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_wrote_of_an_organization_makes_up_for_nothing_that_is_missing() {
    let server = Server::on_sqlite().await;
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let file = tokio::task::block_in_place(|| backup(server.place(), "b.db"));
    let logs = [
        export(&server, "acme").await,
        export(&server, "operator").await,
    ];
    revoke(&server, &key).await;
    let later = server.organization("later").await;
    server.key_with(&later, &["read"]).await;
    let of_later = export(&server, "later").await;
    let place = server.stop().await;
    // As many acts as are missing, and more, of an organization that the backup does not have.
    let other = Server::on_sqlite().await;
    let elsewhere = other.organization("elsewhere").await;
    for _ in 0..6 {
        other.key_with(&elsewhere, &["read"]).await;
    }
    let of_elsewhere = export(&other, "elsewhere").await;
    let mut restore = vec!["restore", &*file, "--replace", "--ignore-replaced"];
    for log in [&logs[0], &logs[1], &of_elsewhere] {
        restore.extend(["--audit-export", log]);
    }
    // The revocation, what was done in `later`, and what was done for it in the operator's log.
    let missing = refuses(&place, &restore, 5, " acts were done after the backup");
    let acts = |said: &str| -> i64 {
        let line = said.lines().find(|line| line.contains(" acts were done"));
        let number = line.unwrap().split_whitespace().next().unwrap();
        number.parse().unwrap()
    };
    restore.extend(["--audit-export", &of_later]);
    let fewer = refuses(&place, &restore, 5, " acts were done after the backup");
    let of_later = fs::read_to_string(&of_later).unwrap();
    let told = i64::try_from(of_later.lines().count()).unwrap() - 1;
    assert_eq!(acts(&missing) - acts(&fewer), told, "{missing}\n{fewer}");
}
