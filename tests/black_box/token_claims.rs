//! What is in a token: whose word it is, for how long, and in which form.

use reqwest::StatusCode;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::support::server::{Key, Place, Server, claims, header};
use crate::support::verbatim::from_base64url;

on_both_engines!(
    each_issuer_signs_with_its_own_key_and_no_other,
    an_organization_may_sign_with_eddsa_or_rs256,
    a_token_never_outlives_its_key,
    a_key_past_its_end_obtains_nothing,
    a_key_of_any_address_makes_no_claim_of_networks,
    networks_are_claimed_in_canonical_form,
);

/// Whether the one key of a JWKS document made this token's signature.
pub fn verifies(jwks: &Value, token: &str) -> bool {
    signed_by(&jwks["keys"][0], token)
}

/// Whether this key made a token's signature. By ring alone, so that what verifies shares nothing
/// with what signed but the arithmetic.
pub fn signed_by(jwk: &Value, token: &str) -> bool {
    let member = |name: &str| from_base64url(jwk[name].as_str().unwrap());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (signed, signature) = (signed.as_bytes(), from_base64url(signature));
    match jwk["alg"].as_str().unwrap() {
        "ES256" => {
            let point = [vec![4], member("x"), member("y")].concat();
            let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
            key.verify(signed, &signature).is_ok()
        }
        "EdDSA" => {
            let key = UnparsedPublicKey::new(&ED25519, member("x"));
            key.verify(signed, &signature).is_ok()
        }
        "RS256" => {
            let (n, e) = (member("n"), member("e"));
            let key = RsaPublicKeyComponents { n, e };
            let algorithm = &RSA_PKCS1_2048_8192_SHA256;
            key.verify(algorithm, signed, &signature).is_ok()
        }
        other => panic!("{other}"),
    }
}

async fn jwks(server: &Server, issuer: &str) -> Value {
    let reply = server.get(&format!("{issuer}/.well-known/jwks.json")).await;
    reply.expect(StatusCode::OK).body.clone()
}

async fn token_at(server: &Server, issuer: &str, key: &Key) -> String {
    let reply = server.exchange_at(issuer, key, &[]).await;
    let token = reply.expect(StatusCode::OK).body["access_token"].as_str();
    token.unwrap().to_owned()
}

async fn each_issuer_signs_with_its_own_key_and_no_other(server: Server) {
    let (acme, beta) = (
        server.organization("acme").await,
        server.organization("beta").await,
    );
    let issuers = [("", &acme), ("/orgs/acme", &acme), ("/orgs/beta", &beta)];
    let mut seen = Vec::new();
    for (issuer, manager) in issuers {
        let token = token_at(&server, issuer, manager).await;
        assert_eq!(claims(&token)["iss"], format!("{}{issuer}", server.base));
        assert_eq!(header(&token)["alg"], "ES256");
        seen.push((issuer, jwks(&server, issuer).await, token));
    }
    for (signer, own, token) in &seen {
        for (other, set, _) in &seen {
            assert_eq!(verifies(set, token), signer == other, "{signer} {other}");
        }
        assert_eq!(header(token)["kid"], own["keys"][0]["kid"]);
    }
}

async fn an_organization_may_sign_with_eddsa_or_rs256(server: Server) {
    for (id, alg) in [("edwards", "EdDSA"), ("rivest", "RS256")] {
        let manager = server.organization_signing_with(id, alg).await;
        let issuer = format!("/orgs/{id}");
        let token = token_at(&server, &issuer, &manager).await;
        let set = jwks(&server, &issuer).await;
        assert!(verifies(&set, &token));
        let kid = &set["keys"][0]["kid"];
        assert_eq!(
            header(&token),
            json!({ "typ": "at+jwt", "alg": alg, "kid": kid })
        );
        // One that was tampered with does not verify.
        let (signed, signature) = token.rsplit_once('.').unwrap();
        assert!(!verifies(&set, &format!("{signed}x.{signature}")));
        // The deployment's issuer stays with its own.
        let token = token_at(&server, "", &manager).await;
        assert_eq!(header(&token)["alg"], "ES256");
    }
}

async fn a_token_never_outlives_its_key(server: Server) {
    let acme = server.organization("acme").await;
    let end = |seconds| {
        let end = server
            .clock
            .now()
            .plus(std::time::Duration::from_secs(seconds));
        json!({ "name": "short", "scopes": ["read"], "expires_at": end })
    };
    let key = server.key(&acme, end(900)).await;
    let reply = server.exchange(&key, &[]).await;
    assert_eq!(reply.expect(StatusCode::OK).body["expires_in"], 600);
    let born = server.clock.now().unix();
    for (passed, left) in [(400, 500), (499, 1)] {
        server.advance(passed);
        let reply = server.exchange(&key, &[]).await;
        assert_eq!(reply.expect(StatusCode::OK).body["expires_in"], left);
        let claims = claims(reply.body["access_token"].as_str().unwrap());
        assert_eq!(claims["exp"], born + 900);
        assert_eq!(claims["iat"], born + 900 - left);
    }
    server.advance(1);
    let ended = server.exchange(&key, &[]).await;
    ended.refuses(401, "invalid_client");
}

async fn a_key_past_its_end_obtains_nothing(server: Server) {
    let acme = server.organization("acme").await;
    let body = json!({ "name": "day", "scopes": ["read"], "expires_in_days": 1 });
    let (warm, cold) = (
        server.key(&acme, body.clone()).await,
        server.key(&acme, body).await,
    );
    server.exchange(&warm, &[]).await.expect(StatusCode::OK);
    server.advance(86_400);
    // The same whether the key was in use before or not.
    for key in [&warm, &cold] {
        let reply = server.exchange(key, &[]).await;
        reply.refuses(401, "invalid_client");
    }
    server.exchange(&acme, &[]).await.expect(StatusCode::OK);
}

async fn a_key_of_any_address_makes_no_claim_of_networks(server: Server) {
    let acme = server.organization("acme").await;
    let everywhere = json!(["::/0", "0.0.0.0/0"]);
    for body in [
        json!({ "name": "any", "scopes": ["read"] }),
        json!({ "name": "any", "scopes": ["read"], "allowed_ip_cidrs": everywhere }),
    ] {
        let key = server.key(&acme, body).await;
        let token = server.token(&key, &[]).await;
        assert!(claims(&token).get("allowed_ip_cidrs").is_none());
    }
}

async fn networks_are_claimed_in_canonical_form(server: Server) {
    let acme = server.organization("acme").await;
    let given = ["::ffff:127.0.0.1", "2001:DB8:0:0::/32", "0.0.0.0/0"];
    let body = json!({ "name": "some", "scopes": ["read"], "allowed_ip_cidrs": given });
    let key = server.key(&acme, body).await;
    let claims = claims(&server.token(&key, &[]).await);
    let canonical = json!(["127.0.0.1/32", "2001:db8::/32", "0.0.0.0/0"]);
    assert_eq!(claims["allowed_ip_cidrs"], canonical);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_type_and_the_life_of_tokens_are_as_they_were_set() {
    let place = Place::sqlite().with(&["--token-typ", "JWT", "--token-lifetime", "2m"]);
    let server = place.start().await;
    let acme = server.organization("acme").await;
    let reply = server.exchange(&acme, &[]).await;
    assert_eq!(reply.expect(StatusCode::OK).body["expires_in"], 120);
    let token = reply.body["access_token"].as_str().unwrap();
    assert_eq!(header(token)["typ"], "JWT");
    let claims = claims(token);
    let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert_eq!(life, 120);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_an_old_prefix_live_on_beside_those_of_a_new_one() {
    let server = Place::sqlite().start().await;
    let acme = server.organization("acme").await;
    let old = server.key_with(&acme, &["read"]).await;
    assert!(old.secret.starts_with("tmsk_"));
    let place = server.stop().await.with(&["--key-prefix", "acme_live"]);
    let server = place.start().await;
    let new = server.key_with(&acme, &["read"]).await;
    assert!(new.secret.starts_with("acme_live_01"));
    for key in [old, new] {
        server.exchange(&key, &[]).await.expect(StatusCode::OK);
    }
}
