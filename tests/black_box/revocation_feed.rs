//! The revocation feed: every act after which tokens must be refused is in it, for as long as such
//! tokens can be in force, and nothing else is.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Method, StatusCode};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tenmint::crypto::jose::trust;
use tenmint::domain::issuer::Issuer;

use super::signing_keys::kid_in;
use crate::on_both_engines;
use crate::support::server::{Key, Reply, Server, claims, header};

on_both_engines!(
    a_feed_is_signed_by_the_issuer_that_it_is_about,
    a_feed_in_which_nothing_is_revoked_is_tiny,
    whatever_ends_a_key_is_in_the_feed_until_its_tokens_are_dead,
    whatever_narrows_a_key_is_in_the_feed_until_older_tokens_are_dead,
    what_narrows_nothing_is_not_in_the_feed,
    a_key_that_is_enabled_again_leaves_the_feed,
    an_organization_is_in_the_feed_while_it_is_suspended_or_deleted,
    a_denied_token_is_in_the_feed_until_it_ends,
    a_withdrawn_signing_key_is_in_the_feed_and_does_not_sign_it,
    many_keys_revoked_at_once_are_all_in_the_feed,
    an_organizations_feed_holds_nothing_of_others,
    a_token_obtained_after_a_narrowing_is_not_void,
    a_feed_that_is_held_already_is_not_sent_again,
    a_feed_is_signed_anew_while_nothing_changes,
    a_feed_is_no_access_token,
    a_feed_names_nobody,
    who_asks_wrongly_is_told_so,
);

/// The longest life of a token and how far clocks may be apart.
pub const TOLD: u64 = 3_600 + 300;

/// How often a feed is signed anew.
pub const RENEWAL: u64 = 60;

pub fn alias(name: &str) -> String {
    URL_SAFE_NO_PAD.encode(&digest(&SHA256, name.as_bytes()).as_ref()[..16])
}

pub fn feed_path(issuer: &str) -> String {
    format!("{issuer}/.well-known/revocations")
}

/// What the feed of `{base}{issuer}` says.
pub async fn feed(server: &Server, issuer: &str) -> Value {
    let reply = server.get(&feed_path(issuer)).await;
    claims(&reply.expect(StatusCode::OK).text)
}

/// The instant before which tokens of something are void, by the feed of an issuer.
pub async fn before(server: &Server, issuer: &str, kind: &str, name: &str) -> Option<i64> {
    feed(server, issuer).await["revoked"][kind][alias(name)].as_i64()
}

async fn post(server: &Server, manager: &Key, path: &str, body: Value) -> Reply {
    let reply = server.call(&manager.secret, Method::POST, path, body).await;
    assert!(reply.status.is_success(), "{path}: {}", reply.text);
    reply
}

async fn patch(server: &Server, manager: &Key, path: &str, body: Value) {
    let reply = server
        .call(&manager.secret, Method::PATCH, path, body)
        .await;
    reply.expect(StatusCode::OK);
}

async fn a_feed_is_signed_by_the_issuer_that_it_is_about(server: Server) {
    server.organization("acme").await;
    server.organization_signing_with("globex", "EdDSA").await;
    for issuer in ["", "/orgs/acme", "/orgs/globex"] {
        let reply = server.get(&feed_path(issuer)).await;
        let text = &reply.expect(StatusCode::OK).text;
        assert_eq!(reply.header("content-type"), Some("application/jwt"));
        assert_eq!(reply.header("cache-control"), Some("public, max-age=5"));
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
        assert_eq!(header(text)["typ"], "revocations+jwt");
        let said = claims(text);
        let now = server.clock.now().unix();
        assert_eq!(said["iss"], format!("{}{issuer}", server.base));
        assert_eq!(
            (&said["iat"], &said["exp"]),
            (&json!(now), &json!(now + 300))
        );

        let name = said["iss"].as_str().unwrap();
        let of = Issuer::of_name(name, &server.app.mint.base).unwrap();
        let identity = server.app.mint.issuers.of(&of.signing_organization()).await;
        let identity = identity.unwrap().unwrap();
        let find = |kid: &str| {
            identity
                .trusted
                .iter()
                .find(|key| key.kid().as_str() == kid)
        };
        assert!(trust::signed::<Value>(text, find).is_ok());

        let metadata = format!("/.well-known/oauth-authorization-server{issuer}");
        let metadata = server.get(&metadata).await.body;
        let uri = format!("{}{}", server.base, feed_path(issuer));
        assert_eq!(metadata["tenmint_revocations_uri"], uri);
    }
    let nobody = server.get(&feed_path("/orgs/nobody")).await;
    nobody.refuses(404, "not_found");
}

async fn a_feed_in_which_nothing_is_revoked_is_tiny(server: Server) {
    let acme = server.organization("acme").await;
    for _ in 0..5 {
        server.key_with(&acme, &["read"]).await;
    }
    for issuer in ["", "/orgs/acme"] {
        let reply = server.get(&feed_path(issuer)).await;
        assert_eq!(claims(&reply.text)["revoked"], json!({}));
        assert!(reply.text.len() < 500, "{}", reply.text.len());
    }
}

/// Both feeds that tell of a key of an organization.
async fn told(server: &Server, kind: &str, name: &str) -> [Option<i64>; 2] {
    [
        before(server, "", kind, name).await,
        before(server, "/orgs/acme", kind, name).await,
    ]
}

async fn whatever_ends_a_key_is_in_the_feed_until_its_tokens_are_dead(server: Server) {
    let acme = server.organization("acme").await;
    for act in ["revoke", "disable", "revoke by itself"] {
        let key = server.key_with(&acme, &["read"]).await;
        assert_eq!(told(&server, "keys", &key.id).await, [None, None]);
        if act == "revoke by itself" {
            let asked = server.request(Method::POST, "/oauth/revoke");
            let asked = asked.form(&[("token", &key.secret)]);
            Reply::of(asked).await.expect(StatusCode::OK);
        } else {
            let path = format!("/v1/api-keys/{}/{act}", key.id);
            post(&server, &acme, &path, Value::Null).await;
        }
        // Whatever the clock of the node that issued them: all its tokens are void.
        let end = server.clock.now().unix() + i64::try_from(TOLD).unwrap();
        assert_eq!(
            told(&server, "keys", &key.id).await,
            [Some(end); 2],
            "{act}"
        );
        server.advance(TOLD - RENEWAL);
        assert_eq!(
            told(&server, "keys", &key.id).await,
            [Some(end); 2],
            "{act}"
        );
        server.advance(2 * RENEWAL);
        assert_eq!(told(&server, "keys", &key.id).await, [None, None], "{act}");
    }
}

async fn whatever_narrows_a_key_is_in_the_feed_until_older_tokens_are_dead(server: Server) {
    let acme = server.organization("acme").await;
    let now = server.clock.now();
    let in_minutes = |minutes| now.plus(Duration::from_mins(minutes)).to_string();
    let role = async |name: &str| {
        let body = json!({ "name": name, "scopes": ["read", "write"] });
        post(&server, &acme, "/v1/roles", body).await;
    };
    for (narrowing, edit) in [
        ("scopes", json!({ "scopes": ["read:x", "write"] })),
        ("networks", json!({ "allowed_ip_cidrs": ["127.0.0.0/8"] })),
        ("its end", json!({ "expires_at": in_minutes(300) })),
        ("a role taken", json!({ "roles": [] })),
        ("a role narrowed", Value::Null),
        ("a role deleted", Value::Null),
    ] {
        let name = narrowing.replace(' ', "_");
        role(&name).await;
        let body = json!({
            "name": "ci", "scopes": ["read", "write", "files"], "roles": [name],
        });
        let holds_by_role = narrowing.contains("role");
        let body = if holds_by_role {
            json!({ "name": "ci", "scopes": ["files"], "roles": [name] })
        } else {
            body
        };
        let key = server.key(&acme, body).await;
        let other = server.key_with(&acme, &["read", "write"]).await;
        server.advance(10);
        let path = format!("/v1/roles/{name}");
        match narrowing {
            "a role narrowed" => {
                patch(&server, &acme, &path, json!({ "scopes": ["read"] })).await;
            }
            "a role deleted" => {
                let path = format!("{path}?force=true");
                let method = Method::DELETE;
                let deleted = server.call(&acme.secret, method, &path, Value::Null);
                deleted.await.expect(StatusCode::NO_CONTENT);
            }
            // Beyond the longest life of a token: nothing that is out lives to see it.
            "its end" => {
                let path = format!("/v1/api-keys/{}", key.id);
                patch(&server, &acme, &path, edit).await;
                assert_eq!(told(&server, "keys", &key.id).await, [None, None]);
                let soon = server.clock.now().plus(Duration::from_mins(5)).to_string();
                patch(&server, &acme, &path, json!({ "expires_at": soon })).await;
            }
            // What both say, the role gives it too: it must go as well.
            "scopes" => {
                let path = format!("/v1/api-keys/{}", key.id);
                patch(&server, &acme, &path, json!({ "roles": [] })).await;
                assert_eq!(told(&server, "keys", &key.id).await, [None, None]);
                patch(&server, &acme, &path, edit).await;
            }
            _ => patch(&server, &acme, &format!("/v1/api-keys/{}", key.id), edit).await,
        }
        let from = server.clock.now().unix() + 1;
        assert_eq!(
            told(&server, "keys", &key.id).await,
            [Some(from); 2],
            "{narrowing}"
        );
        assert_eq!(told(&server, "keys", &other.id).await, [None, None]);
        server.advance(TOLD + RENEWAL);
        assert_eq!(
            told(&server, "keys", &key.id).await,
            [None, None],
            "{narrowing}"
        );
    }
}

async fn what_narrows_nothing_is_not_in_the_feed(server: Server) {
    let acme = server.organization("acme").await;
    let role = json!({ "name": "reader", "scopes": ["read"] });
    post(&server, &acme, "/v1/roles", role).await;
    let body = json!({
        "name": "ci", "scopes": ["read:a"], "roles": ["reader"], "expires_in_days": 1,
        "allowed_ip_cidrs": ["127.0.0.0/8"],
    });
    let key = server.key(&acme, body).await;
    let path = format!("/v1/api-keys/{}", key.id);
    for edit in [
        json!({ "name": "another" }),
        json!({ "metadata": { "plan": "pro" } }),
        json!({ "scopes": ["read:a", "write"] }),
        json!({ "allowed_ip_cidrs": ["127.0.0.0/8", "10.0.0.0/8"] }),
        json!({ "expires_in_days": 2 }),
        json!({ "expires_at": null }),
        // The role still gives it.
        json!({ "scopes": ["write"] }),
    ] {
        patch(&server, &acme, &path, edit).await;
    }
    let wider = json!({ "scopes": ["read", "files"] });
    patch(&server, &acme, "/v1/roles/reader", wider).await;
    let rotate = json!({ "overlap_seconds": 0 });
    post(&server, &acme, &format!("{path}/rotate"), rotate).await;
    let rotation = json!({ "emergency": true });
    post(&server, &acme, "/v1/signing-keys/rotate", rotation).await;
    for issuer in ["", "/orgs/acme"] {
        assert_eq!(
            feed(&server, issuer).await["revoked"],
            json!({}),
            "{issuer}"
        );
    }
}

async fn a_key_that_is_enabled_again_leaves_the_feed(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let act = async |act: &str| {
        let path = format!("/v1/api-keys/{}/{act}", key.id);
        post(&server, &acme, &path, Value::Null).await;
        let said = feed(&server, "").await;
        (
            said["revoked"]["keys"][alias(&key.id)].is_i64(),
            said["seq"].as_i64(),
        )
    };
    let mut last = None;
    for (verb, is_void) in [("disable", true), ("enable", false)].repeat(3) {
        let (told, seq) = act(verb).await;
        assert_eq!(told, is_void);
        // Also within one second whoever follows can tell which is the newer.
        assert!(seq > last, "{seq:?} {last:?}");
        last = seq;
    }
}

async fn an_organization_is_in_the_feed_while_it_is_suspended_or_deleted(server: Server) {
    server.organization("acme").await;
    let act = async |act: &str| {
        let path = format!("/v1/organizations/acme/{act}");
        let done = server.operate(Method::POST, &path, Value::Null).await;
        done.expect(StatusCode::OK);
    };
    act("suspend").await;
    let end = server.clock.now().unix() + i64::try_from(TOLD).unwrap();
    assert_eq!(told(&server, "organizations", "acme").await, [Some(end); 2]);
    act("resume").await;
    assert_eq!(told(&server, "organizations", "acme").await, [None; 2]);
    act("suspend").await;
    server.advance(TOLD + RENEWAL);
    assert_eq!(told(&server, "organizations", "acme").await, [None; 2]);

    let path = "/v1/organizations/acme?force=true";
    let deleted = server.operate(Method::DELETE, path, Value::Null).await;
    deleted.expect(StatusCode::NO_CONTENT);
    let end = server.clock.now().unix() + i64::try_from(TOLD).unwrap();
    assert_eq!(
        before(&server, "", "organizations", "acme").await,
        Some(end)
    );
    // It has no issuer any more, and nothing to sign with.
    let gone = server.get(&feed_path("/orgs/acme")).await;
    gone.refuses(404, "not_found");
    server.advance(TOLD + RENEWAL);
    assert_eq!(before(&server, "", "organizations", "acme").await, None);
}

async fn a_denied_token_is_in_the_feed_until_it_ends(server: Server) {
    let acme = server.organization("acme").await;
    for issuer in ["", "/orgs/acme"] {
        let token = server.exchange_at(issuer, &acme, &[]).await;
        let token = token.body["access_token"].as_str().unwrap();
        let said = claims(token);
        let jti = said["jti"].as_str().unwrap();
        assert_eq!(told(&server, "tokens", jti).await, [None; 2]);
        let path = format!("{issuer}/oauth/revoke");
        let asked = server
            .request(Method::POST, &path)
            .form(&[("token", token)]);
        let asked = asked.basic_auth(&acme.id, Some(&acme.secret));
        Reply::of(asked).await.expect(StatusCode::OK);
        assert_eq!(
            told(&server, "tokens", jti).await,
            [said["exp"].as_i64(); 2]
        );
        assert_eq!(told(&server, "keys", &acme.id).await, [None; 2]);
        server.advance(600 + 300 - RENEWAL);
        assert!(told(&server, "tokens", jti).await[0].is_some());
        server.advance(2 * RENEWAL);
        assert_eq!(told(&server, "tokens", jti).await, [None; 2]);
    }
}

async fn a_withdrawn_signing_key_is_in_the_feed_and_does_not_sign_it(server: Server) {
    let acme = server.organization("acme").await;
    let kid = kid_in(&server, &acme, "active").await.unwrap();
    let signs = async || {
        let reply = server.get(&feed_path("/orgs/acme")).await;
        header(&reply.text)["kid"].as_str().unwrap().to_owned()
    };
    assert_eq!(signs().await, kid);
    let path = format!("/v1/signing-keys/{kid}/revoke");
    let revoked = post(&server, &acme, &path, Value::Null).await;
    assert_eq!(signs().await, revoked.body["replaced_by"]);
    // Whoever has it dates tokens as he likes; and nothing of the deployment is signed by it.
    let [of_deployment, of_acme] = told(&server, "signing_keys", &kid).await;
    assert!(of_acme > Some(server.clock.now().unix() * 2));
    assert_eq!(of_deployment, None);
    server.advance(7_200 - RENEWAL);
    assert!(told(&server, "signing_keys", &kid).await[1].is_some());
    server.advance(2 * RENEWAL);
    assert_eq!(told(&server, "signing_keys", &kid).await, [None; 2]);

    let operator = server.operator_key();
    let kid = kid_in(&server, &operator, "active").await.unwrap();
    let path = format!("/v1/signing-keys/{kid}/revoke");
    post(&server, &operator, &path, Value::Null).await;
    let [of_deployment, of_acme] = told(&server, "signing_keys", &kid).await;
    assert!(of_deployment.is_some());
    assert_eq!(of_acme, None);
}

async fn many_keys_revoked_at_once_are_all_in_the_feed(server: Server) {
    let acme = server.organization("acme").await;
    let mut ids = Vec::new();
    for _ in 0..105 {
        let body = json!({ "name": "x", "scopes": ["read"], "external_id": "gone" });
        ids.push(server.key(&acme, body).await.id);
    }
    feed(&server, "").await;
    let body = json!({ "filter": { "external_id": "gone" }, "expected_count": 105 });
    post(&server, &acme, "/v1/api-keys/revoke", body).await;
    for issuer in ["", "/orgs/acme"] {
        let said = feed(&server, issuer).await;
        let keys = said["revoked"]["keys"].as_object().unwrap();
        assert_eq!(keys.len(), 105);
        assert!(ids.iter().all(|id| keys.contains_key(&alias(id))));
    }
}

async fn an_organizations_feed_holds_nothing_of_others(server: Server) {
    let acme = server.organization("acme").await;
    let globex = server.organization("globex").await;
    let kid = kid_in(&server, &globex, "active").await.unwrap();
    let token = server.token(&globex, &[]).await;
    let asked = server.request(Method::POST, "/oauth/revoke");
    let asked = asked.basic_auth(&globex.id, Some(&globex.secret));
    Reply::of(asked.form(&[("token", &token)]))
        .await
        .expect(StatusCode::OK);
    let key = server.key_with(&globex, &["read"]).await;
    for path in [
        format!("/v1/api-keys/{}/revoke", key.id),
        format!("/v1/signing-keys/{kid}/revoke"),
    ] {
        post(&server, &globex, &path, Value::Null).await;
    }
    let own = server.key_with(&acme, &["read"]).await;
    let path = format!("/v1/api-keys/{}/revoke", own.id);
    post(&server, &acme, &path, Value::Null).await;
    let path = "/v1/organizations/globex/suspend";
    server.operate(Method::POST, path, Value::Null).await;

    let kinds = |said: &Value| {
        let revoked = said["revoked"].as_object().unwrap();
        let count = |kind: &str| {
            revoked
                .get(kind)
                .map_or(0, |list| list.as_object().unwrap().len())
        };
        ["keys", "organizations", "signing_keys", "tokens"].map(count)
    };
    assert_eq!(kinds(&feed(&server, "/orgs/acme").await), [1, 0, 0, 0]);
    assert_eq!(kinds(&feed(&server, "/orgs/globex").await), [1, 1, 1, 1]);
    assert_eq!(kinds(&feed(&server, "").await), [2, 1, 0, 1]);
}

async fn a_token_obtained_after_a_narrowing_is_not_void(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read", "write"]).await;
    // All within one second, in which the clock stands.
    let wide = claims(&server.token(&key, &[]).await);
    let path = format!("/v1/api-keys/{}", key.id);
    patch(&server, &acme, &path, json!({ "scopes": ["read"] })).await;
    let narrow = claims(&server.token(&key, &[]).await);
    let before = before(&server, "", "keys", &key.id).await.unwrap();
    assert!(wide["iat"].as_i64().unwrap() < before);
    assert!(narrow["iat"].as_i64().unwrap() >= before);
    assert_eq!(narrow["nbf"], server.clock.now().unix());
    assert_eq!(narrow["exp"], server.clock.now().unix() + 600);
    // Some time later nothing is to be told apart.
    server.advance(5);
    let later = claims(&server.token(&key, &[]).await);
    assert_eq!(later["iat"], later["nbf"]);
}

async fn a_feed_that_is_held_already_is_not_sent_again(server: Server) {
    let acme = server.organization("acme").await;
    let reply = server.get(&feed_path("")).await;
    let tag = reply.header("etag").unwrap().to_owned();
    let ask = async |tag: &str| {
        let asked = server.request(Method::GET, &feed_path(""));
        Reply::of(asked.header("if-none-match", tag)).await
    };
    let strong = tag.trim_start_matches("W/");
    for held in [&tag, "*", strong, &format!("\"x\", {tag}")] {
        let unchanged = ask(held).await;
        assert_eq!(unchanged.expect(StatusCode::NOT_MODIFIED).text, "");
        assert_eq!(unchanged.header("etag"), Some(&*tag));
    }
    // Another renewal is as good, and the one after that is not: it is about to end.
    server.advance(RENEWAL);
    ask(&tag).await.expect(StatusCode::NOT_MODIFIED);
    server.advance(RENEWAL);
    ask(&tag).await.expect(StatusCode::OK);
    let tag = ask("").await.header("etag").unwrap().to_owned();
    let key = server.key_with(&acme, &["read"]).await;
    ask(&tag).await.expect(StatusCode::NOT_MODIFIED);
    let path = format!("/v1/api-keys/{}/disable", key.id);
    post(&server, &acme, &path, Value::Null).await;
    ask(&tag).await.expect(StatusCode::OK);
}

async fn a_feed_is_signed_anew_while_nothing_changes(server: Server) {
    let mut texts = Vec::new();
    for _ in 0..20 {
        texts.push(server.get(&feed_path("")).await.text);
    }
    texts.dedup();
    assert_eq!(
        texts.len(),
        1,
        "one signature, however often it is asked for"
    );
    server.advance(RENEWAL);
    let said = feed(&server, "").await;
    assert_eq!(said["iat"], server.clock.now().unix());
    assert_ne!(said, claims(&texts[0]));
}

async fn a_feed_is_no_access_token(server: Server) {
    let acme = server.organization("acme").await;
    for issuer in ["", "/orgs/acme"] {
        let text = server.get(&feed_path(issuer)).await.text;
        let path = "/v1/api-keys";
        let refused = server.call(&text, Method::GET, path, Value::Null).await;
        refused.refuses(401, "unauthenticated");
        let operator = server.operator_key();
        for at in ["", "/orgs/acme"] {
            let asked = server.request(Method::POST, &format!("{at}/oauth/introspect"));
            let asked = asked.basic_auth(&operator.id, Some(&operator.secret));
            let reply = Reply::of(asked.form(&[("token", &text)])).await;
            assert_eq!(
                reply.expect(StatusCode::OK).body,
                json!({ "active": false })
            );
        }
        let gateway = server.request(Method::GET, "/gateway/verify");
        let refused = Reply::of(gateway.bearer_auth(&text)).await;
        assert_ne!(refused.status, StatusCode::OK, "{}", refused.text);
        // Nor is it anything that could be revoked.
        let asked = server.request(Method::POST, "/oauth/revoke");
        let asked = asked.basic_auth(&acme.id, Some(&acme.secret));
        Reply::of(asked.form(&[("token", &text)])).await;
        assert_eq!(feed(&server, issuer).await["revoked"], json!({}));
    }
}

async fn a_feed_names_nobody(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let path = format!("/v1/api-keys/{}/revoke", key.id);
    post(&server, &acme, &path, Value::Null).await;
    let path = "/v1/organizations/acme/suspend";
    server.operate(Method::POST, path, Value::Null).await;
    let said = feed(&server, "").await.to_string();
    assert!(said.contains(&alias(&key.id)));
    for name in [&*key.id, "key_", "acme"] {
        assert!(!said.contains(name), "{said}");
    }
}

async fn who_asks_wrongly_is_told_so(server: Server) {
    for query in [
        "wait=soon",
        "wait=-1",
        "wait=",
        "wait=1&wait=2",
        "wait=601",
        "since=1",
    ] {
        let refused = server.get(&format!("{}?{query}", feed_path(""))).await;
        refused.refuses(422, "invalid_query");
    }
    let posted = Reply::of(server.request(Method::POST, &feed_path(""))).await;
    posted.expect(StatusCode::METHOD_NOT_ALLOWED);
}
