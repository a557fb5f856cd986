//! The programs of `docs/resource-servers`, as they are printed there, against the mint's tokens.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::json;
use tenmint::clock::Clock;
use tenmint::domain::timestamp::Timestamp;
use tokio::net::{TcpListener, TcpStream};

use crate::runtime::{Runtime, node, python};
use crate::signed_by_hand;
use crate::support::server::{Key, Place, Reply, Server};

#[path = "../../examples/resource_server.rs"]
#[allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "an example, included"
)]
mod example;

pub const AUDIENCE: &str = "https://api.example";
const ANOTHER: &str = "https://billing.example";
pub const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs");
const LONG: u64 = 7_200;

/// A mint, and one token of each kind.
pub struct Mint {
    pub server: Server,
    /// For `files.*` and `read:projects/42/**`.
    pub key: Key,
    expired: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_for_rust_lets_through_what_it_should() {
    let mint = Mint::start().await;
    let app = example::app(&mint.server.base, AUDIENCE).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    holds(&mint, &url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_for_python_lets_through_what_it_should() {
    let Some(python) = python() else { return };
    let mint = Mint::start().await;
    let folder = Path::new(DOCS).join("resource-servers/python");
    let port = free_port().await;
    let arguments = ["-m", "uvicorn", "--no-proxy-headers", "--port", &port];
    let arguments = [
        &arguments[..],
        &["--log-level", "error", "resource_server:app"],
    ]
    .concat();
    let inputs = [("ISSUER", &*mint.server.base), ("AUDIENCE", AUDIENCE)];
    let _running = python.start(&arguments, &inputs, &folder);
    holds(&mint, &answering(&port).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_for_node_lets_through_what_it_should() {
    let Some(node) = node() else { return };
    let mint = Mint::start().await;
    // Beside its packages, as `npm install` puts them.
    let folder = tempfile::tempdir().unwrap();
    for file in [
        "resource_server.mjs",
        "tenmint-scopes.mjs",
        "tenmint-revocations.mjs",
    ] {
        let from = format!("{DOCS}/resource-servers/node/{file}");
        std::fs::copy(from, folder.path().join(file)).unwrap();
    }
    let packages = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/interop/node/node_modules"
    );
    std::os::unix::fs::symlink(packages, folder.path().join("node_modules")).unwrap();
    let port = free_port().await;
    let inputs = [
        ("ISSUER", &*mint.server.base),
        ("AUDIENCE", AUDIENCE),
        ("PORT", &port),
    ];
    let _running = node.start(&["resource_server.mjs"], &inputs, folder.path());
    holds(&mint, &answering(&port).await).await;
}

#[tokio::test]
async fn the_helper_for_python_holds_the_shared_vectors() {
    if let Some(python) = python() {
        holds_vectors(&python, "check_vectors.py", "python").await;
    }
}

#[tokio::test]
async fn the_helper_for_javascript_holds_the_shared_vectors() {
    if let Some(node) = node() {
        holds_vectors(&node, "check_vectors.mjs", "node").await;
    }
}

#[test]
fn the_documents_print_the_programs_that_are_tested() {
    for (document, program) in [
        ("rust.md", "../../examples/resource_server.rs"),
        ("README.md", "python/resource_server.py"),
        ("README.md", "node/resource_server.mjs"),
        ("README.md", "go/resource_server.go"),
        (
            "README.md",
            "java/src/main/java/example/ResourceServer.java",
        ),
        ("README.md", "nginx/nginx.conf"),
        ("README.md", "envoy/envoy.yaml"),
    ] {
        let folder = Path::new(DOCS).join("resource-servers");
        let text = std::fs::read_to_string(folder.join(document)).unwrap();
        let program_text = std::fs::read_to_string(folder.join(program)).unwrap();
        let is_there = text.contains(&program_text) || text.contains(&format!("]({program})"));
        assert!(is_there, "{document}: {program}");
    }
}

async fn holds_vectors(runtime: &Runtime, driver: &str, folder: &str) {
    let inputs = [
        ("HELPERS", format!("{DOCS}/resource-servers/{folder}")),
        ("SCOPE_VECTORS", format!("{DOCS}/scope-vectors.json")),
        ("NETWORK_VECTORS", format!("{DOCS}/network-vectors.json")),
        (
            "REVOCATION_VECTORS",
            format!("{DOCS}/revocation-vectors.json"),
        ),
    ];
    let inputs = inputs.each_ref().map(|(name, value)| (*name, &**value));
    let report = runtime.run(driver, &inputs).await;
    assert_eq!(report["wrong"], json!([]));
    assert!(report["count"].as_u64() > Some(250));
}

pub async fn free_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port().to_string()
}

/// The URL of a program, once it listens.
pub async fn answering(port: &str) -> String {
    let address = format!("127.0.0.1:{port}");
    for _ in 0..600 {
        if TcpStream::connect(&address).await.is_ok() {
            return format!("http://{address}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nothing listens on {address} after a minute");
}

impl Mint {
    pub async fn start() -> Self {
        // A token that has expired comes from a clock that is behind, and then catches up.
        let now = Clock::system().now().unix();
        let long_ago = now - i64::try_from(LONG).unwrap();
        let place = Place::sqlite().with(&["--audience", &format!("{AUDIENCE},{ANOTHER}")]);
        let server = place
            .start_at(Timestamp::from_unix(long_ago).unwrap())
            .await;
        signed_by_hand::hold_the_signing_key(&server).await;
        let acme = server.organization("acme").await;
        let scopes = ["files.*", "read:projects/42/**"];
        let key = server.key_with(&acme, &scopes).await;
        let expired = server.token(&key, &[]).await;
        server.advance(LONG);
        Self {
            server,
            key,
            expired,
        }
    }

    /// A token of a key that is confined to another address of this machine, and a client there.
    async fn confined(&self) -> (String, Client) {
        let acme = self.server.organization("confined").await;
        let body = json!({
            "name": "confined", "scopes": ["files.read"], "allowed_ip_cidrs": ["127.0.0.2"],
        });
        let key = self.server.key(&acme, body).await;
        let there: IpAddr = "127.0.0.2".parse().unwrap();
        let client = Client::builder().local_address(there).build().unwrap();
        let asked = client.post(format!("{}/oauth/token", self.server.base));
        let asked = asked.basic_auth(&key.id, Some(&key.secret));
        let reply = Reply::of(asked.form(&[("grant_type", "client_credentials")])).await;
        reply.expect(StatusCode::OK);
        (
            reply.body["access_token"].as_str().unwrap().to_owned(),
            client,
        )
    }
}

/// What every resource server must do. Its time is the machine's.
pub async fn holds(mint: &Mint, url: &str) {
    checks_tokens(mint, url).await;
    follows_revocations(mint, url).await;
}

/// What each token is looked at for.
pub async fn checks_tokens(mint: &Mint, url: &str) {
    let client = Client::new();
    let get = |path: &str| client.get(format!("{url}{path}"));
    let token = mint.server.token(&mint.key, &[]).await;

    for asked in [
        get("/whoami"),
        get(&format!("/whoami?access_token={token}")),
        get("/whoami").basic_auth("key", Some(&token)),
    ] {
        let challenge = refused(asked, 401, None).await;
        assert!(!challenge.contains("error"), "{challenge}");
    }
    let twice = get("/whoami").bearer_auth(&token).bearer_auth(&token);
    let reply = Reply::of(twice).await;
    let challenge = reply
        .expect(StatusCode::BAD_REQUEST)
        .header("www-authenticate");
    // nginx refuses that before anybody else looks, and says no more.
    let is_by_itself = reply
        .header("server")
        .is_some_and(|server| server.starts_with("nginx"));
    let says_why = challenge.is_some_and(|why| why.contains(r#"error="invalid_request""#));
    assert!(says_why || is_by_itself, "{challenge:?}");

    let whoami = Reply::of(get("/whoami").bearer_auth(&token)).await;
    assert!(whoami.expect(StatusCode::OK).text.contains(&mint.key.id));
    for path in ["/files", "/projects/42"] {
        let reply = Reply::of(get(path).bearer_auth(&token)).await;
        reply.expect(StatusCode::OK);
    }

    let elsewhere = mint.server.token(&mint.key, &[("resource", ANOTHER)]).await;
    let of_acme = mint.server.exchange_at("/orgs/acme", &mint.key, &[]).await;
    let of_acme = of_acme.body["access_token"].as_str().unwrap();
    let (signed, _) = token.rsplit_once('.').unwrap();
    let (_, signature) = elsewhere.rsplit_once('.').unwrap();
    for bad in [
        &*mint.expired,
        &elsewhere,
        of_acme,
        &mint.key.secret,
        &format!("{signed}.{signature}"),
        &format!("{signed}."),
        "eyJhbGciOiJub25lIn0.e30.",
        "a.b.c",
    ] {
        let asked = get("/whoami").bearer_auth(bad);
        let challenge = refused(asked, 401, Some("invalid_token")).await;
        assert!(!challenge.contains(bad));
    }
    signed_by_hand::counts_only_as_it_should(&token, async |made| {
        Reply::of(get("/whoami").bearer_auth(made)).await
    })
    .await;

    let challenge = refused(
        get("/projects/43").bearer_auth(&token),
        403,
        Some("insufficient_scope"),
    );
    assert!(challenge.await.contains(r#"scope="read:projects/43""#));
    for path in [
        "/projects/*",
        "/projects/%22x",
        "/projects/%0Ax",
        "/projects/%C3%A9",
    ] {
        // Some refuse such a path before they look who asks.
        let asked = || get(path).bearer_auth(&token);
        if Reply::of(asked()).await.status != StatusCode::BAD_REQUEST {
            refused(asked(), 403, Some("insufficient_scope")).await;
        }
    }
    let narrow = [("scope", "read:projects/42")];
    let narrow = mint.server.token(&mint.key, &narrow).await;
    let asked = get("/files").bearer_auth(narrow);
    refused(asked, 403, Some("insufficient_scope")).await;

    // A token that leaked is of no use from elsewhere, whatever a header says.
    let (confined, there) = mint.confined().await;
    let asked = there.get(format!("{url}/files")).bearer_auth(&confined);
    Reply::of(asked).await.expect(StatusCode::OK);
    for header in ["x-forwarded-for", "x-real-ip", "x"] {
        let asked = get("/files").bearer_auth(&confined);
        let reply = Reply::of(asked.header(header, "127.0.0.2")).await;
        reply.expect(StatusCode::FORBIDDEN);
    }
}

/// A key that is revoked takes its tokens with it, also one that was seen before.
async fn follows_revocations(mint: &Mint, url: &str) {
    let client = Client::new();
    let get = |path: &str| client.get(format!("{url}{path}"));
    let token = mint.server.token(&mint.key, &[]).await;
    let ask = async || Reply::of(get("/whoami").bearer_auth(&token)).await;
    ask().await.expect(StatusCode::OK);
    let revoke = format!("/v1/organizations/acme/api-keys/{}/revoke", mint.key.id);
    let server = &mint.server;
    let revoked = server.operate(reqwest::Method::POST, &revoke, json!(null));
    revoked.await.expect(StatusCode::OK);
    let begun = std::time::Instant::now();
    while ask().await.status == StatusCode::OK {
        assert!(begun.elapsed() < Duration::from_secs(15), "it still counts");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    refused(
        get("/whoami").bearer_auth(&token),
        401,
        Some("invalid_token"),
    )
    .await;
}

/// A refusal with this status and error code; gives the challenge.
async fn refused(asked: RequestBuilder, status: u16, error: Option<&str>) -> String {
    let reply = Reply::of(asked).await;
    assert_eq!(reply.status.as_u16(), status, "{}", reply.text);
    let challenge = reply.header("www-authenticate").unwrap().to_owned();
    assert!(challenge.starts_with("Bearer realm="), "{challenge}");
    if let Some(error) = error {
        assert!(
            challenge.contains(&format!(r#"error="{error}""#)),
            "{challenge}"
        );
    }
    challenge
}
