//! Python clients: Authlib and requests-oauthlib obtain, PyJWT validates.

use crate::obtain::{a_client_obtains_tokens, run};
use crate::on_both_engines;
use crate::runtime::python;
use crate::support::server::{Place, Server};
use crate::validate::{Refusals, a_library_validates_offline};

on_both_engines!(
    authlib_obtains_tokens_and_is_told_why_not,
    requests_oauthlib_obtains_tokens_and_is_told_why_not,
    pyjwt_validates_with_nothing_but_issuer_and_audience,
    pyjwt_validates_below_a_base_path,
);

async fn authlib_obtains_tokens_and_is_told_why_not(server: Server) {
    obtains(&server, "obtain_authlib.py").await;
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
