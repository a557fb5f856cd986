//! The management command line where it rotates, revokes many, and bounds: roles, scopes, policy.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::server::{Key, Server};
use crate::support::shell::{Shell, rows, texts};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_rotated_and_the_rotation_finished() {
    let server = Server::on_sqlite().await;
    let manager = server.organization("acme").await;
    let acme = Shell::new(&server.base, &manager.secret);
    let key = server.key_with(&manager, &["read"]).await;
    let secret = acme.does(&["keys", "rotate", &key.id, "--overlap", "1h", "--quiet"]);
    let rotated = Key {
        id: key.id.clone(),
        secret: secret.trim().to_owned(),
    };
    for secret in [&key, &rotated] {
        server.exchange(secret, &[]).await.expect(StatusCode::OK);
    }
    assert_eq!(
        acme.does(&["keys", "finish", "--yes", &key.id]),
        format!("{} active\n", key.id)
    );
    server
        .exchange(&key, &[])
        .await
        .refuses(401, "invalid_client");
    server.exchange(&rotated, &[]).await.expect(StatusCode::OK);

    let now = [
        "keys",
        "rotate",
        &key.id,
        "--overlap",
        "0s",
        "--yes",
        "--json",
    ];
    let answer: Value = serde_json::from_str(&acme.does(&now)).unwrap();
    server
        .exchange(&rotated, &[])
        .await
        .refuses(401, "invalid_client");
    server
        .exchange(&Key::of(&answer), &[])
        .await
        .expect(StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_are_revoked_as_they_were_shown_and_no_others() {
    let server = Server::on_sqlite().await;
    let manager = server.organization("acme").await;
    let acme = Shell::new(&server.base, &manager.secret);
    let mut keys = Vec::new();
    for (name, plan) in [("a", "pro"), ("b", "pro"), ("c", "free")] {
        let body = json!({ "name": name, "scopes": ["read"], "metadata": { "plan": plan } });
        keys.push(server.key(&manager, body).await);
    }
    let which = ["--metadata", "plan=pro"];
    let list = acme.does(&[&["keys", "list", "--sort", "-name"][..], &which].concat());
    let names: Vec<_> = rows(&list).iter().map(|row| row[1].to_owned()).collect();
    assert_eq!(names, ["b", "a"]);

    let tried = acme.does(&[&["keys", "revoke-all", "--dry-run"][..], &which].concat());
    assert_eq!(rows(&tried).len(), 2, "{tried}");
    let tried = acme.json(&[&["keys", "revoke-all", "--dry-run"][..], &which].concat());
    assert_eq!(
        (&tried["dry_run"], &tried["count"]),
        (&json!(true), &json!(2))
    );
    server.exchange(&keys[0], &[]).await.expect(StatusCode::OK);

    let words = [
        &["keys", "revoke-all", "--yes", "--reason", "compromised"][..],
        &which,
    ];
    let done = acme.run(&words.concat());
    assert_eq!(
        (done.code, &*done.out),
        (Some(0), "2 keys revoked\n"),
        "{}",
        done.err
    );
    assert!(done.err.contains(&keys[1].id), "what is ended is shown");
    for key in &keys[..2] {
        server
            .exchange(key, &[])
            .await
            .refuses(401, "invalid_client");
    }
    server.exchange(&keys[2], &[]).await.expect(StatusCode::OK);
    assert_eq!(acme.does(&words.concat()), "0 keys revoked\n");
    acme.refuses(&["keys", "revoke-all", "--yes"], 1, "/filter");
    acme.refuses(
        &["keys", "revoke-all", "--yes", "--transitive"],
        2,
        "--created-by",
    );

    let made = [
        "keys",
        "revoke-all",
        "--yes",
        "--created-by",
        &manager.id,
        "--include-creator",
    ];
    assert_eq!(acme.json(&made)["count"], 2);
    acme.refuses(&["keys", "list"], 3, "code");
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_and_the_catalogue_are_managed() {
    let server = Server::on_sqlite().await;
    let manager = server.organization("acme").await;
    let acme = Shell::new(&server.base, &manager.secret);
    acme.does(&[
        "roles",
        "create",
        "reader",
        "--scope",
        "read",
        "--description",
        "reads",
    ]);
    let edited = acme.json(&[
        "roles",
        "edit",
        "reader",
        "--add-scope",
        "run",
        "--clear-description",
    ]);
    assert_eq!(
        (texts(&edited["scopes"]).len(), &edited["description"]),
        (2, &Value::Null)
    );
    let key = acme.json(&["keys", "create", "--name", "ci", "--role", "reader"]);
    let id = key["id"].as_str().unwrap();
    assert_eq!(texts(&key["roles"]), ["reader"]);
    assert_eq!(rows(&acme.does(&["roles", "list"]))[0][0], "reader");
    assert_eq!(acme.json(&["roles", "show", "reader"])["api_keys"], 1);

    acme.refuses(&["roles", "delete", "reader", "--yes"], 5, "(409)");
    let both = [
        "keys",
        "edit",
        id,
        "--remove-role",
        "reader",
        "--add-scope",
        "read",
    ];
    assert_eq!(acme.json(&both)["roles"], json!([]));
    assert_eq!(
        acme.does(&["roles", "delete", "reader", "--yes"]),
        "reader deleted\n"
    );
    acme.refuses(&["roles", "show", "reader"], 4, "(404)");

    let described = [
        "scopes",
        "define",
        "chats.completion",
        "--description",
        "talks",
    ];
    assert_eq!(acme.json(&described)["description"], "talks");
    let all = acme.does(&["scopes", "list", "--all"]);
    assert!(
        rows(&all).iter().any(|row| row[0] == "chats.completion"),
        "{all}"
    );
    assert_eq!(
        acme.does(&["scopes", "remove", "chats.completion", "--json"]),
        ""
    );
    acme.refuses(&["scopes", "remove", "chats.completion"], 4, "(404)");
    acme.refuses(&["scopes", "remove", ".."], 2, "no name");
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_edited_by_both_sides_and_what_breaks_them_is_a_conflict() {
    let server = Server::on_sqlite().await;
    let manager = server.organization("acme").await;
    let acme = Shell::new(&server.base, &manager.secret);
    let operator = Shell::operator(&server);
    let set = ["policy", "edit", "--set", "max_key_lifetime_days=30"];
    acme.json(&[&set[..], &["--set", "require_expiry=true"]].concat());
    operator.does(&[
        "policy",
        "edit",
        "--org",
        "acme",
        "--operator",
        "--set",
        "require_networks=true",
    ]);
    let shown = operator.json(&["policy", "show", "--org", "acme"]);
    assert_eq!(
        shown["effective_policy"],
        json!({ "max_key_lifetime_days": 30, "require_expiry": true, "require_networks": true })
    );
    assert!(
        acme.does(&["policy", "show"])
            .contains("policy.require_expiry")
    );
    let open = [
        "keys",
        "create",
        "--name",
        "x",
        "--scope",
        "read",
        "--expires-in",
        "9d",
    ];
    acme.refuses(&open, 5, "policy_violation (422)");
    acme.does(&[
        "policy",
        "edit",
        "--clear",
        "max_key_lifetime_days",
        "--clear",
        "require_expiry",
    ]);
    assert_eq!(acme.json(&["policy", "show"])["policy"], json!({}));
    acme.refuses(
        &["policy", "edit", "--operator", "--set", "x=1"],
        2,
        "--org",
    );
    acme.refuses(&["policy", "edit"], 2, "say what to change");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_of_an_edit_tells_what_it_would_break() {
    let server = Server::on_sqlite().await;
    let manager = server.organization("acme").await;
    let acme = Shell::new(&server.base, &manager.secret);
    let key = server.key_with(&manager, &["read", "write"]).await;
    let asked = [("scope", "write")];
    server.exchange(&key, &asked).await.expect(StatusCode::OK);
    let words = [
        "keys",
        "edit",
        &key.id,
        "--remove-scope",
        "write",
        "--dry-run",
    ];
    let tried = acme.json(&words);
    assert_eq!(tried["refused"][0]["scope"], "write");
    assert!(
        acme.does(&words).contains("key.scopes"),
        "shown line by line"
    );
    let there = acme.json(&["keys", "show", &key.id]);
    assert_eq!(texts(&there["scopes"]).len(), 2);
}
