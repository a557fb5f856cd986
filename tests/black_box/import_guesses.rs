//! Guesses at an imported key whose beginning is known, and whose hash is slow: whom they harm.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::StatusCode;
use serde_json::json;

use crate::imports::exchange;
use crate::on_both_engines;
use crate::support::imports::{file, import, line, old_string, prefix};
use crate::support::root_keys::until;
use crate::support::server::Server;

on_both_engines!(
    whoever_guesses_at_one_key_keeps_nobody_from_another,
    keys_that_begin_alike_are_used_for_the_first_time_at_once,
);

/// How many guess at once.
const GUESSERS: usize = 60;

/// What a platform kept of a string, at a cost of at most 12.
fn dear(text: &str, cost: u32) -> serde_json::Value {
    let mut row = line("bcrypt", text);
    let hash = bcrypt::hash_with_salt(text, cost, [7; 16]).unwrap();
    row["hash"] = json!({ "bcrypt": hash.to_string() });
    row
}

async fn whoever_guesses_at_one_key_keeps_nobody_from_another(server: Server) {
    server.organization("acme").await;
    let (guessed, other, ready) = (old_string(0), old_string(1), old_string(2));
    let lines = [dear(&guessed, 12), dear(&other, 12), line("raw", &ready)];
    let path = file(server.place(), "dear.jsonl", &lines);
    assert!(import(server.place(), "acme", &path).success);
    until("the server knows what was imported", async || {
        exchange(&server, &ready).await.status == StatusCode::OK
    })
    .await;
    let server = Arc::new(server);
    let (enough, turned_away) = (
        Arc::new(AtomicBool::default()),
        Arc::new(AtomicBool::default()),
    );
    let guessers: Vec<_> = (0..GUESSERS)
        .map(|guesser| {
            let (server, begins) = (Arc::clone(&server), prefix(&guessed).to_owned());
            let (enough, turned_away) = (Arc::clone(&enough), Arc::clone(&turned_away));
            tokio::spawn(async move {
                let mut guess = 0;
                while !enough.load(Ordering::SeqCst) {
                    guess += 1;
                    let string = format!("{begins}{guesser:08}x{guess:08}");
                    let reply = exchange(&server, &string).await;
                    if reply.status == StatusCode::SERVICE_UNAVAILABLE {
                        assert!(reply.header("retry-after").is_some());
                        turned_away.store(true, Ordering::SeqCst);
                    } else {
                        reply.refuses(401, "invalid_client");
                    }
                }
            })
        })
        .collect();
    while !turned_away.load(Ordering::SeqCst) {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    // More come than can be served, and the owner of another key is.
    exchange(&server, &other).await.expect(StatusCode::OK);
    exchange(&server, &ready).await.expect(StatusCode::OK);
    enough.store(true, Ordering::SeqCst);
    for guesser in guessers {
        guesser.await.unwrap();
    }
    // The owner of the one that was guessed at was told to come again, and not that it is none.
    until("its owner is served", async || {
        exchange(&server, &guessed).await.status == StatusCode::OK
    })
    .await;
}

async fn keys_that_begin_alike_are_used_for_the_first_time_at_once(server: Server) {
    server.organization("acme").await;
    let strings: Vec<_> = (0..4).map(|n| old_string(100 + n)).collect();
    let alike = |text: &String| {
        let mut row = dear(text, 7);
        row["prefix"] = json!(text[..8]);
        row
    };
    let mut lines: Vec<_> = strings.iter().map(alike).collect();
    let ready = old_string(1);
    lines.push(line("raw", &ready));
    let path = file(server.place(), "alike.jsonl", &lines);
    assert!(import(server.place(), "acme", &path).success);
    until("the server knows what was imported", async || {
        exchange(&server, &ready).await.status == StatusCode::OK
    })
    .await;
    let server = Arc::new(server);
    // By many clients each.
    let clients: Vec<_> = (0..24)
        .map(|n| {
            let (server, string) = (Arc::clone(&server), strings[n % 4].clone());
            tokio::spawn(async move { exchange(&server, &string).await })
        })
        .collect();
    for client in clients {
        client.await.unwrap().expect(StatusCode::OK);
    }
}
