//! Several exports given together: what one proves does not make another whole.

use std::fs;

use serde_json::json;

use super::restore_root_keys::{again, revoke};
use crate::on_both_engines;
use crate::support::operations::{at, does, export, refuses, tells};
use crate::support::server::Server;
use crate::support::snapshot;

on_both_engines!(a_whole_older_export_does_not_hide_that_a_newer_one_was_cut_off);

async fn a_whole_older_export_does_not_hide_that_a_newer_one_was_cut_off(server: Server) {
    let acme = server.organization("acme").await;
    let [first, second] = [
        server.key_with(&acme, &["read"]).await,
        server.key_with(&acme, &["read"]).await,
    ];
    let snapshot = snapshot::take(&server);
    revoke(&server, &first).await;
    server.advance(60);
    let older = fs::read_to_string(export(&server, "acme").await).unwrap();
    let older_until = server.clock.now().to_string();
    server.advance(60);
    revoke(&server, &second).await;
    server.advance(60);
    let newer = fs::read_to_string(export(&server, "acme").await).unwrap();
    let operator = export(&server, "operator").await;
    let clock = server.clock.clone();
    let place = server.stop().await;
    let [one, other] = [at(&place, "older.jsonl"), at(&place, "newer.jsonl")];
    let mut begun = snapshot::put_back(&place, &snapshot).await;
    for log in [&one, &other, &operator] {
        begun.extend(["--audit-export".to_owned(), log.clone()]);
    }
    let restore: Vec<&str> = begun.iter().map(String::as_str).collect();
    let give = |in_one: &str, in_other: &str| {
        fs::write(&one, in_one).unwrap();
        fs::write(&other, in_other).unwrap();
    };
    // Cut where the older one ends, or before: together they reach an end that is proven.
    let lines: Vec<&str> = newer.lines().collect();
    assert_eq!(older.lines().count(), 6);
    for left in [5, 4, 1] {
        let cut = lines[..left].join("\n");
        give(&older, &cut);
        let said = refuses(&place, &restore, 5, "newer.jsonl tells of it up to entry");
        assert!(said.contains("lacks the line that proves"), "{said}");
        assert!(
            said.contains("leave that file out") && !said.contains("older.jsonl"),
            "{said}"
        );
        // In one file, one behind the other, it is no different.
        let together = format!("{cut}\n{older}");
        give(&together, "");
        refuses(&place, &restore, 5, "older.jsonl tells of it up to entry");
        give(&format!("{older}{cut}"), "");
        refuses(&place, &restore, 5, "older.jsonl tells of it up to entry");
    }
    // Of what the cut one tells beyond that, nothing is thrown away.
    give(&older, &lines[..6].join("\n"));
    refuses(&place, &restore, 5, "what was given of it reaches entry 6");

    // Whole ones, in whichever files, are no fault of each other's.
    give(&format!("{older}{newer}{older}"), &newer);
    let told = tells(&place, &restore);
    assert_eq!(told["organizations"][0]["reapplied"], 2, "{told}");

    // Whoever leaves the cut one out is told until when the other reaches.
    let mut begun = snapshot::put_back(&place, &snapshot).await;
    fs::write(&one, &older).unwrap();
    for log in [&one, &operator] {
        begun.extend(["--audit-export".to_owned(), log.clone()]);
    }
    let restore: Vec<&str> = begun.iter().map(String::as_str).collect();
    let told = tells(&place, &restore);
    let of_acme = &told["organizations"][0];
    assert_eq!(
        (&of_acme["log_whole"], &of_acme["log_until"]),
        (&json!(true), &json!(older_until))
    );
    let server = again(place, &clock).await;
    let refused = server.exchange(&first, &[]).await;
    refused.refuses(401, "invalid_client");
    assert!(does(server.place(), &["audit", "verify"]).contains("acme: verified"));
}
