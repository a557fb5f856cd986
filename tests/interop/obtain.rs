//! What every client that obtains tokens is put through.

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::runtime::Runtime;
use crate::support::server::{Key, Server, claims};

/// What a client is told, and all that it is told.
#[derive(Clone)]
pub struct Client {
    pub issuer: String,
    pub key: Key,
    pub scope: Option<&'static str>,
}

impl Client {
    pub fn token_url(&self) -> String {
        format!("{}/oauth/token", self.issuer)
    }

    /// As a driver takes them.
    pub async fn run(&self, runtime: &Runtime, driver: &str) -> Value {
        let token_url = self.token_url();
        let mut inputs = vec![
            ("ISSUER", &*self.issuer),
            ("TOKEN_URL", &token_url),
            ("CLIENT_ID", &self.key.id),
            ("CLIENT_SECRET", &self.key.secret),
        ];
        inputs.extend(self.scope.map(|scope| ("SCOPE", scope)));
        runtime.run(driver, &inputs).await
    }

    fn with_scope(&self, scope: &'static str) -> Self {
        let scope = Some(scope);
        Self {
            scope,
            ..self.clone()
        }
    }

    fn with_secret(&self, secret: String) -> Self {
        let id = self.key.id.clone();
        Self {
            key: Key { id, secret },
            ..self.clone()
        }
    }
}

/// Has a client library obtain tokens from the issuer `{base}{issuer}`, for a key made under
/// `manager`: all that the key holds, less, and more; then with a mistyped secret, and with the
/// right one of a key that was revoked.
///
/// `exchange` answers, for each way in which the library can present a key, with the library's own
/// account of the token response or of the refusal.
pub async fn a_client_obtains_tokens(
    server: &Server,
    issuer: &str,
    manager: &Key,
    exchange: impl AsyncFn(&Client) -> Value,
) {
    let key = server
        .key_with(manager, &["read:projects/**", "inference"])
        .await;
    let client = Client {
        issuer: format!("{}{issuer}", server.base),
        key,
        scope: None,
    };

    let everything = exchange(&client).await;
    let held = "read:projects/** inference";
    granted(&everything, &client, held, held);
    // Some libraries fail when the answer says another scope than the request, so it is repeated
    // as it was written; the token has the canonical form.
    let asked = "read:projects/42/** inference:*";
    let less = client.with_scope(asked);
    let canonical = "read:projects/42/** inference";
    granted(&exchange(&less).await, &less, asked, canonical);

    let beyond = client.with_scope("read:projects/42/** write");
    refused(&exchange(&beyond).await, "invalid_scope");
    let imposter = client.with_secret(mistyped(&client.key.secret));
    refused(&exchange(&imposter).await, "invalid_client");

    let revoke = format!("/v1/api-keys/{}/revoke", client.key.id);
    let revoked = server.call(&manager.secret, Method::POST, &revoke, Value::Null);
    revoked.await.expect(StatusCode::OK);
    refused(&exchange(&client).await, "invalid_client");
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
