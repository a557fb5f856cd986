//! Promise 2: a secret is in the one answer that shows it, and nowhere else.

use std::fmt::Write;
use std::fs;

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use crate::support::process::{Process, run};
use crate::support::server::{Key, Place};

/// Every line the program logs, every answer it gives, every byte it stores.
struct Watch {
    process: Process,
    place: Place,
    http: Client,
    operator: String,
    manager: Key,
    key: Key,
    answers: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_sent_in_every_place_a_request_has_is_found_nowhere_on_sqlite() {
    watch(Place::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_sent_in_every_place_a_request_has_is_found_nowhere_on_postgres() {
    if let Some(place) = Place::postgres().await {
        watch(place).await;
    }
}

async fn watch(place: Place) {
    let mut watch = Watch::start(place).await;
    for canary in [watch.key.secret.clone(), watch.manager.secret.clone()] {
        watch.oauth_plane(&canary).await;
        watch.management_plane(&canary).await;
        watch.paths_and_headers(&canary).await;
        watch.usage(&canary).await;
    }
    // Last of all, for these end them.
    for canary in [watch.key.secret.clone(), watch.manager.secret.clone()] {
        watch.revocations(&canary).await;
    }
    watch.finds_nothing().await;
}

impl Watch {
    async fn start(place: Place) -> Self {
        // Everything that can be logged is.
        let process = Process::serve(&place, &["serve"], &[("TENMINT_LOG", "trace")]);
        let (url, root) = (place.database_url(), place.root_key_file());
        let environment = [
            ("TENMINT_DATABASE_URL", &*url),
            ("TENMINT_ROOT_KEY_FILE", root.to_str().unwrap()),
        ];
        let operator = run(&["operator-key", "--quiet"], &environment)
            .out
            .trim()
            .to_owned();
        let empty = Key {
            id: String::new(),
            secret: String::new(),
        };
        let mut watch = Self {
            process,
            place,
            http: Client::new(),
            operator,
            manager: empty.clone(),
            key: empty,
            answers: String::new(),
        };
        // The three answers that do show a secret are not watched.
        let operator = watch.operator.clone();
        watch
            .json(&operator, "/v1/organizations", json!({ "id": "acme" }))
            .await;
        let done = watch
            .json(&operator, "/v1/organizations/acme/bootstrap", json!({}))
            .await;
        watch.manager = Key::of(&done["management_key"]);
        let new = json!({ "name": "canary", "scopes": ["read"], "expires_in_days": 30 });
        let made = watch.json(&watch.manager.secret, "/v1/api-keys", new).await;
        watch.key = Key::of(&made);
        watch
    }

    async fn json(&self, bearer: &str, path: &str, body: Value) -> Value {
        let request = self
            .request(Method::POST, path)
            .bearer_auth(bearer)
            .json(&body);
        request.send().await.unwrap().json().await.unwrap()
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.process.base))
    }

    /// Sends a request and keeps the whole answer for inspection.
    async fn send(&mut self, request: RequestBuilder) {
        let response = request.send().await.unwrap();
        let _ = writeln!(
            self.answers,
            "{} {:?}",
            response.status(),
            response.headers()
        );
        self.answers.push_str(&response.text().await.unwrap());
        self.answers.push('\n');
    }

    async fn oauth_plane(&mut self, canary: &str) {
        let id = self.key.id.clone();
        for endpoint in [
            "/oauth/token",
            "/orgs/acme/oauth/token",
            "/orgs/nobody/oauth/token",
        ] {
            for parameter in [
                "grant_type",
                "client_id",
                "client_secret",
                "scope",
                "resource",
                "other",
                canary,
            ] {
                let form = [(parameter, canary), ("grant_type", "client_credentials")];
                let request = self.request(Method::POST, endpoint).form(&form);
                self.send(request.basic_auth(&id, Some(canary))).await;
                let scoped = format!("read:{canary}");
                let form = [("scope", scoped.as_str()), (parameter, canary)];
                self.send(self.request(Method::POST, endpoint).form(&form))
                    .await;
            }
            let form = [("grant_type", "client_credentials")];
            let post = || self.request(Method::POST, endpoint).form(&form);
            let attempts = [
                post().basic_auth(canary, Some(canary)),
                post().basic_auth(canary, None::<&str>),
                post().bearer_auth(format!("{canary}x")),
                post().header("authorization", format!("Digest {canary}")),
                post().header("authorization", canary),
                post().query(&[("client_secret", canary), (canary, canary)]),
                self.request(Method::POST, endpoint).body(canary.to_owned()),
                self.request(Method::POST, endpoint)
                    .json(&json!({ "client_secret": canary })),
                self.request(Method::GET, endpoint).bearer_auth(canary),
            ];
            for attempt in attempts {
                self.send(attempt).await;
            }
        }
    }

    async fn management_plane(&mut self, canary: &str) {
        let name = json!({ "name": "n", "scopes": ["read"] });
        let mut bodies = vec![json!(canary), json!([canary])];
        for field in [
            "name",
            "description",
            "scopes",
            "allowed_ip_cidrs",
            "expires_at",
            "expires_in_days",
            "external_id",
            "metadata",
            canary,
        ] {
            for value in [
                json!(canary),
                json!([canary]),
                json!([format!("read:{canary}")]),
                json!({ canary: "x" }),
                json!({ "x": canary }),
            ] {
                let mut body = name.clone();
                body[field] = value;
                bodies.push(body);
            }
        }
        let (operator, manager) = (self.operator.clone(), self.manager.secret.clone());
        for body in bodies {
            for (bearer, path) in [
                (&manager, "/v1/api-keys"),
                (&operator, "/v1/organizations"),
                (&operator, "/v1/organizations/acme/bootstrap"),
                (&operator, "/v1/organizations/acme/suspend"),
            ] {
                let request = self
                    .request(Method::POST, path)
                    .bearer_auth(bearer)
                    .json(&body);
                self.send(request).await;
            }
            let rename = self.request(Method::PATCH, "/v1/organizations/acme");
            self.send(rename.bearer_auth(&operator).json(&body)).await;
        }
        for parameter in ["limit", "cursor", "status", "actor", "access_token", canary] {
            for path in ["/v1/api-keys", "/v1/organizations", "/v1/audit-events"] {
                let request = self
                    .request(Method::GET, path)
                    .query(&[(parameter, canary)]);
                self.send(request.bearer_auth(&operator)).await;
            }
        }
        for user in [canary.to_owned(), format!("user {canary}")] {
            let request = self.request(Method::POST, "/v1/organizations/acme/suspend");
            let request = request.header("tenmint-acting-for", user);
            self.send(request.bearer_auth(&operator)).await;
        }
        let id = format!("org-{}", canary.to_lowercase());
        let body = json!({ "id": &id[..id.len().min(64)] });
        self.send(
            self.request(Method::POST, "/v1/organizations")
                .bearer_auth(&operator)
                .json(&body),
        )
        .await;
    }

    async fn revocations(&mut self, canary: &str) {
        let id = self.key.id.clone();
        for endpoint in [
            "/orgs/nobody/oauth/revoke",
            "/oauth/revoke",
            "/orgs/acme/oauth/revoke",
        ] {
            let post = |form: &[(&str, &str)]| self.request(Method::POST, endpoint).form(form);
            let attempts = [
                post(&[("token_type_hint", canary), (canary, canary)]),
                post(&[("token", "x.y.z"), ("client_id", canary)]),
                post(&[("token", "x.y.z")]).basic_auth(&id, Some(canary)),
                post(&[("token", &canary[1..])]).bearer_auth(canary),
                post(&[("token", canary)]).query(&[("token", canary)]),
                self.request(Method::POST, endpoint).body(canary.to_owned()),
                self.request(Method::GET, endpoint).bearer_auth(canary),
                post(&[("token", canary)]),
                post(&[("token", canary)]).basic_auth(&id, Some(canary)),
            ];
            for attempt in attempts {
                self.send(attempt).await;
            }
        }
    }

    async fn paths_and_headers(&mut self, canary: &str) {
        for path in [
            "/v1/api-keys/{}",
            "/v1/organizations/{}",
            "/v1/organizations/{}/api-keys/{}",
            "/orgs/{}/.well-known/jwks.json",
            "/orgs/{}/oauth/token",
            "/{}",
        ] {
            let path = path.replace("{}", canary);
            for method in [Method::GET, Method::POST] {
                let request = self.request(method, &path).bearer_auth(&self.operator);
                self.send(request).await;
            }
        }
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_str(canary).unwrap();
        for name in [
            "user-agent",
            "x-request-id",
            "x-forwarded-for",
            "forwarded",
            "cookie",
            "referer",
            "origin",
            "idempotency-key",
            "if-none-match",
            "accept",
            "x-api-key",
            "traceparent",
        ] {
            headers.insert(name, value.clone());
        }
        for path in [
            "/.well-known/jwks.json",
            "/oauth/token",
            "/v1/api-keys",
            "/healthz",
            "/x",
        ] {
            let request = self.request(Method::GET, path).headers(headers.clone());
            self.send(request.bearer_auth(canary.replace('_', ".")))
                .await;
        }
    }

    /// What is kept of clients is written down, and read.
    async fn usage(&mut self, canary: &str) {
        let (key, scoped) = (self.key.clone(), format!("read:{canary}"));
        for scope in ["", "read", &scoped] {
            let form = [("grant_type", "client_credentials"), ("scope", scope)];
            let request = self
                .request(Method::POST, "/oauth/token")
                .basic_auth(&key.id, Some(&key.secret))
                .header("user-agent", format!("x {canary}"))
                .form(&form);
            // An issued token is not watched.
            request.send().await.unwrap();
        }
        for path in ["/v1/usage", "/v1/refusals?limit=100", "/v1/api-keys"] {
            for bearer in [self.operator.clone(), self.manager.secret.clone()] {
                let request = self.request(Method::GET, path).bearer_auth(bearer);
                self.send(request).await;
            }
        }
        let path = format!("/v1/api-keys/{}/usage", key.id);
        let request = self
            .request(Method::GET, &path)
            .bearer_auth(&self.manager.secret);
        self.send(request).await;
    }

    async fn finds_nothing(self) {
        let stored = stored(&self.place).await;
        let log = format!("{}{}", self.process.log(), self.process.out());
        assert!(log.contains("refused a token"), "the log is seen: {log}");
        assert!(
            self.answers.contains("invalid_client"),
            "the answers are seen"
        );
        assert!(
            contains(&stored, self.key.id.as_bytes()),
            "the database is seen"
        );
        let command_line = fs::read(format!("/proc/{}/cmdline", self.process.id()));
        for secret in [&self.key.secret, &self.manager.secret, &self.operator] {
            // The 43 characters that are the secret, and the first half of them.
            let bare = secret.rsplit('_').next().unwrap();
            for part in [&bare[..43], &bare[..22]] {
                let part = part.as_bytes();
                assert!(!contains(log.as_bytes(), part), "in the log");
                assert!(!contains(self.answers.as_bytes(), part), "in an answer");
                assert!(!contains(&stored, part), "in the database");
                assert!(
                    command_line
                        .as_ref()
                        .is_ok_and(|line| !contains(line, part))
                );
            }
        }
        assert!(self.process.stop());
    }
}

/// Every byte that lasts: the raw files of SQLite, its write-ahead log too; every row of
/// PostgreSQL.
pub async fn stored(place: &Place) -> Vec<u8> {
    let mut bytes = Vec::new();
    if place.is_sqlite() {
        for entry in fs::read_dir(place.folder()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                bytes.extend(fs::read(path).unwrap());
            }
        }
        return bytes;
    }
    let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'";
    for table in place.query(tables).await {
        for row in place.query(&format!("SELECT t::text FROM {table} t")).await {
            bytes.extend(row.into_bytes());
        }
    }
    bytes
}

pub fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}
