//! Introspection says of nothing that is inactive why, nor does the time that its answer takes.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use crate::introspection::{introspect, is_active, is_inactive};
use crate::on_both_engines;
use crate::rotation::post;
use crate::support::forged::of_another_deployment;
use crate::support::server::{Key, Reply, Server};

on_both_engines!(what_is_inactive_takes_as_long_whatever_the_cause);

/// How often each of them is asked about, in turn, so that what the machine does meanwhile weighs
/// on all of them.
const ROUNDS: usize = 60;

/// How many times as long as the quickest any may take. A query of the database or an Argon2 run
/// takes more; a signature does not, which anybody can check by himself.
const GROSS: f64 = 4.0;

async fn what_is_inactive_takes_as_long_whatever_the_cause(server: Server) {
    let acme = server.organization("acme").await;
    let other = server.organization("other").await;
    let body = json!({ "name": "short", "scopes": ["read"], "expires_in_days": 1 });
    let short = server.key(&acme, body).await;
    let expired = server.token(&short, &[]).await;
    server.advance(86_400);
    let key = server.key_with(&acme, &["read"]).await;
    let [ended, revoked] = [server.token(&key, &[]).await, server.token(&key, &[]).await];
    let gone = server.key_with(&acme, &["read"]).await;
    let of_gone = server.token(&gone, &[]).await;
    post(&server, &acme, &gone.id, "revoke").await;
    let asked = server.request(Method::POST, "/oauth/revoke");
    let asked = asked.basic_auth(&key.id, Some(&key.secret));
    Reply::of(asked.form(&[("token", &revoked)])).await;
    let theirs = server.key_with(&other, &["read"]).await;
    let of_theirs = server.token(&theirs, &[]).await;
    let (head, signature) = ended.rsplit_once('.').unwrap();
    let forged = format!("{head}.{}", signature.chars().rev().collect::<String>());
    let wrong: Key = Key {
        secret: of_another_deployment(&key.id).secret,
        ..key.clone()
    };
    let cases = [
        ("no token", "nonsense".to_owned()),
        ("a forged token", forged),
        ("an expired token", expired),
        ("a revoked token", revoked),
        ("a token of a revoked key", of_gone),
        ("a token of another organization", of_theirs),
        ("a forged key", wrong.secret),
        ("an expired key", short.secret),
        ("a revoked key", gone.secret),
        ("another organization's key", theirs.secret),
    ];
    // Each once before: what was never seen is looked up, whatever it is.
    for (_, token) in &cases {
        is_inactive(&introspect(&server, &acme, token).await);
    }
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); cases.len()];
    for round in 0..ROUNDS {
        for at in 0..cases.len() {
            // None is always behind the same one.
            let at = (at * 3 + round) % cases.len();
            let begun = Instant::now();
            let reply = introspect(&server, &acme, &cases[at].1).await;
            times[at].push(begun.elapsed());
            is_inactive(&reply);
        }
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64()
    };
    let medians: Vec<_> = times.iter_mut().map(median).collect();
    let quickest = medians.iter().copied().fold(f64::INFINITY, f64::min);
    for ((name, _), median) in cases.iter().zip(&medians) {
        let times = median / quickest;
        assert!(times < GROSS, "{name}: {times:.1} times as long as others");
    }
    // The key that was spared is as good as before.
    is_active(&introspect(&server, &acme, &key.secret).await);
    // And nothing of them is asked of the database: it is not there.
    server.app.close().await;
    for (_, token) in &cases {
        is_inactive(&introspect(&server, &acme, token).await);
    }
}
