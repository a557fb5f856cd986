//! schemathesis: thousands of requests made up from the OpenAPI document, good ones and bad ones,
//! and every answer held against it.

use std::path::Path;

use reqwest::Method;
use reqwest::StatusCode;
use serde_json::Value;

use crate::runtime::schemathesis;
use crate::support::server::Server;

const CONFIG: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/interop/python/schemathesis.toml"
);

/// On SQLite alone: what is tried is what HTTP says, which no engine changes.
#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing() {
    let Some(schemathesis) = schemathesis() else {
        return;
    };
    let server = Server::on_sqlite().await;
    // The operator's key reaches everything, and what is broken is an organization of its own.
    let manager = server.organization("scratch").await;
    let key = server.key_with(&manager, &["read"]).await;
    let document = format!("{}/openapi.json", server.base);
    let arguments = [
        "--config-file",
        CONFIG,
        "--no-color",
        "run",
        &document,
        "--url",
        &server.base,
        "--max-failures",
        "10",
    ];
    let inputs = [
        ("API_KEY", &*server.operator),
        ("ORGANIZATION", "scratch"),
        ("KEY_ID", &key.id),
    ];
    // It keeps notes where it runs.
    let folder: &Path = server.place().folder();
    let (found_nothing, report) = schemathesis.judge(&arguments, &inputs, folder).await;
    assert!(found_nothing, "{report}");
    // It was let in from the first request to the last.
    let path = "/v1/organizations";
    let reply = server.operate(Method::GET, path, Value::Null).await;
    reply.expect(StatusCode::OK);
}
