//! What a thief of the database gains: nothing that signs, and nothing that opens elsewhere.

use std::fs;

use reqwest::StatusCode;
use tenmint::clock::Clock;

use crate::on_both_engines;
use crate::support::server::{Place, Server};

on_both_engines!(
    a_copied_database_opens_under_no_other_root_key,
    sealed_keys_swapped_between_rows_sign_nothing,
    a_planted_public_key_is_not_published,
    a_hash_that_demands_gigabytes_is_not_run,
);

/// The thief edits the copy to belong to a root key of his own. It starts; nothing in it works.
async fn a_copied_database_opens_under_no_other_root_key(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let clock = server.clock.clone();
    let place = server.stop().await;

    let thief = Place::sqlite().start().await.stop().await;
    fs::copy(thief.root_key_file(), place.root_key_file()).unwrap();
    let own = thief.query("SELECT root_key FROM deployment").await;
    for table in ["deployment", "organizations"] {
        place
            .execute(&format!("UPDATE {table} SET root_key = '{}'", own[0]))
            .await;
    }
    let server = Server::start(place, clock)
        .await
        .map_err(|(why, _)| why)
        .unwrap();

    server
        .exchange(&key, &[])
        .await
        .refuses(401, "invalid_client");
    let jwks = server.get("/orgs/acme/.well-known/jwks.json").await;
    assert_eq!(
        jwks.status,
        StatusCode::INTERNAL_SERVER_ERROR,
        "{}",
        jwks.text
    );
    // Not even with a key that he made himself, beside what he stole.
    let himself = server.operator_key();
    server
        .exchange(&himself, &[])
        .await
        .refuses(500, "server_error");
}

async fn sealed_keys_swapped_between_rows_sign_nothing(server: Server) {
    let (acme, umbrella) = (
        server.organization("acme").await,
        server.organization("umbrella").await,
    );
    let (one, two) = (
        server.key_with(&acme, &["read"]).await,
        server.key_with(&umbrella, &["read"]).await,
    );
    let clock = Clock::manual(server.clock.now());
    let place = server.stop().await;
    for step in [
        "CREATE TABLE stolen AS SELECT organization_id, sealed FROM signing_keys",
        "UPDATE signing_keys SET sealed =
           (SELECT sealed FROM stolen WHERE stolen.organization_id = 'umbrella')
         WHERE organization_id = 'acme'",
        "UPDATE signing_keys SET sealed =
           (SELECT sealed FROM stolen WHERE stolen.organization_id = 'acme')
         WHERE organization_id = 'umbrella'",
    ] {
        place.execute(step).await;
    }
    let server = Server::start(place, clock)
        .await
        .map_err(|(why, _)| why)
        .unwrap();
    server
        .exchange_at("/orgs/acme", &one, &[])
        .await
        .refuses(500, "server_error");
    server
        .exchange_at("/orgs/umbrella", &two, &[])
        .await
        .refuses(500, "server_error");
    server.exchange(&one, &[]).await.expect(StatusCode::OK);
}

async fn a_planted_public_key_is_not_published(server: Server) {
    server.organization("acme").await;
    let before = server.get("/orgs/acme/.well-known/jwks.json").await;
    let clock = server.clock.clone();
    let place = server.stop().await;
    place
        .execute(
            r#"UPDATE signing_keys SET public_jwk =
               '{"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"}' WHERE organization_id = 'acme'"#,
        )
        .await;
    let server = Server::start(place, clock)
        .await
        .map_err(|(why, _)| why)
        .unwrap();
    let after = server.get("/orgs/acme/.well-known/jwks.json").await;
    assert_eq!(after.text, before.text);
}

async fn a_hash_that_demands_gigabytes_is_not_run(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    server
        .place()
        .execute("UPDATE api_key_secrets SET hash = replace(hash, 'm=1024', 'm=4194304')")
        .await;
    server
        .exchange(&key, &[])
        .await
        .refuses(500, "server_error");
}
