//! `kill -9` again and again while clients write: whatever was acknowledged is there afterwards, as
//! it was acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::support::left_out::say;
use crate::support::nodes::{Node, answer, block, serve};
use crate::support::operations::does;
use crate::support::server::{Key, Place, Reply};

/// How many clients write at once.
const WRITERS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn kills_lose_nothing_that_was_acknowledged_on_sqlite() {
    killed_again_and_again(Place::sqlite(), 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_lose_nothing_that_was_acknowledged_on_postgres() {
    if let Some(place) = Place::postgres().await {
        killed_again_and_again(place, 5).await;
    }
}

/// A key, and all that was acknowledged of it.
struct Known {
    key: Key,
    status: &'static str,
    scopes: &'static [&'static str],
    /// The secret that counts, if the key was rotated.
    rotated: Option<Key>,
}

async fn killed_again_and_again(place: Place, kills: usize) {
    let operator = block(|| does(&place, &["operator-key", "--quiet"]));
    let mut node = Node::of(block(|| serve(&place, &[])));
    let acme = Arc::new(node.organization(operator.trim(), "acme").await);
    let (mut acts, mut keys) = (0, 0);
    for kill in 0..kills {
        let done = Arc::new(AtomicUsize::new(0));
        let write = |_| {
            let (acme, done) = (Arc::clone(&acme), Arc::clone(&done));
            tokio::spawn(write(node.process.base.clone(), acme, done))
        };
        let writers: Vec<_> = (0..WRITERS).map(write).collect();
        // Now and then among the first acts, now and then after many; and in the middle of some.
        while done.load(Ordering::SeqCst) < [3, 40, 11, 25][kill % 4] {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        node.process.kill();
        let mut known = Vec::new();
        for writer in writers {
            known.extend(writer.await.unwrap());
        }
        acts += done.load(Ordering::SeqCst);
        keys += known.len();
        node = Node::of(block(|| serve(&place, &[])));
        for known in known {
            is_as_acknowledged(&node, &acme, &known).await;
        }
    }
    say(&format!(
        "killed {kills} times: {acts} acts acknowledged, {keys} keys looked at"
    ));
    assert!(node.process.stop());
    block(|| does(&place, &["audit", "verify"]));
}

/// Makes keys and does one thing or another to each, until the server is gone. What was not
/// answered may have been done or not: such a key is not told of.
async fn write(base: String, acme: Arc<Key>, done: Arc<AtomicUsize>) -> Vec<Known> {
    let http = Client::new();
    let mut all = Vec::new();
    let call = async |method: Method, path: String, body: Value| -> Option<Reply> {
        let request = http.request(method, format!("{base}{path}"));
        let request = request.bearer_auth(&acme.secret).json(&body);
        let reply = answer(request)
            .await
            .filter(|reply| reply.status.is_success());
        done.fetch_add(usize::from(reply.is_some()), Ordering::SeqCst);
        reply
    };
    for n in 0.. {
        let body = json!({ "name": "x", "scopes": ["read"] });
        let Some(made) = call(Method::POST, "/v1/api-keys".into(), body).await else {
            break;
        };
        let mut known = Known {
            key: Key::of(&made.body),
            status: "active",
            scopes: &["read"],
            rotated: None,
        };
        let path = format!("/v1/api-keys/{}", known.key.id);
        let verb = |verb| format!("{path}/{verb}");
        let answered = match n % 5 {
            0 => call(Method::POST, verb("revoke"), json!({})).await,
            1 => call(Method::POST, verb("disable"), json!({})).await,
            2 => call(Method::PATCH, path, json!({ "scopes": ["write"] })).await,
            3 => {
                call(
                    Method::POST,
                    verb("rotate"),
                    json!({ "overlap_seconds": 0 }),
                )
                .await
            }
            _ => Some(made),
        };
        let Some(answer) = answered else { break };
        match n % 5 {
            0 => known.status = "revoked",
            1 => known.status = "disabled",
            2 => known.scopes = &["write"],
            3 => known.rotated = Some(Key::of(&answer.body)),
            _ => {}
        }
        all.push(known);
    }
    all
}

async fn is_as_acknowledged(node: &Node, acme: &Key, known: &Known) {
    let path = format!("/v1/api-keys/{}", known.key.id);
    let shown = node
        .call(&acme.secret, Method::GET, &path, &Value::Null)
        .await;
    let shown = shown.unwrap().expect(StatusCode::OK).body.clone();
    assert_eq!(shown["status"], known.status, "{shown}");
    assert_eq!(shown["scopes"], json!(known.scopes), "{shown}");
    let counts = known.status == "active" && known.rotated.is_none();
    let was = node.exchange(&known.key).await.unwrap().status;
    assert_eq!(was == StatusCode::OK, counts, "{shown}");
    if let Some(new) = &known.rotated {
        node.exchange(new).await.unwrap().expect(StatusCode::OK);
    }
}
