//! The management command line reads: lists, usage, refusals, the audit log, and their JSON.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::process::run;
use crate::support::server::{Key, Server};
use crate::support::shell::{Shell, rows};

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_switched_and_revoked_one_or_many() {
    let server = Server::on_sqlite().await;
    let manager = server.organization("acme").await;
    let acme = Shell::new(&server.base, &manager.secret);
    let one = server.key_with(&manager, &["read"]).await;
    let two = server.key_with(&manager, &["read"]).await;

    let printed = acme.does(&["keys", "disable", &one.id, &two.id]);
    assert_eq!(
        printed,
        format!("{} disabled\n{} disabled\n", one.id, two.id)
    );
    server
        .exchange(&one, &[])
        .await
        .refuses(401, "invalid_client");
    assert_eq!(acme.json(&["keys", "enable", &one.id])["status"], "active");

    // One that is refused does not save the others.
    let unknown = "key_00000000000000000000000001";
    let words = [
        "keys",
        "revoke",
        "--yes",
        "--reason",
        "compromised",
        unknown,
        &one.id,
    ];
    let done = acme.run(&words);
    assert_eq!(
        (done.code, &*done.out),
        (Some(4), &*format!("{} revoked\n", one.id))
    );
    assert!(done.err.contains(unknown), "{}", done.err);
    let shown = acme.json(&["keys", "show", &one.id]);
    assert_eq!(shown["revoke_reason"], "compromised");
    acme.refuses(&["keys", "enable", &one.id], 5, "key_revoked (409)");
    server
        .exchange(&one, &[])
        .await
        .refuses(401, "invalid_client");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_a_page_or_all_of_them_in_a_table_or_in_one_document() {
    let server = Server::on_sqlite().await;
    let manager = server.organization("acme").await;
    let acme = Shell::new(&server.base, &manager.secret);
    for n in 0..6 {
        let body = json!({ "name": format!("key {n}"), "scopes": ["read"] });
        server.key(&manager, body).await;
    }
    let first = acme.run(&["keys", "list", "--limit", "3"]);
    assert_eq!(rows(&first.out).len(), 3);
    assert!(first.out.starts_with("ID"), "{}", first.out);
    let cursor = first.err.split_whitespace().nth(4).unwrap();
    let cursor = cursor.trim_end_matches(',');
    let second = acme.does(&["keys", "list", "--limit", "3", "--cursor", cursor]);
    assert!(!first.out.contains(rows(&second)[0][0]));

    let all = acme.run(&["keys", "list", "--limit", "2", "--all"]);
    assert_eq!((rows(&all.out).len(), &*all.err), (7, ""));
    let document = acme.json(&["keys", "list", "--limit", "2", "--all"]);
    let whole = server
        .call(
            &manager.secret,
            Method::GET,
            "/v1/api-keys?limit=100",
            Value::Null,
        )
        .await;
    assert_eq!(document, whole.body);
    let page = acme.json(&["keys", "list", "--limit", "3"]);
    assert!(page["next_cursor"].is_string());
    let none = acme.json(&["keys", "list", "--status", "revoked", "--all"]);
    assert_eq!(none, json!({ "data": [], "next_cursor": null }));
    acme.refuses(&["keys", "list", "--limit", "0"], 1, "limit");
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_and_refusals_are_read() {
    let server = Server::on_sqlite().await;
    let manager = server.organization("acme").await;
    let acme = Shell::new(&server.base, &manager.secret);
    let key = server.key_with(&manager, &["read"]).await;
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
    acme.does(&["keys", "disable", &key.id]);
    let refused = server.exchange(&key, &[]).await;
    let request = refused.header("x-request-id").unwrap();
    server.app.usage.flush().await.unwrap();

    for words in [
        &["usage", "--key", &key.id][..],
        &["keys", "usage", &key.id],
    ] {
        let table = acme.does(words);
        let last = table.lines().find(|line| line.starts_with("in all"));
        let words: Vec<_> = last.unwrap().split_whitespace().collect();
        assert_eq!(words[2], "1", "{table}");
        assert!(table.contains("last used"), "{table}");
    }
    let used = acme.json(&["usage", "--grain", "day"]);
    assert_eq!(
        (&used["grain"], &used["totals"]["issued"]),
        (&json!("day"), &json!(1))
    );
    let causes = acme.does(&["refusals", "--request-id", request]);
    assert_eq!(rows(&causes)[0][0], request);
    let of_key = acme.json(&["refusals", "--key", &key.id]);
    assert_eq!(of_key["data"][0]["request_id"], request);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_is_listed_exported_and_verified_against_its_checkpoint() {
    let server = Server::on_sqlite().await;
    let manager = server.organization("acme").await;
    let acme = Shell::new(&server.base, &manager.secret);
    let Key { id, .. } = server.key_with(&manager, &["read"]).await;
    acme.does(&["keys", "revoke", "--yes", &id]);
    let table = acme.does(&["audit", "list", "--action", "api_key.revoke"]);
    assert_eq!(rows(&table).len(), 1);
    assert!(table.contains(&id), "{table}");

    let export = acme.does(&["audit", "export"]);
    let entries: Vec<Value> = export
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(entries.iter().all(|entry| entry["mac"].is_string()));
    let [.., last, end] = &*entries else {
        panic!("{export}");
    };
    assert_eq!(last["target"], id);
    assert!(end["proof"].is_string());
    let checkpoint = acme.does(&["audit", "checkpoint"]);
    let file = server.place().folder().join("checkpoint");
    std::fs::write(&file, checkpoint + &export).unwrap();
    let (url, root) = (
        server.place().database_url(),
        server.place().root_key_file(),
    );
    let environment = [
        ("TENMINT_DATABASE_URL", &*url),
        ("TENMINT_ROOT_KEY_FILE", root.to_str().unwrap()),
    ];
    let words = ["audit", "verify", "--organization", "acme", "--checkpoint"];
    let words = [&words[..], &[file.to_str().unwrap()]].concat();
    let verified = run(&words, &environment);
    assert!(verified.success, "{}", verified.err);
}
