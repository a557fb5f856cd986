//! What keys of an organization take back is at their own cost, also where the mint tells less than all of
//! it one by one.

use reqwest::{Method, StatusCode};
use tenmint::feed::MOST_OF_KEY;
use tenmint::verifier::{Cause, Follow};

use crate::feed_of_mint::{cause, until, verifier, with_audience};
use crate::on_both_engines;
use crate::support::server::{Key, Reply, Server, claims};

on_both_engines!(keys_that_deny_very_many_tokens_void_no_other_keys);

/// More together than an organization has entries in a feed.
const MANY: usize = 600;

async fn deny(server: &Server, key: &Key, token: &str) {
    let asked = server.request(Method::POST, "/oauth/revoke");
    let asked = asked.basic_auth(&key.id, Some(&key.secret));
    let reply = Reply::of(asked.form(&[("token", token)])).await;
    reply.expect(StatusCode::OK);
}

/// As if the key had denied so many. Nobody is told of that.
async fn deny_many(server: &Server, key: &Key) {
    let (id, now) = (&key.id, server.clock.now().unix());
    let rows = format!(
        "INSERT INTO denied_tokens (jti, organization_id, api_key_id, expires_at, denied_at)
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MANY})
         SELECT '{id}-' || CAST(i AS TEXT), 'acme', '{id}', {now} + 600, {now} FROM n"
    );
    server.place().execute(&rows).await;
}

async fn keys_that_deny_very_many_tokens_void_no_other_keys(server: Server) {
    let server = with_audience(server).await;
    let acme = server.organization("acme").await;
    let follow = Follow::polling().every(std::time::Duration::from_millis(50));
    let verifiers = ["", "/orgs/acme"].map(|issuer| verifier(&server, issuer, follow.clone()));
    let bystander = server.key_with(&acme, &["read"]).await;
    let weak = [
        server.key_with(&acme, &["read"]).await,
        server.key_with(&acme, &["read"]).await,
    ];
    let of = async |key: &Key, verifier: usize| {
        let issuer = ["", "/orgs/acme"][verifier];
        let reply = server.exchange_at(issuer, key, &[]).await;
        let token = reply.expect(StatusCode::OK).body["access_token"].clone();
        token.as_str().unwrap().to_owned()
    };
    let void = Some(Cause::Revoked);
    for (place, verifier) in verifiers.iter().enumerate() {
        let untouched = of(&bystander, place).await;
        assert_eq!(cause(verifier, &untouched).await, None);
        let mut denied = Vec::new();
        for key in &weak {
            let first = of(key, place).await;
            deny(&server, key, &first).await;
            denied.push(first);
        }
        server.advance(1);
        if place == 0 {
            for key in &weak {
                deny_many(&server, key).await;
            }
        }
        server.advance(1);
        for key in &weak {
            let last = of(key, place).await;
            deny(&server, key, &last).await;
            denied.push(last);
        }
        for token in &denied {
            until(verifier, token, void.clone()).await;
        }
        assert_eq!(cause(verifier, &untouched).await, None);
        // Theirs count again once they are renewed.
        server.advance(3);
        for key in &weak {
            assert_eq!(cause(verifier, &of(key, place).await).await, None);
        }
        assert_eq!(cause(verifier, &of(&bystander, place).await).await, None);
    }
    let feed = server.get("/.well-known/revocations").await;
    let revoked = claims(&feed.expect(StatusCode::OK).text)["revoked"].clone();
    let count = |kind: &str| revoked[kind].as_object().map_or(0, serde_json::Map::len);
    assert_eq!(count("organizations"), 0);
    assert_eq!(count("keys"), weak.len());
    assert_eq!(count("tokens"), weak.len() * (MOST_OF_KEY - 1));
}
