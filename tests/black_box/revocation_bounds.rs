//! The revocation feed stays small whatever one tenant does, and still tells all that is void.

use reqwest::{Method, StatusCode};
use serde_json::json;
use tenmint::feed::MOST_OF_ONE;

use super::revocation_feed::{RENEWAL, TOLD, alias, before, feed, feed_path};
use crate::on_both_engines;
use crate::rotation::post;
use crate::support::many_keys;
use crate::support::server::{Key, Reply, Server, claims};

on_both_engines!(
    one_tenant_does_not_make_a_feed_grow,
    up_to_the_bound_each_key_is_told_by_itself,
    tokens_of_a_tenant_beyond_the_bound_count_once_they_are_renewed,
    a_key_that_denies_tokens_counts_as_one,
);

/// The same as a number of rows.
const BOUND: u32 = 1_000;

/// Has `count` more keys of acme revoked at this moment. Nobody is told of that.
async fn revoked(server: &Server, from: u32, count: u32) {
    many_keys::add(server.place(), "acme", from, count).await;
    let now = server.clock.now().unix();
    let revoke = format!(
        "UPDATE api_keys SET revoked_at = {now}, disabled_at = NULL, revoke_reason = 'unused'
         WHERE organization_id = 'acme' AND id > 'key_000000000000000000{from:08}'
           AND id <= 'key_000000000000000000{:08}'",
        from + count
    );
    server.place().execute(&revoke).await;
}

/// How many keys a feed names, and from when on tokens of acme count.
async fn told(server: &Server, issuer: &str) -> (usize, Option<i64>) {
    let said = feed(server, issuer).await;
    let keys = said["revoked"]["keys"].as_object();
    (
        keys.map_or(0, serde_json::Map::len),
        said["revoked"]["organizations"][alias("acme")].as_i64(),
    )
}

/// Whether whoever follows the feed refuses a token of acme.
async fn is_void(server: &Server, token: &str) -> bool {
    let (said, token) = (feed(server, "").await, claims(token));
    let iat = token["iat"].as_i64().unwrap();
    let before = |kind: &str, claim: &str| {
        let alias = alias(token[claim].as_str().unwrap());
        said["revoked"][kind][alias].as_i64()
    };
    let [key, organization] = [before("keys", "client_id"), before("organizations", "org")];
    key.max(organization).is_some_and(|before| iat < before)
}

async fn one_tenant_does_not_make_a_feed_grow(server: Server) {
    assert_eq!(u32::try_from(MOST_OF_ONE), Ok(BOUND));
    let acme = server.organization("acme").await;
    let globex = server.organization("globex").await;
    let theirs = server.key_with(&globex, &["read"]).await;
    let token_of_theirs = server.token(&globex, &[]).await;
    post(&server, &globex, &theirs.id, "revoke").await;
    let mut sizes = Vec::new();
    let mut from = 0;
    for round in 0..3 {
        revoked(&server, from, 4 * BOUND).await;
        from += 4 * BOUND;
        // One of those that are not named: of one second the ids decide.
        let latest = server.key_with(&acme, &["read"]).await;
        let token = server.token(&latest, &[]).await;
        post(&server, &acme, &latest.id, "revoke").await;
        for issuer in ["", "/orgs/acme"] {
            let text = server.get(&feed_path(issuer)).await.text;
            sizes.push(text.len());
            let others = usize::from(issuer.is_empty());
            let until = server.clock.now().unix() + 2;
            assert_eq!(
                told(&server, issuer).await,
                (MOST_OF_ONE + others, Some(until)),
                "{round}"
            );
        }
        assert!(is_void(&server, &token).await);
        server.advance(10);
    }
    assert!(sizes.iter().all(|size| *size < 50_000), "{sizes:?}");
    // To the neighbour nothing has happened.
    assert!(before(&server, "", "keys", &theirs.id).await.is_some());
    assert!(!is_void(&server, &token_of_theirs).await);
    assert_eq!(told(&server, "/orgs/globex").await, (1, None));
    server.advance(TOLD + RENEWAL);
    for issuer in ["", "/orgs/acme"] {
        assert_eq!(feed(&server, issuer).await["revoked"], json!({}));
    }
}

async fn up_to_the_bound_each_key_is_told_by_itself(server: Server) {
    let acme = server.organization("acme").await;
    let spared = server.key_with(&acme, &["read"]).await;
    let first = server.key_with(&acme, &["read"]).await;
    let [of_spared, of_first] = [
        server.token(&spared, &[]).await,
        server.token(&first, &[]).await,
    ];
    post(&server, &acme, &first.id, "revoke").await;
    let done_at = server.clock.now().unix();
    server.advance(1_800);
    revoked(&server, 0, BOUND - 2).await;
    let last = server.key_with(&acme, &["read"]).await;
    let mut seq = None;
    let mut tags = Vec::new();
    // At the bound, beyond it, and back.
    for (verb, whole) in [
        ("disable", None),
        ("disable", Some(done_at + 2)),
        ("enable", None),
        ("disable", Some(done_at + 2)),
    ] {
        let key = match seq {
            None => server.key_with(&acme, &["read"]).await.id,
            Some(_) => last.id.clone(),
        };
        post(&server, &acme, &key, verb)
            .await
            .expect(StatusCode::OK);
        for issuer in ["", "/orgs/acme"] {
            assert_eq!(told(&server, issuer).await, (MOST_OF_ONE, whole), "{verb}");
        }
        // Of what is told by itself no more, all tokens are void as before.
        assert!(is_void(&server, &of_first).await);
        assert_eq!(is_void(&server, &of_spared).await, whole.is_some());
        // What was issued since counts: half an hour later nobody notices.
        let fresh = server.token(&spared, &[]).await;
        assert!(!is_void(&server, &fresh).await);
        let now = feed(&server, "").await["seq"].as_i64();
        assert!(now > seq, "{now:?} {seq:?}");
        seq = now;
        let reply = server.get(&feed_path("")).await;
        tags.push(reply.header("etag").unwrap().to_owned());
    }
    for pair in tags.windows(2) {
        assert_ne!(pair[0], pair[1]);
        let asked = server.request(Method::GET, &feed_path(""));
        let reply = Reply::of(asked.header("if-none-match", &pair[0])).await;
        assert_eq!(reply.status == StatusCode::OK, pair[0] != tags[3]);
    }
}

async fn tokens_of_a_tenant_beyond_the_bound_count_once_they_are_renewed(server: Server) {
    let acme = server.organization("acme").await;
    let narrowed = server.key_with(&acme, &["read", "write"]).await;
    let path = format!("/v1/api-keys/{}", narrowed.id);
    let edit = json!({ "scopes": ["read"] });
    let edited = server.call(&acme.secret, Method::PATCH, &path, edit).await;
    edited.expect(StatusCode::OK);
    // Dated one second ahead, because its key was narrowed in this one; and then revoked in it.
    let ahead = server.token(&narrowed, &[]).await;
    assert_eq!(claims(&ahead)["iat"], server.clock.now().unix() + 1);
    let other = server.key_with(&acme, &["read"]).await;
    let token = server.token(&other, &[]).await;
    post(&server, &acme, &narrowed.id, "revoke").await;
    server.advance(1);
    revoked(&server, 0, BOUND).await;
    let last = server.key_with(&acme, &["read"]).await;
    post(&server, &acme, &last.id, "revoke").await;
    assert_eq!(before(&server, "", "keys", &narrowed.id).await, None);
    for void in [&ahead, &token] {
        assert!(is_void(&server, void).await);
        let answer = crate::introspection::introspect(&server, &acme, void).await;
        // Asked itself, tenmint knows better.
        assert_eq!(answer.body["active"] == true, void == &token);
    }
    server.advance(2);
    assert!(!is_void(&server, &server.token(&other, &[]).await).await);
}

async fn a_key_that_denies_tokens_counts_as_one(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let deny = async |key: &Key| {
        let token = server.token(key, &[]).await;
        let asked = server.request(Method::POST, "/oauth/revoke");
        let asked = asked.basic_auth(&key.id, Some(&key.secret));
        let reply = Reply::of(asked.form(&[("token", &token)])).await;
        reply.expect(StatusCode::OK);
        token
    };
    let tokens = async || feed(&server, "").await["revoked"]["tokens"].clone();
    let jti = |token: &str| alias(claims(token)["jti"].as_str().unwrap());
    let first = deny(&key).await;
    server.advance(60);
    many_keys::add(server.place(), "acme", 0, BOUND - 1).await;
    let others = server.clock.now().unix();
    let denied = format!(
        "UPDATE api_keys SET revoked_at = NULL, revoke_reason = NULL, disabled_at = NULL
         WHERE organization_id = 'acme';
         INSERT INTO denied_tokens (jti, organization_id, api_key_id, expires_at, denied_at)
         SELECT 'jti-' || id, 'acme', id, {others} + 600, {others} FROM api_keys
         WHERE organization_id = 'acme' AND id < 'key_00000000000000000001'"
    );
    server.place().execute(&denied).await;
    // Has it notice what was written behind its back.
    let poked: Key = server.key_with(&acme, &["read"]).await;
    post(&server, &acme, &poked.id, "disable").await;
    post(&server, &acme, &poked.id, "enable").await;
    // As many keys as there is room for, each with its one token.
    assert_eq!(tokens().await.as_object().unwrap().len(), MOST_OF_ONE);
    assert_eq!(told(&server, "").await, (0, None));
    assert!(tokens().await[jti(&first)].is_i64());

    // One of them denies another: its own tokens pay for it.
    server.advance(60);
    let second = deny(&key).await;
    let until = server.clock.now().unix() + 2;
    assert_eq!(told(&server, "").await, (1, None));
    assert_eq!(before(&server, "", "keys", &key.id).await, Some(until));
    assert_eq!(tokens().await.as_object().unwrap().len(), MOST_OF_ONE - 1);
    for token in [&first, &second] {
        assert!(is_void(&server, token).await);
    }

    // One key more than there is room for: the organization is told of those that denied first.
    let last = server.key_with(&acme, &["read"]).await;
    let of_last = deny(&last).await;
    for issuer in ["", "/orgs/acme"] {
        assert_eq!(told(&server, issuer).await, (1, Some(others + 2)));
    }
    assert_eq!(tokens().await.as_object().unwrap().len(), MOST_OF_ONE - 1);
    assert!(tokens().await[jti(&of_last)].is_i64());
}
