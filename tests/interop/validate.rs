//! What every library that validates tokens offline is put through.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::StatusCode;
use serde_json::{Map, Value, json};
use tenmint::clock::Clock;
use tenmint::domain::timestamp::Timestamp;

use crate::runtime::Runtime;
use crate::support::server::{Key, Place, Server, claims, header};

/// Whom a resource server trusts, and whom tokens must be for: all that it is told.
pub struct ResourceServer {
    pub issuer: String,
    pub audience: &'static str,
}

/// What a library calls its refusals, in its own words.
pub struct Refusals {
    pub tampered: &'static str,
    pub expired: &'static str,
    pub wrong_audience: &'static str,
    pub unknown_key: &'static str,
}

const OURS: &str = "https://inference.example";
const ANOTHER: &str = "https://billing.example";
const LONG: Duration = Duration::from_hours(2);

impl ResourceServer {
    pub fn jwks_url(&self) -> String {
        format!("{}/.well-known/jwks.json", self.issuer)
    }

    /// As a driver takes them.
    pub async fn run(&self, runtime: &Runtime, driver: &str, tokens: Value) -> Value {
        let (jwks_url, tokens) = (self.jwks_url(), tokens.to_string());
        let inputs = [
            ("ISSUER", &*self.issuer),
            ("JWKS_URL", &jwks_url),
            ("AUDIENCE", self.audience),
            ("TOKENS", &tokens),
        ];
        runtime.run(driver, &inputs).await
    }
}

/// Has a library validate tokens of the deployment issuer, and of organizations that sign with
/// ES256, with EdDSA and with RS256, on a server at `place`.
///
/// `validate` gets an object of tokens and answers with an object of verdicts under the same
/// names: `{"claims": …}`, or `{"refused": …}` with what the library calls it.
pub async fn a_library_validates_offline(
    place: Place,
    refusals: Refusals,
    validate: impl AsyncFn(&ResourceServer, Value) -> Value,
) {
    // Tokens that have expired come from a clock that is behind, and then catches up.
    let now = Clock::system().now();
    let long_ago = now.unix() - i64::try_from(LONG.as_secs()).unwrap();
    let server = place
        .with(&["--audience", &format!("{OURS},{ANOTHER}")])
        .start_at(Timestamp::from_unix(long_ago).unwrap())
        .await;
    let mut issuers = Vec::new();
    let algorithms = [("acme", "ES256"), ("globex", "EdDSA"), ("initech", "RS256")];
    for (id, algorithm) in algorithms {
        let manager = server.organization_signing_with(id, algorithm).await;
        let key = server.key_with(&manager, &["read"]).await;
        if id == "acme" {
            issuers.push((String::new(), "ES256", key.clone()));
        }
        issuers.push((format!("/orgs/{id}"), algorithm, key));
    }
    let mut expired = Vec::new();
    for (issuer, _, key) in &issuers {
        expired.push(token(&server, issuer, key, OURS).await);
    }
    server.advance(LONG.as_secs());

    for (index, (issuer, algorithm, key)) in issuers.iter().enumerate() {
        let genuine = token(&server, issuer, key, OURS).await;
        assert_eq!(header(&genuine)["alg"], *algorithm);
        let (next, _, next_key) = &issuers[(index + 1) % issuers.len()];
        let tokens = json!({
            "genuine": genuine,
            "tampered": tampered(&genuine),
            "expired": expired[index],
            "wrong audience": token(&server, issuer, key, ANOTHER).await,
            "another issuer": token(&server, next, next_key, OURS).await,
        });
        let resource_server = ResourceServer {
            issuer: format!("{}{issuer}", server.base),
            audience: OURS,
        };
        let verdicts = validate(&resource_server, tokens).await;
        assert_eq!(
            verdicts,
            json!({
                "genuine": { "claims": claims(&genuine) },
                "tampered": { "refused": refusals.tampered },
                "expired": { "refused": refusals.expired },
                "wrong audience": { "refused": refusals.wrong_audience },
                "another issuer": { "refused": refusals.unknown_key },
            }),
            "{} {algorithm}",
            resource_server.issuer
        );
    }
}

async fn token(server: &Server, issuer: &str, key: &Key, resource: &str) -> String {
    let reply = server
        .exchange_at(issuer, key, &[("resource", resource)])
        .await;
    reply.expect(StatusCode::OK);
    reply.body["access_token"].as_str().unwrap().to_owned()
}

/// The token with its scope widened and its signature left as it was.
fn tampered(token: &str) -> String {
    let mut widened: Map<String, Value> = serde_json::from_value(claims(token)).unwrap();
    widened.insert("scope".to_owned(), "*".into());
    let payload = URL_SAFE_NO_PAD.encode(serde_json::to_string(&widened).unwrap());
    let parts: Vec<&str> = token.split('.').collect();
    format!("{}.{payload}.{}", parts[0], parts[2])
}
