//! Rust clients: the `oauth2` crate obtains, `jsonwebtoken` validates.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use oauth2::basic::BasicClient;
use oauth2::{
    AuthType, ClientId, ClientSecret, HttpClientError, HttpRequest, HttpResponse,
    RequestTokenError, Scope, TokenResponse, TokenUrl,
};
use serde_json::{Value, json};

use crate::obtain::{Client, a_client_obtains_tokens};
use crate::on_both_engines;
use crate::support::server::Server;
use crate::validate::{Refusals, ResourceServer, a_library_validates_offline};

on_both_engines!(
    oauth2_obtains_tokens_and_is_told_why_not,
    jsonwebtoken_validates_from_the_jwks_of_each_issuer,
);

async fn oauth2_obtains_tokens_and_is_told_why_not(server: Server) {
    let acme = server.organization("acme").await;
    a_client_obtains_tokens(&server, "", &acme, async |clients| {
        let mut outcomes = Vec::new();
        for client in clients {
            outcomes.push(json!({
                "basic": obtain(client, AuthType::BasicAuth).await,
                "body": obtain(client, AuthType::RequestBody).await,
            }));
        }
        outcomes.into()
    })
    .await;
}

async fn jsonwebtoken_validates_from_the_jwks_of_each_issuer(server: Server) {
    let refusals = Refusals {
        tampered: "InvalidSignature",
        expired: "ExpiredSignature",
        wrong_audience: "InvalidAudience",
        unknown_key: "no such key",
    };
    let place = server.stop().await;
    a_library_validates_offline(place, refusals, async |resource_server, tokens| {
        let jwks = reqwest::get(resource_server.jwks_url()).await.unwrap();
        let jwks: JwkSet = jwks.json().await.unwrap();
        let tokens = tokens.as_object().unwrap().iter();
        tokens
            .map(|(name, token)| {
                let verdict = validate(resource_server, &jwks, token.as_str().unwrap());
                (name.clone(), verdict)
            })
            .collect()
    })
    .await;
}

async fn obtain(client: &Client, auth_type: AuthType) -> Value {
    let http = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let oauth2 = BasicClient::new(ClientId::new(client.key.id.clone()))
        .set_client_secret(ClientSecret::new(client.key.secret.clone()))
        .set_token_uri(TokenUrl::new(client.token_url()).unwrap())
        .set_auth_type(auth_type);
    let mut request = oauth2.exchange_client_credentials();
    for scope in client.scope.into_iter().flat_map(|scope| scope.split(' ')) {
        request = request.add_scope(Scope::new(scope.to_owned()));
    }
    let answer = request
        .request_async(&|request| send(http.clone(), request))
        .await;
    match answer {
        Ok(token) => json!({
            "access_token": token.access_token().secret(),
            "token_type": token.token_type(),
            "expires_in": token.expires_in().unwrap().as_secs(),
            "scope": token.scopes(),
        }),
        Err(RequestTokenError::ServerResponse(refusal)) => json!({
            "error": refusal.error().as_ref(),
            "error_description": refusal.error_description(),
        }),
        Err(other) => panic!("{other:?}"),
    }
}

/// The crate's own client is of an older reqwest; one's own is handed to it like this.
async fn send(
    http: reqwest::Client,
    request: HttpRequest,
) -> Result<HttpResponse, HttpClientError<reqwest::Error>> {
    let failed = |error| HttpClientError::Reqwest(Box::new(error));
    let request = request.try_into().map_err(failed)?;
    let response = http.execute(request).await.map_err(failed)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.bytes().await.map_err(failed)?;
    let mut answer = HttpResponse::new(body.to_vec());
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    Ok(answer)
}

/// The signature is checked by ring, which this process has given the crate to work with.
fn validate(resource_server: &ResourceServer, jwks: &JwkSet, token: &str) -> Value {
    let kid = decode_header(token).unwrap().kid.unwrap();
    let Some(jwk) = jwks.find(&kid) else {
        return json!({ "refused": "no such key" });
    };
    // What the key is for decides, not what the token says.
    let algorithm = jwk.common.key_algorithm.unwrap().to_string();
    let mut validation = Validation::new(algorithm.parse().unwrap());
    validation.set_issuer(&[&resource_server.issuer]);
    validation.set_audience(&[resource_server.audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    match decode::<Value>(token, &DecodingKey::from_jwk(jwk).unwrap(), &validation) {
        Ok(valid) => json!({ "claims": valid.claims }),
        Err(refusal) => json!({ "refused": format!("{:?}", refusal.kind()) }),
    }
}
