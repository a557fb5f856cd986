//! Freshness across nodes: a node that is cut off from the database issues from memory for a while,
//! so that nobody notices a short trouble, and then not at all, because it may have missed a
//! revocation.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::line::Line;
use crate::support::server::{Key, Place, Server};

/// `STALE_LIMIT` of the node that is cut off.
const LIMIT: Duration = Duration::from_secs(6);

/// Node A, node B behind a line, the line, and a key that B has exchanged.
async fn two_nodes() -> Option<(Server, Server, Line, Key, Key)> {
    let near = Place::postgres().await?.start().await;
    let line = Line::to(&near.place().database_url()).await;
    let far = near
        .another_node_by(&line.url, &["--stale-limit", "6s"])
        .await;
    let acme = near.organization("acme").await;
    let key = near.key_with(&acme, &["read"]).await;
    // Until it has heard of the key's making, and holds it.
    let mut misses = u64::MAX;
    while misses != far.app.mint.credentials.lookups().misses {
        misses = far.app.mint.credentials.lookups().misses;
        tokio::time::sleep(Duration::from_millis(300)).await;
        far.exchange(&key, &[]).await.expect(StatusCode::OK);
    }
    Some((near, far, line, acme, key))
}

async fn act(server: &Server, manager: &Key, key: &Key, verb: &str) {
    let path = format!("/v1/api-keys/{}/{verb}", key.id);
    let done = server.call(&manager.secret, Method::POST, &path, Value::Null);
    done.await.expect(StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_cut_off_issues_for_a_while_and_then_not_at_all() {
    let Some((near, far, line, acme, key)) = two_nodes().await else {
        return;
    };
    line.cut();
    act(&near, &acme, &key, "revoke").await;
    let revoked = Instant::now();
    near.exchange(&key, &[])
        .await
        .expect(StatusCode::UNAUTHORIZED);
    let (mut issued, mut refused) = (0, 0);
    while revoked.elapsed() < LIMIT * 2 {
        let asked = revoked.elapsed();
        let reply = far.exchange(&key, &[]).await;
        match reply.status {
            StatusCode::OK => {
                // However slow the machine: it knows nothing of after the cut.
                assert!(asked <= LIMIT, "issued {asked:?} after the revocation");
                issued += 1;
            }
            status => {
                assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
                assert!(reply.headers.contains_key("retry-after"));
                refused += 1;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(issued > 0 && refused > 0, "{issued} {refused}");

    line.mend();
    let end = Instant::now() + Duration::from_mins(1);
    loop {
        match far.exchange(&key, &[]).await.status {
            StatusCode::UNAUTHORIZED => break,
            status => assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE),
        }
        assert!(Instant::now() < end, "it does not come back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let other = near.key_with(&acme, &["read"]).await;
    far.exchange(&other, &[]).await.expect(StatusCode::OK);
}

/// A network that comes and goes: whatever was missed meanwhile counts at once.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_in_a_short_silence_counts_when_it_ends() {
    let Some((near, far, line, acme, key)) = two_nodes().await else {
        return;
    };
    line.cut();
    act(&near, &acme, &key, "disable").await;
    far.exchange(&key, &[]).await.expect(StatusCode::OK);
    line.mend();
    let end = Instant::now() + LIMIT;
    while far.exchange(&key, &[]).await.status == StatusCode::OK {
        assert!(Instant::now() < end, "it never heard");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    act(&near, &acme, &key, "enable").await;
    let end = Instant::now() + LIMIT;
    while far.exchange(&key, &[]).await.status != StatusCode::OK {
        assert!(Instant::now() < end, "it never heard");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Everything that takes something away reaches the other node by itself, while nothing is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn every_act_that_takes_away_reaches_the_other_node() {
    let Some((near, far, _line, acme, key)) = two_nodes().await else {
        return;
    };
    let path = format!("/v1/api-keys/{}", key.id);
    let operator = near.operator.clone();
    let refused_there = async |what: &str, form: &[(&str, &str)]| {
        let end = Instant::now() + LIMIT;
        while far.exchange(&key, form).await.status == StatusCode::OK {
            assert!(Instant::now() < end, "{what} is not heard of");
        }
    };
    let granted_there = async |what: &str, form: &[(&str, &str)]| {
        let end = Instant::now() + LIMIT;
        while far.exchange(&key, form).await.status != StatusCode::OK {
            assert!(Instant::now() < end, "{what} is not heard of");
        }
    };
    let edit = async |body: Value| {
        let edited = near.call(&acme.secret, Method::PATCH, &path, body);
        edited.await.expect(StatusCode::OK);
    };
    edit(json!({ "scopes": ["read:a"] })).await;
    refused_there("an edit of scopes", &[("scope", "read:b")]).await;
    edit(json!({ "allowed_ip_cidrs": ["203.0.113.0/24"] })).await;
    refused_there("an edit of networks", &[]).await;
    edit(json!({ "allowed_ip_cidrs": ["127.0.0.0/8"] })).await;
    granted_there("an edit of networks", &[]).await;
    for verb in ["suspend", "resume"] {
        let path = format!("/v1/organizations/acme/{verb}");
        let done = near.call(&operator, Method::POST, &path, Value::Null);
        done.await.expect(StatusCode::OK);
        match verb {
            "suspend" => refused_there("a suspension", &[]).await,
            _ => granted_there("its end", &[]).await,
        }
    }
    act(&near, &acme, &key, "disable").await;
    refused_there("disabling", &[]).await;
}
