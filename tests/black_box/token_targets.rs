//! The `resource` parameter (RFC 8707): for whom a token is.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::support::server::{Key, Place, Server, claims};

on_both_engines!(
    a_resource_that_is_not_served_here_is_refused,
    the_management_plane_is_asked_for_alone_and_at_the_deployment_issuer,
);

/// The `aud` of a token for these resources.
async fn audience(server: &Server, key: &Key, resources: &[&str]) -> Value {
    let asked: Vec<_> = resources.iter().map(|one| ("resource", *one)).collect();
    claims(&server.token(key, &asked).await)["aud"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_for_the_resources_asked_for_or_the_first_that_is_set() {
    let (api, files, urn) = (
        "https://api.example.com",
        "https://files.example.com/v2?tenant=1",
        "urn:example:events",
    );
    let set = [api, files, urn].join(",");
    let server = Place::sqlite().with(&["--audience", &set]).start().await;
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;

    assert_eq!(audience(&server, &key, &[]).await, api);
    assert_eq!(audience(&server, &key, &[""]).await, api);
    assert_eq!(audience(&server, &key, &[files]).await, files);
    assert_eq!(audience(&server, &key, &[urn, urn]).await, urn);
    let both = audience(&server, &key, &[urn, api]).await;
    assert_eq!(both, json!([urn, api]));
    assert_eq!(audience(&server, &key, &[&server.base]).await, server.base);

    // Compared byte by byte: what merely resembles an audience is another one.
    for other in [
        "https://api.example.com/",
        "https://API.example.com",
        "https://api.example.com:443",
        "https://files.example.com/v2",
    ] {
        let reply = server.exchange(&key, &[("resource", other)]).await;
        reply.refuses(400, "invalid_target");
        // Nor is a token given for the part that would do.
        let mixed = [("resource", api), ("resource", other)];
        let reply = server.exchange(&key, &mixed).await;
        reply.refuses(400, "invalid_target");
    }
}

async fn a_resource_that_is_not_served_here_is_refused(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let own = format!("{}/api", server.base);
    assert_eq!(audience(&server, &key, &[&own]).await, own);
    for bad in [
        "https://elsewhere.example",
        "/api",
        "api",
        "//api.example.com",
        "https://",
        "api.example.com/api",
        &format!("{own}#"),
        &format!("{own}#part"),
        &format!("{own} "),
        &format!("{own}\u{0}"),
        &format!("{own}\u{e9}"),
        &format!("{}/", server.base),
        &format!("{own}?{}", "x".repeat(10_000)),
    ] {
        for issuer in ["", "/orgs/acme"] {
            let parameters = [("resource", bad)];
            let reply = server.exchange_at(issuer, &key, &parameters).await;
            reply.refuses(400, "invalid_target");
        }
    }
}

async fn the_management_plane_is_asked_for_alone_and_at_the_deployment_issuer(server: Server) {
    let acme = server.organization("acme").await;
    let (own, management) = (format!("{}/api", server.base), server.base.clone());
    assert_eq!(audience(&server, &acme, &[&management]).await, management);
    for several in [[&*management, &own], [&own, &management]] {
        let asked = several.map(|one| ("resource", one));
        let reply = server.exchange(&acme, &asked).await;
        reply.refuses(400, "invalid_target");
    }
    let twice = [("resource", &*management), ("resource", &management)];
    server.exchange(&acme, &twice).await.expect(StatusCode::OK);
    let elsewhere = server
        .exchange_at("/orgs/acme", &acme, &[("resource", &management)])
        .await;
    elsewhere.refuses(400, "invalid_target");
    // An organization's issuer is not the management plane's audience either.
    let issuer = format!("{}/orgs/acme", server.base);
    let reply = server.exchange(&acme, &[("resource", &issuer)]).await;
    reply.refuses(400, "invalid_target");
}
