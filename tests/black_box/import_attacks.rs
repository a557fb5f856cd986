//! What thieves, insiders and floods make of imported API keys, and imports that are broken off.

use std::fs;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::canary::{contains, stored};
use crate::gateway::{behind_gateways, verify_bearer};
use crate::imports::{KINDS, REFUSED_LINES, exchange, imported};
use crate::introspection::{introspect, is_inactive};
use crate::on_both_engines;
use crate::support::imports::{
    argon2_of, bcrypt_of, command, file, hex, import, line, old_string, rejects, sha256,
};
use crate::support::process::{Process, run};
use crate::support::root_keys::until;
use crate::support::server::{Place, Server};

on_both_engines!(
    nothing_that_is_stored_is_a_key,
    a_row_moved_to_another_key_proves_nothing,
    unknown_strings_cost_no_slow_hash,
    an_import_that_was_killed_goes_on_where_it_was,
);

async fn nothing_that_is_stored_is_a_key(server: Server) {
    let server = behind_gateways(server, &[]).await;
    let acme = server.organization("acme").await;
    let keys = imported(&server, "acme", 0).await;
    let mut loot = Vec::new();
    for query in [
        "SELECT hash FROM api_key_secrets",
        "SELECT lookup FROM imported_lookups",
        "SELECT fingerprint FROM api_key_secrets",
    ] {
        loot.extend(server.place().query(query).await);
    }
    // Nor is what the platform's own former table held, if that leaks.
    for key in &keys {
        let digest = sha256(&key.secret);
        loot.extend([hex(&digest), bcrypt_of(&key.secret), argon2_of(&key.secret)]);
    }
    for stolen in loot {
        verify_bearer(&server, "", &stolen)
            .await
            .refuses(401, "invalid_token");
        is_inactive(&introspect(&server, &acme, &stolen).await);
        exchange(&server, &stolen)
            .await
            .refuses(401, "invalid_client");
    }
}

async fn a_row_moved_to_another_key_proves_nothing(server: Server) {
    for id in ["acme", "other"] {
        server.organization(id).await;
    }
    let thief = imported(&server, "other", 0).await;
    let victim = imported(&server, "acme", 10).await;
    for (mine, theirs) in thief.iter().zip(&victim) {
        // Whoever can write to the database points at a key, and even gives it its own proof.
        for sql in [
            format!(
                "DELETE FROM imported_lookups WHERE api_key_id = '{}'",
                theirs.id
            ),
            format!(
                "UPDATE imported_lookups SET api_key_id = '{}' WHERE api_key_id = '{}'",
                theirs.id, mine.id
            ),
            format!(
                "UPDATE api_key_secrets SET hash = (SELECT hash FROM api_key_secrets WHERE api_key_id = '{}') WHERE api_key_id = '{}'",
                mine.id, theirs.id
            ),
        ] {
            server.place().execute(&sql).await;
        }
    }
    let place = server.stop().await;
    let server = place.start().await;
    for (mine, theirs) in thief.iter().zip(&victim) {
        for key in [mine, theirs] {
            let reply = exchange(&server, &key.secret).await;
            assert_ne!(reply.status, StatusCode::OK);
        }
    }
}

async fn unknown_strings_cost_no_slow_hash(server: Server) {
    server.organization("acme").await;
    let keys = imported(&server, "acme", 0).await;
    let bcrypt = &keys[3].secret;
    // Whoever computed a slow hash now would find it damaged.
    let damage = "UPDATE api_key_secrets SET hash = '$tenmint-sealed$AAAA' WHERE hash LIKE '$tenmint-sealed$%'";
    server.place().execute(damage).await;
    let place = server.stop().await;
    let server = place.start().await;
    for n in 0..50 {
        let unknown = old_string(1_000 + n);
        exchange(&server, &unknown)
            .await
            .refuses(401, "invalid_client");
        exchange(&server, &unknown)
            .await
            .refuses(401, "invalid_client");
    }
    let beginning = format!("{}{}", &bcrypt[..12], "y7Qk2".repeat(5));
    let reached = exchange(&server, &beginning).await;
    assert!(reached.status.is_server_error(), "{}", reached.text);
    exchange(&server, &keys[0].secret)
        .await
        .expect(StatusCode::OK);
}

#[expect(clippy::print_stderr, reason = "a measurement to read")]
async fn an_import_that_was_killed_goes_on_where_it_was(server: Server) {
    const ROWS: usize = 6_000;
    let acme = server.organization("acme").await;
    let rows = (0..ROWS).map(|n| match n % 500 {
        7 => json!({ "secret": "short" }),
        _ => line(["raw", "sha256", "sha512"][n % 3], &old_string(n)),
    });
    let lines: Vec<_> = rows.collect();
    let path = file(server.place(), "many.jsonl", &lines);
    let progress = "SELECT CAST(lines AS TEXT) FROM imports";
    for enough in [500, 2_000] {
        let mut child = command(server.place(), "acme", &path).spawn().unwrap();
        loop {
            let lines = server.place().query(progress).await;
            let lines = lines
                .first()
                .map_or(0, |lines| lines.parse::<usize>().unwrap());
            if lines >= enough {
                break;
            }
            assert!(child.try_wait().unwrap().is_none(), "it ended too soon");
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let began = Instant::now();
    let left: Vec<_> = server.place().query(progress).await;
    let left = ROWS - left[0].parse::<usize>().unwrap();
    let run = import(server.place(), "acme", &path);
    let millis = began.elapsed().max(Duration::from_millis(1)).as_millis();
    let rate = left as u128 * 1_000 / millis;
    eprintln!("{rate} rows a second, unoptimised");
    assert_eq!(run.code, Some(REFUSED_LINES), "{}", run.err);
    assert!(run.err.contains("goes on behind line"), "{}", run.err);
    assert!(
        run.err
            .contains("5988 keys imported, 12 lines refused of 6000"),
        "{}",
        run.err
    );
    let told: Vec<_> = rejects(&path).into_iter().map(|(line, _)| line).collect();
    let expected: Vec<_> = (0..12).map(|n| n * 500 + 8).collect();
    assert_eq!(told, expected);
    let count = "SELECT CAST(COUNT(*) AS TEXT) FROM api_keys WHERE name LIKE 'from %'";
    assert_eq!(server.place().query(count).await, ["5988"]);
    until("what was imported counts", async || {
        let last = exchange(&server, &old_string(ROWS - 1)).await;
        last.status == StatusCode::OK
    })
    .await;
    for n in [0, 499, 500, 501, 2_999, 5_000] {
        exchange(&server, &old_string(n))
            .await
            .expect(StatusCode::OK);
    }
    // The chain of audit entries tells of every line once.
    let path = "/v1/audit-events?action=api_key.import&limit=100";
    let events = server
        .call(&acme.secret, Method::GET, path, Value::Null)
        .await;
    let events = events.body["data"].as_array().unwrap().clone();
    let mut next = 1;
    for event in events.iter().rev() {
        let lines = &event["details"]["lines"];
        assert_eq!(lines["from"], next);
        next = lines["to"].as_u64().unwrap() + 1;
    }
    assert_eq!(next, ROWS as u64 + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_string_is_found_nowhere_on_sqlite() {
    watch(Place::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_string_is_found_nowhere_on_postgres() {
    if let Some(place) = Place::postgres().await {
        watch(place).await;
    }
}

/// Not in the log, however much is logged, not in the database, not in what an import says.
#[expect(clippy::too_many_lines, reason = "one way through every place")]
async fn watch(place: Place) {
    let flags = [
        ("TENMINT_LOG", "trace"),
        ("TENMINT_GATEWAY_PEERS", "127.0.0.1"),
    ];
    let process = Process::serve(&place, &["serve"], &flags);
    let (url, root) = (place.database_url(), place.root_key_file());
    let environment = [
        ("TENMINT_DATABASE_URL", &*url),
        ("TENMINT_ROOT_KEY_FILE", root.to_str().unwrap()),
    ];
    let operator = run(&["operator-key", "--quiet"], &environment).out;
    let http = reqwest::Client::new();
    let made = http
        .post(format!("{}/v1/organizations", process.base))
        .bearer_auth(operator.trim())
        .json(&json!({ "id": "acme" }));
    assert_eq!(made.send().await.unwrap().status(), StatusCode::CREATED);
    let bootstrap = format!("{}/v1/organizations/acme/bootstrap", process.base);
    let bootstrap = http
        .post(bootstrap)
        .bearer_auth(operator.trim())
        .json(&json!({}));
    assert!(bootstrap.send().await.unwrap().status().is_success());
    let strings: Vec<_> = (0..KINDS.len()).map(old_string).collect();
    let mut lines: Vec<_> = KINDS
        .iter()
        .zip(&strings)
        .map(|(kind, text)| line(kind, text))
        .collect();
    // Wrong lines hold what is secret as well.
    for text in &strings {
        lines.push(json!({ "secret": format!("{text} "), "scopes": ["read"] }));
        lines.push(json!({ "secret": [text], "name": text }));
        lines.push(json!({ "secret": text, "scopes": [format!("{text} ")] }));
        lines.push(line("raw", text));
    }
    let path = file(&place, "canary.jsonl", &lines);
    let said = import(&place, "acme", &path);
    assert_eq!(said.code, Some(REFUSED_LINES), "{}", said.err);
    let mut seen = format!("{}{}", said.out, said.err);
    seen.push_str(&fs::read_to_string(format!("{}.rejects.jsonl", path.display())).unwrap());
    fs::remove_file(&path).unwrap();
    for text in &strings {
        // As it is, as it was mistyped, and in every place.
        for bearer in [text.clone(), format!("{text}x")] {
            for _ in 0..3 {
                let form = [
                    ("grant_type", "client_credentials"),
                    ("client_id", "api_key"),
                    ("client_secret", &bearer),
                ];
                let exchanged = http
                    .post(format!("{}/oauth/token", process.base))
                    .form(&form);
                exchanged.send().await.unwrap();
                let verify = format!("{}/gateway/verify?exchange=true", process.base);
                let verify = http.get(verify).header("x-forwarded-for", "127.0.0.1");
                verify.header("x-api-key", &bearer).send().await.unwrap();
                let listed = http.get(format!("{}/v1/api-keys", process.base));
                let listed = listed.bearer_auth(&bearer).send().await.unwrap();
                seen.push_str(&listed.text().await.unwrap());
                let basic = http.post(format!("{}/oauth/introspect", process.base));
                let basic = basic
                    .basic_auth("api_key", Some(&bearer))
                    .form(&[("token", &bearer)]);
                seen.push_str(&basic.send().await.unwrap().text().await.unwrap());
            }
        }
    }
    for what in ["refusals", "migration", "api-keys", "audit-events"] {
        let path = format!("{}/v1/organizations/acme/{what}", process.base);
        let listed = http.request(Method::GET, path).bearer_auth(operator.trim());
        seen.push_str(&listed.send().await.unwrap().text().await.unwrap());
    }
    let log = format!("{}{}", process.log(), process.out());
    assert!(log.contains("refused a token"), "the log is seen: {log}");
    assert!(seen.contains("from bcrypt"), "answers are seen");
    let bytes = stored(&place).await;
    assert!(contains(&bytes, b"ext-argon2"), "the database is seen");
    for text in &strings {
        let digest = sha256(text);
        let parts = [
            &text[..12],
            &text[13..],
            &text[13..29],
            &*hex(&digest),
            "$2b$04$",
            "$argon2id$v=19$m=64,",
        ];
        for part in parts {
            assert!(
                !contains(log.as_bytes(), part.as_bytes()),
                "in the log: {part}"
            );
            assert!(
                !contains(seen.as_bytes(), part.as_bytes()),
                "in an answer: {part}"
            );
            assert!(
                !contains(&bytes, part.as_bytes()),
                "in the database: {part}"
            );
        }
        assert!(!contains(&bytes, &digest), "in the database: a digest");
    }
    assert!(process.stop());
}
