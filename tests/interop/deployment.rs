//! deploy/nginx.conf before two nodes: who is asked, who is asked again, and what clients are told when
//! nobody is left to ask.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::gateways::{found, run_nginx};
use crate::support::line::Line;
use crate::support::server::{Key, Place, Reply, Server};

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");

/// nginx before two nodes. Dropped, it is gone.
struct Balancer {
    url: String,
    nginx: Child,
    http: Client,
    _folder: tempfile::TempDir,
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_nginx_nobody_notices_which_of_two_nodes_is_gone() {
    let Some(nginx) = found("nginx") else { return };
    let Some(place) = Place::postgres().await else {
        return;
    };
    // The port is nginx's: whoever asks there is asked for by that name.
    let public = free();
    let issuer = format!("http://{public}");
    let flags = [
        "--issuer",
        &issuer,
        "--trusted-proxies",
        "127.0.0.1",
        "--stale-limit",
        "3s",
    ];
    let near = place.with(&flags).start().await;
    let line = Line::to(&near.place().database_url()).await;
    let far = near.another_node_by(&line.url, &flags).await;
    let balancer = Balancer::start(&nginx, public, [near.address(), far.address()]).await;

    let acme = near.organization("acme").await;
    let key = balancer.key(&acme, json!(["127.0.0.1"])).await;
    both_are_asked(&balancer, &[&near, &far], &key).await;
    addresses_are_nginxs_to_tell(&balancer, &acme, &key).await;
    let revoked = balancer.key(&acme, json!(["127.0.0.1"])).await;
    balancer.exchange(&revoked).await.expect(StatusCode::OK);
    let path = format!("/v1/api-keys/{}/revoke", revoked.id);
    let done = balancer.call(&acme, Method::POST, &path, Value::Null).await;
    done.expect(StatusCode::OK);

    // A node that is cut off from the database issues nothing after a while: the other is asked.
    line.cut();
    let began = Instant::now();
    while far.exchange(&key, &[]).await.status == StatusCode::OK {
        assert!(
            began.elapsed() < Duration::from_mins(1),
            "it issues on and on"
        );
        balancer.exchange(&key).await.expect(StatusCode::OK);
    }
    for _ in 0..10 {
        balancer.exchange(&key).await.expect(StatusCode::OK);
        balancer
            .exchange(&revoked)
            .await
            .refuses(401, "invalid_client");
    }
    line.mend();
    // Once nginx asks it again, the other is stopped.
    let (before, began) = (asked(&far), Instant::now());
    while far.exchange(&key, &[]).await.status != StatusCode::OK {
        assert!(
            began.elapsed() < Duration::from_mins(1),
            "it does not come back"
        );
    }
    let direct = asked(&far);
    assert!(direct > before);
    while asked(&far) == direct {
        assert!(
            began.elapsed() < Duration::from_mins(1),
            "nginx has given it up"
        );
        balancer.exchange(&key).await.expect(StatusCode::OK);
    }
    let place = near.stop().await;
    for _ in 0..10 {
        balancer.exchange(&key).await.expect(StatusCode::OK);
        balancer
            .exchange(&revoked)
            .await
            .refuses(401, "invalid_client");
    }
    let began = Instant::now();
    loop {
        let body = json!({ "name": "n", "scopes": ["read"] });
        let made = balancer
            .call(&acme, Method::POST, "/v1/api-keys", body)
            .await;
        if made.status == StatusCode::CREATED {
            break;
        }
        // The node that was cut off has yet to reach its database again.
        made.expect(StatusCode::SERVICE_UNAVAILABLE);
        assert!(
            began.elapsed() < Duration::from_mins(1),
            "it does not come back"
        );
    }
    drop(far.stop().await);
    nobody_is_left(&balancer, &acme, &key).await;
    drop(place);
}

/// Both are told to come again, as by nodes that have too much to do; whoever has a key that they know
/// is not to be kept from them.
#[tokio::test(flavor = "multi_thread")]
async fn behind_nginx_nodes_that_answer_with_503_go_on_being_asked() {
    let Some(nginx) = found("nginx") else { return };
    let Some(place) = Place::postgres().await else {
        return;
    };
    let public = free();
    let issuer = format!("http://{public}");
    let flags = ["--issuer", &issuer, "--stale-limit", "3s"];
    let near = place.with(&flags).start().await;
    let url = near.place().database_url();
    let lines = [Line::to(&url).await, Line::to(&url).await];
    let one = near.another_node_by(&lines[0].url, &flags).await;
    let other = near.another_node_by(&lines[1].url, &flags).await;
    let balancer = Balancer::start(&nginx, public, [one.address(), other.address()]).await;
    let acme = near.organization("acme").await;
    let key = balancer.key(&acme, json!(["127.0.0.1"])).await;
    both_are_asked(&balancer, &[&one, &other], &key).await;

    lines.iter().for_each(Line::cut);
    let began = Instant::now();
    while balancer.exchange(&key).await.status == StatusCode::OK {
        assert!(
            began.elapsed() < Duration::from_mins(1),
            "they issue on and on"
        );
    }
    // Each time both are asked, and it is one of them that answers.
    for _ in 0..4 {
        let reply = balancer.exchange(&key).await;
        reply.refuses(503, "temporarily_unavailable");
        assert!(reply.header("retry-after").is_some() && reply.header("x-request-id").is_some());
    }
    lines.iter().for_each(Line::mend);
    let began = Instant::now();
    while balancer.exchange(&key).await.status != StatusCode::OK {
        assert!(
            began.elapsed() < Duration::from_mins(1),
            "they do not come back"
        );
    }
}

/// nginx answers in the words of tenmint.
async fn nobody_is_left(balancer: &Balancer, acme: &Key, key: &Key) {
    for _ in 0..10 {
        let reply = balancer.exchange(key).await;
        reply.refuses(503, "temporarily_unavailable");
        assert_eq!(reply.header("retry-after"), Some("2"));
    }
    let reply = balancer.call(acme, Method::GET, "/v1/api-keys", Value::Null);
    let reply = reply.await;
    reply.refuses(503, "unavailable");
    assert_eq!(reply.header("retry-after"), Some("2"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
}

/// How often a node has looked for a key.
fn asked(node: &Server) -> u64 {
    let lookups = node.app.mint.credentials.lookups();
    lookups.hits + lookups.misses
}

async fn both_are_asked(balancer: &Balancer, nodes: &[&Server], key: &Key) {
    let before: Vec<_> = nodes.iter().map(|node| asked(node)).collect();
    for _ in 0..20 {
        balancer.exchange(key).await.expect(StatusCode::OK);
    }
    for (node, before) in nodes.iter().zip(before) {
        assert!(asked(node) > before, "one node alone is asked");
    }
    let metadata = "/.well-known/oauth-authorization-server";
    let metadata = Reply::of(balancer.http.get(format!("{}{metadata}", balancer.url))).await;
    assert_eq!(metadata.expect(StatusCode::OK).body["issuer"], balancer.url);
}

async fn addresses_are_nginxs_to_tell(balancer: &Balancer, acme: &Key, key: &Key) {
    let elsewhere = balancer.key(acme, json!(["203.0.113.9"])).await;
    for name in ["x-forwarded-for", "forwarded", "x-real-ip"] {
        let lying = balancer
            .token_request(&elsewhere)
            .header(name, "203.0.113.9");
        Reply::of(lying).await.refuses(403, "access_denied");
        let lying = balancer.token_request(key).header(name, "203.0.113.9");
        Reply::of(lying).await.expect(StatusCode::OK);
    }
}

/// Free a moment ago.
fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

impl Balancer {
    async fn start(nginx: &Path, public: SocketAddr, nodes: [SocketAddr; 2]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = |name: &str| {
            let said = fs::read_to_string(Path::new(DEPLOY).join(name)).unwrap();
            let places = [(8000, public), (8080, nodes[0]), (8090, nodes[1])];
            places.into_iter().fold(said, |said, (port, here)| {
                let there = format!("127.0.0.1:{port}");
                assert!(said.contains(&there), "{name}: {port}");
                said.replace(&there, &here.to_string())
            })
        };
        let mut command: Command = run_nginx(nginx, folder.path(), &config);
        let nginx = command.spawn().unwrap();
        let began = Instant::now();
        while TcpStream::connect(public).is_err() {
            let errors = || fs::read_to_string(folder.path().join("error.log"));
            assert!(began.elapsed() < Duration::from_mins(1), "{:?}", errors());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self {
            url: format!("http://{public}"),
            nginx,
            http: Client::new(),
            _folder: folder,
        }
    }

    fn token_request(&self, key: &Key) -> RequestBuilder {
        let request = self.http.post(format!("{}/oauth/token", self.url));
        let request = request.basic_auth(&key.id, Some(&key.secret));
        request.form(&[("grant_type", "client_credentials")])
    }

    async fn exchange(&self, key: &Key) -> Reply {
        Reply::of(self.token_request(key)).await
    }

    async fn call(&self, manager: &Key, method: Method, path: &str, body: Value) -> Reply {
        let request = self.http.request(method, format!("{}{path}", self.url));
        let mut request = request.bearer_auth(&manager.secret);
        if !body.is_null() {
            request = request.json(&body);
        }
        Reply::of(request).await
    }

    async fn key(&self, manager: &Key, networks: Value) -> Key {
        let body = json!({ "name": "n", "scopes": ["read"], "allowed_ip_cidrs": networks });
        let made = self.call(manager, Method::POST, "/v1/api-keys", body).await;
        Key::of(&made.expect(StatusCode::CREATED).body)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.nginx.kill();
        let _ = self.nginx.wait();
    }
}
