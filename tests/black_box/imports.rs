//! Imported API keys: customers keep the strings they have, whatever a platform kept of them.

use std::fs;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::gateway::{CLIENT, behind_gateways, told, verify, verify_bearer};
use crate::introspection::{INACTIVE, introspect, introspect_at, is_active, is_inactive};
use crate::on_both_engines;
use crate::rotation::post;
use crate::support::imports::{command, file, import, line, old_string, rejects};
use crate::support::root_keys::{current, done, followed, until};
use crate::support::server::{Key, Reply, Server, claims};

on_both_engines!(
    a_string_of_every_kind_works_wherever_it_did,
    a_string_obtains_tokens_in_every_way_a_client_has,
    an_imported_key_is_managed_like_any_other,
    a_slow_hash_is_replaced_when_its_string_is_first_used,
    an_imported_key_outlives_its_root_key,
    what_is_wrong_with_a_line_is_told_and_the_rest_imported,
    a_file_of_something_else_is_not_overwritten,
    nobody_makes_a_long_string_another,
    an_organization_deleted_leaves_nothing_of_its_strings,
);

/// What an import exits with that refused lines.
pub const REFUSED_LINES: i32 = 7;

pub const KINDS: [&str; 5] = ["raw", "sha256", "sha512", "bcrypt", "argon2"];

/// The id of the key that was imported for a holder.
pub async fn id_of(server: &Server, organization: &str, external_id: &str) -> String {
    let path = format!("/v1/organizations/{organization}/api-keys?external_id={external_id}");
    let listed = server.operate(Method::GET, &path, Value::Null).await;
    let id = listed.expect(StatusCode::OK).body["data"][0]["id"].clone();
    id.as_str().unwrap().to_owned()
}

/// Revokes a key, as the operator.
pub async fn revoke(server: &Server, organization: &str, id: &str) {
    let path = format!("/v1/organizations/{organization}/api-keys/{id}/revoke");
    let revoked = server.operate(Method::POST, &path, json!({})).await;
    revoked.expect(StatusCode::OK);
}

/// Imports one line of each kind; the strings, in their order, and the ids.
pub async fn imported(server: &Server, organization: &str, first: usize) -> Vec<Key> {
    let strings: Vec<_> = (first..first + KINDS.len()).map(old_string).collect();
    let kinds = KINDS.iter().zip(&strings);
    let lines: Vec<_> = kinds.map(|(kind, text)| line(kind, text)).collect();
    let path = file(
        server.place(),
        &format!("{organization}{first}.jsonl"),
        &lines,
    );
    let run = import(server.place(), organization, &path);
    assert!(run.success, "{}{}", run.out, run.err);
    assert!(
        run.err.contains("5 keys imported, 0 lines refused of 5"),
        "{}",
        run.err
    );
    let mut keys = Vec::new();
    for (kind, secret) in KINDS.iter().zip(strings) {
        keys.push(Key {
            id: id_of(server, organization, &format!("ext-{kind}")).await,
            secret,
        });
    }
    // Another process imported: the server hears of it.
    until("the server knows what was imported", async || {
        let form = [("grant_type", "client_credentials")];
        let request = server.request(Method::POST, "/oauth/token").form(&form);
        let reply = Reply::of(request.bearer_auth(&keys[0].secret)).await;
        reply.status == StatusCode::OK
    })
    .await;
    keys
}

fn token_request(server: &Server, issuer: &str, more: &[(&str, &str)]) -> RequestBuilder {
    let mut form = vec![("grant_type", "client_credentials")];
    form.extend(more);
    server
        .request(Method::POST, &format!("{issuer}/oauth/token"))
        .form(&form)
}

/// Whether the string obtains a token, by nothing but itself.
pub async fn exchange(server: &Server, string: &str) -> Reply {
    Reply::of(token_request(server, "", &[]).bearer_auth(string)).await
}

async fn a_string_of_every_kind_works_wherever_it_did(server: Server) {
    let server = behind_gateways(server, &[]).await;
    let acme = server.organization("acme").await;
    let other = server.organization("other").await;
    let keys = imported(&server, "acme", 0).await;
    for (kind, key) in KINDS.iter().zip(&keys) {
        let external = format!("ext-{kind}");
        let of_key = ["acme", &*key.id, "api_key", "read", &*external];
        for _ in 0..2 {
            assert_eq!(told(&verify_bearer(&server, "", &key.secret).await), of_key);
            let header = verify(&server, "?scope=read").header("x-api-key", &key.secret);
            assert_eq!(told(&Reply::of(header).await), of_key);
        }
        let swapped = verify_bearer(&server, "?exchange=true", &key.secret).await;
        let token = swapped.header("authorization").unwrap();
        let token = token.strip_prefix("Bearer ").unwrap();
        assert_eq!(claims(token)["sub"], *key.id);
        let beyond = verify_bearer(&server, "?scope=write", &key.secret).await;
        beyond.refuses(403, "insufficient_scope");
        let active = introspect(&server, &acme, &key.secret).await;
        assert_eq!(is_active(&active)["client_id"], *key.id);
        assert_eq!(active.body["token_type"], "api_key");
        // Nothing of it to the neighbour, nor at its issuer.
        is_inactive(&introspect(&server, &other, &key.secret).await);
        let elsewhere = introspect_at(&server, "/orgs/other", &other, &key.secret, &[]).await;
        assert_eq!(elsewhere.text, INACTIVE);
        let path = format!("/v1/api-keys/{}", key.id);
        let shown = server.call(&acme.secret, Method::GET, &path, Value::Null);
        let shown = shown.await.body["fingerprint"].as_str().unwrap().to_owned();
        assert!(shown.starts_with("imported:"), "{shown}");
    }
    // One character more, less, or another is nobody's.
    for key in &keys {
        let text = &key.secret;
        for bad in [
            format!("{text}x"),
            text[..text.len() - 1].to_owned(),
            text.replace("oldsk", "aldsk"),
        ] {
            verify_bearer(&server, "", &bad)
                .await
                .refuses(401, "invalid_token");
            is_inactive(&introspect(&server, &acme, &bad).await);
        }
    }
    let peer = server
        .request(Method::GET, "/gateway/verify")
        .header("x-forwarded-for", CLIENT);
    let two = peer
        .header("x-api-key", &keys[0].secret)
        .bearer_auth(&keys[1].secret);
    Reply::of(two).await.refuses(401, "invalid_request");
}

async fn a_string_obtains_tokens_in_every_way_a_client_has(server: Server) {
    server.organization("acme").await;
    server.organization("other").await;
    let keys = imported(&server, "acme", 0).await;
    for key in &keys {
        let (id, secret) = (&*key.id, &*key.secret);
        for request in [
            token_request(&server, "", &[]).basic_auth("api_key", Some(secret)),
            token_request(&server, "", &[]).basic_auth(id, Some(secret)),
            token_request(
                &server,
                "",
                &[("client_id", "api_key"), ("client_secret", secret)],
            ),
            token_request(&server, "", &[("client_id", id), ("client_secret", secret)]),
            token_request(&server, "", &[]).bearer_auth(secret),
            token_request(&server, "", &[("client_id", id)]).bearer_auth(secret),
            token_request(&server, "/orgs/acme", &[]).bearer_auth(secret),
        ] {
            let reply = Reply::of(request).await;
            let token = reply.expect(StatusCode::OK).body["access_token"].clone();
            assert_eq!(claims(token.as_str().unwrap())["client_id"], *id);
        }
        let stranger = &*keys.iter().find(|other| other.id != key.id).unwrap().id;
        for request in [
            token_request(&server, "", &[]).basic_auth(stranger, Some(secret)),
            token_request(&server, "", &[]).basic_auth("acme", Some(secret)),
            token_request(&server, "", &[]).basic_auth(secret, Some("api_key")),
            token_request(&server, "", &[("client_id", stranger)]).bearer_auth(secret),
            token_request(&server, "/orgs/other", &[]).bearer_auth(secret),
        ] {
            Reply::of(request).await.refuses(401, "invalid_client");
        }
    }
    // The management plane, and services that ask, take tenmint's own keys alone.
    let path = "/v1/api-keys";
    let direct = server
        .call(&keys[0].secret, Method::GET, path, Value::Null)
        .await;
    direct.expect(StatusCode::UNAUTHORIZED);
}

async fn an_imported_key_is_managed_like_any_other(server: Server) {
    let acme = server.organization("acme").await;
    let keys = imported(&server, "acme", 0).await;
    for key in &keys {
        exchange(&server, &key.secret).await.expect(StatusCode::OK);
    }
    let [raw, sha256, sha512, bcrypt, argon2] = &keys[..] else {
        panic!("five kinds");
    };
    post(&server, &acme, &raw.id, "revoke")
        .await
        .expect(StatusCode::OK);
    exchange(&server, &raw.secret)
        .await
        .refuses(401, "invalid_client");
    post(&server, &acme, &sha512.id, "disable")
        .await
        .expect(StatusCode::OK);
    exchange(&server, &sha512.secret)
        .await
        .refuses(401, "invalid_client");
    post(&server, &acme, &sha512.id, "enable")
        .await
        .expect(StatusCode::OK);
    exchange(&server, &sha512.secret)
        .await
        .expect(StatusCode::OK);

    for key in [sha256, bcrypt, argon2] {
        let path = format!("/v1/api-keys/{}/rotate", key.id);
        let overlap = json!({ "overlap_seconds": 3600 });
        let rotated = server
            .call(&acme.secret, Method::POST, &path, overlap)
            .await;
        let fresh = Key::of(&rotated.expect(StatusCode::OK).body);
        exchange(&server, &fresh.secret)
            .await
            .expect(StatusCode::OK);
        exchange(&server, &key.secret).await.expect(StatusCode::OK);
        post(&server, &acme, &key.id, "rotate/finish")
            .await
            .expect(StatusCode::OK);
        exchange(&server, &key.secret)
            .await
            .refuses(401, "invalid_client");
        exchange(&server, &fresh.secret)
            .await
            .expect(StatusCode::OK);
    }
    // The owner finds who still has the old string.
    let path = format!("/v1/refusals?api_key_id={}", sha256.id);
    let refusals = server
        .call(&acme.secret, Method::GET, &path, Value::Null)
        .await;
    assert_eq!(refusals.body["data"][0]["cause"], "wrong_secret");
    let path = format!("/v1/refusals?api_key_id={}", raw.id);
    let refusals = server
        .call(&acme.secret, Method::GET, &path, Value::Null)
        .await;
    assert_eq!(refusals.body["data"][0]["cause"], "revoked");
}

async fn a_slow_hash_is_replaced_when_its_string_is_first_used(server: Server) {
    server.organization("acme").await;
    let keys = imported(&server, "acme", 0).await;
    let slow =
        "SELECT CAST(COUNT(*) AS TEXT) FROM api_key_secrets WHERE hash LIKE '$tenmint-sealed$%'";
    let begun = "SELECT CAST(COUNT(*) AS TEXT) FROM imported_lookups WHERE one = 0";
    assert_eq!(server.place().query(slow).await, ["2"]);
    assert_eq!(server.place().query(begun).await, ["2"]);
    until("slow hashes are replaced", async || {
        for key in &keys {
            exchange(&server, &key.secret).await.expect(StatusCode::OK);
        }
        server.place().query(slow).await == ["0"]
    })
    .await;
    // From now on nobody's guess costs anything.
    assert_eq!(server.place().query(begun).await, ["0"]);
    for key in &keys {
        exchange(&server, &key.secret).await.expect(StatusCode::OK);
        let beginning = format!("{}{}", &key.secret[..12], "y7Qk2".repeat(5));
        exchange(&server, &beginning)
            .await
            .refuses(401, "invalid_client");
    }
}

async fn an_imported_key_outlives_its_root_key(server: Server) {
    server.organization("acme").await;
    let keys = imported(&server, "acme", 0).await;
    let old = tokio::task::block_in_place(|| current(server.place()));
    tokio::task::block_in_place(|| done(server.place(), &["rotate"]));
    followed(&server).await;
    // A string that is there under the former root key is not imported again.
    let again = file(
        server.place(),
        "again.jsonl",
        &[line("raw", &keys[0].secret)],
    );
    import(server.place(), "acme", &again);
    assert!(rejects(&again)[0].1.contains("imported already"));
    until("each string depends on the new root key", async || {
        for key in &keys {
            exchange(&server, &key.secret).await.expect(StatusCode::OK);
        }
        let left = format!("SELECT CAST(COUNT(*) AS TEXT) FROM api_key_secrets WHERE root_key = '{old}' AND fingerprint LIKE 'imported:%'");
        server.place().query(&left).await == ["0"]
    })
    .await;
    tokio::task::block_in_place(|| done(server.place(), &["drop", &old, "--yes", "--force"]));
    followed(&server).await;
    for key in &keys {
        exchange(&server, &key.secret).await.expect(StatusCode::OK);
    }
}

async fn what_is_wrong_with_a_line_is_told_and_the_rest_imported(server: Server) {
    let acme = server.organization("acme").await;
    let role = json!({ "name": "reader", "scopes": ["read:a"] });
    let made = server
        .call(&acme.secret, Method::POST, "/v1/roles", role)
        .await;
    made.expect(StatusCode::CREATED);
    let with = |n: usize, more: Value| {
        let mut row = line("raw", &old_string(n));
        for (name, value) in more.as_object().unwrap() {
            row[name] = value.clone();
        }
        row
    };
    let whole = json!({
        "name": "whole", "description": "d", "scopes": ["write"], "roles": ["reader"],
        "allowed_ip_cidrs": ["127.0.0.0/8"], "expires_at": "2099-01-01T00:00:00Z",
        "external_id": "cust-9", "metadata": { "plan": "pro" }, "exchange_only": true,
        "rate_limit": { "limit": 9, "window_seconds": 60 },
    });
    let lines = [
        with(0, whole.clone()),
        json!({ "secret": "short" }),
        with(1, json!({ "secret": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" })),
        with(2, json!({ "scopes": [] })),
        with(3, json!({ "roles": ["nobody"] })),
        with(4, json!({ "expires_at": "2001-01-01T00:00:00Z" })),
        with(5, json!({ "scopes": ["api_keys.create"] })),
        with(6, json!({ "surprise": 1 })),
        with(0, json!({})),
        json!({ "secret": acme.secret, "scopes": ["read"] }),
        with(7, json!({ "scopes": ["*"], "name": null })),
        with(8, json!({ "metadata": { "old": old_string(8) } })),
        with(9, json!({ "roles": [old_string(9)] })),
    ];
    let path = file(server.place(), "mixed.jsonl", &lines);
    let run = import(server.place(), "acme", &path);
    assert_eq!(run.code, Some(REFUSED_LINES), "{}", run.err);
    assert!(
        run.err.contains("2 keys imported, 11 lines refused of 13"),
        "{}",
        run.err
    );
    let told = rejects(&path);
    let expected = [
        (2, "secret: an API key has"),
        (3, "secret: it can be guessed"),
        (4, "scopes: give at least one"),
        (5, "roles: one of them is not there"),
        (6, "expires_at: write a time in the future"),
        (7, "scopes: api_keys.create runs tenmint itself"),
        (8, "an unknown field"),
        (9, "secret: this string, or hash, is imported already"),
        (10, "secret: it has the form of tenmint's own API keys"),
        (12, "secret: it stands in another field as well"),
        (13, "secret: it stands in another field as well"),
    ];
    assert_eq!(told.len(), expected.len(), "{told:?}");
    for ((line, reason), (number, start)) in told.iter().zip(expected) {
        assert!(
            *line == number && reason.starts_with(start),
            "{line}: {reason}"
        );
    }
    let path = "/v1/api-keys?external_id=cust-9";
    let listed = server
        .call(&acme.secret, Method::GET, path, Value::Null)
        .await;
    let key = &listed.body["data"][0];
    for (name, value) in whole.as_object().unwrap() {
        assert_eq!(key[name], *value, "{name}");
    }
    assert_eq!(key["effective_scopes"], json!(["write", "read:a"]));
    assert_eq!(key["created_by"], Value::Null);
    // One audit entry tells of all, and of no string.
    let path = "/v1/audit-events?action=api_key.import";
    let events = server
        .call(&acme.secret, Method::GET, path, Value::Null)
        .await;
    let details = &events.body["data"][0]["details"];
    assert_eq!(
        (&details["imported"], &details["rejected"]),
        (&json!(2), &json!(11))
    );
    assert_eq!(details["lines"], json!({ "from": 1, "to": 13 }));
    assert_eq!(events.body["data"].as_array().unwrap().len(), 1);

    for (org, why) in [
        ("nobody", "no such organization"),
        ("operator", "made, not imported"),
    ] {
        let run = import(
            server.place(),
            org,
            &file(server.place(), "x.jsonl", &lines),
        );
        assert!(!run.success && run.err.contains(why), "{org}: {}", run.err);
    }
}

async fn a_file_of_something_else_is_not_overwritten(server: Server) {
    server.organization("acme").await;
    let place = server.place();
    let keys = file(place, "keys.jsonl", &[line("raw", &old_string(0))]);
    let notes = file(place, "notes.txt", &[json!("mine")]);
    // Nor one to which another import writes.
    let others = file(place, "told.jsonl", &[json!({ "line": 1, "reason": "x" })]);
    let other = fs::File::open(&others).unwrap();
    other.lock().unwrap();
    for (there, why) in [
        (&keys, "--rejects"),
        (&notes, "--rejects"),
        (&others, "another import"),
    ] {
        let before = fs::read(there).unwrap();
        let run = command(place, "acme", &keys)
            .arg("--rejects")
            .arg(there)
            .output()
            .unwrap();
        let said = String::from_utf8(run.stderr).unwrap();
        assert!(!run.status.success() && said.contains(why), "{said}");
        assert_eq!(fs::read(there).unwrap(), before);
    }
    assert!(import(place, "acme", &keys).success);
    let kept = exchange(&server, &old_string(0)).await;
    kept.expect(StatusCode::OK);
}

/// Of a string longer than that, bcrypt saw the beginning alone.
async fn nobody_makes_a_long_string_another(server: Server) {
    server.organization("acme").await;
    let long = format!("{}{}", old_string(0), "x".repeat(60));
    let path = file(server.place(), "long.jsonl", &[line("bcrypt", &long)]);
    assert!(import(server.place(), "acme", &path).success);
    let other = format!("{}{}", &long[..72], "y");
    // What a platform's own check let in goes on.
    for shown in [&other, &long[..72]] {
        exchange(&server, shown).await.expect(StatusCode::OK);
    }
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    exchange(&server, &long).await.expect(StatusCode::OK);
}

async fn an_organization_deleted_leaves_nothing_of_its_strings(server: Server) {
    for id in ["acme", "other"] {
        server.organization(id).await;
    }
    let keys = imported(&server, "acme", 0).await;
    let path = "/v1/organizations/acme?force=true";
    let gone = server.operate(Method::DELETE, path, Value::Null).await;
    assert!(gone.status.is_success(), "{}", gone.text);
    for table in ["imported_lookups", "imports"] {
        let count = server
            .place()
            .query(&format!("SELECT CAST(COUNT(*) AS TEXT) FROM {table}"))
            .await;
        assert_eq!(count, ["0"], "{table}");
    }
    exchange(&server, &keys[0].secret)
        .await
        .refuses(401, "invalid_client");
    // It can go to somebody else.
    imported(&server, "other", 0).await;
}
