//! API keys that are used after a rotation of the root key: one use frees each of the former one,
//! however many there are, whatever comes between, and wherever they are used afterwards.

use std::sync::Arc;

use reqwest::StatusCode;
use tokio::task::JoinSet;

use crate::imports::exchange;
use crate::on_both_engines;
use crate::support::imports::{file, import, line, old_string};
use crate::support::root_keys::{current, done, followed, needing, status, until, use_up};
use crate::support::server::{Key, Place, Server};

on_both_engines!(
    one_use_frees_each_of_many_keys_whether_one_after_the_other_or_all_at_once,
    a_use_while_the_database_refuses_frees_the_key_when_it_does_no_longer,
    what_was_used_before_a_server_stops_is_freed_by_then,
    long_strings_of_other_systems_are_freed_by_one_use_as_well,
);

fn block<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

async fn many(server: &Server, count: usize) -> Vec<Key> {
    let acme = server.organization("acme").await;
    let mut keys = Vec::new();
    for _ in 0..count {
        keys.push(server.key_with(&acme, &["read"]).await);
    }
    keys
}

async fn rotate(server: &Server) -> String {
    let old = block(|| current(server.place()));
    block(|| done(server.place(), &["rotate"]));
    followed(server).await;
    old
}

/// Uses each once, all at the same time.
async fn at_once(server: &Arc<Server>, keys: &[Key]) {
    let mut uses = JoinSet::new();
    for key in keys {
        let (server, key) = (Arc::clone(server), key.clone());
        uses.spawn(async move {
            server.exchange(&key, &[]).await.expect(StatusCode::OK);
        });
    }
    uses.join_all().await;
}

async fn until_freed(server: &Server, keys: &[Key]) {
    until("each is freed without another use", async || {
        let left = needing(server).await;
        !left
            .iter()
            .any(|left| keys.iter().any(|key| key.id == left.id))
    })
    .await;
}

async fn one_use_frees_each_of_many_keys_whether_one_after_the_other_or_all_at_once(
    server: Server,
) {
    let keys = many(&server, 30).await;
    // Some are warm: what was proven of them is remembered.
    for key in &keys[10..20] {
        server.exchange(key, &[]).await.expect(StatusCode::OK);
    }
    rotate(&server).await;
    let server = Arc::new(server);
    for key in &keys[..15] {
        server.exchange(key, &[]).await.expect(StatusCode::OK);
    }
    at_once(&server, &keys[15..]).await;
    until_freed(&server, &keys).await;
    let named = block(|| status(server.place()))["api_keys"].to_string();
    assert!(!keys.iter().any(|key| named.contains(&key.id)), "{named}");
}

async fn a_use_while_the_database_refuses_frees_the_key_when_it_does_no_longer(server: Server) {
    let keys = many(&server, 2).await;
    for key in &keys {
        server.exchange(key, &[]).await.expect(StatusCode::OK);
    }
    rotate(&server).await;
    let place = server.place();
    let (refuse, no_longer) = if place.is_sqlite() {
        (
            "CREATE TRIGGER not_now BEFORE UPDATE ON api_key_secrets
             BEGIN SELECT RAISE(ABORT, 'not now'); END",
            "DROP TRIGGER not_now",
        )
    } else {
        (
            "CREATE FUNCTION not_now() RETURNS trigger LANGUAGE plpgsql
             AS $$ BEGIN RAISE EXCEPTION 'not now'; END $$;
             CREATE TRIGGER not_now BEFORE UPDATE ON api_key_secrets
             FOR EACH ROW EXECUTE FUNCTION not_now()",
            "DROP TRIGGER not_now ON api_key_secrets",
        )
    };
    place.execute(refuse).await;
    let credentials = &server.app.management.credentials;
    let runs = credentials.runs();
    for key in &keys {
        server.exchange(key, &[]).await.expect(StatusCode::OK);
    }
    until("it was tried to make both anew", async || {
        credentials.runs() >= runs + 2
    })
    .await;
    assert!(needing(&server).await.len() >= keys.len());
    place.execute(no_longer).await;
    until_freed(&server, &keys).await;
}

async fn what_was_used_before_a_server_stops_is_freed_by_then(server: Server) {
    let keys = many(&server, 12).await;
    let old = rotate(&server).await;
    let server = Arc::new(server);
    at_once(&server, &keys).await;
    let place = Arc::into_inner(server).unwrap().stop().await;
    assert_eq!(left_under(&place, &old, &keys).await, ["0"]);
}

async fn left_under(place: &Place, root_key: &str, keys: &[Key]) -> Vec<String> {
    let ids: Vec<_> = keys.iter().map(|key| format!("'{}'", key.id)).collect();
    place
        .query(&format!(
            "SELECT CAST(COUNT(*) AS TEXT) FROM api_key_secrets
             WHERE root_key = '{root_key}' AND api_key_id IN ({})",
            ids.join(", ")
        ))
        .await
}

/// Of which a hash that sees the beginning alone stays what it is.
async fn long_strings_of_other_systems_are_freed_by_one_use_as_well(server: Server) {
    let acme = server.organization("acme").await;
    let kinds = ["raw", "sha256", "bcrypt", "argon2"];
    let long = |n| format!("{}{}", old_string(n), "x".repeat(60));
    let strings: Vec<_> = (0..kinds.len()).map(long).collect();
    let lines = kinds.iter().zip(&strings);
    let lines: Vec<_> = lines.map(|(kind, text)| line(kind, text)).collect();
    let path = file(server.place(), "long.jsonl", &lines);
    assert!(import(server.place(), "acme", &path).success);
    let old = rotate(&server).await;
    // Another end than the customer's, before which nothing of the string is learnt.
    let other_end = format!("{}y", &strings[2][..72]);
    for shown in [&strings[0], &strings[1], &other_end, &strings[3]] {
        exchange(&server, shown).await.expect(StatusCode::OK);
    }
    let imported = "SELECT CAST(COUNT(*) AS TEXT) FROM api_key_secrets
                    WHERE fingerprint LIKE 'imported:%' AND root_key = ";
    let left = format!("{imported}'{old}'");
    until("each depends on the new root key", async || {
        server.place().query(&left).await == ["0"]
    })
    .await;
    use_up(&server, &[&acme, &server.operator_key()]).await;
    block(|| done(server.place(), &["drop", &old, "--yes"]));
    followed(&server).await;
    for shown in strings.iter().chain([&other_end]) {
        exchange(&server, shown).await.expect(StatusCode::OK);
    }
    // What tells the whole of a string lets no other in.
    for known in [&strings[0], &strings[1], &strings[3]] {
        let other = exchange(&server, &format!("{}y", &known[..72])).await;
        other.refuses(401, "invalid_client");
    }
}

/// A node that holds a key as it was before another freed it is not to refuse it, when nothing opens
/// any more what that depends on.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_freed_at_one_node_works_at_the_others_when_its_root_key_is_gone() {
    let Some(one) = Server::on_postgres().await else {
        return;
    };
    let two = one.another_node().await;
    let acme = one.organization("acme").await;
    let path = file(one.place(), "one.jsonl", &[line("raw", &old_string(0))]);
    assert!(import(one.place(), "acme", &path).success);
    let key = one.key_with(&acme, &["read"]).await;
    exchange(&two, &old_string(0)).await.expect(StatusCode::OK);
    let old = block(|| current(one.place()));
    block(|| done(one.place(), &["add"]));
    std::fs::copy(one.place().root_key_file(), two.place().root_key_file()).unwrap();
    block(|| done(one.place(), &["rotate"]));
    followed(&one).await;
    followed(&two).await;
    // Held there, and no secret shown by which it could be freed there.
    let ids = one.place().query("SELECT id FROM api_keys").await;
    for id in &ids {
        let held = &two.app.management.credentials;
        let _ = held.of_token(id.parse().unwrap(), two.clock.now()).await;
    }
    exchange(&one, &old_string(0)).await.expect(StatusCode::OK);
    use_up(&one, &[&key, &acme, &one.operator_key()]).await;
    let others = two.operator_key().id;
    until(
        "nothing needs it but the other node's own key",
        async || {
            let left = needing(&one).await;
            left.iter().all(|left| left.id == others)
        },
    )
    .await;
    block(|| done(one.place(), &["drop", &old, "--yes", "--force"]));
    followed(&two).await;
    two.exchange(&key, &[]).await.expect(StatusCode::OK);
    exchange(&two, &old_string(0)).await.expect(StatusCode::OK);
}
