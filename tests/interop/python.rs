//! Python clients: Authlib and requests-oauthlib obtain, PyJWT and joserfc (Authlib's JOSE) validate.

use reqwest::Method;
use serde_json::Value;

use crate::obtain::{a_client_obtains_tokens, run};
use crate::on_both_engines;
use crate::runtime::python;
use crate::support::server::{Place, Server};
use crate::validate::{Refusals, a_library_validates_offline};

on_both_engines!(
    authlib_obtains_tokens_and_is_told_why_not,
    authlib_revokes_what_it_obtained,
    requests_oauthlib_obtains_tokens_and_is_told_why_not,
    pyjwt_validates_with_nothing_but_issuer_and_audience,
    pyjwt_validates_below_a_base_path,
    joserfc_validates_from_the_jwks_of_each_issuer,
);

async fn authlib_obtains_tokens_and_is_told_why_not(server: Server) {
    obtains(&server, "obtain_authlib.py").await;
}

async fn authlib_revokes_what_it_obtained(server: Server) {
    let Some(python) = python() else { return };
    let acme = server.organization("acme").await;
    let url = format!("{}/oauth/token", server.base);
    let inputs = [
        ("TOKEN_URL", &*url),
        ("REVOKE_URL", &url.replace("token", "revoke")),
        ("RESOURCE", &server.base),
        ("CLIENT_ID", &acme.id),
        ("CLIENT_SECRET", &acme.secret),
    ];
    let outcomes = python.run("revoke_authlib.py", &inputs).await;
    let outcomes = outcomes.as_object().unwrap();
    assert_eq!(outcomes.len(), 4);
    for (way, outcome) in outcomes {
        assert_eq!(outcome["status"], 200, "{way}");
        let token = outcome["access_token"].as_str().unwrap();
        let path = "/v1/api-keys";
        let refused = server.call(token, Method::GET, path, Value::Null).await;
        refused.refuses(401, "unauthenticated");
    }
}

async fn requests_oauthlib_obtains_tokens_and_is_told_why_not(server: Server) {
    obtains(&server, "obtain_requests_oauthlib.py").await;
}

async fn pyjwt_validates_with_nothing_but_issuer_and_audience(server: Server) {
    pyjwt_validates(server.stop().await).await;
}

async fn pyjwt_validates_below_a_base_path(server: Server) {
    pyjwt_validates(server.stop().await.below("/mint")).await;
}

async fn joserfc_validates_from_the_jwks_of_each_issuer(server: Server) {
    let Some(python) = python() else { return };
    let refusals = Refusals {
        tampered: "BadSignatureError",
        expired: "ExpiredTokenError",
        wrong_audience: "InvalidClaimError",
        unknown_key: "InvalidKeyIdError",
    };
    let place = server.stop().await;
    a_library_validates_offline(place, refusals, async |resource_server, tokens| {
        resource_server
            .run(&python, "validate_joserfc.py", tokens)
            .await
    })
    .await;
}

async fn obtains(server: &Server, driver: &str) {
    let Some(python) = python() else { return };
    let acme = server.organization("acme").await;
    a_client_obtains_tokens(server, "", &acme, async |clients| {
        run(&python, driver, clients).await
    })
    .await;
}

async fn pyjwt_validates(place: Place) {
    let Some(python) = python() else { return };
    let refusals = Refusals {
        tampered: "InvalidSignatureError",
        expired: "ExpiredSignatureError",
        wrong_audience: "InvalidAudienceError",
        unknown_key: "PyJWKClientError",
    };
    a_library_validates_offline(place, refusals, async |resource_server, tokens| {
        resource_server
            .run(&python, "validate_pyjwt.py", tokens)
            .await
    })
    .await;
}
