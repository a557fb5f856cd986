//! Node.js clients: openid-client and simple-oauth2 obtain, jose validates.

use crate::obtain::{a_client_obtains_tokens, run};
use crate::on_both_engines;
use crate::runtime::node;
use crate::support::server::{Place, Server};
use crate::validate::{Refusals, a_library_validates_offline};

on_both_engines!(
    openid_client_discovers_each_issuer_and_obtains_tokens,
    openid_client_discovers_each_issuer_below_a_base_path,
    simple_oauth2_obtains_tokens_and_is_told_why_not,
    jose_validates_from_the_jwks_of_each_issuer,
    jose_validates_below_a_base_path,
);

async fn openid_client_discovers_each_issuer_and_obtains_tokens(server: Server) {
    openid_client_obtains(&server).await;
}

async fn openid_client_discovers_each_issuer_below_a_base_path(server: Server) {
    let server = server.stop().await.below("/mint").start().await;
    openid_client_obtains(&server).await;
}

async fn simple_oauth2_obtains_tokens_and_is_told_why_not(server: Server) {
    let Some(node) = node() else { return };
    let acme = server.organization("acme").await;
    a_client_obtains_tokens(&server, "", &acme, async |clients| {
        run(&node, "obtain_simple_oauth2.mjs", clients).await
    })
    .await;
}

async fn jose_validates_from_the_jwks_of_each_issuer(server: Server) {
    jose_validates(server.stop().await).await;
}

async fn jose_validates_below_a_base_path(server: Server) {
    jose_validates(server.stop().await.below("/mint")).await;
}

async fn openid_client_obtains(server: &Server) {
    let Some(node) = node() else { return };
    let acme = server.organization("acme").await;
    let initech = server.organization_signing_with("initech", "RS256").await;
    for (issuer, manager) in [
        ("", &acme),
        ("/orgs/acme", &acme),
        ("/orgs/initech", &initech),
    ] {
        a_client_obtains_tokens(server, issuer, manager, async |clients| {
            run(&node, "obtain_openid_client.mjs", clients).await
        })
        .await;
    }
}

async fn jose_validates(place: Place) {
    let Some(node) = node() else { return };
    let refusals = Refusals {
        tampered: "ERR_JWS_SIGNATURE_VERIFICATION_FAILED",
        expired: "ERR_JWT_EXPIRED exp",
        wrong_audience: "ERR_JWT_CLAIM_VALIDATION_FAILED aud",
        unknown_key: "ERR_JWKS_NO_MATCHING_KEY",
    };
    a_library_validates_offline(place, refusals, async |resource_server, tokens| {
        resource_server
            .run(&node, "validate_jose.mjs", tokens)
            .await
    })
    .await;
}
