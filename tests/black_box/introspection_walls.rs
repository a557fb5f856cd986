//! Introspection keeps the walls: whatever is not the asker's own is answered like garbage.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::introspection::{introspect, introspect_at, is_active, is_inactive};
use crate::on_both_engines;
use crate::support::database::Database;
use crate::support::forged;
use crate::support::server::{Key, Reply, Server};
use crate::support::verbatim::verbatim;

on_both_engines!(
    whatever_is_not_the_askers_own_is_answered_like_garbage,
    a_token_counts_at_its_own_issuer_alone,
    the_operator_sees_into_every_organization,
    a_token_for_the_management_plane_is_nobody_elses,
    what_is_no_introspection_request_is_refused,
    a_stranger_costs_no_query_whatever_it_asks_about,
);

async fn token_at(server: &Server, issuer: &str, key: &Key) -> String {
    let reply = server.exchange_at(issuer, key, &[]).await;
    let token = &reply.expect(StatusCode::OK).body["access_token"];
    token.as_str().unwrap().to_owned()
}

async fn whatever_is_not_the_askers_own_is_answered_like_garbage(server: Server) {
    let acme = server.organization("acme").await;
    let other = server.organization("other").await;
    let theirs = server.key_with(&other, &["read"]).await;
    let ended = server.key_with(&other, &["read"]).await;
    let path = format!("/v1/api-keys/{}/revoke", ended.id);
    let done = server
        .call(&other.secret, Method::POST, &path, Value::Null)
        .await;
    done.expect(StatusCode::OK);
    let own_ended = server.key_with(&acme, &["read"]).await;
    let path = format!("/v1/api-keys/{}/revoke", own_ended.id);
    let done = server
        .call(&acme.secret, Method::POST, &path, Value::Null)
        .await;
    done.expect(StatusCode::OK);
    let own = server.token(&acme, &[]).await;
    let expired = server.token(&theirs, &[]).await;
    server.advance(600);
    let their_token = token_at(&server, "", &theirs).await;
    let at_their_issuer = token_at(&server, "/orgs/other", &theirs).await;
    let forged = [
        forged::of_another_deployment(&acme.id).secret,
        forged::with_genuine_tag(&server, &acme.id).secret,
        forged::with_genuine_tag(&server, forged::NOBODY).secret,
    ];
    let long = "x".repeat(9_000);
    let bent = format!("{}x", &their_token[..their_token.len() - 1]);

    let garbage = introspect(&server, &acme, "garbage").await;
    is_inactive(&garbage);
    let expected = verbatim(&server, &garbage);
    for credential in [
        &theirs.secret,
        &ended.secret,
        &own_ended.secret,
        &theirs.id,
        &server.operator,
        &own,
        &expired,
        &their_token,
        &at_their_issuer,
        &bent,
        &forged[0],
        &forged[1],
        &forged[2],
        &long,
        "x.y.z",
        "..",
        "\u{0}é",
    ] {
        // First cold, then from what is remembered.
        for _ in 0..2 {
            let asked = [("ip", "127.0.0.1"), ("scope", "read")];
            for more in [&asked[..0], &asked] {
                let reply = introspect_at(&server, "", &acme, credential, more).await;
                assert_eq!(verbatim(&server, &reply), expected, "{credential}");
            }
            if credential != own_ended.secret {
                let reply = introspect_at(&server, "/orgs/acme", &acme, credential, &[]).await;
                assert_eq!(verbatim(&server, &reply), expected, "{credential}");
            }
        }
    }
    // They are worth something to whoever may know.
    is_active(&introspect(&server, &other, &theirs.secret).await);
    is_active(&introspect(&server, &other, &their_token).await);
    // The owner of a key learns that it was shown where it does not belong.
    let path = format!("/v1/refusals?api_key_id={}", theirs.id);
    let found = server
        .call(&other.secret, Method::GET, &path, Value::Null)
        .await;
    assert_eq!(found.body["data"][0]["cause"], "other_organization");
    let path = path.replace(&theirs.id, &acme.id);
    let found = server
        .call(&acme.secret, Method::GET, &path, Value::Null)
        .await;
    assert!(!found.text.contains(&theirs.id));
}

async fn a_token_counts_at_its_own_issuer_alone(server: Server) {
    let acme = server.organization("acme").await;
    server.organization("other").await;
    let operator = server.operator_key();
    // The operator's own organization signs for the deployment too, and is not the same issuer.
    let issuers = [
        "",
        "/orgs/acme",
        "/orgs/operator",
        "/orgs/other",
        "/orgs/nobody",
    ];
    for (of, key) in [
        ("", &acme),
        ("/orgs/acme", &acme),
        ("/orgs/operator", &operator),
    ] {
        let token = token_at(&server, of, key).await;
        for _ in 0..2 {
            for at in issuers {
                let reply = introspect_at(&server, at, &operator, &token, &[]).await;
                if at == of {
                    is_active(&reply);
                } else {
                    is_inactive(&reply);
                }
            }
        }
    }
    for at in ["/orgs/other", "/orgs/nobody", "/orgs/%00", "/orgs/operator"] {
        is_inactive(&introspect_at(&server, at, &operator, &acme.secret, &[]).await);
    }
}

async fn the_operator_sees_into_every_organization(server: Server) {
    let acme = server.organization("acme").await;
    let operator = server.operator_key();
    let key = server.key_with(&acme, &["read"]).await;
    for (at, credential) in [
        ("", key.secret.clone()),
        ("/orgs/acme", key.secret.clone()),
        ("", token_at(&server, "", &key).await),
        ("/orgs/acme", token_at(&server, "/orgs/acme", &key).await),
    ] {
        let reply = introspect_at(&server, at, &operator, &credential, &[]).await;
        assert_eq!(is_active(&reply)["org"], "acme");
    }
    // A name that a tenant could not be given is no way to the operator's keys.
    is_inactive(&introspect(&server, &acme, &server.operator).await);
    let token = server.token(&operator, &[]).await;
    is_inactive(&introspect(&server, &acme, &token).await);
    is_active(&introspect(&server, &operator, &token).await);
}

async fn a_token_for_the_management_plane_is_nobody_elses(server: Server) {
    let acme = server.organization("acme").await;
    let token = server.management_token(&acme, &[]).await;
    is_inactive(&introspect(&server, &acme, &token).await);
    is_inactive(&introspect(&server, &server.operator_key(), &token).await);
    is_active(&introspect(&server, &acme, &server.token(&acme, &[]).await).await);
}

async fn what_is_no_introspection_request_is_refused(server: Server) {
    let acme = server.organization("acme").await;
    for endpoint in ["/oauth/introspect", "/orgs/acme/oauth/introspect"] {
        let form = |text: &str| {
            server
                .request(Method::POST, endpoint)
                .basic_auth(&acme.id, Some(&acme.secret))
                .header("content-type", "application/x-www-form-urlencoded")
                .body(text.to_owned())
        };
        for (n, request) in [
            form(""),
            form("token="),
            form("token=a&token=b"),
            form("token=a&ip=::1&ip=::1"),
            form("token=a&scope=a&scope=b"),
            form("token=a").query(&[("token", "b")]),
            form("token=a").bearer_auth(&acme.secret),
            form(&format!("token=a&client_secret={}", acme.secret)),
            form("token=a&client_id=key_x"),
            server
                .request(Method::POST, endpoint)
                .json(&json!({ "token": "a" })),
        ]
        .into_iter()
        .enumerate()
        {
            let refused = Reply::of(request).await;
            assert_eq!(refused.status, 400, "{n}: {}", refused.text);
            refused.refuses(400, "invalid_request");
            assert_eq!(refused.header("cache-control"), Some("no-store"));
        }
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let refused = Reply::of(server.request(method, endpoint)).await;
            refused.refuses(405, "invalid_request");
            assert_eq!(refused.header("allow"), Some("POST"));
        }
    }
}

async fn a_stranger_costs_no_query_whatever_it_asks_about(server: Server) {
    let acme = server.organization("acme").await;
    let token = server.token(&acme, &[]).await;
    let forged = forged::of_another_deployment(&acme.id);
    let unknown_issuer = token_at(&server, "/orgs/acme", &acme).await;
    // Nothing is cached that anybody asked about; and no database is there to be asked.
    let database = Database::of(&server).await;
    let before = database.contents().await;
    server.app.close().await;
    for credential in [&acme.secret, &token, &unknown_issuer] {
        let refused = introspect(&server, &forged, credential).await;
        refused.refuses(401, "invalid_client");
    }
    assert_eq!(database.contents().await, before);
}
