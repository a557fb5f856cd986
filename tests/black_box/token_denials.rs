//! Access tokens revoked before their end by the client that they were issued to (RFC 7009).

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tenmint::app::{App, Role};
use tenmint::credentials::denials::Denials;
use tenmint::credentials::generations::Generations;
use tenmint::manage::caller::Presented;
use tenmint::manage::refusal::Refusal;
use tenmint::manage::self_revocation::MAX_DENIALS;
use tenmint::store::changes::Change;

use crate::on_both_engines;
use crate::rotation::post;
use crate::support::database::Database;
use crate::support::server::{Key, Reply, Server, claims};
use crate::support::wire::shown;

on_both_engines!(
    a_client_ends_its_own_token,
    a_denied_token_is_refused_like_an_expired_one,
    each_way_of_presenting_the_client_ends_a_token,
    a_token_for_any_audience_and_of_either_issuer_is_denied,
    whatever_is_not_the_clients_own_is_answered_the_same_and_stays,
    a_denial_survives_a_restart,
    a_denial_reaches_another_process,
    a_warm_list_of_denials_needs_no_database_and_an_old_one_is_not_trusted,
    denials_of_a_key_are_bounded_and_forgotten,
);

fn revocation(server: &Server, token: &str) -> RequestBuilder {
    server
        .request(Method::POST, "/oauth/revoke")
        .form(&[("token", token)])
}

/// Ends a token by HTTP Basic.
async fn deny(server: &Server, client: &Key, token: &str) -> Reply {
    let request = revocation(server, token).basic_auth(&client.id, Some(&client.secret));
    Reply::of(request).await
}

async fn list(server: &Server, token: &str) -> Reply {
    let path = "/v1/api-keys";
    server.call(token, Method::GET, path, Value::Null).await
}

async fn denied(server: &Server) -> Vec<String> {
    let text = "SELECT jti FROM denied_tokens ORDER BY jti";
    server.place().query(text).await
}

fn jti(token: &str) -> String {
    claims(token)["jti"].as_str().unwrap().to_owned()
}

async fn a_client_ends_its_own_token(server: Server) {
    let acme = server.organization("acme").await;
    let token = server.management_token(&acme, &[]).await;
    let other = server.management_token(&acme, &[]).await;
    list(&server, &token).await.expect(StatusCode::OK);
    let reply = deny(&server, &acme, &token).await;
    assert_eq!(reply.expect(StatusCode::OK).text, "");
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    list(&server, &token).await.refuses(401, "unauthenticated");
    list(&server, &other).await.expect(StatusCode::OK);
    list(&server, &acme.secret).await.expect(StatusCode::OK);

    let database = Database::of(&server).await;
    let events = database.audit_events("acme").await;
    let event = events.last().unwrap();
    assert_eq!(event.action, "token.revoke");
    assert_eq!((&event.actor, &event.target), (&acme.id, &acme.id));
    let end = server.clock.now().plus(Duration::from_mins(10)).to_string();
    let details = json!({ "jti": jti(&token), "expires_at": end });
    assert_eq!(event.details(), details);
    assert!(!event.details.contains(token.rsplit('.').next().unwrap()));
    // Again it changes nothing.
    let again = deny(&server, &acme, &token).await;
    assert_eq!(shown(&server, &again), shown(&server, &reply));
    assert_eq!(database.audit_events("acme").await, events);
    assert_eq!(denied(&server).await, [jti(&token)]);
}

async fn a_denied_token_is_refused_like_an_expired_one(server: Server) {
    let acme = server.organization("acme").await;
    let expired = server.management_token(&acme, &[]).await;
    server.advance(600);
    let token = server.management_token(&acme, &[]).await;
    let expected = list(&server, &expired).await;
    deny(&server, &acme, &token).await.expect(StatusCode::OK);
    let refused = list(&server, &token).await;
    assert_eq!(shown(&server, &refused), shown(&server, &expected));
    assert_eq!(refused.text.len(), expected.text.len());
}

async fn each_way_of_presenting_the_client_ends_a_token(server: Server) {
    let acme = server.organization("acme").await;
    for way in 0..4 {
        let token = server.management_token(&acme, &[]).await;
        let bare = revocation(&server, &token);
        let request = match way {
            0 => bare.basic_auth(&acme.id, Some(&acme.secret)),
            1 => bare.bearer_auth(&acme.secret),
            2 => server.request(Method::POST, "/oauth/revoke").form(&[
                ("client_id", &*acme.id),
                ("client_secret", &acme.secret),
                ("token", &token),
                ("token_type_hint", "access_token"),
                ("unknown", "x"),
            ]),
            _ => server
                .request(Method::POST, "/orgs/acme/oauth/revoke")
                .form(&[("token", &token)])
                .basic_auth(&acme.id, Some(&acme.secret)),
        };
        Reply::of(request).await.expect(StatusCode::OK);
        let refused = list(&server, &token).await;
        refused.refuses(401, "unauthenticated");
    }
}

async fn a_token_for_any_audience_and_of_either_issuer_is_denied(server: Server) {
    let mut expected = Vec::new();
    for (id, alg) in [("edwards", "EdDSA"), ("rivest", "RS256")] {
        let client = server.organization_signing_with(id, alg).await;
        for issuer in [String::new(), format!("/orgs/{id}")] {
            let reply = server.exchange_at(&issuer, &client, &[]).await;
            let token = reply.expect(StatusCode::OK).body["access_token"].clone();
            let token = token.as_str().unwrap();
            deny(&server, &client, token).await.expect(StatusCode::OK);
            expected.push(jti(token));
        }
    }
    expected.sort();
    assert_eq!(denied(&server).await, expected);
}

async fn whatever_is_not_the_clients_own_is_answered_the_same_and_stays(server: Server) {
    let acme = server.organization("acme").await;
    let other = server.organization("other").await;
    let sibling = server.key_with(&acme, &["read"]).await;
    let own = server.management_token(&acme, &[]).await;
    let theirs = server.management_token(&other, &[]).await;
    let siblings = server.token(&sibling, &[]).await;
    let done = deny(&server, &acme, &own).await;
    let expired = server.management_token(&acme, &[]).await;
    server.advance(600);
    let theirs_now = server.management_token(&other, &[]).await;
    let tampered = format!("{}x", &theirs_now[..theirs_now.len() - 1]);
    let before = denied(&server).await;
    for token in [
        &*theirs,
        &theirs_now,
        &siblings,
        &expired,
        &tampered,
        "x.y.z",
        "opaque",
        &acme.id,
    ] {
        let reply = deny(&server, &acme, token).await;
        assert_eq!(shown(&server, &reply), shown(&server, &done), "{token}");
    }
    assert_eq!(denied(&server).await, before);
    list(&server, &theirs_now).await.expect(StatusCode::OK);
    // Who the client is is asked first, whatever the token.
    post(&server, &acme, &sibling.id, "revoke")
        .await
        .expect(StatusCode::OK);
    let wrong = Key {
        id: acme.id.clone(),
        secret: acme.secret.replace("tmsk_", "tmskx_"),
    };
    for client in [&wrong, &sibling] {
        let refused = deny(&server, client, &theirs_now).await;
        refused.refuses(401, "invalid_client");
        let challenge = refused.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Basic "));
    }
    let stranger = server
        .request(Method::POST, "/orgs/other/oauth/revoke")
        .form(&[("token", &theirs_now)])
        .bearer_auth(&acme.secret);
    let refused = Reply::of(stranger).await;
    refused.refuses(401, "invalid_client");
    let challenge = refused.header("www-authenticate").unwrap();
    assert!(challenge.starts_with("Bearer "));
    list(&server, &theirs_now).await.expect(StatusCode::OK);
}

async fn a_denial_survives_a_restart(server: Server) {
    let clock = server.clock.clone();
    // Under a name that outlives the port.
    let place = server.stop().await;
    let place = place.with(&["--issuer", "http://mint.localhost:4"]);
    let server = Server::start(place, clock.clone()).await;
    let server = server.map_err(|(why, _)| why).unwrap();
    let acme = server.organization("acme").await;
    let token = server.management_token(&acme, &[]).await;
    let other = server.management_token(&acme, &[]).await;
    deny(&server, &acme, &token).await.expect(StatusCode::OK);
    let server = Server::start(server.stop().await, clock).await;
    let server = server.map_err(|(why, _)| why).unwrap();
    list(&server, &token).await.refuses(401, "unauthenticated");
    list(&server, &other).await.expect(StatusCode::OK);
}

async fn a_denial_reaches_another_process(server: Server) {
    let acme = server.organization("acme").await;
    let settings = server.place().settings();
    let base = server.base.parse().unwrap();
    let clock = server.clock.clone();
    let node = App::open(&settings, base, clock, Role::Beside).await;
    let node = node.unwrap();
    let jobs = node.start_jobs();
    let address = Some("127.0.0.1".parse().unwrap());
    let ask = async |token: &str| {
        let presented = Presented::Token(token);
        node.management
            .caller(presented, address, None, String::new())
            .await
    };
    // Whoever begins to listen forgets everything: the second denial alone shows that it is heard.
    for _ in 0..2 {
        let token = server.management_token(&acme, &[]).await;
        ask(&token).await.unwrap();
        deny(&server, &acme, &token).await.expect(StatusCode::OK);
        let reached = tokio::time::timeout(Duration::from_secs(20), async {
            loop {
                match ask(&token).await {
                    Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                    Err(why) => return why,
                }
            }
        });
        assert!(matches!(reached.await.unwrap(), Refusal::TokenDenied));
    }
    jobs.stop().await;
    node.close().await;
}

async fn a_warm_list_of_denials_needs_no_database_and_an_old_one_is_not_trusted(server: Server) {
    let acme = server.organization("acme").await;
    let token = server.management_token(&acme, &[]).await;
    deny(&server, &acme, &token).await.expect(StatusCode::OK);
    // Apart from the server's own, which hears of more than this test does.
    let generations = Arc::new(Generations::default());
    let store = server.app.management.store.clone();
    let denials = Denials::new(store, Arc::clone(&generations));
    let now = server.clock.now();
    assert!(denials.is_denied(&jti(&token), now).await.unwrap());
    server.app.close().await;
    assert!(denials.is_denied(&jti(&token), now).await.unwrap());
    assert!(!denials.is_denied("another", now).await.unwrap());
    for change in [Change::Denials, Change::Everything] {
        generations.raise(&change);
        let error = denials.is_denied("another", now).await.unwrap_err();
        assert!(error.is_passing(), "{error}");
    }
    // Nor does the server take a token for good that it cannot look up.
    server.app.management.generations.raise(&Change::Denials);
    list(&server, &token).await.refuses(503, "unavailable");
}

async fn denials_of_a_key_are_bounded_and_forgotten(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let end = server.clock.now().unix() + 600;
    let rows = (0..MAX_DENIALS)
        .map(|n| format!("('{n}', 'acme', '{}', {end}, 0)", key.id))
        .collect::<Vec<_>>()
        .join(",");
    server
        .place()
        .execute(&format!("INSERT INTO denied_tokens VALUES {rows}"))
        .await;
    let token = server.token(&key, &[]).await;
    let refused = deny(&server, &key, &token).await;
    refused.refuses(429, "temporarily_unavailable");
    assert_eq!(refused.header("retry-after"), Some("60"));
    // Others have room, and the key itself can still be ended.
    let others = server.management_token(&acme, &[]).await;
    deny(&server, &acme, &others).await.expect(StatusCode::OK);
    list(&server, &others).await.refuses(401, "unauthenticated");

    server.advance(600);
    let token = server.token(&key, &[]).await;
    deny(&server, &key, &token).await.expect(StatusCode::OK);
    let kept = denied(&server).await.len();
    server.advance(2 * 60 * 60);
    let token = server.token(&key, &[]).await;
    deny(&server, &key, &token).await.expect(StatusCode::OK);
    assert!(denied(&server).await.len() < kept, "some are forgotten");
}
