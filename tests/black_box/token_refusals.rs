//! Bad clients: one answer for all of them, the order in which refusals come, and no secret
//! in any of them.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::json;

use crate::on_both_engines;
use crate::support::forged::{NOBODY, of, of_another_deployment, with_genuine_tag};
use crate::support::server::{Key, Reply, Server};

on_both_engines!(
    all_bad_clients_get_one_answer,
    a_refusal_comes_in_the_order_secret_state_network_scope_target,
    no_refusal_repeats_a_secret,
    request_ids_are_the_servers_own,
    a_secret_counts_for_its_own_id_alone,
);

/// Keys that each are refused for a reason of their own.
async fn bad_keys(server: &Server) -> Vec<(&'static str, Key)> {
    let acme = server.organization("acme").await;
    let soon = json!({ "name": "short", "scopes": ["read"], "expires_in_days": 1 });
    let expired = server.key(&acme, soon).await;
    let revoked = server.key_with(&acme, &["read"]).await;
    server.exchange(&revoked, &[]).await.expect(StatusCode::OK);
    let suspended = server.organization("gone").await;
    server
        .exchange(&suspended, &[])
        .await
        .expect(StatusCode::OK);
    server.advance(86_400);
    for path in [
        format!("/v1/organizations/acme/api-keys/{}/revoke", revoked.id),
        "/v1/organizations/gone/suspend".to_owned(),
    ] {
        let done = server.operate(Method::POST, &path, json!(null)).await;
        done.expect(StatusCode::OK);
    }
    let mut mistyped = acme.clone();
    mistyped.secret.pop();
    let other_secret = of(&expired.secret, &acme.id);
    vec![
        ("unknown", with_genuine_tag(server, NOBODY)),
        ("wrong secret", with_genuine_tag(server, &acme.id)),
        ("another key's secret", other_secret),
        ("of another deployment", of_another_deployment(&acme.id)),
        ("mistyped", mistyped),
        ("nonsense", of("secret", "client")),
        ("empty", of("", "")),
        ("expired", expired),
        ("revoked", revoked),
        ("suspended", suspended),
    ]
}

/// The same exchange by each of the three ways.
fn three_ways(server: &Server, issuer: &str, key: &Key) -> [RequestBuilder; 3] {
    let post = || server.request(Method::POST, &format!("{issuer}/oauth/token"));
    let grant = ("grant_type", "client_credentials");
    let (id, secret) = (("client_id", &*key.id), ("client_secret", &*key.secret));
    [
        post().basic_auth(&key.id, Some(&key.secret)).form(&[grant]),
        post().form(&[grant, id, secret]),
        post().bearer_auth(&key.secret).form(&[grant]),
    ]
}

/// All of an answer that must not tell one bad client from another.
fn seen(reply: &Reply) -> String {
    let mut headers = reply.headers.clone();
    for name in ["x-request-id", "date"] {
        assert!(headers.remove(name).is_some(), "{name}");
    }
    let mut headers: Vec<_> = headers.iter().map(|line| format!("{line:?}")).collect();
    headers.sort();
    format!("{}\n{}\n\n{}", reply.status, headers.join("\n"), reply.text)
}

async fn all_bad_clients_get_one_answer(server: Server) {
    let bad = bad_keys(&server).await;
    let beta = server.organization("beta").await;
    let mut answers = [const { Vec::new() }; 3];
    let mut ask = async |what: String, issuer: &str, key: &Key| {
        let ways = three_ways(&server, issuer, key);
        for (answers, request) in answers.iter_mut().zip(ways) {
            let reply = Reply::of(request).await;
            reply.refuses(401, "invalid_client");
            answers.push((what.clone(), seen(&reply)));
        }
    };
    for (what, key) in &bad {
        for issuer in ["", "/orgs/acme", "/orgs/gone", "/orgs/nobody"] {
            ask(format!("{what} at {issuer}"), issuer, key).await;
        }
    }
    // A genuine key at an issuer that is not its own, be there one or not.
    for issuer in [
        "/orgs/acme",
        "/orgs/operator",
        "/orgs/nobody",
        "/orgs/..%2fbeta",
    ] {
        ask(format!("beta at {issuer}"), issuer, &beta).await;
    }
    for (answers, scheme) in answers.iter().zip(["Basic", "Basic", "Bearer"]) {
        let (_, one) = &answers[0];
        assert!(
            one.contains(&format!("(\"www-authenticate\", \"{scheme} realm=")),
            "{one}"
        );
        for (what, answer) in answers {
            assert_eq!(answer, one, "{what}");
        }
    }
}

async fn a_refusal_comes_in_the_order_secret_state_network_scope_target(server: Server) {
    let acme = server.organization("acme").await;
    server.organization("beta").await;
    let elsewhere = json!({ "name": "away", "scopes": ["read"],
        "allowed_ip_cidrs": ["203.0.113.0/24", "::/0"], "expires_in_days": 1 });
    let away = server.key(&acme, elsewhere).await;
    let here = server.key_with(&acme, &["read"]).await;
    let (scope, target) = (("scope", "write"), ("resource", "nowhere"));
    let malformed = ("scope", "not  one");
    let wrong = with_genuine_tag(&server, &away.id);

    for scope in [scope, malformed] {
        let all = [scope, target];
        server
            .exchange(&wrong, &all)
            .await
            .refuses(401, "invalid_client");
        let at_beta = server.exchange_at("/orgs/beta", &away, &all).await;
        at_beta.refuses(401, "invalid_client");
        server
            .exchange(&away, &all)
            .await
            .refuses(403, "access_denied");
        server
            .exchange(&here, &all)
            .await
            .refuses(400, "invalid_scope");
    }
    let reply = server.exchange(&here, &[target]).await;
    reply.refuses(400, "invalid_target");

    // What is no token request is told so first, and to anybody.
    let grant = server
        .request(Method::POST, "/oauth/token")
        .basic_auth(&wrong.id, Some(&wrong.secret))
        .form(&[("grant_type", "password"), scope]);
    Reply::of(grant)
        .await
        .refuses(400, "unsupported_grant_type");

    // State comes before network: an ended key does not say where it was confined to.
    server.advance(86_400);
    let reply = server.exchange(&away, &[scope, target]).await;
    reply.refuses(401, "invalid_client");
}

async fn no_refusal_repeats_a_secret(server: Server) {
    let acme = server.organization("acme").await;
    let secret = &*acme.secret;
    let post = |path: &str| server.request(Method::POST, path);
    let genuine = || post("/oauth/token").bearer_auth(secret);
    let grant = ("grant_type", "client_credentials");
    let url = format!("https://x.example/{secret}");
    for request in [
        genuine().form(&[grant, ("scope", secret)]),
        genuine().form(&[grant, ("scope", &*format!("read:{secret}/a//b"))]),
        genuine().form(&[grant, ("resource", secret)]),
        genuine().form(&[grant, ("resource", &url)]),
        genuine().form(&[grant, ("client_id", secret)]),
        genuine().form(&[("grant_type", secret)]),
        genuine().form(&[grant, grant, (secret, secret)]),
        genuine()
            .header("content-type", secret)
            .body(secret.to_owned()),
        genuine()
            .header("x-request-id", secret)
            .form(&[grant, grant]),
        post("/oauth/token").form(&[grant, ("client_id", secret), ("client_secret", secret)]),
        post(&format!("/oauth/token?{secret}")).form(&[grant]),
        post(&format!("/orgs/{secret}/oauth/token"))
            .bearer_auth(secret)
            .form(&[grant]),
        post(&format!("/{secret}"))
            .bearer_auth(secret)
            .form(&[grant]),
        server.request(
            Method::GET,
            &format!("/orgs/{secret}/.well-known/jwks.json"),
        ),
        server.request(Method::GET, &format!("/oauth/authorize?client_id={secret}")),
    ] {
        let reply = Reply::of(request).await;
        assert!(reply.status.is_client_error(), "{reply:?}");
        // Not the whole of it, and no half of it.
        let (id, tail) = secret.rsplit_once('_').unwrap();
        let said = format!("{reply:?}");
        for part in [secret, &tail[..20], &tail[20..40], &tail[40..]] {
            assert!(!said.contains(part), "{said}");
        }
        assert!(!said.contains(id), "{said}");
    }
}

async fn request_ids_are_the_servers_own(server: Server) {
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..10 {
        let request = server
            .request(Method::POST, "/oauth/token")
            .header("x-request-id", "req_01ARZ3NDEKTSV4RRFFQ69G5FAV");
        let reply = Reply::of(request).await;
        let id = reply.header("x-request-id").unwrap();
        assert!(id.starts_with("req_") && id.len() == 30, "{id}");
        assert_ne!(id, "req_01ARZ3NDEKTSV4RRFFQ69G5FAV");
        assert!(seen.insert(id.to_owned()), "{id} twice");
    }
}

async fn a_secret_counts_for_its_own_id_alone(server: Server) {
    let acme = server.organization("acme").await;
    let sibling = server.key_with(&acme, &["read"]).await;
    for id in [
        &*sibling.id,
        &acme.id.to_lowercase(),
        acme.id.strip_prefix("key_").unwrap(),
        &format!("{} ", acme.id),
        "",
        &acme.secret,
    ] {
        let key = of(&acme.secret, id);
        let reply = server.exchange(&key, &[]).await;
        reply.refuses(401, "invalid_client");
    }
}
