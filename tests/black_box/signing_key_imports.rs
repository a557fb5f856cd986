//! A private key that another issuer signed with moves in, and its validators notice nothing.

use std::fs;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::signing_keys::{LEAD, jwks, kid_in, rotate, rsa_key, signs, states, until};
use crate::support::database::Database;
use crate::support::private_keys::{
    ED25519, P256, PYTHON_ED25519, PYTHON_P256, PYTHON_RSA_2048, RSA_2048, RSA_3072, RSA_4096, body,
};
use crate::support::server::{Key, Reply, Server, header};
use crate::support::shell::Shell;
use crate::token_claims::verifies;

on_both_engines!(
    a_key_that_validators_have_signs_at_once_under_the_id_they_know,
    a_key_that_they_do_not_have_is_next_and_signs_after_the_lead,
    keys_of_every_kind_from_openssl_and_python_sign,
    the_deployment_itself_can_move_in_and_is_managed_by_rs256_tokens,
    what_follows_an_imported_key_is_of_its_kind_and_size,
    an_import_is_audited_without_the_key,
    a_key_is_imported_from_a_shell,
);

pub async fn import(server: &Server, organization: &str, body: Value) -> Reply {
    let path = format!("/v1/organizations/{organization}/signing-keys/import");
    server.operate(Method::POST, &path, body).await
}

/// An import that signs at once must succeed.
async fn moved_in(server: &Server, organization: &str, pem: &str, kid: Option<&str>) -> Value {
    let mut body = json!({ "private_key_pem": pem, "already_published": true });
    if let Some(kid) = kid {
        body["kid"] = kid.into();
    }
    let reply = import(server, organization, body).await;
    reply.expect(StatusCode::CREATED).body.clone()
}

/// A token of `acme`'s issuer, and the JWK that its header names.
async fn token_and_jwk(server: &Server, key: &Key) -> (String, Value) {
    let reply = server.exchange_at("/orgs/acme", key, &[]).await;
    let token = reply.expect(StatusCode::OK).body["access_token"].clone();
    let token = token.as_str().unwrap().to_owned();
    let published = server.get("/orgs/acme/.well-known/jwks.json").await;
    let keys = published.body["keys"].as_array().unwrap();
    let kid = &header(&token)["kid"];
    let jwk = keys.iter().find(|jwk| jwk["kid"] == *kid).unwrap();
    (token, jwk.clone())
}

async fn a_key_that_validators_have_signs_at_once_under_the_id_they_know(server: Server) {
    let acme = server.organization("acme").await;
    let first = kid_in(&server, &acme, "active").await.unwrap();
    let next = rotate(&server, &acme, json!({})).await.body["kid"].clone();
    let next = next.as_str().unwrap().to_owned();

    let taken = moved_in(&server, "acme", RSA_2048, Some("old-issuer.2019~1")).await;
    assert_eq!(
        (
            &taken["kid"],
            &taken["alg"],
            &taken["status"],
            &taken["imported"]
        ),
        (
            &json!("old-issuer.2019~1"),
            &json!("RS256"),
            &json!("active"),
            &json!(true)
        )
    );
    assert_eq!(signs(&server, &acme).await, "old-issuer.2019~1");
    assert_eq!(jwks(&server).await, ["old-issuer.2019~1", &first]);
    // A key that was to follow another gives way; the one before goes as any does.
    let states = states(&server, &acme).await;
    assert!(states.contains(&("retired".to_owned(), next)), "{states:?}");
    assert!(
        states.contains(&("retiring".to_owned(), first)),
        "{states:?}"
    );
    let (token, jwk) = token_and_jwk(&server, &acme).await;
    assert!(verifies(&json!({ "keys": [jwk] }), &token));
    // By its id it is shown and withdrawn like any other.
    let path = "/v1/signing-keys/old-issuer.2019~1";
    let shown = server
        .call(&acme.secret, Method::GET, path, Value::Null)
        .await;
    assert_eq!(shown.expect(StatusCode::OK).body, taken);
    let path = format!("{path}/revoke");
    let gone = server
        .call(&acme.secret, Method::POST, &path, json!({}))
        .await;
    gone.expect(StatusCode::OK);
    assert_ne!(signs(&server, &acme).await, "old-issuer.2019~1");
}

async fn a_key_that_they_do_not_have_is_next_and_signs_after_the_lead(server: Server) {
    let acme = server.organization("acme").await;
    let first = kid_in(&server, &acme, "active").await.unwrap();
    let reply = import(&server, "acme", json!({ "private_key_pem": P256 })).await;
    let taken = reply.expect(StatusCode::CREATED).body.clone();
    assert_eq!(taken["status"], "next");
    let kid = taken["kid"].as_str().unwrap();
    assert_eq!(kid.len(), 43, "its thumbprint");
    assert_eq!(jwks(&server).await, [first.clone(), kid.to_owned()]);
    assert_eq!(signs(&server, &acme).await, first);
    // There is room for one.
    let refused = import(&server, "acme", json!({ "private_key_pem": ED25519 })).await;
    refused.refuses(409, "signing_key_under_way");
    // What does without waiting is a parameter of imports, not one of rotations.
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(detail.contains("\"already_published\": true"), "{detail}");
    assert!(!detail.contains("emergency"), "{detail}");

    server.advance(LEAD);
    assert_eq!(until(&server, &acme, "retiring").await, first);
    assert_eq!(signs(&server, &acme).await, kid);
}

async fn keys_of_every_kind_from_openssl_and_python_sign(server: Server) {
    let acme = server.organization("acme").await;
    for (pem, alg) in [
        (P256, "ES256"),
        (ED25519, "EdDSA"),
        (RSA_2048, "RS256"),
        (RSA_3072, "RS256"),
        (RSA_4096, "RS256"),
        (PYTHON_P256, "ES256"),
        (PYTHON_ED25519, "EdDSA"),
        (PYTHON_RSA_2048, "RS256"),
    ] {
        let taken = moved_in(&server, "acme", pem, None).await;
        assert_eq!(taken["alg"], alg);
        let (token, jwk) = token_and_jwk(&server, &acme).await;
        assert_eq!(header(&token)["kid"], taken["kid"]);
        assert_eq!(header(&token)["alg"], alg);
        assert!(verifies(&json!({ "keys": [jwk] }), &token));
    }
    // What was opened once is opened again after a restart.
    let clock = server.clock.clone();
    let server = Server::start(server.stop().await, clock).await;
    let server = server.map_err(|(why, _)| why).unwrap();
    assert_eq!(jwks(&server).await.len(), 9);
    let (token, jwk) = token_and_jwk(&server, &acme).await;
    assert!(verifies(&json!({ "keys": [jwk] }), &token));
}

async fn the_deployment_itself_can_move_in_and_is_managed_by_rs256_tokens(server: Server) {
    let acme = server.organization("acme").await;
    let before = server.management_token(&acme, &[]).await;
    moved_in(&server, "operator", RSA_2048, Some("2019")).await;
    let token = server.management_token(&acme, &[]).await;
    let head = header(&token);
    assert_eq!(
        (&head["alg"], &head["kid"]),
        (&json!("RS256"), &json!("2019"))
    );
    let list = async |token: &str| {
        let path = "/v1/api-keys";
        server.call(token, Method::GET, path, Value::Null).await
    };
    list(&token).await.expect(StatusCode::OK);
    list(&before).await.expect(StatusCode::OK);
    // The name of the key does not make a signature.
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let theirs = before.rsplit_once('.').unwrap().1;
    for bent in [
        format!("{signed}.{theirs}"),
        format!("{signed}.{}", &signature[..340]),
        format!("{signed}.{}", "A".repeat(342)),
        format!("{signed}."),
    ] {
        list(&bent).await.refuses(401, "unauthenticated");
    }
}

async fn what_follows_an_imported_key_is_of_its_kind_and_size(server: Server) {
    let acme = server.organization("acme").await;
    moved_in(&server, "acme", RSA_3072, Some("old")).await;
    let rotated = rotate(&server, &acme, json!({ "emergency": true })).await;
    let rotated = &rotated.expect(StatusCode::CREATED).body;
    let rotated = &rsa_key(&server, &acme, rotated).await;
    assert_eq!(rotated["imported"], json!(false));
    let modulus = rotated["public_jwk"]["n"].as_str().unwrap();
    assert_eq!(modulus.len(), 3072 / 6);
    assert_eq!(
        rotated["kid"].as_str().unwrap().len(),
        43,
        "an id of its own"
    );
}

async fn an_import_is_audited_without_the_key(server: Server) {
    server.organization("acme").await;
    moved_in(&server, "acme", ED25519, Some("old")).await;
    let events = Database::of(&server).await.audit_events("acme").await;
    let event = events.last().unwrap();
    assert_eq!(
        (&*event.action, &*event.target),
        ("signing_key.import", "old")
    );
    assert!(event.actor.starts_with("operator:"), "{}", event.actor);
    let details = event.details();
    assert_eq!(
        (&details["alg"], &details["already_published"]),
        (&json!("EdDSA"), &json!(true))
    );
    assert!(!event.details.contains("PRIVATE"));
}

async fn a_key_is_imported_from_a_shell(server: Server) {
    let acme = server.organization("acme").await;
    let operator = Shell::operator(&server);
    let file = server.place().folder().join("old.pem");
    fs::write(&file, RSA_2048).unwrap();
    let file = file.to_str().unwrap();
    let import = ["signing-keys", "import", file, "--kid", "-old"];
    operator.refuses(&import, 2, "--org");
    let import = [&import[..], &["--org", "acme", "--already-published"]].concat();
    assert_eq!(operator.does(&import), "-old signs from now on\n");
    assert_eq!(signs(&server, &acme).await, "-old");
    operator.refuses(&import, 5, "signing_key_known");

    fs::write(file, P256).unwrap();
    let import = ["signing-keys", "import", file, "--org", "acme"];
    let printed = operator.json(&import);
    assert_eq!(printed["status"], "next");
    assert!(!printed.to_string().contains("PRIVATE"));

    fs::write(file, P256.replace("END", "DNE")).unwrap();
    let said = operator.refuses(&import, 1, "/private_key_pem");
    assert!(!said.contains(&body(P256)[..20]), "{said}");
    operator.refuses(
        &["signing-keys", "import", "none.pem", "--org", "acme"],
        2,
        "none.pem",
    );
}
