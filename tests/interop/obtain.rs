//! What every client that obtains tokens is put through.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::runtime::Runtime;
use crate::support::server::{Key, Server, claims};

/// What a client is told, and all that it is told.
pub struct Client {
    pub issuer: String,
    pub key: Key,
    pub scope: Option<&'static str>,
}

impl Client {
    pub fn token_url(&self) -> String {
        format!("{}/oauth/token", self.issuer)
    }
}

/// Has a driver exchange for all these clients of one issuer.
pub async fn run(runtime: &Runtime, driver: &str, clients: &[Client]) -> Value {
    let given = clients.iter().map(|client| {
        json!({
            "client_id": client.key.id,
            "client_secret": client.key.secret,
            "scope": client.scope,
        })
    });
    let given = given.collect::<Value>().to_string();
    let token_url = clients[0].token_url();
    let inputs = [
        ("ISSUER", &*clients[0].issuer),
        ("TOKEN_URL", &token_url),
        ("CLIENTS", &given),
    ];
    runtime.run(driver, &inputs).await
}

/// Has a client library obtain tokens from the issuer `{base}{issuer}`, for a key made under
/// `manager`: all that the key holds, less, and more; then with a mistyped secret, and with the
/// right one of a key that was revoked.
///
/// `exchange` answers with an object for each client, which holds for each way in which the library
/// can present a key the library's own account of the token response or of the refusal.
pub async fn a_client_obtains_tokens(
    server: &Server,
    issuer: &str,
    manager: &Key,
    exchange: impl AsyncFn(&[Client]) -> Value,
) {
    let key = server
        .key_with(manager, &["read:projects/**", "inference"])
        .await;
    let mistyped = Key {
        id: key.id.clone(),
        secret: mistyped(&key.secret),
    };
    let revoked = server.key_with(manager, &["inference"]).await;
    let revoke = format!("/v1/api-keys/{}/revoke", revoked.id);
    let revoke = server.call(&manager.secret, Method::POST, &revoke, Value::Null);
    revoke.await.expect(StatusCode::OK);

    let client = |key: &Key, scope| Client {
        issuer: format!("{}{issuer}", server.base),
        key: key.clone(),
        scope,
    };
    let clients = [
        client(&key, None),
        client(&key, Some("read:projects/42/** inference:*")),
        client(&key, Some("read:projects/42/** write")),
        client(&mistyped, None),
        client(&revoked, None),
    ];
    let outcomes = exchange(&clients).await;
    let outcomes = outcomes.as_array().unwrap();
    assert_eq!(outcomes.len(), clients.len());

    let held = "read:projects/** inference";
    granted(&outcomes[0], &clients[0], held, held);
    // Some libraries fail when the answer says another scope than the request, so it is repeated
    // as it was written; the token has the canonical form.
    let asked = clients[1].scope.unwrap();
    let canonical = "read:projects/42/** inference";
    granted(&outcomes[1], &clients[1], asked, canonical);

    refused(&outcomes[2], "invalid_scope");
    refused(&outcomes[3], "invalid_client");
    refused(&outcomes[4], "invalid_client");
}

#[track_caller]
fn granted(ways: &Value, client: &Client, answered: &str, claimed: &str) {
    for (way, response) in each(ways) {
        let token = response["access_token"].as_str();
        let token = token.unwrap_or_else(|| panic!("{way}: {response}"));
        let kind = response["token_type"].as_str().unwrap();
        assert!(kind.eq_ignore_ascii_case("Bearer"), "{way}: {kind}");
        assert_eq!(response["expires_in"], 600, "{way}");
        let scopes = &response["scope"];
        // Some libraries split it.
        let said = scopes.as_array().map_or_else(
            || scopes.as_str().unwrap().to_owned(),
            |scopes| {
                let scopes: Vec<_> = scopes.iter().map(|s| s.as_str().unwrap()).collect();
                scopes.join(" ")
            },
        );
        assert_eq!(said, answered, "{way}");

        let claims = claims(token);
        assert_eq!(claims["iss"], client.issuer, "{way}");
        assert_eq!(claims["client_id"], client.key.id, "{way}");
        assert_eq!(claims["scope"], claimed, "{way}");
    }
}

#[track_caller]
fn refused(ways: &Value, error: &str) {
    for (way, response) in each(ways) {
        assert_eq!(response["error"], error, "{way}: {response}");
        let description = response["error_description"].as_str();
        assert!(description.is_some_and(|text| !text.is_empty()), "{way}");
    }
}

#[track_caller]
fn each(ways: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let ways = ways.as_object().unwrap();
    assert!(!ways.is_empty());
    ways.iter()
}

/// The secret with one character taken for another.
fn mistyped(secret: &str) -> String {
    let at = secret.len() / 2;
    let instead = if &secret[at..=at] == "a" { "b" } else { "a" };
    format!("{}{instead}{}", &secret[..at], &secret[at + 1..])
}
