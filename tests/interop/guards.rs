//! Programs that guard a service with tokens and ask the mint nothing: Envoy and nginx, as the files in
//! `docs/resource-servers` set them up.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::gateways::{Gateway, envoy, found, run_envoy, run_nginx, service};
use crate::resource_servers::{DOCS, Mint, holds};
use crate::runtime::lua;
use crate::support::left_out::or_left_out;
use crate::support::server::Reply;

/// A program that is set up by files, and where it is.
pub enum Guard {
    Envoy(PathBuf),
    Nginx(PathBuf),
}

/// How often what is published is looked at.
#[derive(Clone, Copy, PartialEq)]
pub enum Pace {
    AsWritten,
    TenTimesASecond,
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_lets_through_what_a_resource_server_should() {
    if let Some(guard) = Guard::envoy() {
        lets_through_what_it_should(&guard).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_lets_through_what_a_resource_server_should() {
    if let Some(guard) = Guard::nginx() {
        lets_through_what_it_should(&guard).await;
    }
}

async fn lets_through_what_it_should(guard: &Guard) {
    let mint = Mint::start().await;
    let published = mint.server.address();
    let gateway = guard.start(&mint.server.base, published, Pace::AsWritten);
    let gateway = gateway.await;
    let url = &gateway.url;
    let token = mint.server.token(&mint.key, &[]).await;
    let get = || reqwest::Client::new().get(format!("{url}/whoami"));

    // What the service is told is not the client's to say, and what it is told cannot be taken out
    // on the way.
    let names = ["Key-Id", "Org", "Scope", "External-Id", "Feed", "Other"];
    let lying = names.iter().fold(get(), |request, name| {
        let request = request.header(format!("X-Tenmint-{name}"), "evil");
        request.header(format!("X_Tenmint_{name}"), "evil")
    });
    let hidden = "close, authorization, x-tenmint-org, x-tenmint-key-id";
    for request in [get(), get().header("connection", hidden)] {
        let reply = Reply::of(request.bearer_auth(&token)).await;
        // Envoy takes the token out, and then misses it.
        if reply.status != StatusCode::UNAUTHORIZED {
            let seen = &reply.expect(StatusCode::OK).body["headers"];
            assert_eq!(seen["x-tenmint-org"], json!(["acme"]));
            assert_eq!(seen["x-tenmint-key-id"], json!([mint.key.id]));
            assert_eq!(seen["authorization"], json!([format!("Bearer {token}")]));
        }
    }
    // Some refuse what is written with _ altogether.
    let reply = Reply::of(lying.bearer_auth(&token)).await;
    assert!(!reply.text.contains("evil"), "{}", reply.text);

    holds(&mint, url).await;
}

impl Guard {
    #[track_caller]
    pub fn envoy() -> Option<Self> {
        envoy().map(Self::Envoy)
    }

    /// nginx with its module for Lua.
    #[track_caller]
    pub fn nginx() -> Option<Self> {
        let module = Path::new("/usr/share/nginx/modules-available/mod-http-lua.conf");
        let module = or_left_out(
            module.exists().then_some(()),
            "nginx's Lua",
            "run .ci/run once",
        );
        module.and_then(|()| found("nginx")).map(Self::Nginx)
    }

    /// Before a service that answers with what it sees. What the issuer publishes is had from `published`.
    pub async fn start(&self, issuer: &str, published: SocketAddr, pace: Pace) -> Gateway {
        let start = |folder: &Path, config: &dyn Fn(&str) -> String| match self {
            Self::Envoy(program) => set_up_envoy(program, folder, config, issuer, published, pace),
            Self::Nginx(program) => set_up_nginx(program, folder, config, issuer, pace),
        };
        Gateway::start(published, service().await, start).await
    }
}

const WRITTEN: &str = "http://127.0.0.1:8080";

fn set_up_envoy(
    program: &Path,
    folder: &Path,
    config: &dyn Fn(&str) -> String,
    issuer: &str,
    published: SocketAddr,
    pace: Pace,
) -> Command {
    let here = format!("{}/", folder.display());
    let address = published.to_string();
    let often = if pace == Pace::AsWritten {
        "5000"
    } else {
        "100"
    };
    copy("lua/tenmint_scopes.lua", folder, &[]);
    copy("lua/tenmint_revocations.lua", folder, &[]);
    copy(
        "envoy/tenmint.lua",
        folder,
        &[("/etc/envoy/", &here), (WRITTEN, issuer)],
    );
    let changes = [("127.0.0.1:8080", &*address), ("5000", often)];
    copy("envoy/tenmint_feed.lua", folder, &changes);
    let said = config("../resource-servers/envoy/envoy.yaml");
    let (theirs, ours) = (
        format!("issuer: http://{published}"),
        format!("issuer: {issuer}"),
    );
    let changes = [("/etc/envoy/", &*here), (&theirs, &ours)];
    let path = folder.join("envoy.yaml");
    std::fs::write(&path, changed(said, &changes)).unwrap();
    run_envoy(program, &path)
}

fn set_up_nginx(
    program: &Path,
    folder: &Path,
    config: &dyn Fn(&str) -> String,
    issuer: &str,
    pace: Pace,
) -> Command {
    // Free a moment ago.
    let within = TcpListener::bind("127.0.0.1:0").unwrap();
    let within = within.local_addr().unwrap();
    let port = within.port().to_string();
    let often = if pace == Pace::AsWritten {
        "5, 240"
    } else {
        "0.1, 240"
    };
    for file in [
        "lua/tenmint_scopes.lua",
        "lua/tenmint_revocations.lua",
        "nginx/tenmint_keys.lua",
    ] {
        copy(file, folder, &[]);
    }
    copy("nginx/tenmint_issuer.lua", folder, &[("5, 240", often)]);
    copy(
        "nginx/tenmint.lua",
        folder,
        &[(WRITTEN, issuer), ("8001", &port)],
    );
    let (here, within) = (folder.display().to_string(), within.to_string());
    let changes = [
        ("/etc/nginx/tenmint/?.lua", &*format!("{here}/?.lua")),
        ("127.0.0.1:8001", &within),
    ];
    let config = |name: &str| {
        changed(
            config(&format!("../resource-servers/nginx/{name}")),
            &changes,
        )
    };
    run_nginx(program, folder, &config)
}

/// A file of `docs/resource-servers`, with other places in it.
fn copy(file: &str, into: &Path, changes: &[(&str, &str)]) {
    let from = Path::new(DOCS).join("resource-servers").join(file);
    let said = std::fs::read_to_string(&from).unwrap();
    let path = into.join(from.file_name().unwrap());
    std::fs::write(path, changed(said, changes)).unwrap();
}

fn changed(said: String, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(said, |said, (before, after)| {
        assert!(said.contains(before), "{before}");
        said.replace(before, after)
    })
}

#[tokio::test]
async fn the_helper_for_lua_holds_the_shared_vectors() {
    let Some(lua) = lua() else { return };
    let read = |name| -> Value {
        let text = std::fs::read_to_string(Path::new(DOCS).join(name)).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let revocations = read("revocation-vectors.json");
    let vectors = json!({
        "scopes": read("scope-vectors.json"), "networks": read("network-vectors.json"),
        "jwks": revocations["jwks"].to_string(), "revocations": revocations,
    });
    let path = folder.path().join("vectors.lua");
    std::fs::write(&path, format!("return {}", in_lua(&vectors))).unwrap();
    let helpers =
        format!("{DOCS}/resource-servers/lua/?.lua;{DOCS}/resource-servers/nginx/?.lua;;");
    let inputs = [("LUA_PATH", &*helpers), ("VECTORS", path.to_str().unwrap())];
    let report = lua.run("check_vectors.lua", &inputs).await;
    assert_eq!(report["wrong"], json!([]));
    assert!(report["count"].as_u64() > Some(250));
}

/// JSON as Lua writes it. For null, which Lua would take as nothing, stands false.
fn in_lua(value: &Value) -> String {
    match value {
        Value::Null => "false".to_owned(),
        Value::String(text) => {
            let bytes = text.bytes().map(|byte| format!("\\{byte:03}"));
            format!("\"{}\"", bytes.collect::<String>())
        }
        Value::Array(values) => {
            let values: Vec<_> = values.iter().map(in_lua).collect();
            format!("{{{}}}", values.join(","))
        }
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| {
                let name = in_lua(&Value::String(name.clone()));
                format!("[{name}]={}", in_lua(value))
            };
            let members: Vec<_> = members.iter().map(member).collect();
            format!("{{{}}}", members.join(","))
        }
        plain => plain.to_string(),
    }
}
