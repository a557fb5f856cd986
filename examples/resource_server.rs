//! A resource server on axum: its routes take tokens that tenmint issued, and nothing else.
//!
//! `ISSUER=https://auth.example AUDIENCE=https://api.example cargo run --example resource_server`

#![allow(clippy::print_stdout, reason = "an example says where it listens")]

use std::env;
use std::error::Error;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use tenmint::verifier::{Follow, Refused, Scopes, Verified, Verifier};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let app = app(&env::var("ISSUER")?, &env::var("AUDIENCE")?).await?;
    let listener = TcpListener::bind("127.0.0.1:8090").await?;
    println!("listening on http://{}", listener.local_addr()?);
    // With connect info, so that a token's networks can be compared with the peer's address.
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).await?;
    Ok(())
}

/// The routes of a resource server that trusts this issuer.
pub async fn app(issuer: &str, audience: &str) -> Result<Router, Box<dyn Error>> {
    let verifier = Verifier::builder(issuer)
        .audience(audience)
        // Tokens of keys that are revoked are refused within seconds.
        .follow_revocations(Follow::polling())
        .build()?;
    // Fails at once when the issuer cannot be reached, and from then on keeps its keys fresh.
    verifier.ready().await?;
    tokio::spawn(verifier.clone().keep_fresh());

    let files = get(files).layer(Scopes::require("files.read"));
    let mut app = Router::new()
        .route("/whoami", get(whoami))
        .route("/files", files)
        .route("/projects/{id}", get(project))
        .layer(verifier.layer());
    if let Some(metadata) = verifier.resource_metadata() {
        // Outside the layer: for clients that have no token yet.
        app = app.route(metadata.path(), get(metadata.clone()));
    }
    Ok(app)
}

async fn whoami(caller: Verified) -> String {
    format!("{} of {}\n", caller.key_id(), caller.organization())
}

async fn files() -> &'static str {
    "all files\n"
}

/// What is needed depends on the path.
async fn project(caller: Verified, Path(id): Path<String>) -> Result<String, Refused> {
    caller.require(&format!("read:projects/{id}"))?;
    Ok(format!("project {id}\n"))
}
