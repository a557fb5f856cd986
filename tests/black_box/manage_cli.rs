//! The management command line against a real server: each command does what it says.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::support::server::{Key, Server};
use crate::support::shell::{Shell, rows, texts};

on_both_engines!(
    an_organization_goes_through_its_life_from_a_shell,
    the_secret_alone_is_on_standard_output_and_can_be_exchanged,
    a_key_is_made_as_the_flags_say,
    a_key_is_edited_also_relative_to_what_it_is,
);

async fn an_organization_goes_through_its_life_from_a_shell(server: Server) {
    let operator = Shell::operator(&server);
    let made = operator.json(&["orgs", "create", "acme", "--name", "Acme"]);
    assert_eq!(
        (&made["id"], &made["name"]),
        (&json!("acme"), &json!("Acme"))
    );
    let generated = operator.json(&["orgs", "create"]);
    assert!(generated["id"].as_str().unwrap().starts_with("org_"));

    let secret = operator.does(&["orgs", "bootstrap", "acme", "--alg", "EdDSA", "--quiet"]);
    let acme = Shell::new(&server.base, secret.trim());
    assert_eq!(rows(&acme.does(&["keys", "list"])).len(), 1);
    // Again there is no secret to be had, and a script that waits for one is told so.
    operator.refuses(&["orgs", "bootstrap", "acme", "--quiet"], 1, "--reissue");
    let again = operator.run(&["orgs", "bootstrap", "acme"]);
    assert_eq!((again.code, &*again.out), (Some(0), ""), "{}", again.err);
    let another = ["orgs", "bootstrap", "acme", "--reissue", "--quiet", "--yes"];
    let second = operator.does(&another);
    assert_ne!(second, secret);
    acme.refuses(&["keys", "list"], 3, "request");
    let acme = Shell::new(&server.base, second.trim());

    operator.does(&["orgs", "edit", "acme", "--name", "Acme and Sons"]);
    assert!(
        operator
            .does(&["orgs", "show", "acme"])
            .contains("Acme and Sons")
    );
    let printed = operator.does(&["orgs", "suspend", "acme"]);
    assert_eq!(printed, "acme suspended\n");
    acme.refuses(&["keys", "list"], 3, "code");
    assert_eq!(
        operator.json(&["orgs", "resume", "acme"])["status"],
        "active"
    );
    acme.does(&["keys", "list"]);
    let table = operator.does(&["orgs", "list"]);
    assert!(rows(&table).iter().any(|row| row[0] == "acme"), "{table}");
}

async fn the_secret_alone_is_on_standard_output_and_can_be_exchanged(server: Server) {
    let manager = server.organization("acme").await;
    let acme = Shell::new(&server.base, &manager.secret);
    let words = ["keys", "create", "--name", "ci", "--scope", "read"];
    let quiet = acme.run(&[&words[..], &["--quiet"]].concat());
    assert_eq!((quiet.code, &*quiet.err), (Some(0), ""));
    let aloud = acme.run(&words);
    for done in [&quiet, &aloud] {
        let secret = done.out.trim();
        assert_eq!(done.out, format!("{secret}\n"));
        let id = format!("key_{}", secret.rsplit('_').nth(1).unwrap());
        let key = Key {
            id,
            secret: secret.to_owned(),
        };
        server.exchange(&key, &[]).await.expect(StatusCode::OK);
        assert!(!done.err.contains(secret), "{}", done.err);
    }
    assert!(aloud.err.contains("ci") && aloud.err.contains("shown this once"));
    assert!(
        aloud
            .err
            .contains("warning: this key can be used from any address")
    );

    // Under an idempotency key there is one key, and its secret once.
    let once = [&words[..], &["--idempotency-key", "deploy-1"]].concat();
    let first = acme.does(&once);
    let second = acme.refuses(&once, 1, "rotate the key");
    assert!(!second.contains(first.trim()));
    assert_eq!(acme.json(&once)["secret_withheld"], true);
    let all = acme.json(&["keys", "list", "--all"]);
    assert_eq!(all["data"].as_array().unwrap().len(), 4);
}

async fn a_key_is_made_as_the_flags_say(server: Server) {
    server.organization("acme").await;
    let operator = Shell::operator(&server);
    let key = operator.json(&[
        "keys",
        "create",
        "--org",
        "acme",
        "--name",
        "ci",
        "--description",
        "builds",
        "--scope",
        "read:projects/42/**",
        "--scope",
        "write",
        "--network",
        "203.0.113.0/24",
        "--network",
        "2001:db8::1",
        "--rate-limit",
        "60/1m",
        "--expires-in",
        "90d",
        "--external-id",
        "customer 7",
        "--metadata",
        "plan=pro",
        "--metadata",
        "a=b=c",
        "--acting-for",
        "jörg@example.com",
    ]);
    let mut scopes = texts(&key["scopes"]);
    scopes.sort_unstable();
    assert_eq!(scopes, ["read:projects/42/**", "write"]);
    let mut networks = texts(&key["allowed_ip_cidrs"]);
    networks.sort_unstable();
    assert_eq!(networks, ["2001:db8::1/128", "203.0.113.0/24"]);
    assert_eq!(
        key["rate_limit"],
        json!({ "limit": 60, "window_seconds": 60 })
    );
    assert_eq!(key["metadata"], json!({ "plan": "pro", "a": "b=c" }));
    assert_eq!(key["external_id"], "customer 7");
    assert_eq!(
        (&key["organization"], &key["created_by"]),
        (&json!("acme"), &json!("operator"))
    );
    assert_eq!(key["description"], "builds");
    assert!(key["expires_at"].is_string());

    let id = key["id"].as_str().unwrap();
    let shown = operator.json(&["keys", "show", id, "--org", "acme"]);
    let path = format!("/v1/organizations/acme/api-keys/{id}");
    assert_eq!(
        shown,
        server.operate(Method::GET, &path, Value::Null).await.body
    );
    let log = operator.json(&["audit", "list", "--org", "acme", "--target", id]);
    assert_eq!(log["data"][0]["acting_for"], "jörg@example.com");
    // With neither flag nor organization it is another's, and there is no such key.
    operator.refuses(&["keys", "show", id], 4, "no such");
}

async fn a_key_is_edited_also_relative_to_what_it_is(server: Server) {
    let manager = server.organization("acme").await;
    let acme = Shell::new(&server.base, &manager.secret);
    let body = json!({ "name": "ci", "scopes": ["read", "write"], "expires_in_days": 9,
        "metadata": { "plan": "pro", "tier": "1" } });
    let id = server.key(&manager, body).await.id;
    let edit = |more: &[&str]| acme.json(&[&["keys", "edit", &id], more].concat());

    let edited = edit(&["--name", "cd", "--clear-expiry", "--clear-metadata", "tier"]);
    assert_eq!(
        (&edited["name"], &edited["expires_at"]),
        (&json!("cd"), &Value::Null)
    );
    assert_eq!(edited["metadata"], json!({ "plan": "pro" }));
    let edited = edit(&["--add-scope", "run:jobs/*", "--remove-scope", "write:**"]);
    let mut scopes = texts(&edited["scopes"]);
    scopes.sort_unstable();
    assert_eq!(scopes, ["read", "run:jobs/*"]);
    let replaced = edit(&["--scope", "read:a"]);
    assert_eq!(texts(&replaced["scopes"]), ["read:a"]);

    let revision = replaced["revision"].as_i64().unwrap();
    let stale = (revision - 1).to_string();
    let words = ["keys", "edit", &id, "--name", "x", "--if-revision", &stale];
    acme.refuses(&words, 5, "changed (412)");
    let relative = [
        "keys",
        "edit",
        &id,
        "--add-scope",
        "x",
        "--if-revision",
        &stale,
    ];
    acme.refuses(&relative, 5, "changed (412)");
    acme.refuses(&["keys", "edit", &id], 2, "say what to change");
    acme.refuses(
        &["keys", "edit", &id, "--scope", "a", "--add-scope", "b"],
        2,
        "--add-scope",
    );

    // Four at once each add their own, and none is lost.
    let edits: Vec<_> = (0..4)
        .map(|n| {
            let (url, secret, id) = (server.base.clone(), manager.secret.clone(), id.clone());
            tokio::task::spawn_blocking(move || {
                let scope = format!("s{n}");
                Shell::new(&url, &secret).does(&["keys", "edit", &id, "--add-scope", &scope]);
            })
        })
        .collect();
    for edit in edits {
        edit.await.unwrap();
    }
    let scopes = acme.json(&["keys", "show", &id])["scopes"].clone();
    assert_eq!(texts(&scopes).len(), 5, "{scopes}");
}
