//! The README's examples, as they stand there, against a running server.

use serde_json::{Value, json};

use crate::on_both_engines;
use crate::runtime::{Runtime, node, python, shell_with_curl};
use crate::support::server::{Key, Server, claims};

on_both_engines!(
    the_curl_example_obtains_a_token,
    the_python_examples_obtain_a_token_and_validate_it,
    the_node_example_obtains_a_token,
);

/// Where the README's server is.
pub const BASE: &str = "http://127.0.0.1:8080";

/// The one block of code in the README that is in `language` and has `mark` in it.
pub fn block(language: &str, mark: &str) -> String {
    let readme = include_str!("../../README.md");
    let opening = format!("```{language}\n");
    let mut blocks = readme
        .split(&opening)
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .filter(|block| block.contains(mark));
    let block = blocks.next();
    assert!(blocks.next().is_none(), "several blocks have {mark}");
    block
        .unwrap_or_else(|| panic!("no block has {mark}"))
        .to_owned()
}

async fn the_curl_example_obtains_a_token(server: Server) {
    let Some(shell) = shell_with_curl() else {
        return;
    };
    let key = key(&server).await;
    let printed = run(&shell, &block("sh", "-d scope=inference"), &server, &key).await;
    let answer: Value = serde_json::from_str(&printed).unwrap();
    is_token(answer["access_token"].as_str().unwrap(), &key);
}

async fn the_python_examples_obtain_a_token_and_validate_it(server: Server) {
    let Some(python) = python() else { return };
    let key = key(&server).await;
    let client = block("python", "fetch_token");
    let token = run(&python, &client, &server, &key).await;
    is_token(token.trim(), &key);

    let resource_server = block("python", "def authenticate").replace(BASE, &server.base);
    let calls = format!("{resource_server}{CALLS}");
    let token = token.trim();
    let printed = python.run_text(&calls, &[("TOKEN", token)]).await;
    let validated: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(validated, claims(token));
}

/// The key is for 127.0.0.0/8 alone.
const CALLS: &str = r#"
import json, os
claims = authenticate(os.environ["TOKEN"], "127.0.0.1")
try:
    authenticate(os.environ["TOKEN"], "192.0.2.1")
except PermissionError:
    print(json.dumps(claims))
"#;

async fn the_node_example_obtains_a_token(server: Server) {
    let Some(node) = node() else { return };
    let key = key(&server).await;
    let token = run(&node, &block("js", "openid-client"), &server, &key).await;
    is_token(token.trim(), &key);
}

async fn key(server: &Server) -> Key {
    let acme = server.organization("acme").await;
    let networks = ["127.0.0.0/8"];
    let body = json!({
        "name": "readme", "scopes": ["inference", "read"], "allowed_ip_cidrs": networks,
    });
    server.key(&acme, body).await
}

async fn run(runtime: &Runtime, example: &str, server: &Server, key: &Key) -> String {
    let example = example.replace(BASE, &server.base);
    let inputs = [
        ("TENMINT_CLIENT_ID", &*key.id),
        ("TENMINT_API_KEY", &key.secret),
    ];
    runtime.run_text(&example, &inputs).await
}

/// A token of this key, with the scope that each example asks for.
#[track_caller]
fn is_token(token: &str, key: &Key) {
    let claims = claims(token);
    assert_eq!(claims["client_id"], key.id);
    assert_eq!(claims["scope"], "inference");
}
