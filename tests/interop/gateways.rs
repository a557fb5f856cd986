//! Real gateways before a service, as the files in docs/gateways set them up: what goes through,
//! and what the service then sees.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::runtime::beside_venv;
use crate::smuggling::nothing_is_smuggled;
use crate::support::left_out::or_left_out;
use crate::support::server::{Key, Reply, Server, claims};

on_both_engines!(
    nginx_lets_through_what_it_should,
    a_place_has_a_scope_of_its_own,
    caddy_lets_through_what_it_should,
    envoy_lets_through_what_it_should,
    a_place_behind_envoy_that_wants_no_scope_says_so,
    haproxy_lets_through_what_it_should,
);

const GATEWAYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/gateways");

/// A gateway on this machine. Dropped, it is gone.
pub struct Gateway {
    pub url: String,
    pub address: SocketAddr,
    child: Child,
    client: Client,
    _folder: tempfile::TempDir,
}

async fn nginx_lets_through_what_it_should(server: Server) {
    let Some(nginx) = found("nginx") else { return };
    a_gateway_lets_through_what_it_should(server, |folder, config| {
        run_nginx(&nginx, folder, config)
    })
    .await;
}

pub fn run_nginx(nginx: &Path, folder: &Path, config: &dyn Fn(&str) -> String) -> Command {
    // As whoever runs the tests, without the places that Debian compiled in.
    let places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {}/{kind};", folder.display()));
    let places = format!("http {{\naccess_log off;\n{}\n", places.join("\n"));
    let path = folder.join("nginx.conf");
    std::fs::write(&path, config("nginx.conf").replacen("http {", &places, 1)).unwrap();
    let globals = format!(
        "daemon off; master_process off; pid {}/pid;",
        folder.display()
    );
    let mut command = command(nginx);
    command.arg("-c").arg(path).arg("-g").arg(globals);
    command.arg("-e").arg(folder.join("error.log"));
    command
}

async fn caddy_lets_through_what_it_should(server: Server) {
    let Some(caddy) = found("caddy") else { return };
    a_gateway_lets_through_what_it_should(server, |folder, config| {
        run_caddy(&caddy, folder, config)
    })
    .await;
}

pub fn run_caddy(caddy: &Path, folder: &Path, config: &dyn Fn(&str) -> String) -> Command {
    let path = folder.join("Caddyfile");
    std::fs::write(&path, config("Caddyfile")).unwrap();
    let mut command = command(caddy);
    command
        .args(["run", "--adapter", "caddyfile", "--config"])
        .arg(path);
    command.env("HOME", folder).env("XDG_DATA_HOME", folder);
    command
}

async fn envoy_lets_through_what_it_should(server: Server) {
    let Some(envoy) = envoy() else { return };
    a_gateway_lets_through_what_it_should(server, |folder, config| {
        let path = folder.join("envoy.yaml");
        std::fs::write(&path, config("envoy.yaml")).unwrap();
        run_envoy(&envoy, &path)
    })
    .await;
}

/// As the guide says: what Envoy asks has its client's query string behind it, and so it must say
/// aloud that no scope is wanted.
async fn a_place_behind_envoy_that_wants_no_scope_says_so(server: Server) {
    let Some(envoy) = envoy() else { return };
    let flags = ["--gateway-peers", "127.0.0.1"];
    let server = server.stop().await.with(&flags).start().await;
    let acme = server.organization("acme").await;
    let start = |folder: &Path, config: &dyn Fn(&str) -> String| {
        let wants =
            |scope| format!("{{ header: {{ key: x-tenmint-require-scope, value: {scope} }} }}");
        let nothing =
            r#"{ header: { key: x-tenmint-require-scope, value: "" }, keep_empty_value: true }"#;
        let unsaid = "{ header: { key: x-other, value: x } }";
        let said = config("envoy.yaml");
        assert!(said.contains(&wants("read")) && said.contains(&wants("write")));
        let said = said
            .replace(&wants("read"), nothing)
            .replace(&wants("write"), unsaid);
        let path = folder.join("envoy.yaml");
        std::fs::write(&path, said).unwrap();
        run_envoy(&envoy, &path)
    };
    let gateway = Gateway::start(server.address(), service().await, start).await;
    let key = server.key_with(&acme, &["other"]).await;
    gateway.get(&key.secret).await.expect(StatusCode::OK);
    for scope in [None, Some(""), Some("other")] {
        let written = gateway.request(Method::POST).bearer_auth(&key.secret);
        let written = match scope {
            None => written,
            Some(scope) => written.header("x-tenmint-require-scope", scope),
        };
        Reply::of(written).await.expect(StatusCode::BAD_REQUEST);
    }
}

async fn haproxy_lets_through_what_it_should(server: Server) {
    let Some(haproxy) = found("haproxy") else {
        return;
    };
    a_gateway_lets_through_what_it_should(server, |folder, config| {
        run_haproxy(&haproxy, folder, config)
    })
    .await;
}

pub fn run_haproxy(haproxy: &Path, folder: &Path, config: &dyn Fn(&str) -> String) -> Command {
    let (place, script) = (
        "/etc/haproxy/haproxy.lua",
        format!("{GATEWAYS}/haproxy.lua"),
    );
    let said = config("haproxy.cfg");
    assert!(said.contains(place));
    let path = folder.join("haproxy.cfg");
    std::fs::write(&path, said.replace(place, &script)).unwrap();
    let mut command = command(haproxy);
    command.arg("-db").arg("-f").arg(path);
    command
}

/// `start` is given a folder for the gateway's files, and what a file of docs/gateways says for
/// the addresses here.
async fn a_gateway_lets_through_what_it_should(
    server: Server,
    start: impl FnOnce(&Path, &dyn Fn(&str) -> String) -> Command,
) {
    let flags = ["--gateway-peers", "127.0.0.1"];
    let server = server.stop().await.with(&flags).start().await;
    let acme = server.organization("acme").await;
    let gateway = Gateway::start(server.address(), service().await, start).await;
    let body = json!({
        "name": "customer", "scopes": ["read", "write"], "external_id": "cust 7",
        "allowed_ip_cidrs": ["127.0.0.1"],
    });
    let key = server.key(&acme, body).await;
    services_see_tokens_alone(&server, &gateway, &key).await;
    refusals_reach_the_client(&server, &gateway, &acme).await;
    nothing_is_smuggled(&server, &gateway, &acme).await;

    let path = format!("/v1/api-keys/{}/revoke", key.id);
    let token = server.token(&key, &[]).await;
    gateway.get(&token).await.expect(StatusCode::OK);
    let done = server
        .call(&acme.secret, Method::POST, &path, Value::Null)
        .await;
    done.expect(StatusCode::OK);
    for bearer in [&key.secret, &token] {
        gateway.get(bearer).await.expect(StatusCode::UNAUTHORIZED);
    }

    let other = server.key_with(&acme, &["read"]).await;
    gateway.get(&other.secret).await.expect(StatusCode::OK);
    let _place = server.stop().await;
    let unanswered = gateway.get(&other.secret).await.status;
    assert!(unanswered.is_server_error(), "{unanswered}");
}

/// As nginx.conf asks for.
async fn a_place_has_a_scope_of_its_own(server: Server) {
    let Some(nginx) = found("nginx") else { return };
    let flags = ["--gateway-peers", "127.0.0.1"];
    let server = server.stop().await.with(&flags).start().await;
    let acme = server.organization("acme").await;
    let start = |folder: &Path, config: &dyn Fn(&str) -> String| run_nginx(&nginx, folder, config);
    let gateway = Gateway::start(server.address(), service().await, start).await;
    let one = server.key_with(&acme, &["read:projects/42/**"]).await;
    let all = server.key_with(&acme, &["read"]).await;
    let get = async |key: &Key, path: &str| {
        let request = gateway.client.get(format!("{}{path}", gateway.url));
        Reply::of(request.bearer_auth(&key.secret)).await
    };
    for path in [
        "/projects/42",
        "/projects/42?x=/../43",
        "/projects/42/files",
    ] {
        get(&one, path).await.expect(StatusCode::OK);
    }
    for (path, wanted) in [
        ("/projects/43", "read:projects/43"),
        ("/projects/420", "read:projects/420"),
        ("/projects", "read"),
        ("/projects/4%32", "read"),
        ("/orders?/projects/42", "read"),
    ] {
        let reply = get(&one, path).await;
        let challenge = reply
            .expect(StatusCode::FORBIDDEN)
            .header("www-authenticate");
        let wanted = format!(r#"scope="{wanted}""#);
        assert!(
            challenge.unwrap().contains(&wanted),
            "{path}: {challenge:?}"
        );
        get(&all, path).await.expect(StatusCode::OK);
    }
    for path in [
        "/projects/42%2F..%2F43",
        "/projects/42//43",
        "/projects/42/.x",
        "/projects/42%5C43",
    ] {
        get(&all, path).await.expect(StatusCode::BAD_REQUEST);
    }
}

async fn services_see_tokens_alone(server: &Server, gateway: &Gateway, key: &Key) {
    let both = || gateway.request(Method::GET).bearer_auth(&key.secret);
    let mut seen = Vec::new();
    for request in [
        both(),
        gateway
            .request(Method::GET)
            .header("x-api-key", &key.secret),
        both().header("x-api-key", &key.secret),
    ] {
        let reply = Reply::of(request).await;
        assert!(
            !reply.expect(StatusCode::OK).text.contains(&key.secret),
            "{}",
            reply.text
        );
        for (name, value) in [
            ("x-tenmint-org", "acme"),
            ("x-tenmint-key-id", &*key.id),
            ("x-tenmint-credential", "api_key"),
            ("x-tenmint-scope", "read write"),
            ("x-tenmint-external-id", "cust%207"),
        ] {
            assert_eq!(reply.body["headers"][name], json!([value]), "{name}");
        }
        let authorization = &reply.body["headers"]["authorization"];
        let token = authorization[0]
            .as_str()
            .unwrap()
            .strip_prefix("Bearer ")
            .unwrap();
        assert_eq!(authorization.as_array().unwrap().len(), 1);
        assert_eq!(claims(token)["sub"], key.id);
        seen.push(token.to_owned());
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "one token does for all");
    // By whichever name it is called.
    for host in ["api.example.com", "api.example.com:8443"] {
        let named = gateway.request(Method::GET).header("host", host);
        let unknown = Reply::of(named.try_clone().unwrap()).await;
        unknown.expect(StatusCode::UNAUTHORIZED);
        let known = Reply::of(named.bearer_auth(&key.secret)).await;
        let told = &known.expect(StatusCode::OK).body["headers"]["x-tenmint-org"];
        assert_eq!(*told, json!(["acme"]));
    }
    // A body comes through, and a token as it is.
    let own = server.token(key, &[("scope", "write")]).await;
    let posted = gateway
        .request(Method::POST)
        .bearer_auth(&own)
        .body("x".repeat(50_000));
    let reply = Reply::of(posted).await;
    assert_eq!(reply.expect(StatusCode::OK).body["body"], 50_000);
    assert_eq!(
        reply.body["headers"]["authorization"],
        json!([format!("Bearer {own}")])
    );
    assert_eq!(
        reply.body["headers"]["x-tenmint-credential"],
        json!(["access_token"])
    );
}

async fn refusals_reach_the_client(server: &Server, gateway: &Gateway, acme: &Key) {
    let nobody = Reply::of(gateway.request(Method::GET)).await;
    nobody.expect(StatusCode::UNAUTHORIZED);
    assert_eq!(
        nobody.header("www-authenticate"),
        Some(r#"Bearer realm="tenmint""#)
    );
    let wrong = gateway.get(&acme.secret.replace("tmsk_", "tmskx_")).await;
    wrong.expect(StatusCode::UNAUTHORIZED);
    let challenge = wrong.header("www-authenticate");
    assert_eq!(
        challenge,
        Some(r#"Bearer realm="tenmint", error="invalid_token""#)
    );

    let rate = json!({ "limit": 2, "window_seconds": 60 });
    let body = json!({ "name": "reader", "scopes": ["read"], "rate_limit": rate });
    let reader = server.key(acme, body).await;
    gateway.get(&reader.secret).await.expect(StatusCode::OK);
    let writes = gateway.request(Method::POST).bearer_auth(&reader.secret);
    let refused = Reply::of(writes).await;
    refused.expect(StatusCode::FORBIDDEN);
    let challenge = refused.header("www-authenticate").unwrap();
    assert!(
        challenge.contains(r#"error="insufficient_scope", scope="write""#),
        "{challenge}"
    );
    let over = gateway.get(&reader.secret).await;
    over.expect(StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(over.header("retry-after"), Some("30"));
}

/// A service that answers with what it sees.
pub async fn service() -> SocketAddr {
    let echo = |request: Request| async {
        let (parts, body) = request.into_parts();
        let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in &parts.headers {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            headers.entry(name.to_string()).or_default().push(value);
        }
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        json!({ "headers": headers, "body": body.len() }).to_string()
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(echo);
    tokio::spawn(async move {
        let router = Arc::new(router);
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = hyper_util::service::TowerToHyperService::new((*router).clone());
            tokio::spawn(async move {
                let io = hyper_util::rt::TokioIo::new(stream);
                let http = hyper::server::conn::http1::Builder::new();
                let _ = http.serve_connection(io, service).await;
            });
        }
    });
    address
}

impl Gateway {
    /// `start` is given a folder, and what a file, below docs/gateways, says for the addresses here.
    pub async fn start(
        tenmint: SocketAddr,
        service: SocketAddr,
        start: impl FnOnce(&Path, &dyn Fn(&str) -> String) -> Command,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Free a moment ago.
        let free = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let config = |name: &str| {
            let said = std::fs::read_to_string(Path::new(GATEWAYS).join(name)).unwrap();
            [(8000, free), (8080, tenmint), (9000, service)]
                .into_iter()
                .fold(said, |said, (port, here)| {
                    let plain = format!("127.0.0.1:{port}");
                    let ported = ["127.0.0.1, port_value: ", "http://:"];
                    let here_too = |said: String, start: &str| {
                        let there = format!("{start}{port} ");
                        said.replace(&there, &format!("{start}{} ", here.port()))
                    };
                    let moved = said.replace(&plain, &here.to_string());
                    let moved = ported.into_iter().fold(moved, here_too);
                    assert_ne!(moved, said, "{name}: {port}");
                    moved
                })
        };
        let mut command = start(folder.path(), &config);
        let log = std::fs::File::create(folder.path().join("output")).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let mut child = command.spawn().unwrap();
        let began = Instant::now();
        while TcpStream::connect(free).is_err() {
            let ended = child.try_wait().unwrap();
            let log = || std::fs::read_to_string(folder.path().join("output")).unwrap();
            assert!(ended.is_none(), "it ended: {}", log());
            assert!(
                began.elapsed() < Duration::from_mins(1),
                "it does not serve: {}",
                log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self {
            url: format!("http://{free}"),
            address: free,
            child,
            client: Client::new(),
            _folder: folder,
        }
    }

    pub fn request(&self, method: Method) -> RequestBuilder {
        self.client.request(
            method,
            format!("{}/orders/7?scope=x&exchange=false", self.url),
        )
    }

    pub async fn get(&self, bearer: &str) -> Reply {
        Reply::of(self.request(Method::GET).bearer_auth(bearer)).await
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program of this name, or else the calling test is left out.
#[track_caller]
pub fn found(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    let program = folders
        .map(|folder| folder.join(name))
        .find(|path| path.exists());
    or_left_out(program, name, "run .ci/run once")
}

/// Envoy, of the Python environment, or else the calling test is left out.
#[track_caller]
pub fn envoy() -> Option<PathBuf> {
    let program = beside_venv("venv/bin/envoy");
    let program = Some(program).filter(|program| program.exists());
    or_left_out(program, "envoy", "run .ci/run once")
}

pub fn run_envoy(envoy: &Path, config: &Path) -> Command {
    let mut command = command(envoy);
    command.args(["--disable-hot-restart", "--concurrency", "1"]);
    command.args(["--log-level", "warning", "-c"]).arg(config);
    command
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test process holds no root key"
)]
pub fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    command
}
