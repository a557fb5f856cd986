//! Keys that are looked for at the same time are asked for together: each is told what is its own.

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::on_both_engines;
use crate::support::crowd::at_once;
use crate::support::database::{Database, Held};
use crate::support::forged::with_genuine_tag;
use crate::support::server::{Key, Reply, Server, claims};

on_both_engines!(
    each_is_told_its_own_and_strangers_that_there_is_none,
    a_row_that_is_corrupt_fails_its_own_key_alone,
);

/// New keys of an organization, none of which was used yet, each with a scope of its own.
async fn fresh(server: &Server, organization: &str, count: usize) -> Vec<(Key, String)> {
    let manager = server.organization(organization).await;
    let mut keys = Vec::new();
    for n in 0..count {
        let scope = format!("read:{organization}/{n}");
        keys.push((server.key_with(&manager, &[&scope]).await, scope));
    }
    keys
}

/// All at once, the first of them kept waiting by PostgreSQL until all have come.
async fn crowded(server: &Server, keys: &[&Key]) -> Vec<Reply> {
    let database = Database::of(server).await;
    let held = match database {
        Database::Sqlite(_) => None,
        Database::Postgres(_) => {
            let lock = "LOCK TABLE api_keys IN ACCESS EXCLUSIVE MODE";
            Some(database.begin(lock).await)
        }
    };
    let requests = keys.iter().map(|key| server.exchange_request("", key, &[]));
    let lookups = || server.app.mint.credentials.lookups().misses;
    let before = lookups();
    let asked = tokio::spawn(at_once(requests.collect::<Vec<_>>()));
    if let Some(held) = held {
        let all = u64::try_from(keys.len()).unwrap();
        while lookups() < before + all && !asked.is_finished() {
            tokio::task::yield_now().await;
        }
        Held::release(held).await;
    }
    asked.await.unwrap()
}

async fn each_is_told_its_own_and_strangers_that_there_is_none(server: Server) {
    let mut keys = fresh(&server, "acme", 60).await;
    keys.extend(fresh(&server, "umbrella", 60).await);
    let deleted = fresh(&server, "gone", 1).await.remove(0).0;
    let path = "/v1/organizations/gone?force=true";
    let gone = server.operate(Method::DELETE, path, Value::Null).await;
    gone.expect(StatusCode::NO_CONTENT);
    let mut strangers = vec![deleted];
    for n in 0..40 {
        let id = format!("key_000000000000000000000000{n:02}");
        strangers.push(with_genuine_tag(&server, &id));
    }
    let own = keys.iter().map(|(key, _)| key);
    let crowd: Vec<_> = own.chain(&strangers).collect();
    let replies = crowded(&server, &crowd).await;
    let (own, strange) = replies.split_at(keys.len());
    for ((key, scope), reply) in keys.iter().zip(own) {
        reply.expect(StatusCode::OK);
        let told = claims(reply.body["access_token"].as_str().unwrap());
        assert_eq!(told["client_id"], *key.id);
        assert_eq!(told["scope"], **scope);
    }
    for reply in strange {
        reply.refuses(401, "invalid_client");
    }
}

async fn a_row_that_is_corrupt_fails_its_own_key_alone(server: Server) {
    let keys = fresh(&server, "acme", 60).await;
    let damage = "UPDATE api_keys SET scopes = $2 WHERE id = $1";
    let database = Database::of(&server).await;
    for (key, _) in keys.iter().step_by(20) {
        database.run(damage, &[&key.id, "what is this"]).await;
    }
    let crowd: Vec<_> = keys.iter().map(|(key, _)| key).collect();
    let replies = crowded(&server, &crowd).await;
    for (at, reply) in replies.iter().enumerate() {
        let whole = at % 20 != 0;
        let status = if whole {
            StatusCode::OK
        } else {
            StatusCode::INTERNAL_SERVER_ERROR
        };
        reply.expect(status);
    }
}
