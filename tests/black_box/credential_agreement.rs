//! Introspection and the gateway endpoint say the same of every credential, from every address, for
//! every scope.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::gateway::behind_gateways;
use crate::introspection::introspect_at;
use crate::on_both_engines;
use crate::rotation::post;
use crate::support::forged;
use crate::support::server::{Key, Reply, Server};

on_both_engines!(introspection_and_gateways_agree_in_every_case);

const ADDRESSES: [&str; 4] = [
    "203.0.113.9",
    "198.51.100.7",
    "2001:db8::7",
    "::ffff:203.0.113.1",
];
const SCOPES: [&str; 7] = [
    "",
    "read:a/1",
    "read:b",
    "read",
    "write",
    "read:a/1 write",
    "tokens.introspect",
];

async fn introspection_and_gateways_agree_in_every_case(server: Server) {
    let server = behind_gateways(server, &[]).await;
    let acme = server.organization("acme").await;
    let operator = server.operator_key();
    let credentials = credentials(&server, &acme).await;
    let (mut yes, mut no) = (0, 0);
    for (what, credential) in &credentials {
        for address in ADDRESSES {
            for scope in SCOPES {
                let asked = [("ip", address), ("scope", scope)];
                let told = introspect_at(&server, "", &operator, credential, &asked).await;
                let active = told.expect(StatusCode::OK).body["active"] == true;
                let held = server
                    .request(Method::GET, "/gateway/verify")
                    .query(&[("scope", scope)])
                    .header("x-forwarded-for", address)
                    .bearer_auth(credential);
                let passes = Reply::of(held).await;
                let expected: &[u16] = if active { &[200] } else { &[401, 403] };
                let case = format!("{what} from {address} for {scope:?}");
                assert!(
                    expected.contains(&passes.status.as_u16()),
                    "{case}: {}",
                    passes.status
                );
                if active {
                    let said = passes.header("x-tenmint-scope");
                    assert_eq!(told.body["scope"].as_str(), said, "{case}");
                }
                *(if active { &mut yes } else { &mut no }) += 1;
            }
        }
    }
    assert!(yes > 50 && no > 100, "{yes} {no}");
}

/// Of each kind one, by what it is.
async fn credentials(server: &Server, acme: &Key) -> Vec<(&'static str, String)> {
    let make = async |scopes: Value, networks: Value| {
        let body = json!({ "name": "k", "scopes": scopes, "allowed_ip_cidrs": networks });
        server.key(acme, body).await
    };
    let from_two = json!(["203.0.113.0/24", "2001:db8::/32", "127.0.0.1"]);
    let whole = make(json!(["*"]), json!(["0.0.0.0/0", "::/0"])).await;
    let bound = make(json!(["read:a/*", "write"]), from_two.clone()).await;
    let narrowed = make(json!(["read", "write"]), from_two.clone()).await;
    let rotated = make(json!(["read"]), from_two.clone()).await;
    let disabled = make(json!(["*"]), from_two).await;
    let mut all = vec![
        ("token of all", server.token(&whole, &[]).await),
        (
            "token of less",
            server.token(&whole, &[("scope", "read:b write")]).await,
        ),
        ("token of a bound key", server.token(&bound, &[]).await),
        (
            "token of a narrowed key",
            server.token(&narrowed, &[]).await,
        ),
        ("token of a rotated key", server.token(&rotated, &[]).await),
        (
            "token of a disabled key",
            server.token(&disabled, &[]).await,
        ),
        (
            "management token",
            server.management_token(&whole, &[]).await,
        ),
    ];
    let denied = server.token(&whole, &[]).await;
    let revocation = server
        .request(Method::POST, "/oauth/revoke")
        .basic_auth(&whole.id, Some(&whole.secret))
        .form(&[("token", &denied)]);
    Reply::of(revocation).await.expect(StatusCode::OK);
    let edit = json!({ "scopes": ["read:a/**"], "allowed_ip_cidrs": ["203.0.113.9"] });
    let path = format!("/v1/api-keys/{}", narrowed.id);
    let edited = server.call(&acme.secret, Method::PATCH, &path, edit).await;
    edited.expect(StatusCode::OK);
    let path = format!("/v1/api-keys/{}/rotate", rotated.id);
    let body = json!({ "overlap_seconds": 0 });
    let fresh = server.call(&acme.secret, Method::POST, &path, body).await;
    let fresh = Key::of(&fresh.expect(StatusCode::OK).body);
    let done = post(server, acme, &disabled.id, "disable").await;
    done.expect(StatusCode::OK);
    all.extend([
        ("denied token", denied),
        ("key of all", whole.secret),
        ("bound key", bound.secret),
        ("narrowed key", narrowed.secret),
        ("rotated-out secret", rotated.secret),
        ("its successor", fresh.secret),
        ("disabled key", disabled.secret),
        (
            "foreign key",
            forged::of_another_deployment(&bound.id).secret,
        ),
        (
            "unknown key",
            forged::with_genuine_tag(server, forged::NOBODY).secret,
        ),
        ("garbage", "garbage".to_owned()),
    ]);
    all
}
