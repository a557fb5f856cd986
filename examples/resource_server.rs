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
use tenmint::verifier::{Refused, Scopes, Verified, Verifier};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let issuer = env::var("ISSUER")?;
    let audience = env::var("AUDIENCE")?;
    let listen = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:8090".to_owned());

    let verifier = Verifier::builder(&issuer).audience(&audience).build()?;
    verifier.ready().await?;
    tokio::spawn(verifier.clone().keep_fresh());

    let mut app = Router::new()
        .route("/files", get(files).layer(Scopes::require("files.read")))
        .route("/projects/{id}", get(project))
        .route("/whoami", get(whoami))
        .layer(verifier.layer());
    if let Some(metadata) = verifier.resource_metadata() {
        app = app.route(metadata.path(), get(metadata.clone()));
    }

    let listener = TcpListener::bind(listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    // With connect info, so that the networks of a token can be compared with the peer's address.
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).await?;
    Ok(())
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
