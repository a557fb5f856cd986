//! Access tokens at the management plane: what was issued for it, alone, and only while it holds.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenmint::domain::audience::Audience;
use tenmint::domain::claims::Claims;
use tenmint::domain::organization::OrganizationId;
use tenmint::domain::timestamp::Timestamp;

use crate::on_both_engines;
use crate::support::server::{Key, Reply, Server, claims};

on_both_engines!(
    a_token_asked_for_with_the_base_url_manages,
    a_token_for_anything_else_manages_nothing,
    the_management_plane_is_no_ones_second_audience,
    a_token_counts_between_its_times,
    a_token_of_another_issuer_or_organization_does_not_count,
    a_token_of_a_revoked_key_manages_nothing,
    a_token_of_a_suspended_organization_manages_nothing,
);

async fn list(server: &Server, bearer: &str) -> Reply {
    let path = "/v1/api-keys";
    server.call(bearer, Method::GET, path, Value::Null).await
}

#[track_caller]
fn refused(reply: &Reply) {
    reply.refuses(401, "unauthenticated");
    let challenge = reply.header("www-authenticate");
    let expected = r#"Bearer realm="tenmint", error="invalid_token""#;
    assert_eq!(challenge, Some(expected), "{}", reply.text);
}

async fn a_token_asked_for_with_the_base_url_manages(server: Server) {
    let acme = server.organization("acme").await;
    let token = server.management_token(&acme, &[]).await;
    let claims = claims(&token);
    assert_eq!(
        claims["aud"], server.base,
        "a string: this audience and no other"
    );
    assert_eq!(claims["iss"], server.base);
    let seen = list(&server, &token).await;
    assert_eq!(seen.expect(StatusCode::OK).body["data"][0]["id"], acme.id);
    let body = json!({ "name": "made by token", "scopes": ["read"] });
    let path = "/v1/api-keys";
    let made = server.call(&token, Method::POST, path, body).await;
    assert_eq!(made.expect(StatusCode::CREATED).body["created_by"], acme.id);
    // An organization that signs otherwise manages by the same issuer.
    let edwards = server.organization_signing_with("edwards", "EdDSA").await;
    let token = server.management_token(&edwards, &[]).await;
    list(&server, &token).await.expect(StatusCode::OK);
}

async fn a_token_for_anything_else_manages_nothing(server: Server) {
    let acme = server.organization("acme").await;
    let platform = format!("{}/api", server.base);
    for (issuer, parameters) in [
        ("", vec![]),
        ("", vec![("resource", &*platform)]),
        ("/orgs/acme", vec![]),
        ("/orgs/acme", vec![("resource", &*platform)]),
    ] {
        let reply = server.exchange_at(issuer, &acme, &parameters).await;
        let token = reply.expect(StatusCode::OK).body["access_token"].as_str();
        refused(&list(&server, token.unwrap()).await);
    }
    // Nor is one issued for it at an organization's endpoint, or beside another resource.
    let base = ("resource", &*server.base);
    let elsewhere = server.exchange_at("/orgs/acme", &acme, &[base]).await;
    elsewhere.refuses(400, "invalid_target");
    let both = [base, ("resource", &*platform)];
    server
        .exchange(&acme, &both)
        .await
        .refuses(400, "invalid_target");
}

/// A token that the deployment issuer, or an organization's, really signed.
struct Signed<'a> {
    signer: &'a str,
    issuer: String,
    key: &'a Key,
    audience: Value,
    organization: &'a str,
    from: i64,
    to: i64,
}

impl<'a> Signed<'a> {
    fn like_any(server: &Server, key: &'a Key) -> Self {
        Self {
            signer: "operator",
            issuer: server.base.clone(),
            key,
            audience: json!(server.base),
            organization: "acme",
            from: 0,
            to: 600,
        }
    }

    async fn token(&self, server: &Server) -> String {
        let signer: OrganizationId = self.signer.parse().unwrap();
        let identity = server.app.mint.issuers.of(&signer).await.unwrap().unwrap();
        let audience: Audience = serde_json::from_value(self.audience.clone()).unwrap();
        let now = server.clock.now().unix();
        let at = |offset| Timestamp::from_unix(now + offset).unwrap();
        identity.signer.sign(&Claims {
            iss: &self.issuer,
            sub: &self.key.id,
            client_id: &self.key.id,
            aud: &audience,
            iat: at(self.from),
            nbf: at(self.from),
            exp: at(self.to),
            jti: "0123456789012345678901",
            scope: "* api_keys.*",
            org: &self.organization.parse().unwrap(),
            allowed_ip_cidrs: None,
        })
    }
}

async fn the_management_plane_is_no_ones_second_audience(server: Server) {
    let acme = server.organization("acme").await;
    let signed = Signed::like_any(&server, &acme);
    let token = signed.token(&server).await;
    list(&server, &token).await.expect(StatusCode::OK);
    let base = &server.base;
    for audience in [
        json!([base, format!("{base}/api")]),
        json!([format!("{base}/api"), base]),
        json!([base, base]),
        json!(format!("{base}/")),
        json!(format!("{base}/v1")),
        json!(base.to_uppercase()),
        json!([]),
        json!(""),
    ] {
        let signed = Signed {
            audience,
            ..Signed::like_any(&server, &acme)
        };
        refused(&list(&server, &signed.token(&server).await).await);
    }
}

async fn a_token_counts_between_its_times(server: Server) {
    let acme = server.organization("acme").await;
    let token = server.management_token(&acme, &[]).await;
    let early = Signed {
        from: 60,
        ..Signed::like_any(&server, &acme)
    };
    let early = early.token(&server).await;
    refused(&list(&server, &early).await);
    server.advance(60);
    list(&server, &early).await.expect(StatusCode::OK);
    server.advance(539);
    list(&server, &token).await.expect(StatusCode::OK);
    server.advance(1);
    refused(&list(&server, &token).await);
}

async fn a_token_of_another_issuer_or_organization_does_not_count(server: Server) {
    let acme = server.organization("acme").await;
    let other = server.organization("other").await;
    let acme_issuer = format!("{}/orgs/acme", server.base);
    let nobody = Key {
        id: "key_00000000000000000000000001".to_owned(),
        secret: String::new(),
    };
    let like_any = || Signed::like_any(&server, &acme);
    for forged in [
        // Whoever has an organization's signing key.
        Signed {
            signer: "acme",
            ..like_any()
        },
        Signed {
            signer: "acme",
            issuer: acme_issuer.clone(),
            ..like_any()
        },
        Signed {
            signer: "acme",
            organization: "operator",
            ..like_any()
        },
        Signed {
            signer: "acme",
            key: &other,
            organization: "other",
            ..like_any()
        },
        // What the deployment issuer never signs.
        Signed {
            issuer: acme_issuer.clone(),
            ..like_any()
        },
        Signed {
            issuer: format!("{}/", server.base),
            ..like_any()
        },
        Signed {
            issuer: String::new(),
            ..like_any()
        },
        Signed {
            organization: "other",
            ..like_any()
        },
        Signed {
            organization: "operator",
            ..like_any()
        },
        Signed {
            key: &nobody,
            ..like_any()
        },
    ] {
        refused(&list(&server, &forged.token(&server).await).await);
    }
}

async fn a_token_of_a_revoked_key_manages_nothing(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["api_keys.*"]).await;
    let token = server.management_token(&key, &[]).await;
    list(&server, &token).await.expect(StatusCode::OK);
    let path = format!("/v1/api-keys/{}/revoke", key.id);
    let done = server.call(&token, Method::POST, &path, Value::Null).await;
    done.expect(StatusCode::OK);
    refused(&list(&server, &token).await);
    let repeated = server.call(&token, Method::POST, &path, Value::Null).await;
    refused(&repeated);
}

async fn a_token_of_a_suspended_organization_manages_nothing(server: Server) {
    let acme = server.organization("acme").await;
    let token = server.management_token(&acme, &[]).await;
    list(&server, &token).await.expect(StatusCode::OK);
    let path = "/v1/organizations/acme/suspend";
    let done = server.operate(Method::POST, path, Value::Null).await;
    done.expect(StatusCode::OK);
    refused(&list(&server, &token).await);
}
